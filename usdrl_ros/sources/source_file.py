"""What is known of one kind of skeleton message: `config/sources/NAME.yaml`, checked key by key.

A source says which message it is, where it comes from, and by which fields the people, their ids and their joints are
found; `docs/sources.md` explains every key. `usdrl_ros.sources.reader` reads messages by it. Nothing in a file is
run: fields are plain paths such as `skeleton_3d.keypoints` or `markers.0.header`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from usdrl_ros.files import expanded
from usdrl_ros.resources import data_directory
from usdrl_ros.sources.source_section import Section, SourceError, read_section

AXES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "kinect": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "optical": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "flu": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "image": ((-1, 0), (0, -1)),
}
"""The rotation to the axes of Kinect v2 (x to the sensor's left, y up, z out of it) of each kind of axes: optical is x
right, y down, z forward (REP-103, `_optical`); flu is x forward, y left, z up (REP-103, bodies); image has two."""

ASSOCIATION = ("never", "missing", "always")
"""Whose ids come from where they are and move: nobody's, those who have none, all."""

_UNSEEN = ("nan", "zeros", "minus_one", "left_out")
_MESSAGE_TYPE = re.compile(r"[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True)
class PersonFields:
    """Where a person's own fields are.

    Args:
        id: Path of the id, from the person; "": there is none.
        no_id: Ids that stand for none.
        frame_id: Path of the name of the frame of the positions, from the person; "": it is the header's.
        keep: Path -> values; a person who has another one is left out.
    """

    id: str = ""
    no_id: tuple[str, ...] = ()
    frame_id: str = ""
    keep: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class JointFields:
    """Where the joints are: either all numbers in a row (`values`), or one element a joint (`elements`).

    Args:
        values: Path of the row of numbers, from the person.
        confidences: Path of one confidence a joint, from the person.
        elements: Path of the list of joints, from the person.
        position: Path of an element's row of numbers, or one path a coordinate.
        confidence: Path of an element's confidence.
        confidence_max: What a sure joint has.
        index: Path of an element's joint number; "": they come in the layout's order.
        first_index: Number of the layout's first joint.
        person_stride: Where > 0, all people's joints are in one list, and number = person * person_stride + joint.
        name: Path of an element's joint name.
        names: Name in the message -> name in the layout, where they differ.
        keep: Path -> values; an element that has another one is left out.
        longer: Whether more elements than the layout has joints may come.
        unseen: How an unseen joint looks, besides NaN: "zeros", "minus_one", "left_out".
        unseen_below: Joints of less confidence are unseen.
    """

    values: str = ""
    confidences: str = ""
    elements: str = ""
    position: tuple[str, ...] = ()
    confidence: str = ""
    confidence_max: float = 1.0
    index: str = ""
    first_index: int = 0
    person_stride: int = 0
    name: str = ""
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    keep: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    longer: bool = False
    unseen: frozenset[str] = frozenset({"nan"})
    unseen_below: float = 0.0


@dataclass(frozen=True)
class LayoutField:
    """Where the message names its layout; all empty: it is fixed.

    Args:
        of: "message", "person", or "joint_names": the names of the elements decide.
        field: Path of the layout.
        names: What the field holds -> name of a layout; empty: it holds the name.
    """

    of: str = ""
    field: str = ""
    names: Mapping[Any, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """One kind of skeleton message.

    Args:
        name: Name or path by which it was asked for.
        description: One line.
        message_types: "package/msg/Type", the present one first, then older names of it.
        packages: What to install for the message types, as apt names it; {distro} stands for the ROS distribution.
        topic: Where its publisher publishes by default.
        frame: The frame that its publisher uses by default.
        reliability: Asked of publishers: "best_effort" (takes each) or "reliable".
        depth: Messages that may wait.
        dimensions: 3, or 2 for positions in the image.
        axes: A key of `AXES`.
        scale: Metres in a unit of the positions; of 2D ones nothing is said.
        distance: Metres ahead of the camera where positions about a body's own origin are put; else 0.
        header: Path of the std_msgs/Header; "": the message has none.
        stamped: Whether the publisher fills the stamp.
        instant_s: Messages of one person each that are no further apart show one instant.
        people: Path of the list of people; "": the message is one person, or `joints.person_stride` splits it.
        person, joints: Their fields.
        layout: Name of the joint layout; "": `layout_field` names it.
        layout_field: Where the message names the layout.
        association: One of `ASSOCIATION`.
    """

    name: str
    description: str
    message_types: tuple[str, ...]
    packages: tuple[str, ...]
    topic: str
    frame: str
    reliability: str
    depth: int
    dimensions: int
    axes: str
    scale: float
    distance: float
    header: str
    stamped: bool
    instant_s: float
    people: str
    person: PersonFields
    joints: JointFields
    layout: str
    layout_field: LayoutField
    association: str

    @property
    def one_person(self) -> bool:
        """Whether one message shows one person."""
        return not self.people and not self.joints.person_stride

    @property
    def to_kinect(self) -> np.ndarray:
        """(D, D) that turns positions to the axes of Kinect v2, where y is up."""
        return np.array(AXES[self.axes], float)


def source_names() -> tuple[str, ...]:
    """Names of all sources that are installed; the template is none."""
    paths = (data_directory("config") / "sources").glob("*.yaml")
    return tuple(sorted(path.stem for path in paths if path.stem != "template"))


def load_source(name_or_path: str) -> Source:
    """The source of a name of `config/sources`, or of a YAML file.

    Raises:
        SourceError: There is none of this name, the file cannot be read, or a key of it is wrong.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        path = expanded(name_or_path)
        return _load(name_or_path, path, path.stat().st_mtime_ns if path.is_file() else 0)
    if name_or_path not in source_names():
        near = difflib.get_close_matches(name_or_path, source_names(), 1)
        meant = f"did you mean '{near[0]}'? " if near else ""
        raise SourceError(
            f"unknown source '{name_or_path}': {meant}known are {', '.join(source_names())}; "
            f"for a source of your own give the path of its file, NAME.yaml"
        )
    return _load(name_or_path, data_directory("config") / "sources" / f"{name_or_path}.yaml", 0)


@cache
def _load(name: str, path: Path, _changed: int) -> Source:
    return _source(name, read_section(name, path))


def _source(name: str, top: Section) -> Source:
    dimensions = top.whole("dimensions", 3, 2, 3)
    types = top.texts("message_types")
    for kind in types:
        if not _MESSAGE_TYPE.fullmatch(kind):
            raise top.error("message_types", f"holds '{kind}', expected package/msg/Type")
    if not types:
        raise top.error("message_types", "is empty, expected at least one")
    person = top.section("person")
    person_fields = PersonFields(
        id=person.path("id", ""),
        no_id=tuple(str(value) for value in person.values("no_id")),
        frame_id=person.path("frame_id", ""),
        keep=person.keep("keep"),
    )
    person.finish()
    people = top.path("people", "")
    joints = _joints(top.section("joints"), dimensions)
    if people and joints.person_stride:
        raise top.error("joints.person_stride", "is for one list of all people's joints; then people must be left out")
    if joints.person_stride and (person_fields.id or person_fields.keep or person_fields.frame_id):
        raise top.error("joints.person_stride", "makes the person's id out of the joint's number: leave person out")
    layout, layout_field = _layout(top, joints)
    axes = top.text("axes", "image" if dimensions == 2 else None, tuple(AXES))
    if len(AXES[axes]) != dimensions:
        raise top.error("axes", f"is '{axes}', which has {len(AXES[axes])} dimensions; dimensions is {dimensions}")
    has_id = bool(person_fields.id or joints.person_stride)
    source = Source(
        name=name,
        description=top.text("description", ""),
        message_types=types,
        packages=top.texts("packages", ()),
        topic=top.text("topic"),
        frame=top.text("frame", "camera"),
        reliability=top.text("reliability", "best_effort", ("best_effort", "reliable")),
        depth=top.whole("depth", 50, 1, 10000),
        dimensions=dimensions,
        axes=axes,
        scale=top.number("scale", 1.0, 1e-6, 1e6),
        distance=top.number("distance", 0.0, 0.0, 20.0) if dimensions == 3 else 0.0,
        header=top.path("header", "header") if top.text("header", "header") != "none" else "",
        stamped=top.flag("stamped", True),
        instant_s=top.number("instant_s", 0.01, 0.0, 1.0),
        people=people,
        person=person_fields,
        joints=joints,
        layout=layout,
        layout_field=layout_field,
        association=top.text("association", "never" if has_id else "always", ASSOCIATION),
    )
    if not has_id and source.association == "never":
        raise top.error("association", "is 'never', but person.id is not given: people would be without ids")
    top.finish()
    return source


def _joints(section: Section, dimensions: int) -> JointFields:
    position = section.paths("position", ())
    fields = JointFields(
        values=section.path("values", ""),
        confidences=section.path("confidences", ""),
        elements=section.path("elements", ""),
        position=position,
        confidence=section.path("confidence", ""),
        confidence_max=section.number("confidence_max", 1.0, 1e-6, 1e6),
        index=section.path("index", ""),
        first_index=section.whole("first_index", 0, 0, 1000),
        person_stride=section.whole("person_stride", 0, 0, 100000),
        name=section.path("name", ""),
        names=section.names("names"),
        keep=section.keep("keep"),
        longer=section.flag("longer", False),
        unseen=frozenset(section.texts("unseen", ("nan",), _UNSEEN)),
        unseen_below=section.number("unseen_below", 0.0, 0.0, 1.0),
    )
    if bool(fields.values) == bool(fields.elements):
        raise section.error("", "expected either values (numbers in a row) or elements (a list of joints)")
    of_elements = ("position", "confidence", "index", "name", "names", "keep", "longer", "person_stride")
    if fields.values and (wrong := [key for key in of_elements if getattr(fields, key)]):
        raise section.error(wrong[0], "is for a list of joints (elements); here the numbers come in a row (values)")
    if fields.elements and len(position) not in (1, dimensions):
        expected = f"one, or one for each of {dimensions} axes"
        raise section.error("position", f"has {len(position)} fields, expected {expected}")
    if fields.index and fields.name:
        raise section.error("name", "is given besides index: a joint is found by one of them")
    if fields.person_stride and not fields.index:
        raise section.error("person_stride", "needs index, the path of the number that holds person and joint")
    if fields.confidence and fields.confidences:
        raise section.error("confidences", "is given besides confidence: one of them")
    if fields.unseen_below and not (fields.confidence or fields.confidences):
        raise section.error("unseen_below", "needs confidence or confidences")
    if "left_out" in fields.unseen and not (fields.index or fields.name):
        raise section.error("unseen", "is left_out, which needs index or name: else no joint is known by its place")
    section.finish()
    return fields


def _layout(top: Section, joints: JointFields) -> tuple[str, LayoutField]:
    """The fixed layout's name, or where the message names it."""
    if not top.is_section("layout"):
        name = top.text("layout")
        if name == "joint_names":
            if not joints.name:
                raise top.error("layout", "is joint_names, which needs joints.name")
            return "", LayoutField("joint_names")
        layout = top.layout("layout", name)
        if unknown := [joint for joint in joints.names.values() if joint not in layout.joint_names]:
            raise top.error("joints.names", f"'{unknown[0]}' is no joint of layout '{layout.name}'")
        return layout.name, LayoutField()
    section = top.section("layout")
    of = "message" if section.has("message_field") else "person"
    path = section.path(f"{of}_field")
    names = section.names("names")
    resolved = {value: section.layout(f"names.{value}", name).name for value, name in names.items()}
    section.finish()
    return "", LayoutField(of, path, resolved)
