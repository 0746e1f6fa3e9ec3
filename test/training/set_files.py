"""Tiny data sets written as the originals are, with what their readers must give: for tests without the originals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

KINECT_V1 = (
    "HipCenter", "Spine", "ShoulderCenter", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft",
    "ShoulderRight", "ElbowRight", "WristRight", "HandRight", "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft",
    "HipRight", "KneeRight", "AnkleRight", "FootRight",
)  # fmt: skip
MSR_ACTION3D = (
    "ShoulderLeft", "ShoulderRight", "ShoulderCenter", "Spine", "HipLeft", "HipRight", "HipCenter", "ElbowLeft",
    "ElbowRight", "WristLeft", "WristRight", "HandLeft", "HandRight", "KneeLeft", "KneeRight", "AnkleLeft",
    "AnkleRight", "FootLeft", "FootRight", "Head",
)  # fmt: skip
"""Named from the bones in the set's drawskt.m, with ShoulderLeft where cross(up, feet) . (left - right) > 0."""
ZED = (
    "Pelvis NavalSpine ChestSpine Neck ClavicleLeft ShoulderLeft ElbowLeft WristLeft HandLeft HandTipLeft TumbLeft "
    "ClavicleRight ShoulderRight ElbowRight WristRight HandRight HandTipRight TumbRight HipLeft KneeLeft AnkleLeft "
    "FootLeft HipRight KneeRight AnkleRight FootRight Head Nose EyeLeft EarLeft EyeRight EarRight HeelLeft HeelRight"
).split()


@dataclass(frozen=True)
class Expected:
    """What a reader must give for a file.

    Args:
        path: The file.
        name, person, view, segments: Of the recording; segments as (start, end, action).
        stamps: (T,) seconds.
        joints: person_id -> (T, V, 3) metres.
    """

    path: Path
    name: str
    person: str
    view: str
    segments: list[tuple[float, float, str]]
    stamps: np.ndarray
    joints: dict[str, np.ndarray]


def random_joints(*shape: int) -> np.ndarray:
    """Joints (*shape, 3) in metres, rounded as in a file."""
    return np.random.default_rng(len(shape)).normal(0, 1, (*shape, 3)).round(4)


