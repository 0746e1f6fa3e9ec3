"""The readers of data sets on the originals: counts, a second parse of a file, sides, sizes, and what people do.

Of the large sets only the first files are unpacked, so that this takes seconds; USDRL_ALL_FILES=1 takes all of them.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed")

from training.data.sets import load_set, read_all  # noqa: E402
from usdrl_ros.recording import Recording  # noqa: E402
from usdrl_ros.skeleton.layouts import NTU_25, load_layout  # noqa: E402

ALL_FILES = bool(os.environ.get("USDRL_ALL_FILES"))


@dataclass(frozen=True)
class Facts:
    """What is known of a set: recordings that can be read, people, segments; how many files to unpack; None: all."""

    recordings: int
    people: int
    segments: int
    first_files: int | None = None
    skipped: int = 0


FACTS = {
    "utkinect_action3d": Facts(20, 10, 199),
    "kinder_gator": Facts(927, 16, 927, 60),
    "msrc12": Facts(236, 12, 2511, 16),
    "utd_mhad": Facts(861, 8, 861, 60),
    "nw_ucla": Facts(1482, 10, 1482, 60, skipped=2),
    "msr_daily_activity3d": Facts(320, 10, 320, 40),
    "msr_action3d": Facts(566, 10, 566, 60, skipped=1),
    "florence3d": Facts(215, 10, 215),
    "sbu_interaction": Facts(282, 21, 282),
    "zed_body34_samples": Facts(10, 1, 0),
}


@pytest.fixture(scope="session")
def unpacked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a set of which all, or the first, files are there."""
    base = tmp_path_factory.mktemp("sets")

    def unpack(name: str) -> Path:
        directory = base / name
        if not directory.exists():
            left = None if ALL_FILES else FACTS[name].first_files
            with tarfile.open(shared_data / f"{name}.tar.xz") as archive:
                for member in archive:
                    archive.extract(member, base, filter="data")
                    if left is not None and member.isfile() and not (left := left - 1):
                        break
        return directory

    return unpack


@pytest.fixture(scope="session")
def recordings(unpacked: Callable[[str], Path]) -> Callable[[str], list[Recording]]:
    """The recordings of a set, as far as it is unpacked, and how many files were skipped."""
    read: dict[str, list[Recording]] = {}
    skipped: list[str] = []

    def of(name: str) -> list[Recording]:
        if name not in read:
            skipped.clear()
            read[name] = list(read_all(name, unpacked(name), lambda cause, message: skipped.append(message)))
            if ALL_FILES or FACTS[name].first_files is None:
                assert len(skipped) == FACTS[name].skipped, skipped
        return read[name]

    return of


