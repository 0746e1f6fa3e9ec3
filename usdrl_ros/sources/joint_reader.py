"""One person's joints out of a message, by a source's `JointFields`; compiled once, since it runs for every person.

Works on any object with the fields: rclpy's messages, those of rosbags, or anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from usdrl_ros.problems import Problem, shown
from usdrl_ros.skeleton.layouts import Layout
from usdrl_ros.sources.limits import MOST_JOINTS, FaultError
from usdrl_ros.sources.named_joints import is_joint
from usdrl_ros.sources.source_file import JointFields

Getter = Callable[[Any], Any]

UNREADABLE = (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError, NotImplementedError)
"""What reading an object can raise that is not what it should be."""


def getter(path: str) -> Getter:
    """What follows a path such as "pose.position" or "markers.0.header" from an object."""
    steps: list[Getter] = []
    names: list[str] = []
    for part in path.split("."):
        if part.isdigit():
            steps += [attrgetter(".".join(names))] if names else []
            steps.append(itemgetter(int(part)))
            names = []
        else:
            names.append(part)
    steps += [attrgetter(".".join(names))] if names else []
    if len(steps) == 1:
        return steps[0]

    def follow(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return follow


def keeper(keep: Mapping[str, tuple[Any, ...]]) -> Callable[[Any], bool] | None:
    """Whether an object has values that are kept; None where all are."""
    conditions = [(getter(path), values) for path, values in keep.items()]
    if not conditions:
        return None
    if len(conditions) == 1:
        ((get_one, kept),) = conditions
        return lambda value: get_one(value) in kept
    return lambda value: all(get(value) in values for get, values in conditions)


class JointReader:
    """Reads a person's joints.

    Args:
        fields: Where they are.
        scale: What positions are multiplied by.
        offset: (3,) metres that are added to them then; None: none.
        most: Elements of a list that are read: of one person's joints, or of everybody's.
        by_names: Whether the layout is found by the names of the joints: then names of no joint are left out silently.
    """

    def __init__(
        self,
        fields: JointFields,
        scale: float,
        *,
        offset: np.ndarray | None = None,
        most: int = MOST_JOINTS,
        by_names: bool = False,
    ) -> None:
        self._fields, self._scale = fields, scale
        self._offset = None if offset is None else offset.astype(np.float32)
        self._most, self._by_names = most, by_names
        self._values = getter(fields.values) if fields.values else None
        self._confidences = getter(fields.confidences) if fields.confidences else None
        self._elements = getter(fields.elements) if fields.elements else None
        if len(fields.position) == 1:
            self._position: Getter = getter(fields.position[0])
        elif fields.position:
            self._position = attrgetter(*fields.position)
        self._confidence = getter(fields.confidence) if fields.confidence else None
        self._index = getter(fields.index) if fields.index else None
        self._name = getter(fields.name) if fields.name else None
        self._keeps = keeper(fields.keep)

    def elements(self, person: Any) -> list[Any]:
        """The joints of a person that are kept; of all people, where one list holds them.

        Raises:
            FaultError: They are too many.
        """
        assert self._elements is not None
        elements = self._elements(person)
        if len(elements) > self._most:
            raise FaultError("wrong_size", f"{len(elements)} joints, expected at most {self._most}")
        return list(elements) if self._keeps is None else [one for one in elements if self._keeps(one)]

    def by_person(self, message: Any) -> list[tuple[int, list[Any]]]:
        """The elements of each person, where the joint's number holds both."""
        assert self._index is not None
        people: dict[int, list[Any]] = {}
        for element in self.elements(message):
            people.setdefault(int(self._index(element)) // self._fields.person_stride, []).append(element)
        return list(people.items())

    def joint_names(self, person: Any) -> tuple[str, ...]:
        """The names of a person's joints, in the order of the message."""
        assert self._name is not None
        return tuple(map(self._name, self.elements(person)))

    def read(
        self, person: Any, layout: Layout, problems: list[Problem], who: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Joints (V, 3), NaN unseen, and their confidence (V,) 0 to 1, or None.

        Args:
            person: What holds the fields; a list of elements where they have been split by person.
            layout: Says V and the names.
            problems: What is wrong with single joints is added.
            who: Whose joints they are.

        Raises:
            FaultError: The person cannot be used; or one of `UNREADABLE`.
        """
        if self._values is not None:
            joints = self._row(person, layout)
            confidence = self._one_each(person, layout)
        else:
            elements = person if isinstance(person, list) else self.elements(person)
            if self._in_order(elements):
                joints, confidence = self._ordered(elements, layout)
            else:
                joints, confidence = self._placed(elements, layout, problems, who)
            if confidence is None:
                confidence = self._one_each(person, layout)
        return self._cleaned(joints, confidence, problems, who)

    def _in_order(self, elements: Sequence[Any]) -> bool:
        """Whether the joints' places are those in the list: some publishers leave all names empty."""
        if self._name is not None:
            return bool(elements) and not any(map(self._name, elements))
        return self._index is None

    def _row(self, person: Any, layout: Layout) -> np.ndarray:
        assert self._values is not None
        values = _floats(self._values(person))
        expected = 3 * len(layout.joint_names)
        if values.size != expected:
            found = f"{values.size} position values, layout '{shown(layout.name)}' needs {expected}"
            raise FaultError("wrong_size", f"{found} (x y z of {len(layout.joint_names)} joints)")
        return values.reshape(-1, 3)

    def _one_each(self, person: Any, layout: Layout) -> np.ndarray | None:
        if self._confidences is None:
            return None
        confidence = _floats(self._confidences(person)).reshape(-1)
        expected = len(layout.joint_names)
        if confidence.size not in (0, expected):
            found = f"{confidence.size} confidences, layout '{shown(layout.name)}' needs {expected}, or none"
            raise FaultError("wrong_size", found)
        return confidence if confidence.size else None

    def _positions(self, elements: Sequence[Any]) -> np.ndarray:
        """(n, 3)."""
        if not elements:
            return np.empty((0, 3), np.float32)
        rows = list(map(self._position, elements))
        if len(self._fields.position) == 1:
            if wrong := {len(row) for row in rows} - {3}:
                raise FaultError("wrong_size", f"a joint has {min(wrong)} coordinates, expected 3")
            if isinstance(rows[0], np.ndarray):
                return _floats(np.concatenate(rows)).reshape(-1, 3)
        return _floats(rows).reshape(-1, 3)

    def _ordered(self, elements: Sequence[Any], layout: Layout) -> tuple[np.ndarray, np.ndarray | None]:
        count = len(layout.joint_names)
        if len(elements) < count or (len(elements) > count and not self._fields.longer):
            raise FaultError("wrong_size", f"{len(elements)} joints, layout '{shown(layout.name)}' has {count}")
        elements = elements[:count]
        confidence = None if self._confidence is None else _floats(list(map(self._confidence, elements)))
        return self._positions(elements), confidence

    def _placed(
        self, elements: Sequence[Any], layout: Layout, problems: list[Problem], who: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Elements at the places that their numbers or names say."""
        count = len(layout.joint_names)
        places = self._places(elements, layout)
        if len(set(places)) < len(places) or (places and not (min(places) >= 0 and max(places) < count)):
            elements, places = self._usable(elements, places, layout, problems, who)
        if len(places) < count and "left_out" not in self._fields.unseen:
            raise FaultError("wrong_size", f"{len(places)} joints, layout '{shown(layout.name)}' has {count}")
        joints = np.full((count, 3), np.nan, np.float32)
        joints[places] = self._positions(elements)
        if self._confidence is None:
            return joints, None
        confidence = np.zeros(count, np.float32)
        confidence[places] = _floats(list(map(self._confidence, elements)))
        return joints, confidence

    def _places(self, elements: Sequence[Any], layout: Layout) -> list[int]:
        """Each joint's number in the layout; below 0 or too large where it has none."""
        if self._index is not None:
            first, stride = self._fields.first_index, self._fields.person_stride
            numbers = map(int, map(self._index, elements))
            return [number % stride - first if stride else number - first for number in numbers]
        assert self._name is not None
        names = self._fields.names
        return [layout.index.get(names.get(name, name), -1) for name in map(self._name, elements)]

    def _usable(
        self, elements: Sequence[Any], places: Sequence[int], layout: Layout, problems: list[Problem], who: str
    ) -> tuple[list[Any], list[int]]:
        """The elements that have a place of their own; the others are reported."""
        usable: dict[int, Any] = {}
        field = self._name if self._index is None else self._index
        assert field is not None
        for element, place in zip(elements, places, strict=True):
            name = field(element)
            said = f"{who}: joint '{shown(name)}'"
            if self._by_names and not is_joint(name):
                continue
            if not 0 <= place < len(layout.joint_names):
                known = f"layout '{shown(layout.name)}' has {len(layout.joint_names)} joints"
                problems.append(Problem("unknown_joint", f"{said} left out: {known}, and it is none of them"))
            elif place in usable:
                problems.append(Problem("repeated_joint", f"{said} occurs twice, the first is taken"))
            else:
                usable[place] = element
        return list(usable.values()), list(usable)

    def _cleaned(
        self, joints: np.ndarray, confidence: np.ndarray | None, problems: list[Problem], who: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        fields = self._fields
        if confidence is not None and confidence.size:
            if fields.confidence_max != 1.0:
                confidence = confidence / fields.confidence_max
            if not (confidence.min() >= 0.0 and confidence.max() <= 1.001):
                self._check_confidence(confidence, problems, who)
        unseen = None
        if np.isinf(joints).any():
            unseen = np.isinf(joints).any(-1)
            problems.append(Problem("not_finite", f"{who}: {unseen.sum()} joints are infinite and count as unseen"))
        looks = [
            (joints == value).all(-1) for word, value in (("zeros", 0.0), ("minus_one", -1.0)) if word in fields.unseen
        ]
        if fields.unseen_below and confidence is not None:
            looks.append(~(confidence >= fields.unseen_below))
        for look in looks:
            unseen = look if unseen is None else unseen | look
        if unseen is not None and unseen.any():
            joints = np.where(unseen[:, None], np.float32(np.nan), joints)
        if self._scale != 1.0:
            joints = joints * np.float32(self._scale)
        return (joints if self._offset is None else joints + self._offset), confidence

    def _check_confidence(self, confidence: np.ndarray, problems: list[Problem], who: str) -> None:
        known = confidence[~np.isnan(confidence)]
        if known.size and not (known.min() >= 0.0 and known.max() <= 1.001):
            found = f"confidences from {known.min():g} to {known.max():g}"
            problems.append(Problem("odd_confidence", f"{who}: {found}; sure is 1, unseen 0, and beyond they are cut"))


def _floats(values: Any) -> np.ndarray:
    """float32; numbers too large for it become infinite."""
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)
