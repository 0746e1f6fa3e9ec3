"""MSR Action3D (Li et al., CVPR Workshops 2010): 567 clips of 20 actions by 10 people, about 15 frames a second.

`ROOT/real_world_coordinates/aAA_sSS_eEE_skeleton3D.txt` has 20 lines a frame: x, y, z in metres and a confidence, which
is not used: it is 0 for joints that are in their place, such as the hips. The order of joints is the set's own (the
bones are in its drawskt.m); the reader gives Kinect v1's. 20 files have frames without anybody, a13_s09_e02 nothing
else. As trained and tested on here, odd people against even, all that can be read is used; some papers leave ten more
clips out.
"""

from __future__ import annotations

from pathlib import Path

from training.data.errors import DatasetError
from training.data.files import (
    at_rate,
    find_files,
    numbered_action,
    odd_people_train,
    parse_name,
    read_table,
    trimmed_clip,
)
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "msr_action3d", "MSR Action3D", "kinect_v1_20"
ACTIONS = (
    "high_arm_wave", "horizontal_arm_wave", "hammer", "hand_catch", "forward_punch", "high_throw", "draw_x",
    "draw_tick", "draw_circle", "hand_clap", "two_hand_wave", "side_boxing", "bend", "forward_kick", "side_kick",
    "jogging", "tennis_swing", "tennis_serve", "golf_swing", "pick_up_and_throw",
)  # fmt: skip
FRAMES_PER_SECOND = 15.0
_FROM_KINECT_V1 = [6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18]
"""The line that each joint of Kinect v1 is on."""


PROTOCOLS = {"cross_subject": odd_people_train}


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "real_world_coordinates/a*_s*_e*_skeleton3D.txt", TITLE)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    names = parse_name(source, r"(a(\d\d)_(s\d\d)_e\d\d)_skeleton3D\.txt", "a01_s01_e01_skeleton3D.txt")
    action = numbered_action(ACTIONS, names[2], source)
    rows = read_table(source, 4, "x, y, z, confidence")
    if len(rows) % 20:
        raise DatasetError(f"{source} has {len(rows)} lines, expected 20 for each frame", "joints missing")
    joints = rows[:, :3].reshape(-1, 20, 3)[:, _FROM_KINECT_V1]
    stamps = at_rate(len(joints), FRAMES_PER_SECOND)
    return trimmed_clip(source, names[1], LAYOUT, stamps, {"person_1": joints}, action, person=names[3])
