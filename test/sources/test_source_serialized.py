"""Serialized messages, walked over, against rosbags' decoder, which reads them whole."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from source_messages import LAYOUTS, in_layout, messages

pytest.importorskip("rosbags", reason="rosbags is not installed")

from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore
from test_source_bags import made, store  # noqa: F401 (a fixture)

from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.sources.limits import MOST_PEOPLE
from usdrl_ros.sources.reader import SourceReader, load_source
from usdrl_ros.sources.serialized import decoder

STAMP = 5_000_000_007
_ROSIDL = {"bool": "boolean", "float32": "float", "float64": "double"}


def rosidl_type(description: Any) -> str:
    """How rosidl's classes write the type of a field."""
    kind, detail = description
    if kind == Nodetype.NAME:
        return detail.replace("/msg/", "/")
    if kind == Nodetype.BASE:
        return _ROSIDL.get(detail[0], detail[0])
    element, count = detail
    inner = rosidl_type(element)
    return f"{inner}[{count}]" if kind == Nodetype.ARRAY else f"sequence<{inner}>"


def classes(types: Typestore) -> Any:
    """What stands for rclpy's classes: they name their fields."""

    def message_class(kind: str) -> Any:
        fields = {name: rosidl_type(of) for name, of in types.fielddefs[kind][1]}
        return SimpleNamespace(get_fields_and_field_types=lambda: fields)

    return message_class


def never(data: bytes) -> Any:
    raise AssertionError("the message was to be walked over")


def serialized(source: str, types: Typestore, people: int = 3, frame_id: str = "camera") -> tuple[bytes, Any]:
    """A message of a source with all its other fields filled, and rosbags' reading of it."""
    rng, layout = np.random.default_rng(people), load_layout(LAYOUTS[source])
    people_of = {
        str(k): in_layout(rng.normal(0, 0.3, (25, 3)), layout).astype(np.float32) for k in range(1, people + 1)
    }

    def make(kind: str, /, **fields: Any) -> Any:
        for name, of in types.fielddefs[kind][1]:
            if name not in fields and of[0] == Nodetype.BASE and of[1][0] == "string":
                fields[name] = "".join(rng.choice(list("äb ")) for _ in range(rng.integers(0, 9)))
            if name not in fields and of == (Nodetype.SEQUENCE, ((Nodetype.BASE, ("uint8", 0)), 0)):
                fields[name] = rng.integers(0, 9, rng.integers(0, 9)).astype(np.uint8)
        return made(types, kind, **fields)

    kind = load_source(source).message_types[0]
    message = messages(source, make, STAMP, frame_id, people_of)[0]
    data = bytes(types.serialize_cdr(message, kind))
    return data, types.deserialize_cdr(data, kind)


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("people", [1, 2, 5])
@pytest.mark.parametrize("frame_id", ["", "c", "camera_link"])
def test_what_is_walked_over_is_what_is_read_whole(source: str, people: int, frame_id: str, store: Typestore) -> None:  # noqa: F811
    """Names of all lengths move what follows to all alignments."""
    data, whole = serialized(source, store, people, frame_id)
    kind = load_source(source).message_types[0]
    decode = decoder(load_source(source), kind, classes(store), never)
    expected = SourceReader(load_source(source)).read(whole, STAMP)
    found = SourceReader(load_source(source)).read_serialized(data, decode, STAMP)
    assert (found.stamp_ns, found.frame_id) == (expected.stamp_ns, expected.frame_id)
    assert found.problems == expected.problems == []
    assert len(found.people) == (1 if source == "opendr_3d" else people)
    for mine, theirs in zip(found.people, expected.people, strict=True):
        assert (mine.person_id, mine.layout) == (theirs.person_id, theirs.layout)
        np.testing.assert_array_equal(mine.joints, theirs.joints)
        assert (mine.confidence is None) == (theirs.confidence is None)
        if mine.confidence is not None:
            np.testing.assert_array_equal(mine.confidence, theirs.confidence)


@pytest.mark.parametrize("source", LAYOUTS)
def test_damaged_messages_are_reported_and_never_raise(source: str, store: Typestore) -> None:  # noqa: F811
    """Cut off anywhere, or with any byte changed: people may be wrong, and the reader goes on."""
    data, _ = serialized(source, store, people=2)
    reader = SourceReader(load_source(source))
    decode = decoder(load_source(source), load_source(source).message_types[0], classes(store), lambda data: None)
    rng = np.random.default_rng(0)
    faulty = 0
    for cut in rng.integers(0, len(data) - 8, 60):
        frame = reader.read_serialized(data[:cut], decode, STAMP)
        faulty += bool(frame.problems)
    assert faulty == 60
    for _ in range(300):
        broken = bytearray(data)
        broken[rng.integers(0, len(data))] = rng.integers(0, 256)
        reader.read_serialized(bytes(broken), decode, STAMP)


def test_other_encodings_are_read_whole(store: Typestore) -> None:  # noqa: F811
    data, whole = serialized("zed", store)
    decode = decoder(load_source("zed"), "zed_msgs/msg/ObjectsStamped", classes(store), lambda data: whole)
    assert decode(b"\x00\x00" + data[2:]) is whole
    assert decode(data) is not whole


@pytest.mark.parametrize("fields", [{"header": "std_msgs/Header"}, {"header": "std_msgs/Header", "objects": "wstring"}])
def test_messages_that_cannot_be_walked_over_are_read_whole(fields: dict[str, str], store: Typestore) -> None:  # noqa: F811
    """Without a field that the source names, the reader reports it; wide strings have no fixed way."""
    others = classes(store)

    def message_class(kind: str) -> Any:
        if kind == "zed_msgs/msg/ObjectsStamped":
            return SimpleNamespace(get_fields_and_field_types=lambda: fields)
        return others(kind)

    assert decoder(load_source("zed"), "zed_msgs/msg/ObjectsStamped", message_class, never) is never


def test_a_crowd_is_cut_while_the_bytes_are_walked_over(store: Typestore) -> None:  # noqa: F811
    """Of 10,000 people the first ones are made objects of, the rest is not looked at."""
    kind = "usdrl_ros/msg/SkeletonArray"
    types = store.types
    skeleton = types["usdrl_ros/msg/Skeleton"](
        person_id="p", positions=np.zeros(75, np.float32), confidences=np.zeros(0, np.float32)
    )
    stamp = types["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")
    message = types[kind](header=header, layout="ntu_25", skeletons=[skeleton] * 10_000)
    data = bytes(store.serialize_cdr(message, kind))
    decode = decoder(load_source("skeletons"), kind, classes(store), never)
    tracemalloc.start()
    decoded = decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(decoded.skeletons), decoded.skeletons.total) == (MOST_PEOPLE, 10_000)
    assert peak < 1e6
    frame = SourceReader(load_source("skeletons")).read(decoded)
    assert "too_many_in_message" in [problem.cause for problem in frame.problems]
