"""Whatever comes over the network or lies in a file is read, or refused: hypothesis looks for what does something else.

Seconds in the suite. `USDRL_FUZZ=20000` tries as many messages and files of each kind (`make fuzz`).
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import HealthCheck, example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from rosbags.typesys.store import Typestore  # noqa: E402

from usdrl_ros.problems import shown  # noqa: E402
from usdrl_ros.resources import data_directory  # noqa: E402
from usdrl_ros.scene.scene import Scene  # noqa: E402
from usdrl_ros.skeleton.canonical import to_ntu25  # noqa: E402
from usdrl_ros.skeleton.layouts import LayoutError, load_layout  # noqa: E402
from usdrl_ros.skeleton.person import Frame  # noqa: E402
from usdrl_ros.sources.limits import MOST_PEOPLE  # noqa: E402
from usdrl_ros.sources.reader import SourceError, SourceReader, load_source, source_names  # noqa: E402
from usdrl_ros.sources.serialized import decoder  # noqa: E402

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from source_messages import LAYOUTS  # noqa: E402
from test_source_bags import store  # noqa: E402, F401
from test_source_serialized import classes, serialized  # noqa: E402

TRIES = int(os.environ.get("USDRL_FUZZ", "25"))
fuzz = settings(
    max_examples=TRIES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
STAMP = 7_000_000_123


def check(frame: Frame) -> None:
    """The frame is one that recognition can use, and its problems one that a log can take."""
    assert len(frame.people) <= MOST_PEOPLE
    for problem in frame.problems:
        assert problem.message.isprintable()
        assert len(problem.message) < 1000
    scene = Scene().update(to_ntu25(frame))
    for subject in scene.subjects:
        assert subject.joints.shape == (1, 25, 3)
        assert not np.isinf(subject.joints).any()


@pytest.mark.parametrize("source", LAYOUTS)
@fuzz
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(source: str, store: Typestore, data: st.DataObject) -> None:  # noqa: F811
    """Bytes of a good message changed, cut, doubled and replaced."""
    whole = bytearray(serialized(source, store, people=2)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(whole) - 1))
        what = data.draw(st.binary(max_size=12))
        whole[at : at + data.draw(st.sampled_from([0, len(what), 40]))] = what
        if len(whole) < 6:
            break
    kind = load_source(source).message_types[0]
    decode = decoder(load_source(source), kind, classes(store), lambda _: None)
    check(SourceReader(load_source(source)).read_serialized(bytes(whole), decode, STAMP))


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(width=64),
    st.text(max_size=300),
    st.binary(max_size=20),
    st.lists(st.floats(), max_size=80),
    st.sampled_from([2**70, -1, 1e308, math.nan, "x" * 10_000, "left_shoulder,right_shoulder", [], {}, object()]),
)


@pytest.mark.parametrize("source", [name for name in source_names() if load_source(name).dimensions == 3])
@fuzz
@given(data=st.data())
def test_objects_of_any_values_are_read_or_refused(source: str, data: st.DataObject) -> None:
    """Messages with the fields that the source names, of any values."""
    described = load_source(source)

    def put(holder: SimpleNamespace, path: str, value: Any) -> None:
        *way, last = [step for step in path.split(".") if not step.isdigit()]
        for step in way:
            if not isinstance(getattr(holder, step, None), SimpleNamespace):
                setattr(holder, step, SimpleNamespace())
            holder = getattr(holder, step)
        setattr(holder, last, value)

    def value() -> Any:
        return data.draw(LEAVES)

    def element() -> SimpleNamespace:
        one, fields = SimpleNamespace(), described.joints
        for path in (*fields.position, fields.confidence, fields.index, fields.name, *fields.keep):
            if path:
                put(one, path, value())
        return one

    def person() -> SimpleNamespace:
        one, fields = SimpleNamespace(), described.person
        paths = [fields.id, fields.frame_id, *fields.keep, described.joints.values, described.joints.confidences]
        paths += [described.layout_field.field] if described.layout_field.of == "person" else []
        for path in filter(None, paths):
            kept = fields.keep.get(path)
            put(one, path, kept[0] if kept else value())
        if described.joints.elements:
            put(one, described.joints.elements, [element() for _ in range(data.draw(st.integers(0, 3)))])
        return one

    message = person()
    if described.people:
        put(message, described.people, [person() for _ in range(data.draw(st.integers(0, 3)))])
    if described.header:
        stamp = SimpleNamespace(sec=value(), nanosec=value())
        put(message, described.header, SimpleNamespace(stamp=stamp, frame_id=value()))
    if described.layout_field.of == "message":
        put(message, described.layout_field.field, value())
    check(SourceReader(described).read(message, STAMP))


@fuzz
@example(name="~0")  # a user whom the machine does not have
@given(name=st.one_of(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=30).map(",".join)))
def test_names_of_layouts_are_known_or_refused(name: str) -> None:
    try:
        layout = load_layout(name)
    except LayoutError:
        return
    assert layout.matrix.shape == (25, len(layout.joint_names))


@fuzz
@given(data=st.data())
def test_source_files_are_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A good file with keys removed, added, and of other values; or any text at all."""
    text = (data_directory("config") / "sources" / "zed.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    values = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
        max_leaves=5,
    )
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from([content, *(v for v in content.values() if isinstance(v, dict))]))
        key = data.draw(st.one_of(st.sampled_from(list(section) or ["x"]), st.text(max_size=8)))
        if data.draw(st.booleans()):
            section[key] = data.draw(values)
        else:
            section.pop(key, None)
    path = tmp_path_factory.mktemp("fuzz") / "source.yaml"
    path.write_text(data.draw(st.one_of(st.just(yaml.safe_dump(content)), st.text(max_size=60))), encoding="utf-8")
    try:
        reader = SourceReader(load_source(str(path)))
    except SourceError:
        return
    assert reader.source.dimensions == 3


@given(text=st.text())
def test_shown_is_printable_and_short(text: str) -> None:
    assert shown(text, 40).isprintable()
    assert len(shown(text, 40)) <= 43