def ntu_25(recording: Recording, person_id: str = "person_1") -> dict[str, np.ndarray]:
    """Joints (T, 3) by their name."""
    mapped, _ = load_layout(recording.layout).to_ntu25(recording.joints[person_id])
    return {name: mapped[:, index] for index, name in enumerate(NTU_25)}


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.nanmedian(np.linalg.norm(a - b, axis=-1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTS)
def test_the_sets_are_listed(name: str, recordings: Callable[[str], list[Recording]]) -> None:
    facts, found = FACTS[name], recordings(name)
    assert len({recording.name for recording in found}) == len(found)
    reader = load_set(name)
    if ALL_FILES or facts.first_files is None:
        assert len(found) == facts.recordings
        assert len({recording.person for recording in found}) == facts.people
        assert sum(len(recording.segments) for recording in found) == facts.segments
        assert {segment.action for recording in found for segment in recording.segments} == set(reader.ACTIONS)
    else:
        assert 0.9 * facts.first_files / 2 - 2 < len(found) <= facts.first_files
    for recording in found:
        assert recording.layout == reader.LAYOUT
        assert len(recording.stamps) >= 2
        assert {segment.action for segment in recording.segments} <= set(reader.ACTIONS)
        for segment in recording.segments:
            assert recording.stamps[0] <= segment.start < segment.end <= recording.stamps[-1] + 0.1


@pytest.mark.parametrize("name", FACTS)
def test_people_stand_right_way_up_with_their_sides_in_place(
    name: str, recordings: Callable[[str], list[Recording]]
) -> None:
    """cross(up, forward) . (left - right shoulder) > 0 in most frames, where forward is where the feet point.

    OpenNI's skeletons have no feet: SBU's people face each other, Florence's have their knees before them as they sit.
    """
    right, ups = [], []
    for recording in recordings(name):
        joints = ntu_25(recording)
        up = joints["SpineShoulder"] - joints["SpineBase"]
        forward = sum(joints[f"Foot{side}"] - joints[f"Ankle{side}"] for side in ("Left", "Right"))
        sides = joints["ShoulderLeft"] - joints["ShoulderRight"]
        frames = np.isfinite(np.concatenate([up, forward, sides], -1)).all(-1)
        if name == "sbu_interaction":
            forward = ntu_25(recording, "person_2")["SpineMid"] - joints["SpineMid"]
        if name == "florence3d":
            if recording.segments[0].action != "sit_down":
                continue
            forward = sum(joints[f"Knee{side}"] - joints[f"Hip{side}"] for side in ("Left", "Right"))
            frames[:-3] = False
        right += list(((np.cross(up, forward) * sides).sum(-1) > 0)[frames])
        ups += list((up[:, 1] / np.linalg.norm(up, axis=-1))[frames])
    least = {"msr_daily_activity3d": 0.85, "florence3d": 0.8, "sbu_interaction": 0.9}.get(name, 0.92)
    assert np.mean(right) > least
    assert np.median(ups) > 0.8
    assert len(right) > 50


@pytest.mark.parametrize("name", FACTS)
def test_people_are_as_large_as_people(name: str, recordings: Callable[[str], list[Recording]]) -> None:
    """Metres, and joints in their place: bones are as long as people's, and about the same on both sides."""
    for person_id in ("person_1", "person_2") if name == "sbu_interaction" else ("person_1",):
        all_joints = [ntu_25(recording, person_id) for recording in recordings(name)]
        joints = {joint: np.concatenate([each[joint] for each in all_joints]) for joint in NTU_25}
        for a, b, least, most in (
            ("Hip{}", "Knee{}", 0.32, 0.56),
            ("Knee{}", "Ankle{}", 0.25, 0.46),
            ("Shoulder{}", "Elbow{}", 0.19, 0.31),
            ("Elbow{}", "Wrist{}", 0.18, 0.31),
        ):
            left, right = (distance(joints[a.format(side)], joints[b.format(side)]) for side in ("Left", "Right"))
            assert least < left < most, (a, left)
            assert right == pytest.approx(left, rel=0.15)
        assert 0.25 < distance(joints["ShoulderLeft"], joints["ShoulderRight"]) < 0.40
        assert 0.32 < distance(joints["SpineBase"], joints["SpineShoulder"]) < 0.65
        assert 0.12 < distance(joints["Head"], joints["SpineShoulder"]) < 0.30
        assert 0.9 < np.nanmedian(joints["SpineBase"][:, 2]) < 3.5  # away from the sensor


RATE_HZ = {
    "utkinect_action3d": 7.5, "kinder_gator": 31, "msrc12": 30, "utd_mhad": 30, "nw_ucla": 15,
    "msr_daily_activity3d": 30, "msr_action3d": 15, "florence3d": 15, "sbu_interaction": 15,
}  # fmt: skip
"""The usual one: of the files' own times in the first three, and as taken by the reader in the others."""


@pytest.mark.parametrize("name", RATE_HZ)
def test_time(name: str, recordings: Callable[[str], list[Recording]]) -> None:
    steps = np.concatenate([np.diff(recording.stamps) for recording in recordings(name)])
    assert (steps > 0).all()
    assert 1 / np.median(steps) == pytest.approx(RATE_HZ[name], rel=0.05)


# A second parse of the first file, without the reader's helpers. What is compared: frame, joint, coordinates.


def first_file(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern), key=lambda path: path.name)[0]


def lines_of(path: Path) -> list[list[str]]:
    return [line.replace(",", " ").split() for line in path.read_text().splitlines() if line.strip()]


def kinect_v1(joint: str) -> int:
    return load_layout("kinect_v1_20").joint_names.index(joint)


