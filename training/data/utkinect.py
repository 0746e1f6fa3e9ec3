"""UTKinect-Action3D (Xia et al., CVPR Workshops 2012): 20 untrimmed takes of 10 people, 10 actions each.

`ROOT/joints/joints_sNN_eNN.txt` has a line a frame: frame number, then 20 x 3 metres (Kinect v1); some files repeat
lines. Labels are `ROOT/joints/actionLabel_modified.txt`, in frame numbers. Frame numbers are taken to run at 30 a
second; people then walk at 0.3 to 0.4 m/s, about half as fast as people do, so training varies the speed up to more
than twice the recorded one (`windows.Variation.faster`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import read_table, read_text, unseen_as_nan
from usdrl_ros.recording import Recording, Segment

NAME, TITLE, LAYOUT = "utkinect_action3d", "UTKinect-Action3D", "kinect_v1_20"
LABELS = {
    "walk": "walk", "sitDown": "sit_down", "standUp": "stand_up", "pickUp": "pick_up", "carry": "carry",
    "throw": "throw", "push": "push", "pull": "pull", "waveHands": "wave", "clapHands": "clap",
}  # fmt: skip
"""The label file's words, and the actions' names."""
ACTIONS = tuple(LABELS.values())
FRAME_NUMBERS_PER_SECOND = 30.0
TRAIN_PEOPLE = ("s01", "s03", "s05", "s07", "s09")
TEST_PEOPLE = ("s02", "s04", "s06", "s08", "s10")


def _odd_even(name: str, person: str, view: str) -> str:
    return "train" if person in TRAIN_PEOPLE else "test"


PROTOCOLS = {"odd_even": _odd_even}


@dataclass(frozen=True)
class Take:
    """One file and its labels: word, first and last frame number."""

    path: Path
    labels: tuple[tuple[str, float, float], ...]

    def __str__(self) -> str:
        return str(self.path)


def find(root: Path) -> list[Take]:
    """The takes of the set.

    Raises:
        DatasetError: The labels are missing or malformed.
    """
    path = root / "joints" / "actionLabel_modified.txt"
    if not path.is_file():
        raise DatasetError(
            f"{path} is not there; unpack {TITLE} so that ROOT/joints holds its files", "not the data set"
        )
    takes: dict[str, list[tuple[str, float, float]]] = {}
    take: list[tuple[str, float, float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if re.fullmatch(r"s\d\d_e\d\d", line.strip()):
            take = takes.setdefault(line.strip(), [])
        elif line.strip():
            match = re.fullmatch(r"\s*(\w+)\s*:\s*(\d+|NaN)\s+(\d+|NaN)\s*", line)
            if match is None or match[1] not in LABELS:
                raise DatasetError(f"{path}, line {number}: expected 'action: start end', found '{line.strip()}'")
            start, end = float(match[2]), float(match[3])
            if not (math.isnan(start) or math.isnan(end)):  # s10_e02 has no carry
                take.append((match[1], start, end))
    return [Take(root / "joints" / f"joints_{name}.txt", tuple(labels)) for name, labels in takes.items()]


def read(source: Take) -> Recording:
    """One take. Seconds count from its first frame.

    Raises:
        DatasetError: The file is missing or malformed, or its labels are of frames that it does not have.
    """
    name = source.path.stem.removeprefix("joints_")
    rows = read_table(source.path, 61, "frame number and 20 x 3 coordinates")
    numbers, first = np.unique(rows[:, 0], return_index=True)
    if not np.isfinite(numbers).all():
        raise DatasetError(f"{source} has a frame without a number", "time does not advance")
    if len(numbers) < 2:
        raise DatasetError(f"{source} has {len(numbers)} frame, expected at least 2", "fewer than two frames")
    segments = []
    for label, start, end in source.labels:
        if not numbers[0] <= start < end <= numbers[-1]:
            raise DatasetError(
                f"{source} has the frames {numbers[0]:.0f} to {numbers[-1]:.0f}, but its label says '{label}' from "
                f"{start:.0f} to {end:.0f}",
                "label disagrees",
            )
        begin, stop = ((frame - numbers[0]) / FRAME_NUMBERS_PER_SECOND for frame in (start, end))
        segments.append(Segment(begin, stop, LABELS[label]))
    stamps = (numbers - numbers[0]) / FRAME_NUMBERS_PER_SECOND
    joints = unseen_as_nan(rows[first, 1:].reshape(-1, 20, 3))
    return Recording(name, LAYOUT, stamps, {"person_1": joints}, tuple(segments), person=name[:3])
