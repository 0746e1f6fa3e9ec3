"""Files of sources: those that are shipped, one of one's own, and every fault reported with file and key."""

from __future__ import annotations

import os
import re
import textwrap
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from usdrl_ros.resources import data_directory
from usdrl_ros.scene.naming import Naming
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.sources.reader import SourceError, SourceReader, load_source, source_names
from usdrl_ros.sources.source_file import AXES

MINE: dict[str, Any] = {
    "message_types": ["my_msgs/msg/People"],
    "topic": "/people",
    "axes": "flu",
    "people": "people",
    "person": {"id": "id"},
    "joints": {"elements": "joints", "position": ["x", "y", "z"]},
    "layout": "coco_17",
}


def written(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The file of one's own with keys such as "joints.index" changed, or taken away by None."""
    content = {key: dict(value) if isinstance(value, dict) else value for key, value in MINE.items()}
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place.pop(last, None)
        if value is not None:
            place[last] = value
    return content


def test_the_sources_that_are_shipped() -> None:
    assert source_names() == (
        *("azure_kinect", "hi_ros", "hri", "mediapipe", "opendr_3d", "openpose", "skeletons", "yolo_2d", "yolo_3d"),
        "zed",
    )


@pytest.mark.parametrize("name", source_names())
def test_a_shipped_source_reports_all_that_a_user_needs(name: str) -> None:
    source = load_source(name)
    assert source.name == name
    assert source.description
    assert source.topic
    assert source.packages
    assert all(package.format(distro="jazzy") for package in source.packages)
    assert source.reliability == "best_effort"  # takes every publisher
    assert source.to_kinect.shape == (source.dimensions, source.dimensions)
    assert load_source(name) is source


def test_zed_word_by_word() -> None:
    zed = load_source("zed")
    assert zed.message_types == ("zed_msgs/msg/ObjectsStamped", "zed_interfaces/msg/ObjectsStamped")
    assert zed.packages == ("ros-{distro}-zed-msgs",)
    assert zed.topic == "/zed/zed_node/body_trk/skeletons"
    assert (zed.dimensions, zed.axes, zed.header, zed.people) == (3, "flu", "header", "objects")
    assert zed.person.keep == {"skeleton_available": (True,), "tracking_state": (0, 1, 2)}
    assert zed.layout_field.names == {0: "openpose_coco_18", 1: "zed_body_34", 2: "zed_body_38"}
    assert zed.association == "missing"
    assert not zed.one_person


def test_the_template_is_a_source_and_names_every_key() -> None:
    path = data_directory("config") / "sources" / "template.yaml"
    load_source(str(path))
    text = path.read_text(encoding="utf-8")
    code = (Path(load_source.__code__.co_filename)).read_text(encoding="utf-8")
    keys = set(
        re.findall(r"\.(?:text|texts|path|paths|flag|whole|number|keep|names|values|section)\(\s*\"(\w+)\"", code)
    )
    assert len(keys) > 25
    for key in keys:
        assert re.search(rf"^\s*(# )?{key}:|{key}:", text, re.MULTILINE), key


def test_every_default_that_the_template_shows_is_the_default() -> None:
    """Its keys with # before them, taken as keys, change nothing."""
    path = data_directory("config") / "sources" / "template.yaml"
    source = load_source(str(path))
    shown = dict(re.findall(r"^\s*# ([a-z]\w*): ([^#\n]+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    examples = (
        "packages no_id frame_id keep values confidences confidence index name names layout person_stride".split()
    )
    for key, text in shown.items():
        if key not in examples:
            value = getattr(source, key, None) if hasattr(source, key) else getattr(source.joints, key)
            value = sorted(value) if isinstance(value, frozenset) else value
            assert yaml.safe_load(text) == value, key
    assert len(shown.keys() - set(examples)) == 15


def test_a_source_of_ones_own_reads_what_it_says(tmp_path: Path) -> None:
    """Millimetres in a row, confidences in percent, joints by name: a topic that nobody foresaw."""
    names = "nose, left_shoulder, right_shoulder, left_hip, right_hip"
    content = {
        "message_types": ["lab_msgs/msg/Body"],
        "topic": "body",
        "axes": "optical",
        "scale": 0.001,
        "header": "meta.header",
        "joints": {"values": "points", "confidences": "sure", "confidence_max": 100, "unseen": ["zeros"]},
        "layout": names,
    }
    points = np.arange(15) * 100.0
    points[3:6] = 0.0
    head = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=5), frame_id="lab")
    message = SimpleNamespace(meta=SimpleNamespace(header=head), points=points.tolist(), sure=[100, 50, 25, 0, 10])
    source = load_source(written(tmp_path, content))
    frame = Naming().update(SourceReader(source).read(message))
    assert (frame.stamp_ns, frame.frame_id, frame.problems) == (1_000_000_005, "lab", [])
    (person,) = frame.people
    assert person.person_id == "track_1"
    np.testing.assert_allclose(person.confidence, [1.0, 0.5, 0.25, 0.0, 0.1])
    expected = points.reshape(5, 3) / 1000.0
    expected[1] = np.nan
    np.testing.assert_allclose(person.joints, expected, rtol=1e-6)


