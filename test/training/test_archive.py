"""Archives: what is written is read back; nothing half-written is left; what is damaged says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.data.archive import Archive, ArchiveWriter
from training.data.errors import DatasetError
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.layouts import load_layout

ACTIONS = ("wave", "sit", "walk")


def recording(
    name: str = "take", frames: int = 30, people: int = 1, layout: str = "ntu_25", seed: int = 0, **values: object
) -> Recording:
    """Random joints at 10 Hz from 5 s on; by default one segment over all of it."""
    rng = np.random.default_rng(seed)
    stamps = 5.0 + 0.1 * np.arange(frames)
    shape = (frames, len(load_layout(layout).joint_names), 3)
    joints = {f"person_{i + 1}": rng.normal(size=shape) for i in range(people)}
    given = {"segments": (Segment(stamps[0], stamps[-1], "wave"),), "person": "p1"} | values
    return Recording(name, layout, stamps, joints, **given)  # type: ignore[arg-type]


def write(directory: Path, *recordings: Recording, people: int = 1, **values: object) -> Archive:
    with ArchiveWriter(directory, name="made_up", actions=ACTIONS, people=people, **values) as writer:  # type: ignore[arg-type]
        for each in recordings:
            writer.add(each, {"subjects": "train" if each.person == "p1" else "test"})
    return Archive(directory)


def test_archives_come_back_as_written(tmp_path: Path) -> None:
    given = [
        recording("a", 30, seed=1, view="v2"),
        recording("b", 12, seed=2, person="p2", segments=()),
        recording("c", 50, seed=3, person="p3", segments=(Segment(6.0, 7.0, "walk"), Segment(8.0, 9.95, "sit"))),
    ]
    archive = write(tmp_path / "new" / "made_up", *given)
    assert (archive.name, archive.actions, archive.dimensions, len(archive)) == ("made_up", ACTIONS, 3, 3)
    assert archive.joints.shape == (92, 1, 25, 3)
    assert isinstance(archive.joints, np.memmap)
    assert archive.names.tolist() == ["a", "b", "c"]
    assert archive.persons.tolist() == ["p1", "p2", "p3"]
    assert archive.views.tolist() == ["v2", "", ""]
    assert archive.length.tolist() == [30, 12, 50]
    for index, each in enumerate(given):
        stamps, joints, segments = archive.recording_of(index)
        np.testing.assert_array_equal(stamps, each.stamps)
        np.testing.assert_array_equal(joints[:, 0], each.joints["person_1"].astype(np.float32))
        assert [(s["start"], s["end"], ACTIONS[s["action"]]) for s in segments] == [
            (s.start, s.end, s.action) for s in each.segments
        ]


def test_segments_hold_the_frames_within_them(tmp_path: Path) -> None:
    """Stamps 5.0, 5.1 ...: of [6.0, 7.0) the frames 10 ... 19; a clip's only segment has its last frame as well."""
    archive = write(
        tmp_path / "a",
        recording("clip", 30),
        recording("take", 50, segments=(Segment(8.05, 8.55, "sit"), Segment(6.0 - 1e-9, 7.0 - 1e-9, "walk"))),
    )
    clips = archive.clips()
    assert clips.first.tolist() == [0, 30 + 10, 30 + 31]
    assert clips.length.tolist() == [30, 10, 5]
    assert clips.label.tolist() == [0, 2, 1]
    assert clips.recording.tolist() == [0, 1, 1]
    assert archive.clips(np.array([1])).first.tolist() == [40, 61]
    assert clips.select(clips.label == 1).length.tolist() == [5]
    assert clips.select(np.array([2, 0])).first.tolist() == [61, 0]


def test_another_layout_becomes_ntu_25(tmp_path: Path) -> None:
    given = recording(layout="kinect_v1_20")
    given.joints["person_1"][3, 7] = np.nan
    found = write(tmp_path / "a", given).joints[:, 0]
    expected = load_layout("kinect_v1_20").to_ntu25(given.joints["person_1"])[0]
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert np.isnan(found).any()


