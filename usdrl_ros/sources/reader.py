"""Read people out of skeleton messages of any kind: a source says how, see `source_file` and `config/sources`.

    reader = SourceReader(load_source("zed"))
    frame = reader.read(message)

What is malformed in a message is left out and told as a `Problem`; nothing of it is raised. Positions stay in the frame
of the message, in metres, so that events say where a person is in a frame that the robot knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.layouts import Layout, LayoutError, load_layout
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.joint_reader import UNREADABLE, FaultError, JointReader, getter, keeper
from usdrl_ros.sources.source_file import Source, SourceError, load_source, source_names

if TYPE_CHECKING:
    from usdrl_ros.scene.association import Associator

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

_MOST_JOINTS = 200
_LAST_NS = 2**62
"""Stamps beyond are none: builtin_interfaces/Time cannot hold them, and 64 bits must."""
_PATH_SIGNS = ("/", "\\", ".yaml", ".yml")


class SourceReader:
    """Reads the messages of one topic, in their order.

    Args:
        source: What messages they are.
        layout: Joint layout instead of the source's: a name, joint names with commas between, or a YAML file.
        association: "auto": as the source says; "on": all ids come from where people are and move (see
            `association`), the tracker's serve as hints; "off": only the tracker's ids.
        dimensions: What the model takes.

    Raises:
        SourceError: The source cannot serve the model, or an option does not fit the source.
    """

    def __init__(self, source: Source, *, layout: str = "", association: str = "auto", dimensions: int = 3) -> None:
        self.source = source
        _check_dimensions(source, dimensions)
        try:
            self._layout = load_layout(layout or source.layout) if layout or source.layout else None
        except LayoutError as error:
            raise SourceError(f"source '{source.name}': {error}") from error
        for joint in source.joints.names.values():
            if self._layout is not None and joint not in self._layout.index:
                told = f"names the joint '{joint}', which layout '{layout}' does not have"
                raise SourceError(f"source '{source.name}' {told}")
        self.association = _association(source, association)
        self._associator = None if self.association == "never" else _associator(source)
        self._joints = JointReader(source.joints, source.dimensions, source.scale)
        self._header = getter(source.header) if source.header else None
        self._people = getter(source.people) if source.people else None
        self._id = getter(source.person.id) if source.person.id else None
        self._frame_id = getter(source.person.frame_id) if source.person.frame_id else None
        self._keeps = keeper(source.person.keep)
        self._layout_field = getter(source.layout_field.field) if source.layout_field.field else None
        self._instant_ns: int | None = None
        self._joint_names: dict[str, None] = {}

    def read(self, message: Any, record_ns: int = 0) -> Frame:
        """What a message shows.

        Args:
            message: Of rclpy, of rosbags, or any object with the fields.
            record_ns: When it was received or recorded; taken for its stamp where it has none. 0: not known, then such
                a frame has the stamp 0.
        """
        problems: list[Problem] = []
        stamp_ns, frame_id = self._stamp(message, record_ns, problems)
        sightings: list[tuple[str, Person]] = []
        try:
            entries = self._entries(message)
            layout = self._layout_of(message) if self.source.layout_field.of == "message" else self._layout
        except (FaultError, *UNREADABLE) as error:
            fault = FaultError.of(error)
            problems.append(Problem(fault.cause, f"message ignored: {fault}"))
            return Frame(stamp_ns, frame_id, [], problems)
        for number, entry in enumerate(entries):
            who = f"person {number + 1} of the message"
            try:
                if self._keeps is not None and not self._keeps(entry):
                    continue
                person_id = self._id_of(entry)
                who = f"person '{person_id}'" if person_id else who
                person_frame = self._frame_of(entry) or frame_id
                if not sightings:
                    frame_id = person_frame
                elif person_frame != frame_id:
                    raise FaultError("several_frames", f"it is in frame '{person_frame}', those before in '{frame_id}'")
                person = self._person(entry, person_id, layout, problems, who)
            except (FaultError, *UNREADABLE) as error:
                fault = FaultError.of(error)
                problems.append(Problem(fault.cause, f"{who} ignored: {fault}"))
            else:
                sightings.append((who, person))
        if self._associator is not None and self._instant_ns == stamp_ns:
            if self._associator.has_seen(stamp_ns, [person for _, person in sightings]):
                stamp_ns = self._instant_ns = max(record_ns, stamp_ns + 1)  # messages that waited come in one burst
        people = self._named(stamp_ns, sightings, problems)
        return Frame(stamp_ns, frame_id, people, problems)

    def read_serialized(self, data: bytes, decode: Callable[[bytes], Any], record_ns: int = 0) -> Frame:
        """What a serialized message shows; `decode` is a decoder of `serialized`."""
        try:
            message = decode(data)
        except UNREADABLE as error:
            fault = FaultError.of(error)
            return Frame(record_ns, "", [], [Problem(fault.cause, f"message ignored: {fault}")])
        return self.read(message, record_ns)

    def _stamp(self, message: Any, record_ns: int, problems: list[Problem]) -> tuple[int, str]:
        """The instant that the message shows, and its frame."""
        stamp_ns, frame_id, told = 0, "", self._header is not None and self.source.stamped
        if self._header is not None:
            try:
                header = self._header(message)
                frame_id = str(header.frame_id)
                told_ns = int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
                if abs(told_ns) > _LAST_NS:
                    raise ValueError(f"stamp of {header.stamp.sec} s")
                stamp_ns = told_ns
            except IndexError:
                told = False  # the header is an element's, and there is none
            except UNREADABLE as error:
                problems.append(Problem(FaultError.of(error).cause, f"message without stamp: {FaultError.of(error)}"))
                told = False
        if stamp_ns == 0 and record_ns:
            stamp_ns = record_ns
            if told:
                problems.append(
                    Problem("no_stamp", "message has stamp 0, taken to be of when it came: fill header.stamp")
                )
        if self.source.one_person and not self.source.stamped:
            if self._instant_ns is None or not 0 <= stamp_ns - self._instant_ns <= self.source.instant_s * 1e9:
                self._instant_ns = stamp_ns
            stamp_ns = self._instant_ns
        return stamp_ns, frame_id

    def _entries(self, message: Any) -> list[Any]:
        """What holds the fields of each person."""
        if self._people is not None:
            return list(self._people(message))
        return self._joints.by_person(message) if self.source.joints.person_stride else [message]

    def _id_of(self, entry: Any) -> str:
        if self.source.joints.person_stride:
            return str(entry[0])
        person_id = str(self._id(entry)) if self._id is not None else ""
        return "" if person_id in self.source.person.no_id else person_id

    def _frame_of(self, entry: Any) -> str:
        return str(self._frame_id(entry)) if self._frame_id is not None else ""

    def _layout_of(self, holder: Any) -> Layout:
        """The layout that a message, or a person in it, tells.

        Raises:
            FaultError: It is not known.
        """
        assert self._layout_field is not None
        if self._layout is not None:
            return self._layout
        told = self._layout_field(holder)
        names = self.source.layout_field.names
        if names and told not in names:
            raise FaultError("unknown_layout", f"{self.source.layout_field.field} is {told!r}, known are {list(names)}")
        return _layout_by_name(names[told] if names else str(told), from_message=not names)

    def _layout_of_names(self, names: Sequence[str]) -> Layout:
        """The layout of all joints that have been named so far: a person may lack some of them.

        Raises:
            FaultError: The joints have no names, or none that says how they become NTU-25.
        """
        self._joint_names.update(dict.fromkeys(name for name in names if name))
        if not self._joint_names:
            raise FaultError("unknown_layout", "its joints have no names: give the joint layout by the option layout")
        if len(self._joint_names) > _MOST_JOINTS:
            self._joint_names.clear()
            raise FaultError("unknown_layout", f"more than {_MOST_JOINTS} names of joints have come")
        return _layout_by_name(",".join(self._joint_names), from_message=True)

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

    def _named(self, stamp_ns: int, sightings: list[tuple[str, Person]], problems: list[Problem]) -> list[Person]:
        """The people with an id each; those who have none get one, or are left out."""
        people, named = [], set[str]()
        nameless: list[Person] = []
        for who, person in sightings:
            if self.association == "always" or (not person.person_id and self.association == "missing"):
                nameless.append(person)
            elif not person.person_id:
                told = f"{who} without person_id ignored: give each an id, or switch association on"
                problems.append(Problem("no_person_id", told))
            elif person.person_id in named:
                problems.append(Problem("repeated_person", f"{who} ignored: the id occurs twice in one message"))
            else:
                named.add(person.person_id)
                people.append(person)
        if self._associator is not None and (nameless or self.association == "always"):
            people += self._associator.assign(stamp_ns, nameless, problems)
        return people


def read_skeleton_array(message: Any) -> Frame:
    """Read a `SkeletonArray` (from rclpy or rosbags). What is malformed is left out and told, never raised."""
    return _skeletons().read(message)


@cache
def _skeletons() -> SourceReader:
    return SourceReader(load_source(DEFAULT_SOURCE))


def _check_dimensions(source: Source, dimensions: int) -> None:
    if source.dimensions < dimensions:
        raise SourceError(
            f"source '{source.name}' gives positions in the image (2D), the model needs {dimensions}D: without depth "
            f"nothing is said of where a joint is. Use a source of 3D skeletons ("
            f"{', '.join(name for name in source_names() if load_source(name).dimensions == 3)})"
            f", or a model trained on 2D"
        )
    if source.dimensions > dimensions:
        raise SourceError(f"source '{source.name}' gives 3D positions, the model takes {dimensions}D")


def _association(source: Source, option: str) -> str:
    """One of `ASSOCIATION`."""
    if option not in ("auto", "on", "off"):
        raise SourceError(f"association is '{option}', expected auto, on or off")
    has_id = bool(source.person.id or source.joints.person_stride)
    if option == "off" and not has_id:
        raise SourceError(f"association cannot be off: source '{source.name}' gives people no ids")
    mode = {"auto": source.association, "on": "always", "off": "never"}[option]
    if mode != "never" and source.dimensions != 3:
        raise SourceError(f"source '{source.name}' is 2D: association needs positions in metres; it must be off")
    return mode


def _associator(source: Source) -> Associator:
    try:
        from usdrl_ros.scene.association import Associator
    except ImportError as error:
        raise SourceError(
            f"source '{source.name}': association needs scipy, which cannot be imported ({error}): install "
            f"python3-scipy (apt) or scipy (pip), or switch association off"
        ) from error
    return Associator()


def _layout_by_name(name: str, *, from_message: bool) -> Layout:
    """The layout of a name that a message tells; what comes by the network may not name files.

    Raises:
        FaultError: It is not known.
    """
    if from_message and any(sign in name for sign in _PATH_SIGNS):
        raise FaultError("unknown_layout", f"layout {name!r} is the name of a file, expected the name of a layout")
    layout = _layout_or_error(name)
    if isinstance(layout, LayoutError):
        raise FaultError("unknown_layout", str(layout))
    return layout


@lru_cache(maxsize=256)
def _layout_or_error(name: str) -> Layout | LayoutError:
    """An unknown name may come a thousand times a second."""
    try:
        return load_layout(name)
    except LayoutError as error:
        return error
