"""The layouts of people whose joints are known by their names: each estimator spells and orders them in its own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from usdrl_ros.skeleton.joint_names import part_of
from usdrl_ros.sources.limits import LONGEST_JOINT_NAME

_MOST_SPELLINGS = 8
_MOST_OF_A_PART = 4
"""Names of one part of the body: two toes, three of a spine."""


_RARE = 0.05
"""Names that fewer of the people have are not part of their layout."""
_MOST_COUNTED = 2000


class _Spelling:
    """How often an estimator's people had joints of which names."""

    def __init__(self) -> None:
        self.people = 0
        self.count: dict[str, int] = {}

    def add(self, names: Sequence[str]) -> None:
        parts = Counter(part_of(name) for name in self.count)
        self.people += 1
        for name in names:
            if name in self.count or parts[part_of(name)] < _MOST_OF_A_PART:
                parts[part_of(name)] += name not in self.count
                self.count[name] = self.count.get(name, 0) + 1
        if self.people >= _MOST_COUNTED:
            self.people //= 2
            self.count = {name: count // 2 for name, count in self.count.items() if count > 1}

    def layout(self) -> str:
        return ",".join(name for name, count in self.count.items() if count >= _RARE * self.people)


class JointNames:
    """The names that each estimator uses, as they come: a message may lack some of the joints.

    Names of no part of the body play no role, of a part there are a few names at most, and names that hardly anybody
    has are left out, so that one message cannot spoil the next ones, and nothing grows.
    """

    def __init__(self) -> None:
        self._spellings: list[_Spelling] = []  # the one used last at the end

    def layout_of(self, names: Iterable[str]) -> str:
        """The layout, as `load_layout` takes it, of a person with joints of these names; "" if none has a name.

        People who share less than half of their names with the ones before are of another estimator.
        """
        known = [name for name in names if is_joint(name)]
        for spelling in reversed(self._spellings):
            if 2 * sum(name in spelling.count for name in known) >= len(known):
                break
        else:
            if not known:
                return ""
            spelling = _Spelling()
        self._spellings = [*(each for each in self._spellings if each is not spelling), spelling][-_MOST_SPELLINGS:]
        spelling.add(known)
        return spelling.layout()


@lru_cache(maxsize=1024)
def _is_part(name: str) -> bool:
    return bool(part_of(name))


def is_joint(name: str) -> bool:
    """Whether a name is that of a part of the body, and can stand in a list of names with commas between."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST_JOINT_NAME
        and "," not in name
        and name == name.strip()
        and _is_part(name)
    )