def by_kinect_v1(words: list[str], width: int = 3) -> dict[str, list[float]]:
    names = ("HipCenter", "Spine", "ShoulderCenter", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft")
    return {name: [float(word) for word in words[width * i : width * i + 3]] for i, name in enumerate(names)}


def parse_utkinect(root: Path) -> tuple[str, dict[str, list[float]]]:
    return "s01_e01", by_kinect_v1(lines_of(root / "joints" / "joints_s01_e01.txt")[0][1:])


def parse_kinder_gator(root: Path) -> tuple[str, dict[str, list[float]]]:
    path = first_file(root, "*/POSE*.csv")
    header, first = (line.split(",") for line in path.read_text().splitlines()[:2])
    values = dict(zip(header, first, strict=True))
    joints = {
        name: [float(values[name + axis]) for axis in "XYZ"]
        for name in ("HipCenter", "Head", "HandLeft", "HandRight", "FootLeft", "FootRight")
    }
    return path.name.split("-")[1] + "_" + values["Action"].strip("-").lower().replace("-", "_"), joints


def parse_msrc12(root: Path) -> tuple[str, dict[str, list[float]]]:
    path = first_file(root, "data/P*.csv")
    first = next(words for words in lines_of(path) if any(float(word) for word in words[1:]))
    return path.stem, by_kinect_v1(first[1:], 4)


def parse_utd_mhad(root: Path) -> tuple[str, dict[str, list[float]]]:
    path = root / "Skeleton" / "a10_s1_t1_skeleton.mat"
    stored = scipy_io.loadmat(path)["d_skel"]
    order = (root / "Skeleton" / "Skeleton_joint_order.txt").read_text()
    number = {line.split(". ")[1].strip(" ;"): int(line.split(".")[0]) for line in order.splitlines() if ";" in line}
    names = {"Head": "head", "HipCenter": "hip_center", "HandLeft": "left_hand", "FootRight": "right_foot"}
    return "a10_s1_t1", {ours: stored[number[theirs] - 1, :, 0].tolist() for ours, theirs in names.items()}


def parse_nw_ucla(root: Path) -> tuple[str, dict[str, list[float]]]:
    content = json.loads(first_file(root, "all_sqe/*.json").read_text())
    return content["file_name"], by_kinect_v1([value for joint in content["skeletons"][0] for value in joint])


def parse_msr_daily(root: Path) -> tuple[str, dict[str, list[float]]]:
    path = first_file(root, "t*/*.txt")
    words = [line for line in lines_of(path) if line[0] == "1"]
    return path.name[:11], by_kinect_v1([word for line in words for word in line[2:]])


def parse_msr_action3d(root: Path) -> tuple[str, dict[str, list[float]]]:
    """By the bones of the set's drawskt.m: 20 is the head, 7 the hip centre, 2-9-11-13 an arm, 5-14-16-18 a leg."""
    path = first_file(root, "real_world_coordinates/a*.txt")
    line = {"Head": 20, "HipCenter": 7, "ShoulderRight": 2, "HandRight": 13, "HipLeft": 5, "FootLeft": 18}
    lines = lines_of(path)
    return path.name[:11], {joint: [float(word) for word in lines[number - 1][:3]] for joint, number in line.items()}


OPENNI = {"Head": 0, "Neck": 1, "LeftHand": 5, "RightHand": 8, "LeftFoot": 11, "RightFoot": 14}


def parse_florence3d(root: Path) -> tuple[str, dict[str, list[float]]]:
    path = first_file(root, "clips/*.txt")
    lines = lines_of(path)
    return path.stem, {joint: [float(word) / 1000 for word in lines[number]] for joint, number in OPENNI.items()}


def parse_sbu(root: Path) -> tuple[str, dict[str, list[float]]]:
    """x = 1280 - 2560 x', y = 960 - 1920 y', z = 10000 z' / 7.8125, in millimetres."""
    words = [float(word) for word in lines_of(root / "SBU" / "s01s02" / "01" / "001" / "skeleton_pos.txt")[0][1:]]
    joints = {}
    for joint, number in OPENNI.items():
        x, y, z = words[3 * number : 3 * number + 3]
        joints[joint] = [(1280 - x * 2560) / 1000, (960 - y * 1920) / 1000, z * 10000 / 7.8125 / 1000]
    return "s01s02_01_001", joints


def parse_zed(root: Path) -> tuple[str, dict[str, list[float]]]:
    first = json.loads((root / "ZED_data.json").read_text())["data"][0]["joints"]
    names = {"PELVIS": "Pelvis", "LEFT_HANDTIP": "HandTipLeft", "RIGHT_THUMB": "TumbRight", "RIGHT_HEEL": "HeelRight"}
    turned = {ours: [-first[theirs][0], first[theirs][1], -first[theirs][2]] for ours, theirs in names.items()}
    return "ZED_data", turned


PARSERS = {
    "utkinect_action3d": parse_utkinect,
    "kinder_gator": parse_kinder_gator,
    "msrc12": parse_msrc12,
    "utd_mhad": parse_utd_mhad,
    "nw_ucla": parse_nw_ucla,
    "msr_daily_activity3d": parse_msr_daily,
    "msr_action3d": parse_msr_action3d,
    "florence3d": parse_florence3d,
    "sbu_interaction": parse_sbu,
    "zed_body34_samples": parse_zed,
}


@pytest.mark.parametrize("name", FACTS)
def test_the_first_frame_of_a_file(
    name: str, unpacked: Callable[[str], Path], recordings: Callable[[str], list[Recording]]
) -> None:
    named, expected = PARSERS[name](unpacked(name))
    (recording,) = [recording for recording in recordings(name) if recording.name == named]
    names = load_layout(recording.layout).joint_names
    for joint, position in expected.items():
        np.testing.assert_allclose(recording.joints["person_1"][0, names.index(joint)], position, atol=1e-9)


# What people do is what the label says.


def of_action(found: list[Recording], action: str) -> list[Recording]:
    return [recording for recording in found if recording.segments[0].action == action]


def test_hands_go_up(recordings: Callable[[str], list[Recording]]) -> None:
    raised = []
    for recording in of_action(recordings("msr_action3d"), "high_arm_wave"):
        joints = ntu_25(recording)
        raised.append(np.nanmax(joints["HandRight"][:, 1]) > np.nanmedian(joints["ShoulderRight"][:, 1]))
    assert len(raised) >= 20
    assert np.mean(raised) > 0.95


def test_people_sit_down_and_stand_up(recordings: Callable[[str], list[Recording]]) -> None:
    for action, sign in (("sit_down", -1), ("stand_up", 1)):
        heights = [ntu_25(recording)["SpineMid"][:, 1] for recording in of_action(recordings("florence3d"), action)]
        assert len(heights) == 20
        assert np.median([sign * (height[-1] - height[0]) for height in heights]) > 0.25


def test_interactions_have_two_people(recordings: Callable[[str], list[Recording]]) -> None:
    apart: dict[str, list[np.ndarray]] = {}
    for recording in recordings("sbu_interaction"):
        first, second = (ntu_25(recording, person_id)["SpineMid"] for person_id in ("person_1", "person_2"))
        apart.setdefault(recording.segments[0].action, []).append(np.linalg.norm(first - second, axis=-1))
    assert np.median([d[-1] - d[0] for d in apart["approach"]]) < -0.5
    assert np.median([d[-1] - d[0] for d in apart["depart"]]) > 0.5
    nearest = {action: np.median([d.min() for d in distances]) for action, distances in apart.items()}
    assert min(nearest, key=lambda action: nearest[action]) == "hug"


def test_gestures_are_where_people_move(recordings: Callable[[str], list[Recording]]) -> None:
    """People move more within MSRC-12's segments than between them."""
    inside, outside = [], []
    for recording in recordings("msrc12"):
        assert 8 <= len(recording.segments) <= 31
        joints = recording.joints["person_1"]
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1).mean(1) / np.diff(recording.stamps)
        times = recording.stamps[1:]
        acted = np.any([(segment.start <= times) & (times < segment.end) for segment in recording.segments], 0)
        inside.append(np.nanmean(speed[acted]))
        outside.append(np.nanmean(speed[~acted]))
    assert np.mean(inside) > 1.1 * np.mean(outside)


