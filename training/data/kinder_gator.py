"""Kinder-Gator (Aloba et al., Eurographics 2018): 58 actions of 8 adults and 8 children (of the 20), one Kinect v1.

`ROOT/{Adults,Children}/POSE-pPERSON_NN-NAME-TIME.csv`, a file an action: a header; then a line a frame with the time in
milliseconds, 60 coordinates in metres, the person, the action and an empty column. NN is the order of recording.

A recording is one file, a trimmed clip. Its stamps are the seconds of the session's own clock, which runs through all
clips of a person: put in order of their first stamp they are one untrimmed session with the pauses cut out. Frames that
repeat the time of the one before are left out (59 in 45 files).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import find_files, parse_name, parse_table, read_text, trimmed_clip
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "kinder_gator", "Kinder-Gator", "kinect_v1_20"
ACTIONS = (
    "bend_your_knee_while_raising_your_leg", "bend_your_other_knee_while_raising_your_leg", "bow",
    "climb_and_imaginary_ladder", "do_a_forward_lunge", "do_two_jumping_jacks", "draw_a_circle", "draw_a_square",
    "draw_a_triangle", "draw_the_letter_a", "draw_the_letter_c", "draw_the_letter_k", "draw_the_letter_m",
    "draw_the_letter_x", "fly_like_a_bird", "fly_like_an_airplane", "jump", "jump_as_high_as_you_can", "kick_a_ball",
    "kick_a_ball_as_far_as_you_can", "kick_a_ball_as_far_as_you_can_with_the_other_leg",
    "kick_a_ball_with_the_other_leg", "lift_your_leg_to_one_side", "lift_your_leg_to_the_other_side",
    "make_the_letter_a", "make_the_letter_c", "make_the_letter_k", "make_the_letter_m", "make_the_letter_p",
    "make_the_letter_t", "make_the_letter_x", "make_the_letter_y", "point_at_the_camera", "punch",
    "push_an_imaginary_button_in_front_of_you", "put_your_hands_on_your_hips_and_lean_to_the_other_side",
    "put_your_hands_on_your_hips_and_lean_to_the_side", "put_your_hands_on_your_hips_and_twist",
    "raise_your_arm_to_one_side", "raise_your_arm_to_the_other_side", "raise_your_hand", "raise_your_other_hand",
    "run_in_place", "run_in_place_as_fast_as_you_can", "signal_someone_to_come_here", "signal_someone_to_stop", "swim",
    "swipe_across_an_imaginary_screen_in_front_of_you_from_left_to_right",
    "swipe_across_an_imaginary_screen_in_front_of_you_from_right_to_left", "throw_a_ball",
    "throw_a_ball_as_far_as_you_can", "throw_a_ball_as_far_as_you_can_with_the_other_arm",
    "throw_a_ball_with_your_other_arm", "touch_your_toes", "walk_in_place", "walk_in_place_as_fast_as_you_can",
    "wave_your_hand", "wave_your_other_hand",
)  # fmt: skip
TEST_PEOPLE = ("565", "888", "337", "474")
"""Two adults and two children; the set itself has no split."""


def _cross_subject(name: str, person: str, view: str) -> str:
    return "test" if person in TEST_PEOPLE else "train"


PROTOCOLS = {"cross_subject": _cross_subject}


def find(root: Path) -> list[Path]:
    """The files of the set, in order of person and of recording.

    Raises:
        DatasetError: There are none.
    """
    return sorted(find_files(root, "*/POSE-p*_*.csv", TITLE), key=lambda path: path.name)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    names = parse_name(source, r"POSE-(p(\d+)_\d\d)-(.*)-\d+\.csv", "POSE-p103_01-Raise-your-hand-1455370205.csv")
    action = names[3].strip("-").lower().replace("-", "_")
    if action not in ACTIONS:
        raise DatasetError(f"{source}: no action of {TITLE} is called '{names[3]}'", "unknown action")
    header, *lines = read_text(source).splitlines()
    if not header.startswith("Timestamp,HipCenterX,HipCenterY,HipCenterZ,"):
        raise DatasetError(f"{source}: expected a header 'Timestamp,HipCenterX,', found '{header[:40]}'", "no header")
    if not lines:
        raise DatasetError(f"{source} has no frames", "fewer than two frames")
    labels = f",{names[2]},{names[3]},"
    for number, line in enumerate(lines, 2):
        if not line.endswith(labels):
            raise DatasetError(
                f"{source}, line {number}: expected the person and the action of the file's name at its end, "
                f"'{labels}', found '{line[-len(labels) :]}'",
                "label disagrees",
            )
    numbers = "\n".join(line.removesuffix(labels) for line in lines)
    rows = parse_table(source, numbers, 61, "time and 20 x 3 coordinates", delimiter=",")
    rows = rows[np.diff(rows[:, 0], prepend=-np.inf) != 0.0]
    joints = rows[:, 1:].reshape(-1, 20, 3)
    return trimmed_clip(
        source, f"{names[1]}_{action}", LAYOUT, rows[:, 0] / 1000.0, {"person_1": joints}, action, person=names[2]
    )
