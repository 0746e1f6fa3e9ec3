"""Out of a serialized message only the fields that a source names: rclpy makes an object of every field of every joint.

A ZED message with six people has about a thousand nested messages, of which two hundred are read. `decoder` walks over
the bytes (see `cdr`) and makes plain objects with the wanted fields.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from usdrl_ros.sources.cdr import BASE_FORMATS, Field, Limits, Plan, Wanted
from usdrl_ros.sources.limits import MOST_JOINTS, MOST_PEOPLE
from usdrl_ros.sources.source_file import Source

Decode = Callable[[bytes], Any]

_LITTLE_ENDIAN_CDR = b"\x00\x01"
_HEADER = 4
_TYPE = re.compile(
    r"(?P<sequence>sequence<(?P<of>.+?)(, \d+)?>)|(?P<item>[^\[]+)\[(?P<count>\d+)\]|(?P<plain>[^\[<]+)(<\d+>)?"
)


def decoder(
    source: Source,
    message_type: str,
    message_class: Callable[[str], Any],
    whole: Decode,
    most_people: int = MOST_PEOPLE,
) -> Decode:
    """What makes an object for `SourceReader.read` of a serialized message; raises ValueError where it is damaged.

    Args:
        source: Names the wanted fields.
        message_type: One of the source's.
        message_class: Gives rosidl's class of a name such as "std_msgs/msg/Header".
        whole: Makes the message of rclpy. It is asked where the message is not in plain little-endian CDR, has fields
            that this cannot walk over (wide strings), or lacks one that the source names.
        most_people: Of a message who are read; of more the first ones, with the number of all.
    """
    most_elements = MOST_JOINTS * (most_people if source.joints.person_stride else 1)
    known: dict[str, list[Field]] = {}

    def structure(kind: str) -> list[Field]:
        if kind not in known:
            types = message_class(kind).get_fields_and_field_types()
            known[kind] = [_field(name, text) for name, text in types.items()]
        return known[kind]

    try:
        wanted = _wanted(source)
        _check(structure(message_type), wanted, structure)
        plan = Plan(structure(message_type), wanted, structure, Limits(source.people, most_people, most_elements))
    except (LookupError, AttributeError, ImportError):
        return whole

    def decode(data: bytes) -> Any:
        if data[:2] != _LITTLE_ENDIAN_CDR:
            return whole(data)
        try:
            return plan.walk(memoryview(data)[_HEADER:], 0)[0]
        except struct.error as error:
            raise ValueError(f"a message of {len(data)} bytes ends too early: {error}") from error

    return decode


def _field(name: str, text: str) -> Field:
    match = _TYPE.fullmatch(text)
    if match is None or "wstring" in text:
        raise LookupError(f"field {name}: type '{text}' is not supported")
    kind, count = match["of"] or match["item"] or match["plain"], 0
    if match["sequence"]:
        count = -1
    elif match["count"]:
        count = int(match["count"])
    kind = re.sub(r"^string<\d+>$", "string", kind)
    return Field(name, kind if kind in BASE_FORMATS or kind == "string" else kind.replace("/", "/msg/"), count)


def _check(fields: list[Field], wanted: Wanted, structure: Callable[[str], list[Field]]) -> None:
    """Raises LookupError where a wanted field is not there."""
    known = {field.name: field for field in fields}
    for name, inner in wanted.items():
        kind = known[name].kind
        if inner:
            _check([] if kind in BASE_FORMATS or kind == "string" else structure(kind), inner, structure)


def _wanted(source: Source) -> Wanted:
    """The tree of the fields that a source names; numbers in paths, which say which element, are left out."""
    fields, person = source.joints, source.person
    from_person = [person.id, person.frame_id, *person.keep, fields.values, fields.confidences]
    from_person += [source.layout_field.field] if source.layout_field.of == "person" else []
    elements = [*fields.position, fields.confidence, fields.index, fields.name, *fields.keep]
    from_person += [f"{fields.elements}.{path}" for path in elements if path and fields.elements]
    paths = [f"{source.people}.{path}" if source.people else path for path in from_person if path]
    paths += [f"{source.header}.{path}" for path in ("stamp", "frame_id") if source.header]
    paths += [source.layout_field.field] if source.layout_field.of == "message" else []
    tree: Wanted = {}
    for path in paths:
        place = tree
        for step in path.split("."):
            if not step.isdigit():
                place = place.setdefault(step, {})
    return tree
