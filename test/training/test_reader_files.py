"""The readers of data sets on files made by hand: every number, and what is said of files that are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

import set_files
from set_files import WRITERS, write, zed_body34_samples

from training.data.errors import DatasetError
from training.data.sets import SETS, actions_of, load_set, protocols_of, read_all
from usdrl_ros.skeleton.layouts import load_layout


@pytest.mark.parametrize("name", WRITERS)
def test_every_number(name: str, tmp_path: Path) -> None:
    expected = WRITERS[name](tmp_path)
    (recording,) = read_all(name, tmp_path)
    assert (recording.name, recording.person, recording.view) == (expected.name, expected.person, expected.view)
    assert recording.layout == load_set(name).LAYOUT
    np.testing.assert_allclose(recording.stamps, expected.stamps, atol=1e-6)
    assert list(recording.joints) == list(expected.joints)
    for person_id, joints in expected.joints.items():
        np.testing.assert_allclose(recording.joints[person_id], joints, atol=1e-6)
        assert joints.shape[1] == len(load_layout(recording.layout).joint_names)
    assert [segment.action for segment in recording.segments] == [action for *_, action in expected.segments]
    for segment, (start, end, action) in zip(recording.segments, expected.segments, strict=True):
        assert (segment.start, segment.end) == (pytest.approx(start, abs=1e-4), pytest.approx(end, abs=1e-4))
        assert action in load_set(name).ACTIONS
    for part in protocols_of(load_set(name), tmp_path).values():
        assert part(recording.name, recording.person, recording.view) in ("train", "test")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("content", ["", "  \n", "one two three", '{"a": 1}', "1 2\n3 4\n", "\0\xff"])
def test_foreign_files_are_refused(name: str, content: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path).path
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DatasetError, match=path.name) as caught:
        list(read_all(name, tmp_path))
    assert caught.value.cause != "not the data set"


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_was_cut_off_is_refused(name: str, tmp_path: Path) -> None:
    """Not at the end of a line, where nobody would notice."""
    path = WRITERS[name](tmp_path).path
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 - 3])
    with pytest.raises(DatasetError, match=path.name):
        list(read_all(name, tmp_path))


@pytest.mark.parametrize("name", WRITERS)
def test_one_frame_is_too_few(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path, frames=1).path
    with pytest.raises(DatasetError, match=path.name) as caught:
        list(read_all(name, tmp_path))
    assert caught.value.cause in ("fewer than two frames", "nobody is seen", "label disagrees")


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"utkinect_action3d", "zed_body34_samples", "sbu_interaction"}))
def test_nobody_in_a_clip_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All joints at the origin, which these sets give to those unseen."""
    monkeypatch.setattr(set_files, "random_joints", lambda *shape: np.zeros((*shape, 3)))
    path = WRITERS[name](tmp_path).path
    with pytest.raises(DatasetError, match=path.name) as caught:
        list(read_all(name, tmp_path))
    assert caught.value.cause == "nobody is seen"


EMPTY_FILE = {
    "kinder_gator": "Adults/POSE-p565_01-Bow-1455370205.csv",
    "msrc12": "data/P1_1_1_p01.csv",
    "utd_mhad": "Skeleton/a1_s1_t1_skeleton.mat",
    "nw_ucla": "all_sqe/a01_s01_e00_v01.json",
    "msr_daily_activity3d": "train/a01_s01_e01_skeleton_proj.txt",
    "msr_action3d": "real_world_coordinates/a01_s01_e01_skeleton3D.txt",
    "florence3d": "clips/a01_s1_id1.txt",
    "sbu_interaction": "SBU/s01s02/01/001/skeleton_pos.txt",
    "zed_body34_samples": "empty.json",
}
"""A further file of each set, by name."""


@pytest.mark.parametrize("name", EMPTY_FILE)
def test_bad_files_are_skipped_on_request(name: str, tmp_path: Path) -> None:
    expected = WRITERS[name](tmp_path)
    empty = write(tmp_path / EMPTY_FILE[name], "")
    skipped: list[tuple[str, str]] = []
    recordings = list(read_all(name, tmp_path, lambda cause, message: skipped.append((cause, message))))
    assert [recording.name for recording in recordings] == [expected.name]
    ((cause, message),) = skipped
    assert cause in ("empty file", "unreadable file")
    assert str(empty) in message


