"""PKU-MMD's files, laid out as distributed, written here by their description; real label files of phase I."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data.errors import DatasetError
from training.data.pku_mmd import ACTIONS, PROTOCOLS, find, protocols, read, read_labels
from usdrl_ros.recording import Segment


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def skeleton_lines(both: np.ndarray) -> str:
    """Lines of 150 numbers of (T, 2, 25, 3), ended as the distributed files are."""
    return "".join(" ".join(repr(float(value)) for value in frame.ravel()) + " \n" for frame in both)


def two_people(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 2, 25, 3))


SKELETONS = skeleton_lines(two_people(45))
SPLIT = "Training videos: \n{train}\n\nValidataion videos: \n{test}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Phase I's layout, with a video of phase II."""
    for name in ("0002-L", "0002-M", "0003-R", "A01N02-L"):
        write(tmp_path / "Data" / "PKU_Skeleton_Renew" / f"{name}.txt", SKELETONS)
        write(tmp_path / "Label" / "Train_Label_PKU_final" / f"{name}.txt", "1,0,30,2\n51,31,40,1\n")
    write(tmp_path / "Split" / "cross-subject.txt", SPLIT.format(train="0002-L, 0002-M", test="0003-R"))
    write(tmp_path / "Split" / "cross_subject_v2.txt", SPLIT.format(train="A01N02-L", test="A02N01-R"))
    write(tmp_path / "Split" / "cross-view.txt", SPLIT.format(train="0002-M, 0003-R", test="0002-L"))
    return tmp_path


def test_a_video_by_its_numbers(root: Path) -> None:
    both = two_people(45)
    both[:3, 0] = 0.0
    both[10:, 1] = 0.0
    both[5, 0, 7] = 0.0
    path = write(root / "Data" / "PKU_Skeleton_Renew" / "0002-L.txt", skeleton_lines(both))
    sources = find(root)
    assert [source.name for source in sources] == ["0002-L", "0002-M", "0003-R", "A01N02-L"]
    assert str(sources[0]) == str(path)
    recording = read(sources[0])
    assert (recording.name, recording.person, recording.view) == ("0002-L", "", "L")
    assert recording.layout == "ntu_25"
    np.testing.assert_array_equal(recording.stamps, np.arange(45) / 30)
    both[:3, 0] = both[10:, 1] = both[5, 0, 7] = np.nan
    np.testing.assert_array_equal(recording.joints["person_1"], both[:, 0])
    np.testing.assert_array_equal(recording.joints["person_2"], both[:, 1])
    assert recording.segments == (Segment(0.0, 1.0, "bow"), Segment(31 / 30, 40 / 30, "write"))
    assert read(sources[3]).view == "L"


def test_one_person_is_one(root: Path) -> None:
    both = two_people(40)
    both[:, 1] = 0.0
    write(root / "Data" / "PKU_Skeleton_Renew" / "A01N02-L.txt", skeleton_lines(both))
    assert list(read(find(root)[3]).joints) == ["person_1"]


def test_splits(root: Path) -> None:
    """Both phases' lists; a video in none is in neither part."""
    found = protocols(root)
    assert list(found) == ["cross_subject", "cross_view"]
    names = [source.name for source in find(root)]
    assert {name: tuple(part(name, "", name[-1]) for part in found.values()) for name in names} == {
        "0002-L": ("train", "test"), "0002-M": ("train", "train"), "0003-R": ("test", "train"),
        "A01N02-L": ("train", ""),
    }  # fmt: skip


def test_the_split_by_view_needs_no_file(root: Path) -> None:
    """The middle and the right camera train (Liu et al.)."""
    (root / "Split" / "cross-view.txt").unlink()
    for by_view in (PROTOCOLS["cross_view"], protocols(root)["cross_view"]):
        assert [by_view(f"0002-{view}", "", view) for view in "LMR"] == ["test", "train", "train"]