def test_skeletons_in_the_image_are_kept_in_their_layout(tmp_path: Path) -> None:
    given = recording(layout="coco_17")
    archive = write(tmp_path / "a", given, joints=17, dimensions=2)
    assert archive.dimensions == 2
    np.testing.assert_array_equal(archive.joints[:, 0], given.joints["person_1"].astype(np.float32))
    with pytest.raises(DatasetError, match="take has 25 joints, made_up 17"):
        write(tmp_path / "b", recording(), joints=17, dimensions=2)


def test_frames_without_the_main_person_are_left_out(tmp_path: Path) -> None:
    given = recording(people=2, segments=(Segment(5.45, 6.45, "wave"),))
    given.joints["person_1"][[0, 7, 8, 29]] = np.nan
    given.joints["person_2"][:10] = np.nan
    archive = write(tmp_path / "a", given, people=2)
    kept = np.setdiff1d(np.arange(30), [0, 7, 8, 29])
    np.testing.assert_array_equal(archive.stamps, given.stamps[kept])
    for slot in (0, 1):
        expected = given.joints[f"person_{slot + 1}"][kept].astype(np.float32)
        np.testing.assert_array_equal(archive.joints[:, slot], expected)
    clips = archive.clips()
    inside = archive.stamps[clips.first[0] : clips.first[0] + clips.length[0]]
    np.testing.assert_array_equal(inside, given.stamps[[5, 6, 9, 10, 11, 12, 13, 14]])


def test_people_apart_or_together(tmp_path: Path) -> None:
    segments = (Segment(5.0, 6.0, "wave"), Segment(6.0, 7.0, "sit", "person_2"))
    given = recording(people=2, segments=segments)
    apart = write(tmp_path / "apart", given)
    assert apart.names.tolist() == ["take/person_1", "take/person_2"]
    assert apart.joints.shape == (60, 1, 25, 3)
    np.testing.assert_array_equal(apart.joints[30:, 0], given.joints["person_2"].astype(np.float32))
    assert apart.clips().label.tolist() == [0, 1]
    assert apart.clips().recording.tolist() == [0, 1]
    together = write(tmp_path / "together", given, people=2)
    assert together.names.tolist() == ["take"]
    assert together.joints.shape == (30, 2, 25, 3)
    assert together.clips().label.tolist() == [0]
    alone = write(tmp_path / "alone", recording(), people=2)
    assert np.isnan(alone.joints[:, 1]).all()


def test_parts_that_are_not_kept_are_reported(tmp_path: Path) -> None:
    short = recording(people=2, segments=(Segment(5.0, 5.05, "wave"), Segment(6.0, 7.0, "sit", "person_2")))
    absent = recording("absent", people=2)
    absent.joints["person_2"][1:] = np.nan
    with ArchiveWriter(tmp_path / "a", name="made_up", actions=ACTIONS, people=2) as writer:
        assert writer.add(short) == [
            "the segment 'sit' at 6 s is of 'person_2', who is not the main person",
            "the segment 'wave' at 5 s has 1 frames",
        ]
        assert writer.add(absent) == []
    with ArchiveWriter(tmp_path / "b", name="made_up", actions=ACTIONS) as writer:
        assert writer.add(absent) == ["'person_2' is seen in 1 frames, fewer than 2"]
        absent.joints["person_1"][:] = np.nan
        with pytest.raises(DatasetError, match="absent: 'person_1' is seen in 0 frames, fewer than 2"):
            writer.add(absent)
        with pytest.raises(DatasetError, match="take: no action of made_up is called fly, jump"):
            writer.add(recording(segments=(Segment(5.0, 6.0, "jump"), Segment(6.0, 7.0, "fly"))))
        with pytest.raises(DatasetError, match="empty: nobody is in it"):
            writer.add(recording("empty", people=0, segments=()))
    assert Archive(tmp_path / "b").names.tolist() == ["absent/person_1"]


