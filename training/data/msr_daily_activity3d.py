"""MSR DailyActivity3D (Wang et al., CVPR 2012): 320 clips of 16 actions by 10 people, one Kinect v1.

`ROOT/{train,test}/aAA_sSS_eEE_skeleton_proj.txt` with a line a joint: frame, joint (1 to 20, Kinect v1), x, y, z in
metres. There are no times: 30 frames a second, the sensor's rate. The clip a03_s09_e02 holds the numbers of
a03_s10_e02; both are in the test part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, numbered_action, parse_name, read_table, trimmed_clip
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "msr_daily_activity3d", "MSR DailyActivity3D", "kinect_v1_20"
ACTIONS = (
    "drink", "eat", "read", "phone", "write", "laptop", "vacuum", "cheer", "sit_still", "toss_paper", "play_game",
    "lie_down", "walk", "guitar", "stand_up", "sit_down",
)  # fmt: skip
FRAMES_PER_SECOND = 30.0


def _train_test(name: str, person: str, view: str) -> str:
    return "train" if person <= "s06" else "test"


PROTOCOLS = {"train_test": _train_test}
"""As the set's own folders: people 1 to 6 train, 7 to 10 test."""


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return sorted(find_files(root, "t*/a*_s*_e*_skeleton_proj.txt", TITLE), key=lambda path: path.name)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    names = parse_name(source, r"(a(\d\d)_(s\d\d)_e\d\d)_skeleton_proj\.txt", "a01_s01_e01_skeleton_proj.txt")
    action = numbered_action(ACTIONS, names[2], source)
    rows = read_table(source, 5, "frame, joint, x, y, z")
    frames = len(rows) // 20
    expected = np.column_stack([np.repeat(np.arange(frames) + rows[0, 0], 20), np.tile(np.arange(1, 21), frames)])
    if len(rows) != len(expected) or (rows[:, :2] != expected).any():
        raise DatasetError(f"{source}: expected joints 1 to 20 of each frame in turn", "joints missing")
    joints = rows[:, 2:].reshape(frames, 20, 3)
    stamps = at_rate(frames, FRAMES_PER_SECOND)
    return trimmed_clip(source, names[1], LAYOUT, stamps, {"person_1": joints}, action, person=names[3])
