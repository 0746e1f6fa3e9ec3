"""Which actions are in use, what they are called, and when they start: the user's choice, as plain values.

A model knows a fixed list of actions. A robot may need some of them only, under names of its own, and some sooner than
others. What is chosen takes effect while the robot runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

UNKNOWN = "unknown"
"""What is reported for a movement that is none of the actions in use."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gestures": (
            "wave", "clap", "raise_hand", "raise_arm_side", "point", "stop_gesture", "beckon", "bow", "cross_arms",
            "swipe", "press_button", "draw_circle", "draw_x", "draw_triangle", "push", "pull",
        ),
        "posture": ("sit_down", "stand_up", "squat", "lunge", "bend", "raise_knee", "jump", "jumping_jack"),
        "everyday": ("throw", "catch", "pick_up", "carry", "walk", "run", "drink", "phone_call"),
        "social": ("shake_hands", "hug", "hand_over", "punch", "kick"),
    }
)  # fmt: skip
"""Names that stand for several actions."""


class ChoiceError(ValueError):
    """A choice names what there is not; the message says what there is."""


@dataclass(frozen=True)
class Choice:
    """What is recognised.

    Args:
        enabled: Names of actions, taught ones and groups among them, that are in use; empty: all.
        disabled: Names that are not, even if `enabled` has them.
        names: Action -> the name under which it is reported; several may share one.
        thresholds: Action, by its own name or the one it is reported under -> its `start_threshold`.
        unknown: Whether movements that are none of the actions in use are reported as `unknown`.
    """

    enabled: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    unknown: bool = False

    def in_use(self, known: Sequence[str]) -> tuple[str, ...]:
        """The actions of `known` that are in use, in its order.

        Raises:
            ChoiceError: A name stands for no action and no group.
        """
        wanted = self._expand(self.enabled, known) if self.enabled else set(known)
        wanted -= self._expand(self.disabled, known)
        return tuple(action for action in known if action in wanted)

    def check(self, known: Sequence[str]) -> None:
        """Refuse names that stand for nothing, and thresholds that are no probabilities.

        Raises:
            ChoiceError: There is one.
        """
        self.in_use(known)
        reported = {*known, UNKNOWN}
        if unknown := sorted(set(self.names) - reported):
            raise ChoiceError(f"a name is given to {', '.join(unknown)}; the actions are {', '.join(known)}")
        if empty := sorted(action for action, name in self.names.items() if not name.strip()):
            raise ChoiceError(f"the name that {', '.join(empty)} is reported under is empty")
        if unknown := sorted(set(self.thresholds) - reported - set(self.names.values())):
            raise ChoiceError(f"a threshold is given to {', '.join(unknown)}; the actions are {', '.join(known)}")
        for action, threshold in self.thresholds.items():
            if not 0.01 <= threshold <= 1.0:
                raise ChoiceError(f"the threshold of {action} is {threshold}, must be from 0.01 to 1")

    def reported(self, action: str) -> str:
        """The name under which an action is reported."""
        return self.names.get(action, action)

    def reported_thresholds(self) -> dict[str, float]:
        """Thresholds by the names that are reported."""
        return {self.reported(action): threshold for action, threshold in self.thresholds.items()}

    @staticmethod
    def _expand(names: Collection[str], known: Sequence[str]) -> set[str]:
        """Groups replaced by their actions; actions of a group that the model does not know are left out."""
        found: set[str] = set()
        for name in names:
            if name in known:
                found.add(name)
            elif name in GROUPS:
                found.update(set(GROUPS[name]) & set(known))
            else:
                raise ChoiceError(
                    f"there is no action '{name}'; there are {', '.join(known)}, and the groups {', '.join(GROUPS)}"
                )
        return found


def parse_pairs(pairs: Sequence[str], what: str) -> dict[str, str]:
    """`ACTION=VALUE` texts, as ROS parameters carry them; empty ones are left out.

    Raises:
        ChoiceError: One has no such form, or an action comes twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        if not pair.strip():
            continue
        action, equals, value = (part.strip() for part in pair.partition("="))
        if not action or not equals or not value:
            raise ChoiceError(f"{what} holds {pair!r}, expected ACTION=VALUE")
        if action in found:
            raise ChoiceError(f"{what} holds {action} twice")
        found[action] = value
    return found


def parse_thresholds(pairs: Sequence[str], what: str = "thresholds") -> dict[str, float]:
    """`ACTION=PROBABILITY` texts.

    Raises:
        ChoiceError: One has no such form.
    """
    found = {}
    for action, value in parse_pairs(pairs, what).items():
        try:
            found[action] = float(value)
        except ValueError as error:
            raise ChoiceError(f"{what}: the threshold of {action} is {value!r}, expected a number") from error
    return found