def test_a_layout_file_lies_beside_the_sources(tmp_path: Path) -> None:
    layout = yaml.safe_load((data_directory("config") / "layouts" / "coco_17.yaml").read_text(encoding="utf-8"))
    (tmp_path / "body.yaml").write_text(yaml.safe_dump(layout), encoding="utf-8")
    source = load_source(written(tmp_path, changed({"layout": "body.yaml"})))
    assert source.layout == str(tmp_path / "body.yaml")
    assert SourceReader(source).association == "never"


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path, MINE)
    assert load_source(path).depth == 50
    Path(path).write_text(yaml.safe_dump(changed({"depth": 3})), encoding="utf-8")
    assert load_source(path).depth == 3


FAULTS = [
    ({"message_types": None}, "message_types: is missing"),
    ({"message_types": []}, "message_types: is empty"),
    ({"message_types": "ObjectsStamped"}, "message_types: holds 'ObjectsStamped', expected package/msg/Type"),
    ({"message_types": 3}, "message_types: is 3, expected a list of texts"),
    ({"topic": None}, "topic: is missing"),
    ({"topic": 3}, "topic: is 3, expected text"),
    ({"axes": None}, "axes: is missing"),
    ({"axes": "left"}, "axes: is 'left', expected one of kinect, optical, flu, image"),
    ({"axes": "image"}, "axes: is 'image', which has 2 dimensions; dimensions is 3"),
    ({"dimensions": 4}, "dimensions: is 4, expected a whole number from 2 to 3"),
    ({"dimensions": 2}, "position: has 3 fields, expected one, or one for each of 2 axes"),
    ({"depth": 0}, "depth: is 0, expected a whole number from 1"),
    ({"depth": True}, "depth: is True, expected a whole number"),
    ({"scale": -1}, "scale: is -1, expected a number"),
    ({"scale": float("nan")}, "scale: is nan, expected a number"),
    ({"reliability": "sure"}, "reliability: is 'sure', expected one of best_effort, reliable"),
    ({"stamped": "yes"}, "stamped: is 'yes', expected true or false"),
    ({"person": ["id"]}, r"person: is \['id'\], expected keys with values"),
    ({"person.id": "__class__"}, "person.id: is '__class__', expected the path of a field"),
    ({"person.id": "id()"}, r"person.id: is 'id\(\)', expected the path of a field"),
    ({"people": "a..b"}, r"people: is 'a\.\.b', expected the path"),
    ({"people": "0"}, "people: is '0', expected the path"),
    ({"person.keep": ["label"]}, r"person.keep: is \['label'\], expected fields with the values"),
    ({"person.keep": {"label": {}}}, "person.keep.label: is .*, expected a value or a list of values"),
    ({"person.name": "x"}, "person.name: unknown key"),
    ({"joint": {}}, "joint: unknown key: did you mean 'joints'"),
    ({"joints.confidance": "c"}, "joints.confidance: unknown key: did you mean 'confidence'"),
    ({"joints.values": "v"}, "joints: expected either values .* or elements"),
    ({"joints.elements": None}, "joints: expected either values .* or elements"),
    ({"joints.elements": None, "joints.values": "v"}, "joints.position: is for a list of joints"),
    ({"joints.index": "id", "joints.name": "name"}, "joints.name: is given besides index"),
    ({"joints.person_stride": 100}, "joints.person_stride: needs index"),
    ({"joints.person_stride": 100, "joints.index": "id"}, "joints.person_stride: is for one list of all people"),
    ({"joints.person_stride": 9, "joints.index": "id", "people": None}, "joints.person_stride: makes the person's id"),
    ({"joints.confidence": "c", "joints.confidences": "c"}, "joints.confidences: is given besides confidence"),
    ({"joints.unseen_below": 0.2}, "joints.unseen_below: needs confidence"),
    ({"joints.unseen": ["left_out"]}, "joints.unseen: is left_out, which needs index or name"),
    ({"joints.unseen": ["black"]}, "joints.unseen: holds 'black', expected nan, zeros"),
    ({"joints.name": "n", "joints.names": {"a": "hat"}}, "joints.names: 'hat' is no joint of layout 'coco_17'"),
    ({"joints.names": ["a"]}, "joints.names: is .*, expected what the message holds, and the name for it"),
    ({"layout": None}, "layout: is missing"),
    ({"layout": "coco"}, "layout: unknown joint layout 'coco'"),
    ({"layout": "a, b"}, "layout: joint names 'a, b' cannot be used"),
    ({"layout": "other.yaml"}, "layout: .*other.yaml.* cannot be used: .*No such file"),
    ({"layout": "joint_names"}, "layout: is joint_names, which needs joints.name"),
    ({"layout": {"field": "layout"}}, "layout.person_field: is missing"),
    ({"layout": {"person_field": "f", "names": {1: "coco"}}}, "layout.names.1: unknown joint layout 'coco'"),
    ({"association": "sometimes"}, "association: is 'sometimes', expected one of never, missing, always"),
    ({"association": "never", "person": None}, "association: is 'never', but person.id is not given"),
]