def test_a_missing_split_is_refused(root: Path) -> None:
    for path in (root / "Split").glob("cross*subject*"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"no split file of PKU-MMD by subject: cross-subject\.txt"):
        protocols(root)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (SPLIT.format(train="0002-L", test="0002-L"), r"cross-subject\.txt, line 5: 0002-L is in both parts"),
        (SPLIT.format(train="0002-L, two", test="0003-R"), r"line 2: .* names of videos such as 0002-L, found 'two'"),
        ("0002-L, 0002-M\n", r"line 1: expected 'Training videos:'"),
        ("", "is empty"),
    ],
)
def test_a_malformed_split_is_refused(root: Path, text: str, fault: str) -> None:
    write(root / "Split" / "cross-subject.txt", text)
    with pytest.raises(DatasetError, match=fault):
        protocols(root)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ("1,0,30,2\n2,40,46,2\n", "line 2: end 46, but the video has 45 frames"),
        ("52,0,30,2\n", "line 1: class 52, expected 1 to 51"),
        ("0,0,30,2\n", "line 1: class 0, expected 1 to 51"),
        ("\n1,30,30,2\n", "line 2: start 30 is not before end 30"),
        ("1,30,20,2\n", "line 1: start 30 is not before end 20"),
        ("1,-1,30,2\n", "line 1: expected 'class,start,end,confidence', found '1,-1,30,2'"),
        ("1 0 30 2\n", "line 1: expected 'class,start,end,confidence'"),
        ("", "is empty"),
    ],
)
def test_a_label_file_that_disagrees_is_refused(root: Path, labels: str, fault: str) -> None:
    path = write(root / "Label" / "Train_Label_PKU_final" / "0002-L.txt", labels)
    with pytest.raises(DatasetError, match=fault) as error:
        read(find(root)[0])
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("skeletons", "fault"),
    [
        ("", "is empty"),
        (skeleton_lines(two_people(1)), "has 1 frame, expected at least 2"),
        ("1.0 2.0 3.0\n" * 3, "has 3 columns, expected 150"),
        (skeleton_lines(two_people(3))[:-30], "cannot be read"),
        (skeleton_lines(two_people(3)).replace(" ", " x ", 1), "cannot be read"),
        (skeleton_lines(np.zeros((3, 2, 25, 3))), "the first person is in none of its frames"),
    ],
)
def test_a_malformed_skeleton_file_is_refused(root: Path, skeletons: str, fault: str) -> None:
    path = write(root / "Data" / "PKU_Skeleton_Renew" / "0002-L.txt", skeletons)
    with pytest.raises(DatasetError, match=fault) as error:
        read(find(root)[0])
    assert str(path) in str(error.value)


def test_a_file_without_its_other_half_is_refused(root: Path) -> None:
    (root / "Label" / "Train_Label_PKU_final" / "0002-L.txt").unlink()
    (root / "Data" / "PKU_Skeleton_Renew" / "0002-M.txt").unlink()
    sources = find(root)
    assert [source.name for source in sources[:2]] == ["0002-L", "0002-M"]
    with pytest.raises(DatasetError, match=r"PKU_Skeleton_Renew/0002-L\.txt: the labels of 0002-L are missing"):
        read(sources[0])
    with pytest.raises(DatasetError, match=r"Train_Label_PKU_final/0002-M\.txt: the skeletons of 0002-M are missing"):
        read(sources[1])


def test_two_files_of_a_video_are_refused(root: Path) -> None:
    write(root / "Data" / "skeleton_old" / "0002-L.txt", SKELETONS)
    with pytest.raises(DatasetError, match="are skeleton files of one video: remove one"):
        find(root)


def test_a_wrong_directory_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "none")
    with pytest.raises(DatasetError, match="does not hold PKU-MMD: there is no file like"):
        find(tmp_path)


def test_names_of_actions() -> None:
    assert len(ACTIONS) == len(set(ACTIONS)) == 51
    expected = {
        1: "bow", 8: "drink_water", 11: "fall", 13: "wave", 16: "hug", 22: "pick_up", 33: "sit_down", 34: "stand_up",
        41: "throw", 46: "type_on_keyboard", 51: "write",
    }  # fmt: skip
    assert {number: ACTIONS[number - 1] for number in expected} == expected


def test_real_labels(shared_data: Path) -> None:
    """60 label files of phase I, 1,210 actions: each as its line says, and refused for a video that is too short."""
    labels = sorted((shared_data / "reference" / "pku_mmd_map" / "ground_truth").glob("*.txt"))
    count = 0
    for path in labels:
        rows = [[int(number) for number in line.split(",")] for line in path.read_text().split()]
        last = max(end for _, _, end, _ in rows)
        segments = read_labels(path, last)
        assert [(s.action, s.start, s.end) for s in segments] == [
            (ACTIONS[action - 1], start / 30, end / 30) for action, start, end, _ in rows
        ]
        with pytest.raises(
            DatasetError, match=rf"{path.name}, line \d+: end {last}, but the video has {last - 1} frames"
        ):
            read_labels(path, last - 1)
        count += len(rows)
    assert (len(labels), count) == (60, 1210)