def test_a_take_that_is_labelled_but_not_there_is_skipped(tmp_path: Path) -> None:
    expected = WRITERS["utkinect_action3d"](tmp_path)
    labels = expected.path.parent / "actionLabel_modified.txt"
    labels.write_text(labels.read_text() + "s09_e01\nwalk: 1 2\n")
    skipped: list[tuple[str, str]] = []
    recordings = list(read_all("utkinect_action3d", tmp_path, lambda *skip: skipped.append(skip)))
    assert [recording.name for recording in recordings] == [expected.name]
    ((cause, message),) = skipped
    assert cause == "unreadable file"
    assert "joints_s09_e01.txt" in message


@pytest.mark.parametrize("name", WRITERS)
def test_another_directory_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=str(tmp_path)):
        load_set(name).find(tmp_path)
    with pytest.raises(DatasetError, match="nowhere"):
        load_set(name).find(tmp_path / "nowhere")


def test_the_names_of_the_sets() -> None:
    assert set(WRITERS) < set(SETS)
    for name in WRITERS:
        reader = load_set(name)
        assert reader.NAME == name
        assert reader.LAYOUT
        assert len(set(reader.ACTIONS)) == len(reader.ACTIONS)
        assert all(action == action.lower() and action.replace("_", "").isalnum() for action in reader.ACTIONS)
        assert actions_of(reader, Path()) == reader.ACTIONS
    titles = [load_set(name).TITLE for name in WRITERS]
    assert len(set(titles)) == len(titles)
    with pytest.raises(DatasetError, match="there is no data set 'ntu'; known are utkinect_action3d, kinder_gator"):
        load_set("ntu")


@pytest.mark.parametrize(
    ("name", "protocol", "clip", "part"),
    [
        ("utkinect_action3d", "odd_even", ("s03_e01", "s03", ""), "train"),
        ("utkinect_action3d", "odd_even", ("s10_e01", "s10", ""), "test"),
        ("kinder_gator", "cross_subject", ("p888_01_bow", "888", ""), "test"),
        ("kinder_gator", "cross_subject", ("p103_01_bow", "103", ""), "train"),
        ("msrc12", "cross_subject", ("P1_1_1_p09", "p09", ""), "train"),
        ("msrc12", "cross_subject", ("P1_1_1_p10", "p10", ""), "test"),
        ("utd_mhad", "cross_subject", ("a1_s7_t1", "s7", ""), "train"),
        ("utd_mhad", "cross_subject", ("a1_s8_t1", "s8", ""), "test"),
        ("nw_ucla", "cross_view", ("a02_s01_e00_v03", "s01", "v03"), "test"),
        ("nw_ucla", "cross_view_clean", ("a02_s01_e00_v03", "s01", "v03"), ""),
        ("nw_ucla", "cross_view_clean", ("a02_s01_e00_v02", "s01", "v02"), "train"),
        ("nw_ucla", "cross_view_clean", ("a04_s01_e00_v03", "s01", "v03"), "test"),
        ("msr_daily_activity3d", "train_test", ("a01_s06_e01", "s06", ""), "train"),
        ("msr_daily_activity3d", "train_test", ("a01_s07_e01", "s07", ""), "test"),
        ("msr_daily_activity3d", "train_test", ("a01_s10_e01", "s10", ""), "test"),
        ("msr_action3d", "cross_subject", ("a01_s09_e01", "s09", ""), "train"),
        ("msr_action3d", "cross_subject", ("a01_s10_e01", "s10", ""), "test"),
        ("florence3d", "people_9_10", ("a01_s1_id1", "s1", ""), "train"),
        ("florence3d", "people_9_10", ("a01_s10_id1", "s10", ""), "test"),
        ("florence3d", "leave_out_1", ("a01_s10_id1", "s10", ""), "train"),
        ("florence3d", "leave_out_1", ("a01_s1_id1", "s1", ""), "test"),
        ("sbu_interaction", "fold_1", ("s01s02_01_001", "s01s02", ""), "test"),
        ("sbu_interaction", "fold_2", ("s01s02_01_001", "s01s02", ""), "train"),
        ("sbu_interaction", "person_7", ("s02s07_01_001", "s02s07", ""), "test"),
    ],
)
def test_protocols(name: str, protocol: str, clip: tuple[str, str, str], part: str) -> None:
    assert load_set(name).PROTOCOLS[protocol](*clip) == part


def test_each_pair_of_sbu_is_tested_in_one_fold() -> None:
    folds = [pair for fold in load_set("sbu_interaction").FOLDS for pair in fold]  # type: ignore[attr-defined]
    assert len(folds) == len(set(folds)) == 21