def test_a_session_of_kinder_gator_is_on_one_clock(recordings: Callable[[str], list[Recording]]) -> None:
    sessions: dict[str, list[Recording]] = {}
    for recording in recordings("kinder_gator"):
        sessions.setdefault(recording.person, []).append(recording)
    for clips in sessions.values():
        clips.sort(key=lambda clip: clip.stamps[0])
        assert all(a.stamps[-1] < b.stamps[0] for a, b in pairwise(clips))
        assert clips[-1].stamps[-1] - clips[0].stamps[0] < 1200.0


def test_repeated_clips_of_nw_ucla(unpacked: Callable[[str], Path]) -> None:
    """Those that cross_view_clean leaves out are those whose numbers are those of view 2."""
    reader, root = load_set("nw_ucla"), unpacked("nw_ucla")
    repeated, left_out = [], []
    for source in reader.find(root):
        other = source.with_name(source.name.replace("v03", "v02"))
        if source.stem.endswith("v03") and other.is_file():
            same = json.loads(source.read_text())["skeletons"] == json.loads(other.read_text())["skeletons"]
            part = reader.PROTOCOLS["cross_view_clean"](source.stem, source.stem[4:7], source.stem[-3:])
            repeated.append(same)
            left_out.append(part == "")
    assert repeated == left_out
    assert len(repeated) > 5
    if ALL_FILES:
        listed = json.loads((root / "test_clips_identical_to_train.json").read_text())
        assert sum(left_out) == len(listed) == 95


@pytest.mark.skipif(not ALL_FILES, reason="USDRL_ALL_FILES=1 unpacks all files, which takes a minute")
@pytest.mark.parametrize(
    ("name", "protocol", "train", "test"),
    [
        ("utkinect_action3d", "odd_even", 10, 10),
        ("kinder_gator", "cross_subject", 696, 231),
        ("utd_mhad", "cross_subject", 431, 430),
        ("nw_ucla", "cross_view", 1019, 463),
        ("nw_ucla", "cross_view_clean", 1019, 369),
        ("msr_daily_activity3d", "train_test", 192, 128),
        ("sbu_interaction", "fold_1", 227, 55),
    ],
)
def test_parts(name: str, protocol: str, train: int, test: int, recordings: Callable[[str], list[Recording]]) -> None:
    part = load_set(name).PROTOCOLS[protocol]
    parts = [part(recording.name, recording.person, recording.view) for recording in recordings(name)]
    assert (parts.count("train"), parts.count("test")) == (train, test)