def write(path: Path, text: str) -> Path:
    """A text file, and its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def table(rows: np.ndarray, separator: str = " ") -> str:
    """Rows of numbers."""
    return "\n".join(separator.join(f"{value:g}" for value in row) for row in rows)


def trimmed(path: Path, name: str, person: str, action: str, joints: dict[str, np.ndarray], rate: float) -> Expected:
    """A clip of `rate` frames a second."""
    stamps = np.arange(len(joints["person_1"])) / rate
    return Expected(path, name, person, "", [(0.0, len(stamps) / rate, action)], stamps, joints)


def utkinect(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 20)
    numbers = 100 + 2 * np.arange(frames)
    path = root / "joints" / "joints_s01_e02.txt"
    write(path, table(np.column_stack([numbers, joints.reshape(frames, -1)])))
    write(root / "joints" / "actionLabel_modified.txt", "s01_e02\nwalk: 100 104\n")
    segments = [(0.0, 4 / 30, "walk")]
    return Expected(path, "s01_e02", "s01", "", segments, 2 * np.arange(frames) / 30, {"person_1": joints})


def kinder_gator(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 20)
    path = root / "Children" / "POSE-p103_07-Throw-a-ball--1455370205.csv"
    header = "Timestamp," + ",".join(f"{joint}{axis}" for joint in KINECT_V1 for axis in "XYZ") + ",User-ID,Action,\n"
    milliseconds = 36794471.5 + 32.0 * np.arange(frames)
    lines = []
    for time, values in zip(milliseconds, joints.reshape(frames, -1), strict=True):
        lines.append(f"{time:.4f}," + ",".join(f"{value:g}" for value in values) + ",103,Throw-a-ball-,\n")
    if len(lines) > 1:
        lines.insert(1, lines[0])  # a frame that comes twice
    write(path, header + "".join(lines))
    stamps = 36794.4715 + 0.032 * np.arange(frames)
    segments = [(stamps[0], stamps[-1] + 0.032, "throw_a_ball")]
    return Expected(path, "p103_07_throw_a_ball", "103", "", segments, stamps, {"person_1": joints})


def msrc12(root: Path, frames: int = 400) -> Expected:
    """Twelve seconds with gestures at 1, 5 and 7 s after the first frame in which somebody is seen."""
    joints = random_joints(frames, 20)
    microseconds = 24_763_921_723 + 30_000 * np.arange(frames)
    padded = np.concatenate([joints, np.ones((frames, 20, 1))], -1).reshape(frames, -1)
    rows = np.column_stack([microseconds, padded])
    unseen = np.column_stack([microseconds[:1] - 30_000, np.zeros((1, 80))])
    text = "\n".join(" ".join([f"{row[0]:.0f}", *(f"{value:g}" for value in row[1:])]) for row in [*unseen, *rows])
    path = write(root / "data" / "P2_1_7A_p12.csv", text)
    ticks = [round(((24_763_921_723 + second * 1e6) * 49875 - 24937.5) / 1000) for second in (1, 5, 7)]
    tags = "XQPCTick;Tag\n" + "".join(f"{tick};G7  Bow\n" for tick in ticks)
    write(root / "data" / "p2_1_7A_p12.tagstream", tags)
    segments = [(0.0, 2.0, "bow"), (3.5, 6.0, "bow"), (6.0, 8.0, "bow")]
    return Expected(path, "P2_1_7A_p12", "p12", "", segments, 0.03 * np.arange(frames), {"person_1": joints})


def utd_mhad(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 20)
    order = ["Head", "ShoulderCenter", "Spine", "HipCenter", *KINECT_V1[4:]]
    path = root / "Skeleton" / "a8_s3_t4_skeleton.mat"
    path.parent.mkdir(parents=True)
    stored = np.stack([joints[:, KINECT_V1.index(name)].T for name in order])
    scipy.io.savemat(path, {"d_skel": stored})
    return trimmed(path, "a8_s3_t4", "s3", "draw_x", {"person_1": joints}, 30.0)


def nw_ucla(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 20)
    path = root / "all_sqe" / "a08_s02_e04_v03.json"
    write(path, json.dumps({"file_name": path.stem, "skeletons": joints.tolist(), "label": 7}))
    stamps = np.arange(frames) / 15
    segments = [(0.0, frames / 15, "put_on")]
    return Expected(path, "a08_s02_e04_v03", "s02", "v03", segments, stamps, {"person_1": joints})


def msr_daily_activity3d(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 20)
    joints[1:2, 7] = 0.0
    lines = [(1 + t, 1 + v, *joints[t, v]) for t in range(frames) for v in range(20)]
    path = write(root / "test" / "a03_s09_e02_skeleton_proj.txt", table(np.array(lines)))
    joints[1:2, 7] = np.nan
    return trimmed(path, "a03_s09_e02", "s09", "read", {"person_1": joints}, 30.0)


def msr_action3d(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 20)
    stored = np.stack([joints[:, KINECT_V1.index(name)] for name in MSR_ACTION3D], 1)
    rows = np.concatenate([stored, np.zeros((frames, 20, 1))], -1).reshape(-1, 4)
    path = write(root / "real_world_coordinates" / "a19_s10_e03_skeleton3D.txt", table(rows))
    return trimmed(path, "a19_s10_e03", "s10", "golf_swing", {"person_1": joints}, 15.0)


def florence3d(root: Path, frames: int = 3) -> Expected:
    joints = random_joints(frames, 15)
    path = write(root / "clips" / "a05_s10_id204.txt", table(joints.reshape(-1, 3) * 1000))
    return trimmed(path, "a05_s10_id204", "s10", "tight_lace", {"person_1": joints}, 15.0)


def sbu_interaction(root: Path, frames: int = 3) -> Expected:
    """Normalised as by the authors: x = 1280 - 2560 x', y = 960 - 1920 y', z = z' 10000 / 7.8125 in millimetres."""
    joints = random_joints(frames, 2, 15)
    millimetres = joints * 1000
    x, y, z = np.moveaxis(millimetres, -1, 0)
    stored = np.stack([(1280 - x) / 2560, (960 - y) / 1920, z * 7.8125 / 10000], -1)
    rows = np.column_stack([np.arange(1, frames + 1), stored.reshape(frames, -1)])
    text = "\n".join(",".join(f"{value:.9g}" for value in row) for row in rows)
    path = write(root / "SBU" / "s05s02" / "07" / "002" / "skeleton_pos.txt", text)
    people = {"person_1": joints[:, 0], "person_2": joints[:, 1]}
    return trimmed(path, "s05s02_07_002", "s05s02", "exchange_object", people, 15.0)


def zed_body34_samples(root: Path, frames: int = 3) -> Expected:
    """Two people in turn, and pandas' shape."""
    joints = random_joints(frames, 34)
    data = [
        {"index": t, "ID_subject": 4 * (t % 2), "time": f"2022-01-12 00:{t // 60:02}:{t % 60:02}.500000"}
        | {"joints": {name: (joints[t, v] * [-1, 1, -1]).tolist() for v, name in enumerate(ZED)}}
        for t in range(frames)
    ]
    path = write(root / "samples.json", json.dumps({"schema": {}, "data": data}))
    people = {"person_1": joints.copy(), "person_2": joints.copy()}
    people["person_1"][1::2] = np.nan
    people["person_2"][::2] = np.nan
    return Expected(path, "samples", "", "", [], np.arange(frames, dtype=float), people)


WRITERS: dict[str, Callable[..., Expected]] = {
    "utkinect_action3d": utkinect,
    "kinder_gator": kinder_gator,
    "msrc12": msrc12,
    "utd_mhad": utd_mhad,
    "nw_ucla": nw_ucla,
    "msr_daily_activity3d": msr_daily_activity3d,
    "msr_action3d": msr_action3d,
    "florence3d": florence3d,
    "sbu_interaction": sbu_interaction,
    "zed_body34_samples": zed_body34_samples,
}
"""Of each set: write one file below a directory, of so many frames."""
