"""NTU RGB+D's .skeleton files, written here by the format's specification, and the choice of people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from training.data import ntu_rgbd
from training.data.errors import DatasetError
from training.data.ntu_rgbd import ACTIONS, PROTOCOLS, TRAIN_PEOPLE_60, TRAIN_PEOPLE_120, find, read
from training.data.people import join_tracks, main_people
from training.data.skeleton_file import read_bodies

Body = tuple[str, np.ndarray]
"""Its id and its joints (25, 3)."""


def skeleton_text(frames: Sequence[Sequence[Body]], fields: int = 12) -> str:
    """A .skeleton file: the bodies of each frame, in order."""
    lines = [f"{len(frames)}"]
    for bodies in frames:
        lines.append(f"{len(bodies)}")
        for body, joints in bodies:
            lines.append(f"{body} 0 1 1 0 1 0 0.0333 -0.0167 2")
            lines.append(f"{len(joints)}")
            for x, y, z in joints:
                rest = ["277.4", "191.8", "1036.2", "519.2", "-0.21", "0.04", "0.97", "-0.09", "2"][: fields - 3]
                lines.append(" ".join([repr(float(x)), repr(float(y)), repr(float(z)), *rest]))
    return "\r\n".join(lines) + "\r\n"


def write(directory: Path, text: str | bytes, name: str = "S001C002P003R002A013") -> Path:
    path = directory / f"{name}.skeleton"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def moving(frames: int, seed: int, amplitude: float = 1.0, at: float = 0.0) -> np.ndarray:
    """A body (frames, 25, 3) that moves the more the greater the amplitude is."""
    rng = np.random.default_rng(seed)
    return amplitude * rng.normal(size=(frames, 25, 3)) + np.array([at, 1.0, 3.0])


def test_a_clip_by_its_numbers(tmp_path: Path) -> None:
    """Two bodies; the one that comes second varies more, and is absent in frame 1. Its ids differ in the last digit,
    which a float would lose."""
    still, lively = moving(20, 1, 0.1), moving(20, 2, 0.8)
    first, second = "72057594037932358", "72057594037932359"
    frames = [[(first, still[t]), (second, lively[t])] for t in range(20)]
    frames[1] = frames[1][:1]
    recording = read(write(tmp_path, skeleton_text(frames)))
    assert (recording.name, recording.person, recording.view) == ("S001C002P003R002A013", "P003", "C002")
    assert recording.layout == "ntu_25"
    np.testing.assert_array_equal(recording.stamps, np.arange(20) / 30)
    lively[1] = np.nan
    np.testing.assert_array_equal(recording.joints["person_1"], lively)
    np.testing.assert_array_equal(recording.joints["person_2"], still)
    (segment,) = recording.segments
    assert (segment.action, segment.person_id, segment.start) == ("tear_up_paper", "person_1", 0.0)
    assert segment.end >= recording.stamps[-1]


def test_the_order_of_bodies_plays_no_part(tmp_path: Path) -> None:
    """Ids lead a body through the file, wherever it stands in a frame."""
    bodies = {str(7 + i): moving(30, i, 0.2 + 0.1 * i, at=2.0 * i) for i in range(3)}
    rng = np.random.default_rng(0)
    results = []
    for number in range(4):
        frames = [[(body, joints[t]) for body, joints in bodies.items()] for t in range(30)]
        for frame in frames:
            rng.shuffle(frame) if number else None  # type: ignore[arg-type]
        results.append(read(write(tmp_path, skeleton_text(frames))).joints)
    np.testing.assert_array_equal(results[0]["person_1"], bodies["9"])
    np.testing.assert_array_equal(results[0]["person_2"], bodies["8"])
    for result in results[1:]:
        assert list(result) == ["person_1", "person_2"]
        for person in result:
            np.testing.assert_array_equal(result[person], results[0][person])


def test_ids_that_continue_each_other_are_one_person(tmp_path: Path) -> None:
    """Lost for frames 8 and 9; the new id begins 2 cm away. Another body, 3 m away, stays another person."""
    walk = moving(20, 1, 0.01) + 0.01 * np.arange(20)[:, None, None]
    other = moving(20, 2, 0.2, at=3.0)
    frames = [[("5", walk[t])] for t in range(8)] + [[], []]
    frames += [[("6", walk[t]), ("4", other[t])] for t in range(10, 20)]
    joints = read(write(tmp_path, skeleton_text(frames))).joints
    assert set(joints) == {"person_1"}  # the other one is there for 10 frames: noise
    walk[8:10] = np.nan
    np.testing.assert_array_equal(joints["person_1"], walk)


def test_short_bodies_count_only_where_all_are_short(tmp_path: Path) -> None:
    lasting, ghost = moving(14, 1, 0.1), moving(14, 2, 5.0, at=9.0)
    frames = [[("1", lasting[t])] + ([("2", ghost[t])] if t < 11 else []) for t in range(14)]
    np.testing.assert_array_equal(read(write(tmp_path, skeleton_text(frames))).joints["person_1"], lasting)
    short = read(write(tmp_path, skeleton_text(frames[:5]))).joints
    np.testing.assert_array_equal(short["person_1"], ghost[:5])
    np.testing.assert_array_equal(short["person_2"], lasting[:5])


def test_main_people_by_hand() -> None:
    """Standard deviations of seen joints, summed over coordinates: 1 + 0 + 0, 0.5 + 0.6 + 0, and none."""
    one = np.zeros((2, 1, 3))
    one[:, 0, 0] = [-1.0, 1.0]
    two = np.zeros((3, 1, 3))
    two[:, 0, 0], two[:, 0, 1] = [0.5, -0.5, np.nan], [0.6, -0.6, 5.0]
    two = np.concatenate([two, np.full((3, 1, 3), np.nan)], 1)
    one = np.concatenate([one, np.full((1, 1, 3), np.nan)], 0)
    joints = {"never": np.full((3, 1, 3), np.nan), "one": one, "two": two, "equal": one.copy()}
    assert main_people(joints, 4) == ["two", "equal", "one"]
    assert main_people(joints, 1) == ["two"]
    assert main_people({}) == []


def test_tracks_are_joined_within_a_walk_s_reach() -> None:
    """30 frames, a second, between them: 0.5 m + 1.5 m are in reach."""
    for distance, joined in ((1.9, True), (2.1, False)):
        tracks = {"a": np.full((40, 2, 3), np.nan), "b": np.full((40, 2, 3), np.nan)}
        tracks["a"][:5] = 0.0
        tracks["b"][34:] = [distance, 0.0, 0.0]
        people = join_tracks(tracks, 30.0)
        assert list(people) == (["a"] if joined else ["a", "b"])
        seen = np.isfinite(people["a"]).all((1, 2))
        assert seen.sum() == (11 if joined else 5)
        assert np.isnan(tracks["a"][5:]).all()  # what came in is not changed


def test_names_of_actions() -> None:
    """The data set's list: spot checks at its beginning, its two halves' border and its end."""
    assert len(ACTIONS) == len(set(ACTIONS)) == 120
    assert all(action == action.lower() and action.replace("_", "a").isalpha() for action in ACTIONS)
    expected = {
        1: "drink_water", 8: "sit_down", 9: "stand_up", 23: "wave", 31: "point_at_something", 43: "fall",
        50: "punch_person", 55: "hug", 58: "shake_hands", 60: "walk_apart", 61: "put_on_headphones", 80: "squat_down",
        91: "open_box", 99: "run_on_the_spot", 112: "high_five", 120: "rock_paper_scissors",
    }  # fmt: skip
    assert {number: ACTIONS[number - 1] for number in expected} == expected


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("S001C001P001R001A001", ("train", "test", "train", "test")),
        ("S002C003P003R001A060", ("test", "train", "test", "train")),
        ("S018C002P045R001A061", ("", "", "train", "train")),
        ("S031C001P106R002A120", ("", "", "test", "test")),
    ],
)
def test_protocols(name: str, parts: tuple[str, ...]) -> None:
    assert list(PROTOCOLS) == [
        "ntu60_cross_subject", "ntu60_cross_view", "ntu120_cross_subject", "ntu120_cross_setup",
    ]  # fmt: skip
    assert tuple(part(name, name[8:12], name[4:8]) for part in PROTOCOLS.values()) == parts


def test_numbers_of_people_that_train() -> None:
    """20 of 40 people, and 53 of 106, as the papers say."""
    assert len(TRAIN_PEOPLE_60) == 20
    assert max(TRAIN_PEOPLE_60) <= 40
    assert len(TRAIN_PEOPLE_120) == 53
    assert max(TRAIN_PEOPLE_120) <= 106


def test_files_are_found_in_order_and_listed_ones_refused(tmp_path: Path) -> None:
    text = skeleton_text([[("1", moving(1, 1)[0])], [("1", moving(1, 2)[0])]])
    (tmp_path / "b").mkdir()
    for directory, name in (
        ("b", "S001C001P001R001A001"),
        (".", "S017C001P001R001A002"),
        ("b", "S001C001P001R001A003"),
    ):
        write(tmp_path / directory, text, name)
    list_file = tmp_path / "NTU_RGBD_samples_with_missing_skeletons.txt"
    list_file.write_text("Samples with missing skeletons:\n\nS001C001P001R001A003\n")
    sources = find(tmp_path)
    assert [source.path.stem[-4:] for source in sources] == ["A002", "A001", "A003"]
    assert str(sources[0]).endswith("S017C001P001R001A002.skeleton")
    assert read(sources[1]).segments[0].action == "drink_water"
    with pytest.raises(DatasetError, match=r"A003\.skeleton is listed as damaged in .*missing_skeletons\.txt"):
        read(sources[2])


def test_a_directory_without_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"does not hold NTU RGB\+D: there is no file .*\.skeleton"):
        find(tmp_path)


WHOLE = skeleton_text([[("1", moving(1, 1)[0])], [("1", moving(1, 2)[0])]])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("\r\n \r\n", "is empty"),
        ("0\r\n", "no body is in its 0 frames"),
        ("3\r\n0\r\n0\r\n0\r\n", "no body is in its 3 frames"),
        (skeleton_text([[("1", moving(1, 1)[0])]]), "has 1 frame, expected at least 2"),
        (skeleton_text([[("1", moving(1, 1)[0])], []]), "the person is seen in fewer than 2 frames"),
        (skeleton_text([[("1", np.zeros((25, 3)))]] * 2), "no body is in its 2 frames"),
        (WHOLE[: len(WHOLE) // 2], "ends with line 29, where the number of bodies is due"),
        (WHOLE[:-20], "numbers, expected .*: each body's line has 10, each joint's 12"),
        ("\r\n".join(WHOLE.split("\r\n")[:-3]), "should end after 2 frames with line 57, but the last is cut off"),
        ("\r\n".join(WHOLE.split("\r\n")[:28]), "ends with line 28, where the number of bodies is due"),
        (WHOLE + "1\r\n", "should end after 2 frames with line 57, but 1 lines more"),
        (WHOLE.replace("\r\n25\r\n", "\r\n24\r\n", 1), "line 4: 24 joints, expected 25"),
        (WHOLE.replace("277.4", "277.4 0", 1), "holds 626 numbers, expected 625: each body"),
        ("two\r\n" + WHOLE[3:], "line 1: expected the number of frames, found 'two'"),
        (b"\x80\x04\x95 not text \xff\xfe", "line 1: expected the number of frames"),
        (WHOLE.replace(" 277.4 ", "x 277.4 ", 1), "a joint's x y z are no numbers"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, text: str | bytes, fault: str) -> None:
    with pytest.raises(DatasetError, match=fault) as error:
        read(write(tmp_path, text))
    assert "S001C002P003R002A013.skeleton" in str(error.value)


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    """A file that ends anywhere before its last number is never taken for a whole one."""
    text = WHOLE.rstrip().encode()
    for length in range(0, len(text) - 1, 97):
        with pytest.raises(DatasetError):
            read(write(tmp_path, text[:length]))
    assert len(read(write(tmp_path, text)).stamps) == 2


@pytest.mark.parametrize(
    ("name", "fault"),
    [("walk", "a name like S001C001P001R001A001.skeleton was expected"), ("S001C001P001R001A121", "numbered 1 to 120")],
)
def test_a_wrong_name_is_refused(tmp_path: Path, name: str, fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        read(write(tmp_path, WHOLE, name))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"A001\.skeleton cannot be read: No such file"):
        read(tmp_path / "S001C001P001R001A001.skeleton")


def test_ids_that_come_twice_in_a_frame_are_two_bodies(tmp_path: Path) -> None:
    bodies = moving(2, 1)
    path = write(tmp_path, skeleton_text([[("000", bodies[0]), ("000", bodies[1])]]))
    frames, found = read_bodies(path, joints=25, fields=12)
    assert frames == 1
    np.testing.assert_array_equal(np.concatenate(list(found.values())), bodies)


def test_protocols_refuse_foreign_names() -> None:
    with pytest.raises(DatasetError, match="'take_1' is no clip of NTU"):
        ntu_rgbd.PROTOCOLS["ntu60_cross_subject"]("take_1", "", "")