@pytest.mark.parametrize(
    ("name", "before", "after", "fault"),
    [
        ("kinder_gator", "Timestamp", "Time", "expected a header"),
        ("kinder_gator", ",103,Throw", ",104,Throw", "line 2: expected the person and the action of the file's name"),
        ("kinder_gator", ",Throw-a-ball-,\n", ",Bow,\n", "line 2: expected the person and the action"),
        ("nw_ucla", '"label": 7', '"label": 8', "label 8 disagrees with the name, which says 7"),
        ("nw_ucla", '"skeletons"', '"bones"', "skeletons"),
        ("msr_daily_activity3d", "\n2 3 ", "\n2 4 ", "expected joints 1 to 20 of each frame in turn"),
        ("zed_body34_samples", '"TumbLeft"', '"Thumb"', "a frame has no 'TumbLeft'"),
        ("zed_body34_samples", "2022-01-12", "long ago", "cannot be read"),
    ],
)
def test_contradictions_are_refused(name: str, before: str, after: str, fault: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path).path
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(DatasetError, match=fault):
        list(read_all(name, tmp_path))


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        (None, r"its tags, P2_1_7A_p12\.tagstream, are missing"),
        ("XQPCTick;Tag\n1235075595934;G8 Throw\n", "line 2: gesture 8, but the name says 7"),
        ("XQPCTick;Tag\nsoon;G7 Bow\n", "line 2: expected 'tick;G"),
        ("XQPCTick;Tag\n1;G7 Bow\n", "its tags are of other times than its frames"),
        ("", r"p2_1_7A_p12\.tagstream is empty"),
    ],
)
def test_tags_that_do_not_fit_are_refused(tags: str | None, fault: str, tmp_path: Path) -> None:
    path = WRITERS["msrc12"](tmp_path).path.with_name("p2_1_7A_p12.tagstream")
    path.unlink() if tags is None else path.write_text(tags)
    with pytest.raises(DatasetError, match=fault):
        list(read_all("msrc12", tmp_path))


@pytest.mark.parametrize("labels", ["s01_e02\nwalk: 98 102\n", "s01_e02\nwalk: 100 106\n", "s01_e02\nwalk: 104 102\n"])
def test_a_label_outside_of_its_take_is_refused(labels: str, tmp_path: Path) -> None:
    WRITERS["utkinect_action3d"](tmp_path)
    write(tmp_path / "joints" / "actionLabel_modified.txt", labels)
    with pytest.raises(DatasetError, match=r"joints_s01_e02\.txt has the frames 100 to 104, but its label says 'walk'"):
        list(read_all("utkinect_action3d", tmp_path))


def test_the_other_shape_of_zed_exports(tmp_path: Path) -> None:
    """Frames by number; times in whole seconds, of which the second has two frames."""
    expected = zed_body34_samples(tmp_path)
    data = json.loads(expected.path.read_text())["data"]
    for frame, second in zip(data, (47, 48, 48), strict=True):
        frame["time"] = f"03H-10-{second}.ffff"
    expected.path.write_text(json.dumps({str(10 * t): frame for t, frame in enumerate(data)}))
    (recording,) = read_all("zed_body34_samples", tmp_path)
    assert recording.stamps.tolist() == [0.0, 1.0, 1.5]
    for person_id, joints in expected.joints.items():
        np.testing.assert_allclose(recording.joints[person_id], joints, atol=1e-9)


def test_ntu_60_is_the_first_half_of_ntu_120(tmp_path: Path) -> None:
    clips = [write(tmp_path / "x" / f"S001C002P003R001A{action:03}.skeleton", "0") for action in (1, 60, 61, 120)]
    assert [str(source) for source in load_set("ntu60").find(tmp_path)] == [str(path) for path in clips[:2]]
    assert [str(source) for source in load_set("ntu120").find(tmp_path)] == [str(path) for path in clips]
    assert load_set("ntu60").ACTIONS == load_set("ntu120").ACTIONS[:60]
    parts = {
        name: {key: part(clips[0].stem, "P003", "C002") for key, part in load_set(name).PROTOCOLS.items()}
        for name in ("ntu60", "ntu120")
    }
    assert parts["ntu60"] == {"cross_subject": "test", "cross_view": "train"}
    assert parts["ntu120"] == {"cross_subject": "test", "cross_setup": "test"}
    for path in clips[:2]:
        path.unlink()
    with pytest.raises(DatasetError, match="does not hold NTU RGB\\+D 60: there are no clips of A001 to A060"):
        load_set("ntu60").find(tmp_path)
