"""UTKinect-Action3D (Xia et al., CVPR Workshops 2012): 20 untrimmed takes of 10 people, 10 actions each.

`ROOT/joints/joints_sNN_eNN.txt` has a line a frame: frame number, then 20 x 3 metres (Kinect v1); some files repeat
lines. Labels are `ROOT/joints/actionLabel_modified.txt`, in frame numbers. Frame numbers are taken to run at 30 a
second; people then walk at 0.3 to 0.4 m/s, about half as fast as people do, so training varies the speed up to more
than twice the recorded one (`windows.Variation.faster`).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from usdrl_ros.recording import Recording, Segment

LAYOUT = "kinect_v1_20"
FRAME_NUMBERS_PER_SECOND = 30.0
ACTIONS = {
    "walk": "walk", "sitDown": "sit_down", "standUp": "stand_up", "pickUp": "pick_up", "carry": "carry",
    "throw": "throw", "push": "push", "pull": "pull", "waveHands": "wave", "clapHands": "clap",
}  # fmt: skip
"""The data set's labels and the names that events carry."""
TRAIN_PEOPLE = ("s01", "s03", "s05", "s07", "s09")
TEST_PEOPLE = ("s02", "s04", "s06", "s08", "s10")


class DatasetError(ValueError):
    """A data set's file is missing or not what it should be; the message names it."""


def read(root: Path, people: tuple[str, ...] | None = None) -> list[Recording]:
    """All takes under `root`, or those of some people, in order of name. Seconds count from the take's first frame.

    Raises:
        DatasetError: A file is missing or malformed.
    """
    label_file = root / "joints" / "actionLabel_modified.txt"
    if not label_file.is_file():
        raise DatasetError(f"{label_file} is not there; unpack UTKinect-Action3D so that ROOT/joints holds its files")
    recordings = []
    for name, labels in _read_labels(label_file).items():
        if people is None or name[:3] in people:
            recordings.append(_read_take(root / "joints" / f"joints_{name}.txt", name, labels))
    return recordings


def _read_take(path: Path, name: str, labels: list[tuple[str, float, float]]) -> Recording:
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    if rows.shape[1] != 61:
        raise DatasetError(f"{path} has {rows.shape[1]} columns, expected 61 (frame number and 20 x 3 coordinates)")
    frame_numbers, first = np.unique(rows[:, 0], return_index=True)
    joints = rows[first, 1:].reshape(-1, 20, 3)
    joints[(joints == 0.0).all(-1)] = np.nan
    stamps = (frame_numbers - frame_numbers[0]) / FRAME_NUMBERS_PER_SECOND
    segments = tuple(
        Segment(*((frame - frame_numbers[0]) / FRAME_NUMBERS_PER_SECOND for frame in (start, end)), ACTIONS[label])
        for label, start, end in labels
    )
    return Recording(name, LAYOUT, stamps, {"person_1": joints}, segments, person=name[:3])


def _read_labels(path: Path) -> dict[str, list[tuple[str, float, float]]]:
    takes: dict[str, list[tuple[str, float, float]]] = {}
    take: list[tuple[str, float, float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.fullmatch(r"s\d\d_e\d\d", line.strip()):
            take = takes.setdefault(line.strip(), [])
        elif line.strip():
            match = re.fullmatch(r"\s*(\w+)\s*:\s*(\d+|NaN)\s+(\d+|NaN)\s*", line)
            if match is None or match[1] not in ACTIONS:
                raise DatasetError(f"{path}, line {number}: expected 'action: start end', found '{line.strip()}'")
            start, end = float(match[2]), float(match[3])
            if not (math.isnan(start) or math.isnan(end)):  # s10_e02 has no carry
                take.append((match[1], start, end))
    return takes
