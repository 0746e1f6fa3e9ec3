"""UTD-MHAD (Chen et al., ICIP 2015): 861 clips of 27 actions by 8 people, one Kinect v1.

`ROOT/Skeleton/aA_sS_tT_skeleton.mat` holds `d_skel` (20, 3, T) in metres; its order of joints begins with Head,
ShoulderCenter, Spine, HipCenter and goes on as Kinect v1. There are no times: 30 frames a second, the sensor's rate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, numbered_action, odd_people_train, parse_name, trimmed_clip
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "utd_mhad", "UTD-MHAD", "kinect_v1_20"
ACTIONS = (
    "swipe_left", "swipe_right", "wave", "clap", "throw", "cross_arms", "basketball_shot", "draw_x",
    "draw_circle_clockwise", "draw_circle_counterclockwise", "draw_triangle", "bowling", "boxing", "baseball_swing",
    "tennis_swing", "arm_curl", "tennis_serve", "push", "knock", "catch", "pick_up_and_throw", "jog", "walk",
    "sit_to_stand", "stand_to_sit", "lunge", "squat",
)  # fmt: skip
FRAMES_PER_SECOND = 30.0
_FROM_KINECT_V1 = [3, 2, 1, 0, *range(4, 20)]


PROTOCOLS = {"cross_subject": odd_people_train}


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "Skeleton/a*_s*_t*_skeleton.mat", TITLE)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    names = parse_name(source, r"(a(\d+)_(s\d+)_t\d+)_skeleton\.mat", "a1_s1_t1_skeleton.mat")
    action = numbered_action(ACTIONS, names[2], source)
    try:
        joints = np.asarray(scipy.io.loadmat(source)["d_skel"], float)
    except KeyError as error:
        raise DatasetError(f"{source} has no variable d_skel", "unreadable file") from error
    except (OSError, ValueError, TypeError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise DatasetError(f"{source} cannot be read: {error}", "unreadable file") from error
    if joints.ndim != 3 or joints.shape[:2] != (20, 3):
        raise DatasetError(f"{source}: d_skel has shape {joints.shape}, expected (20, 3, frames)", "wrong columns")
    joints = joints.transpose(2, 0, 1)[:, _FROM_KINECT_V1]
    stamps = at_rate(len(joints), FRAMES_PER_SECOND)
    return trimmed_clip(source, names[1], LAYOUT, stamps, {"person_1": joints}, action, person=names[3])