def interrupted(directory: Path) -> None:
    with ArchiveWriter(directory, name="made_up", actions=ACTIONS) as writer:
        writer.add(recording("half"))
        raise KeyboardInterrupt


def test_an_interruption_keeps_the_archive_before(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a", recording("old"))
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert Archive(tmp_path / "a").names.tolist() == ["old"]
    assert write(tmp_path / "a", recording("new")).names.tolist() == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_archive_of_nothing_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing to write to .*: no recording could be used"):
        write(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_other_directories_are_not_overwritten(tmp_path: Path) -> None:
    thesis = tmp_path / "home" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    for directory in (thesis.parent, thesis):
        with pytest.raises(DatasetError, match="exists and is no archive: choose another place or remove it"):
            ArchiveWriter(directory, name="made_up", actions=ACTIONS)
    assert thesis.read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert len(write(tmp_path / "empty", recording())) == 1


@pytest.mark.parametrize("file", ["archive.json", "index.npz", "joints.f32", "stamps.f64"])
@pytest.mark.parametrize("kept", [0.0, 0.5, None])
def test_damaged_archives_are_refused(tmp_path: Path, file: str, kept: float | None) -> None:
    write(tmp_path / "a", *(recording(f"take {i}") for i in range(5)))
    path = tmp_path / "a" / file
    content = path.read_bytes()
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DatasetError, match=r"prepare it again|holds no archive; write one with") as error:
        Archive(tmp_path / "a")
    assert str(tmp_path / "a") in str(error.value)


def test_bytes_that_changed_in_the_index_are_noticed(tmp_path: Path) -> None:
    write(tmp_path / "a", recording())
    path = tmp_path / "a" / "index.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match="is damaged"):
        Archive(tmp_path / "a")


def test_another_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", recording())
    header = tmp_path / "a" / "archive.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 99}))
    with pytest.raises(DatasetError, match=r"archive.json is of version 99, expected 1: prepare it again"):
        Archive(tmp_path / "a")


def test_splits(tmp_path: Path) -> None:
    people = ("p1", "p2", "p1", "p3")
    archive = write(tmp_path / "a", *(recording(f"take {i}", person=who) for i, who in enumerate(people)))
    assert archive.protocols == ("subjects",)
    assert archive.split().tolist() == [0, 2]
    assert archive.split("subjects", "test").tolist() == [1, 3]
    assert archive.of_people(["p1", "p3"]).tolist() == [True, False, True, True]
    with pytest.raises(DatasetError, match=r"made_up \(.*a\) has no split 'views'; it has subjects"):
        archive.split("views")
    with pytest.raises(DatasetError, match=r"no recording of .* is in the part 'validation' of its split 'subjects'"):
        archive.split("subjects", "validation")
    with pytest.raises(DatasetError, match="made_up has no recording of p9; there are p1, p2, p3"):
        archive.of_people(["p1", "p9"])
    with ArchiveWriter(tmp_path / "b", name="made_up", actions=ACTIONS) as writer:
        writer.add(recording())
    with pytest.raises(DatasetError, match="is not split: name its test people"):
        Archive(tmp_path / "b").split()


def test_windows_cover_recordings_once(tmp_path: Path) -> None:
    """Of 5.9 s and 2 s windows: 2, 2 and the rest of 1.9 s joined to the second; 1.1 s is one piece."""
    archive = write(tmp_path / "a", recording("long", 60), recording("short", 12), recording("other", 40))
    pieces = archive.windows(np.array([0, 1]), 2.0)
    assert pieces.recording.tolist() == [0, 0, 1]
    assert pieces.first.tolist() == [0, 20, 60]
    assert pieces.length.tolist() == [20, 40, 12]
    assert pieces.label.tolist() == [-1, -1, -1]
    assert len(archive.windows(np.array([], int), 2.0)) == 0
