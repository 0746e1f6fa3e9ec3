"""How long it takes to read one message of a source, by the number of people in it.

    python -m bench.sources zed yolo_3d path/to/mine.yaml --people 1 6

The message is made up by the source's own description: plain objects with the fields that it names. With ROS 2 and the
source's message package, real ones are made of them. Then it also reports how long rclpy takes to decode such a
message, and how long the node takes, which walks over its bytes (`usdrl_ros.sources.serialized`). The least of several
turns is given.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from usdrl_ros.scene.naming import Naming
from usdrl_ros.skeleton.layouts import Layout, load_layout
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.sources.reader import Source, SourceError, SourceReader, load_source, source_names
from usdrl_ros.sources.serialized import decoder

TURNS, TURN_S = 7, 0.05


def message_of(source: Source, people: int) -> Any:
    """A message with so many people, all joints seen, each two metres beside the next."""
    layout = _layout(source)
    rng = np.random.default_rng(0)
    people_joints = [rng.normal(0, 0.3, (len(layout.joint_names), 3)) + 2.0 * number for number in range(people)]
    message = SimpleNamespace()
    if source.joints.person_stride:
        elements = [
            one for number, joints in enumerate(people_joints) for one in _elements(source, layout, joints, number)
        ]
        _set(message, source.joints.elements, elements)
    elif source.people:
        _set(
            message,
            source.people,
            [_person(source, layout, joints, number) for number, joints in enumerate(people_joints)],
        )
    else:
        message = _person(source, layout, people_joints[0], 0)
    if source.header:
        stamp = SimpleNamespace(sec=1, nanosec=0)
        _set(message, source.header, SimpleNamespace(stamp=stamp, frame_id="camera"))
    if source.layout_field.of == "message":
        _set(message, source.layout_field.field, _layout_named(source))
    return message


def _read(reader: SourceReader, naming: Naming, message: Any) -> Frame:
    return naming.update(reader.read(message))


def _layout(source: Source) -> Layout:
    names = source.layout_field.names
    return load_layout(source.layout or (list(names.values())[-1] if names else "coco_17"))


def _layout_named(source: Source) -> Any:
    names = source.layout_field.names
    return list(names)[-1] if names else _layout(source).name


def _person(source: Source, layout: Layout, joints: np.ndarray, number: int) -> Any:
    person = SimpleNamespace()
    for path, values in source.person.keep.items():
        _set(person, path, values[0])
    for path, value in ((source.person.id, str(number)), (source.person.frame_id, "camera")):
        if path:
            _set(person, path, value)
    if source.layout_field.of == "person":
        _set(person, source.layout_field.field, _layout_named(source))
    if source.joints.values:
        _set(person, source.joints.values, joints.astype(np.float32).ravel())
    else:
        _set(person, source.joints.elements, _elements(source, layout, joints, 0))
    if source.joints.confidences:
        _set(person, source.joints.confidences, np.ones(len(joints), np.float32))
    return person


def _elements(source: Source, layout: Layout, joints: np.ndarray, person: int) -> list[Any]:
    fields, elements = source.joints, []
    theirs = {ours: name for name, ours in fields.names.items()}
    for number, (name, place) in enumerate(zip(layout.joint_names, joints, strict=True)):
        element = SimpleNamespace()
        for path, values in fields.keep.items():
            _set(element, path, values[0])
        coordinates = [place.astype(np.float32)] if len(fields.position) == 1 else map(float, place)
        for path, value in zip(fields.position, coordinates, strict=True):
            _set(element, path, value)
        found = {
            fields.index: number + fields.first_index + person * fields.person_stride,
            fields.name: theirs.get(name, name),
            fields.confidence: fields.confidence_max,
        }
        for path, value in found.items():
            if path:
                _set(element, path, value)
        elements.append(element)
    return elements


def _set(holder: Any, path: str, value: Any) -> None:
    """Give an object the field that a path names, and what is on the way to it."""
    *way, last = path.split(".")
    for step in way:
        if step.isdigit():
            holder = holder[int(step)]
        else:
            if not hasattr(holder, step):
                setattr(holder, step, SimpleNamespace())
            holder = getattr(holder, step)
    setattr(holder, last, value)


def real_message(kind: str, plain: Any, message_class: Callable[[str], Any]) -> Any:
    """The message of rclpy with the fields that a plain object has; what has a fixed number is filled up."""
    message = message_class(kind)()
    for name, text in message.get_fields_and_field_types().items():
        if not hasattr(plain, name):
            continue
        value = getattr(plain, name)
        of = re.sub(r"^sequence<(.*?)(, \d+)?>$|\[\d+\]$", r"\1", text)
        if "/" in of:
            make = partial(real_message, of.replace("/", "/msg/"), message_class=message_class)
            value = [make(one) for one in value] if isinstance(value, list) else make(value)
            if fixed := re.search(r"\[(\d+)\]$", text):
                value += [message_class(of.replace("/", "/msg/"))() for _ in range(int(fixed[1]) - len(value))]
        elif of == "string":
            value = str(value)
        elif "int" in of and not isinstance(value, (list, np.ndarray)):
            value = int(value)
        setattr(message, name, value)
    return message


def microseconds(call: Callable[[], Any]) -> str:
    """Of one call."""
    call()
    least = float("inf")
    for _ in range(TURNS):
        calls, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < TURN_S:
            call()
            calls += 1
        least = min(least, elapsed / calls * 1e6)
    return f"{least:.0f}"


def decoding(source: Source, plain: Any) -> tuple[str, str]:
    """What rclpy takes to decode a message, and what a decoder of the source takes; "-" without ROS 2 or the type."""
    try:
        from rclpy.serialization import deserialize_message, serialize_message

        from usdrl_ros.nodes.conversion import first_message_class, message_class

        kind, cls = first_message_class(source.message_types, source.packages, f"source '{source.name}'")
    except Exception:  # of many kinds, by what is missing
        return "-", "-"
    data = bytes(serialize_message(real_message(kind, plain, message_class)))
    decode = decoder(source, kind, message_class, partial(deserialize_message, message_type=cls))
    return microseconds(lambda: deserialize_message(data, cls)), microseconds(lambda: decode(data))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=source_names(), metavar="SOURCE", help="default: all")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 6])
    options = parser.parse_args(arguments)
    table = Table("source", "people", "read, us", "with association on", "rclpy decodes, us", "walked over, us")
    for name in options.sources:
        try:
            source = load_source(name)
        except SourceError as error:
            parser.error(str(error))
        for people in [1] if source.one_person else options.people:
            message, row = message_of(source, people), []
            for association in ("auto", "on"):
                try:
                    reader, naming = SourceReader(source, association=association), Naming()
                except SourceError:
                    row.append("-")
                    continue
                frame = naming.update(reader.read(message))
                if frame.problems or len(frame.people) != people:
                    parser.error(f"source '{name}' does not read its own message: {frame.problems}")
                row.append(microseconds(partial(_read, reader, naming, message)))
            table.add_row(name, str(people), *row, *decoding(source, message))
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
