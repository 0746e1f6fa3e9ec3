"""The reader of UTKinect-Action3D against what is known of the data set, and against files made by hand."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from training.data.errors import DatasetError
from training.data.sets import read_all
from training.data.utkinect import ACTIONS, LABELS, NAME, TEST_PEOPLE, TRAIN_PEOPLE
from usdrl_ros.recording import Recording


@pytest.fixture(scope="module")
def root(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("utkinect")
    with tarfile.open(shared_data / "utkinect_action3d.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return directory / "utkinect_action3d"


@pytest.fixture(scope="module")
def takes(root: Path) -> list[Recording]:
    return list(read_all(NAME, root))


def test_the_whole_set(takes: list[Recording]) -> None:
    """20 takes of 10 people, 199 segments, about 60 % background: the data set's own numbers."""
    assert [take.name for take in takes] == [f"s{s:02}_e{e:02}" for s in range(1, 11) for e in (1, 2)]
    assert sum(len(take.segments) for take in takes) == 199
    length = sum(take.stamps[-1] - take.stamps[0] for take in takes)
    acted = sum(segment.end - segment.start for take in takes for segment in take.segments)
    assert 1 - acted / length == pytest.approx(0.6, abs=0.05)
    for take in takes:
        assert (take.person, take.layout, take.view) == (take.name[:3], "kinect_v1_20", "")
        missing = {"carry"} if take.name == "s10_e02" else set()
        assert {s.action for s in take.segments} == set(ACTIONS) - missing


def test_people_stand_right_way_up_with_their_sides_in_place(takes: list[Recording]) -> None:
    """cross(up, where the feet point) . (left - right shoulder) > 0 in most frames."""
    right = []
    for take in takes:
        joints = take.joints["person_1"]
        up = joints[:, 2] - joints[:, 0]
        feet = joints[:, 15] - joints[:, 14] + joints[:, 19] - joints[:, 18]
        sides = (np.cross(up, feet) * (joints[:, 4] - joints[:, 8])).sum(-1)
        right.append(np.mean(sides > 0))
        assert np.nanmedian(up[:, 1]) > 0.3
    assert np.mean(right) > 0.9


def test_a_file_is_read_line_by_line(root: Path, takes: list[Recording]) -> None:
    take = takes[3]
    seen: dict[int, list[float]] = {}
    for line in (root / "joints" / f"joints_{take.name}.txt").read_text().splitlines():
        values = line.split()
        if values:
            seen.setdefault(int(float(values[0])), [float(value) for value in values[1:]])
    numbers = sorted(seen)
    np.testing.assert_allclose(take.stamps, [(number - numbers[0]) / 30 for number in numbers])
    expected = np.array([seen[number] for number in numbers]).reshape(-1, 20, 3)
    known = np.isfinite(take.joints["person_1"])
    np.testing.assert_array_equal(take.joints["person_1"][known], expected[known])
    assert (expected[~known] == 0.0).all()


def test_names() -> None:
    assert sorted(TRAIN_PEOPLE + TEST_PEOPLE) == [f"s{s:02}" for s in range(1, 11)]
    assert tuple(LABELS.values()) == ACTIONS


def write(root: Path, labels: str, lines: list[str]) -> Path:
    (root / "joints").mkdir()
    (root / "joints" / "actionLabel_modified.txt").write_text(labels)
    (root / "joints" / "joints_s01_e01.txt").write_text("\n".join(lines))
    return root


def line(number: int, value: float = 1.0) -> str:
    return f"{number} " + " ".join([str(value)] * 60)


def test_by_hand(tmp_path: Path) -> None:
    """Frame 30 comes twice, 45 is missing, 60 is all zero; carry has no times."""
    labels = "s01_e01\nwalk: 30 60\ncarry: NaN NaN\n"
    (take,) = read_all(NAME, write(tmp_path, labels, [line(30), line(30, 2.0), line(60, 0.0), line(90, 3.0)]))
    assert take.stamps.tolist() == [0.0, 1.0, 2.0]
    assert take.joints["person_1"][:, 0, 0].tolist() == [1.0, pytest.approx(np.nan, nan_ok=True), 3.0]
    assert [(s.start, s.end, s.action) for s in take.segments] == [(0.0, 1.0, "walk")]


@pytest.mark.parametrize(
    ("labels", "lines", "fault"),
    [
        ("s01_e01\nfly: 1 2\n", [line(1)], "actionLabel_modified.txt, line 2: expected .*, found 'fly"),
        ("s01_e01\nwalk 1 2\n", [line(1)], "line 2: expected 'action: start end', found 'walk 1 2'"),
        ("s01_e01\nwalk: 1 2\n", ["1 2 3"], "joints_s01_e01.txt has 3 columns, expected 61"),
        ("s01_e01\nwalk: 1 2\n", [line(1), "x"], "joints_s01_e01.txt cannot be read"),
        ("s01_e02\nwalk: 1 2\n", [line(1)], "joints_s01_e02.txt cannot be read"),
        ("s01_e01\nwalk: one 2\n", [line(1)], "line 2: expected 'action: start end'"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, labels: str, lines: list[str], fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        list(read_all(NAME, write(tmp_path, labels, lines)))


def test_a_wrong_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"actionLabel_modified\.txt is not there; unpack"):
        list(read_all(NAME, tmp_path))