@pytest.mark.parametrize(("changes", "says"), FAULTS, ids=[says[:50] for _, says in FAULTS])
def test_a_fault_is_reported_with_file_and_key(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(changes))
    with pytest.raises(SourceError, match=rf"^source file {re.escape(path)}: .*{says}"):
        load_source(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty, expected keys with values"),
        ("[1, 2]", r"is \[1, 2\], expected keys with values"),
        ("a: [", "is not valid YAML"),
        ("topic: a\naxes: flu\ntopic: b", "is not valid YAML: line 3, column 1: the key 'topic' occurs twice"),
        ("{a: 1}: 2", "is not valid YAML"),
        ("topic: !!python/object/apply:os.getcwd []", "is not valid YAML: .*could not determine a constructor"),
    ],
)
def test_what_is_no_source_at_all(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=says):
        load_source(written(tmp_path, content))


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "aliases resolve to more than"),
        ("&a\ntopic: *a\n", "aliases resolve to more than"),
        ("topic: " + "[" * 5000 + "]" * 5000, "nest"),
        ("topic: a\n" * 200_000, "larger than"),
        ("topic: \x00", "is not valid YAML"),
    ],
    ids=["bomb", "itself", "deep", "large", "control"],
)  # fmt: skip
def test_files_that_would_cost_memory_or_time_are_refused(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=says) as error:
        load_source(written(tmp_path, content))
    assert len(str(error.value)) < 1000


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("fifo", "zero", "folder"):
        with pytest.raises(SourceError, match=r"is a .*, expected a YAML file$"):
            load_source(str(tmp_path / f"{name}.yaml"))


def test_a_source_that_is_not_there_is_reported_with_those_that_are() -> None:
    with pytest.raises(SourceError, match=r"unknown source 'zet': did you mean 'zed'\? known are azure.*, zed"):
        load_source("zet")
    with pytest.raises(SourceError, match=r"/nowhere/mine\.yaml: cannot be read: No such file"):
        load_source("/nowhere/mine.yaml")
    with pytest.raises(SourceError, match=r"~no_such_user/mine\.yaml: cannot be read: No such file"):
        load_source("~no_such_user/mine.yaml")
    with pytest.raises(SourceError, match="unknown source ''"):
        load_source("")
    with pytest.raises(SourceError, match="unknown source 'template'"):
        load_source("template")


def test_axes_are_rotations() -> None:
    for axes, rows in AXES.items():
        turn = np.array(rows)
        np.testing.assert_array_equal(turn @ turn.T, np.eye(len(turn)))
        assert np.linalg.det(turn) == pytest.approx(1.0), axes


def test_the_example_of_the_documentation_is_a_source(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "sources.md"
    blocks = re.findall(r"(?:^    .*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE)
    (example,) = (textwrap.dedent(block) for block in blocks if "message_types" in block)
    source = load_source(written(tmp_path, example))
    assert source.one_person
    assert SourceReader(source).association == "always"
    missing = load_layout(source.layout).missing
    assert missing == ()
