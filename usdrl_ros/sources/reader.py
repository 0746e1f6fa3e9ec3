"""Read people out of skeleton messages of any kind: a source says how, see `source_file` and `config/sources`.

    reader = SourceReader(load_source("zed"))
    frame = reader.read(message)

What is malformed in a message is left out and reported as a `Problem`; nothing of it is raised. Positions stay in the
frame of the message, in metres, so that events say where a person is in a frame that the robot knows.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from usdrl_ros.problems import Problem, person_name, shown
from usdrl_ros.skeleton.layouts import Layout, LayoutError, load_layout
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.joint_reader import UNREADABLE, JointReader, getter, keeper
from usdrl_ros.sources.limits import (
    LONGEST_ID,
    LONGEST_LAYOUT,
    MOST_JOINTS,
    MOST_PEOPLE,
    CutList,
    FaultError,
    text_of,
)
from usdrl_ros.sources.named_joints import JointNames
from usdrl_ros.sources.source_file import Source, SourceError, load_source, source_names

__all__ = [
    "DEFAULT_SOURCE",
    "Source",
    "SourceError",
    "SourceReader",
    "load_source",
    "read_skeleton_array",
    "source_names",
]

DEFAULT_SOURCE = "skeletons"
"""The source of our own `usdrl_ros/msg/SkeletonArray`."""

_LAST_NS = 2**62
"""Stamps beyond are none: builtin_interfaces/Time cannot hold them, and 64 bits must."""
_LEFT_OUT_S = 3.0
"""Seconds for which `keep` may leave nobody before that is reported."""
_PATH_SIGNS = ("/", "\\", ".yaml", ".yml")


class SourceReader:
    """Reads the messages of one topic, in their order.

    Args:
        source: What messages they are.
        layout: Joint layout instead of the source's: a name, joint names with commas between, or a YAML file.
        association: "auto": as the source says; "on": all ids come from where people are and move (see
            `scene.naming`), the tracker's serve as hints; "off": only the tracker's ids.
        most_people: People of a message who are read.

    Raises:
        SourceError: The source cannot serve the model, or an option does not fit the source.
    """

    def __init__(
        self, source: Source, *, layout: str = "", association: str = "auto", most_people: int = MOST_PEOPLE
    ) -> None:
        self.source = source
        if source.dimensions != 3:
            raise SourceError(
                f"source '{source.name}' gives positions in the image (2D), the model needs 3D: without depth it is "
                f"not known where a joint is. Use a source of 3D skeletons (ros4hri, "
                f"{', '.join(name for name in source_names() if load_source(name).dimensions == 3)})"
            )
        try:
            self._layout = load_layout(layout or source.layout) if layout or source.layout else None
        except LayoutError as error:
            raise SourceError(f"source '{source.name}': {error}") from error
        for joint in source.joints.names.values():
            if self._layout is not None and joint not in self._layout.index:
                fault = f"names the joint '{joint}', which layout '{layout}' does not have"
                raise SourceError(f"source '{source.name}' {fault}")
        self.association = _association(source, association)
        self._most_people = most_people
        by_names = source.layout_field.of == "joint_names" and self._layout is None
        most_joints = MOST_JOINTS * (most_people if source.joints.person_stride else 1)
        ahead = source.distance * source.to_kinect[2] if source.distance else None
        self._joints = JointReader(source.joints, source.scale, offset=ahead, most=most_joints, by_names=by_names)
        self._header = getter(source.header) if source.header else None
        self._people = getter(source.people) if source.people else None
        self._id = getter(source.person.id) if source.person.id else None
        self._frame_id = getter(source.person.frame_id) if source.person.frame_id else None
        self._keeps = keeper(source.person.keep)
        self._layout_field = getter(source.layout_field.field) if source.layout_field.field else None
        self._names = JointNames()
        self._has_kept = False
        self._left_out_ns: int | None = None

    def read(self, message: Any, record_ns: int = 0) -> Frame:
        """What a message shows.

        Args:
            message: Of rclpy, of rosbags, or any object with the fields.
            record_ns: When it was received or recorded; taken for its stamp where it has none. 0: not known, then such
                a frame has the stamp 0.
        """
        problems: list[Problem] = []
        try:
            stamp_ns, frame_id = self._stamp(message, record_ns, problems)
        except (FaultError, *UNREADABLE) as error:
            fault = FaultError.of(error)
            return Frame(0, "", [], [Problem(fault.cause, f"message ignored: its header cannot be read: {fault}")])
        try:
            entries = self._entries(message, problems)
            layout = self._layout_of(message) if self.source.layout_field.of == "message" else self._layout
        except (FaultError, *UNREADABLE) as error:
            fault = FaultError.of(error)
            return Frame(stamp_ns, frame_id, [], [*problems, Problem(fault.cause, f"message ignored: {fault}")])
        sightings: list[tuple[str, Person]] = []
        left_out: list[Any] = []
        placed = False
        for number, entry in enumerate(entries):
            who = f"person {number + 1} of the message"
            try:
                if self._keeps is not None and not self._keeps(entry):
                    left_out.append(entry)
                    continue
                person_id = self._id_of(entry)
                who = person_name(person_id) if person_id else who
                person = self._person(entry, person_id, layout, problems, who)
                if np.isfinite(person.joints).any():  # who shows no joint is nowhere
                    person_frame = self._frame_of(entry) or frame_id
                    if placed and person_frame != frame_id:
                        said = f"it is in frame '{shown(person_frame)}', those before in '{shown(frame_id)}'"
                        raise FaultError("several_frames", said)
                    frame_id, placed = person_frame, True
            except (FaultError, *UNREADABLE) as error:
                fault = FaultError.of(error)
                problems.append(Problem(fault.cause, f"{who} ignored: {fault}"))
            else:
                sightings.append((who, person))
        self._report_left_out(stamp_ns, left_out, bool(sightings), problems)
        people = self._identified(sightings, problems)
        instant_s = self.source.instant_s if self.source.one_person and not self.source.stamped else 0.0
        return Frame(stamp_ns, frame_id, people, problems, association=self.association, instant_s=instant_s)

    def _report_left_out(self, stamp_ns: int, left_out: list[Any], kept: bool, problems: list[Problem]) -> None:
        """Report that `keep` has left nobody for some seconds, until somebody is kept: it may be set up wrongly."""
        if kept or self._has_kept:
            self._has_kept = True
            return
        if not left_out:
            return
        if self._left_out_ns is None or stamp_ns < self._left_out_ns:
            self._left_out_ns = stamp_ns
        if stamp_ns - self._left_out_ns < _LEFT_OUT_S * 1e9:
            return
        found = []
        for path, wanted in self.source.person.keep.items():
            values = {str(getter(path)(entry)) for entry in left_out if getter(path)(entry) not in wanted}
            if values:
                expected = " or ".join(map(str, wanted))
                found.append(
                    f"{path} is {', '.join(shown(value) for value in sorted(values)[:4])}, expected {expected}"
                )
        fault = f"so far everything is left out, {len(left_out)} in this message: {'; '.join(found)}"
        problems.append(Problem("all_left_out", f"{fault} (keep in source '{self.source.name}')"))

    def read_serialized(self, data: bytes, decode: Callable[[bytes], Any], record_ns: int = 0) -> Frame:
        """What a serialized message shows; `decode` is a decoder of `serialized`."""
        try:
            message = decode(data)
        except UNREADABLE as error:
            fault = FaultError.of(error)
            return Frame(0, "", [], [Problem(fault.cause, f"message ignored: {fault}")])
        return self.read(message, record_ns)

    def _stamp(self, message: Any, record_ns: int, problems: list[Problem]) -> tuple[int, str]:
        """The instant that the message shows, and its frame.

        Raises:
            FaultError: The header is not what it should be; or one of `UNREADABLE`. What is known of a message whose
                header cannot be read is not when it was.
        """
        stamp_ns, frame_id, stamped = 0, "", self._header is not None and self.source.stamped
        if self._header is not None:
            try:
                header = self._header(message)
            except IndexError:
                stamped = False  # the header is an element's, and there is none
            else:
                frame_id = text_of(header.frame_id, "header.frame_id", LONGEST_ID)
                stamp_ns = int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
                if abs(stamp_ns) > _LAST_NS:
                    raise FaultError("malformed", f"its stamp is {shown(header.stamp.sec)} s")
        if stamp_ns == 0 and record_ns:
            stamp_ns = record_ns
            if stamped:
                fault = "message has stamp 0, the time when it came is taken: its publisher should fill header.stamp"
                problems.append(Problem("no_stamp", fault))
        return stamp_ns, frame_id

    def _entries(self, message: Any, problems: list[Problem]) -> list[Any]:
        """What holds the fields of each person, of as many as are read."""
        if self._people is not None:
            found = self._people(message)
        else:
            found = self._joints.by_person(message) if self.source.joints.person_stride else [message]
        total = found.total if isinstance(found, CutList) else len(found)
        if total > self._most_people:
            fault = f"{total} people in a message, expected at most {self._most_people}: the others are ignored"
            problems.append(Problem("too_many_in_message", fault))
        return list(found[: self._most_people])

    def _id_of(self, entry: Any) -> str:
        if self.source.joints.person_stride:
            return str(entry[0])
        person_id = text_of(self._id(entry), "an id", LONGEST_ID) if self._id is not None else ""
        return "" if person_id in self.source.person.no_id else person_id

    def _frame_of(self, entry: Any) -> str:
        return text_of(self._frame_id(entry), "the name of a frame", LONGEST_ID) if self._frame_id is not None else ""

    def _layout_of(self, holder: Any) -> Layout:
        """The layout that a message, or a person in it, gives.

        Raises:
            FaultError: It is not known.
        """
        assert self._layout_field is not None
        if self._layout is not None:
            return self._layout
        given = self._layout_field(holder)
        names = self.source.layout_field.names
        if names and given not in names:
            said = f"{self.source.layout_field.field} is {shown(repr(given))}, known are {list(names)}"
            raise FaultError("unknown_layout", said)
        if names:
            return _layout_by_name(names[given], from_message=False)
        return _layout_by_name(text_of(given, "a layout", LONGEST_LAYOUT), from_message=True)

    def _layout_of_names(self, names: Sequence[str]) -> Layout:
        """The layout of joints that are known by their names.

        Raises:
            FaultError: The joints have no names, or none that says how they become NTU-25.
        """
        layout = self._names.layout_of(names)
        if not layout:
            raise FaultError("unknown_layout", "its joints have no names: give the joint layout by the option layout")
        return _layout_by_name(layout, from_message=True)

    def _person(self, entry: Any, person_id: str, layout: Layout | None, problems: list[Problem], who: str) -> Person:
        if self.source.joints.person_stride:
            entry = entry[1]
        if layout is None:
            if self.source.layout_field.of == "joint_names":
                layout = self._layout_of_names(self._joints.joint_names(entry))
            else:
                layout = self._layout_of(entry)
        joints, confidence = self._joints.read(entry, layout, problems, who)
        return Person(person_id, layout.name, joints, confidence)

    def _identified(self, sightings: list[tuple[str, Person]], problems: list[Problem]) -> list[Person]:
        """The people who have an id, or will get one (see `scene.naming`)."""
        if self.association == "always":
            return [person for _, person in sightings]
        people, known = [], set[str]()
        for who, person in sightings:
            if person.person_id in known:
                problems.append(Problem("repeated_person", f"{who} ignored: the id occurs twice in one message"))
            elif not person.person_id and self.association == "never":
                fault = f"{who} without person_id ignored: give each an id, or switch association on"
                problems.append(Problem("no_person_id", fault))
            else:
                people.append(person)
                known |= {person.person_id} - {""}
        return people


def read_skeleton_array(message: Any) -> Frame:
    """Read a `SkeletonArray` (from rclpy or rosbags). What is malformed is left out and reported, never raised."""
    return _skeletons().read(message)


@cache
def _skeletons() -> SourceReader:
    return SourceReader(load_source(DEFAULT_SOURCE))


def _association(source: Source, option: str) -> str:
    """One of `ASSOCIATION`."""
    if option not in ("auto", "on", "off"):
        raise SourceError(f"association is '{option}', expected auto, on or off")
    has_id = bool(source.person.id or source.joints.person_stride)
    if option == "off" and not has_id:
        raise SourceError(f"association cannot be off: source '{source.name}' gives people no ids")
    mode = {"auto": source.association, "on": "always", "off": "never"}[option]
    if mode != "never" and importlib.util.find_spec("scipy") is None:
        raise SourceError(
            f"source '{source.name}': association needs scipy, which is not installed: install python3-scipy (apt) or "
            f"scipy (pip), or switch association off"
        )
    return mode


def _layout_by_name(name: str, *, from_message: bool) -> Layout:
    """The layout of a name that a message gives; what comes by the network may not name files.

    Raises:
        FaultError: It is not known.
    """
    if from_message and any(sign in name for sign in _PATH_SIGNS):
        fault = f"layout '{shown(name)}' is the name of a file, expected the name of a layout"
        raise FaultError("unknown_layout", fault)
    layout = _layout_or_fault(name)
    if isinstance(layout, str):
        raise FaultError("unknown_layout", layout)
    return layout


@lru_cache(maxsize=32)
def _layout_or_fault(name: str) -> Layout | str:
    """A layout, or why there is none: an unknown name may come a thousand times a second."""
    try:
        return load_layout(name)
    except LayoutError as error:
        return str(error)
