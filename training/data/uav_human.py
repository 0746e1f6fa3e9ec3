"""UAV-Human (Li et al., CVPR 2021): 155 actions by 119 people, seen from a drone; skeletons of two dimensions.

`PpppSssGggBbbHhhUCuuuuuuLCllllllAaaaRr_mmddhhmm.txt`, anywhere below ROOT, is a text like NTU RGB+D's (see
`skeleton_file`): ppp is the performer, aaa the action. Its 17 joints are COCO's, found in the images: x and y are
pixels. What the other numbers of a joint mean is not published; they are not used. A joint is unseen where x and y are
0.

Assumed, because the set does not say: images of 1920 x 1080 pixels and 30 frames a second. Of more than two
bodies the two that vary most are kept, main person first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, parse_name, trimmed_clip
from training.data.people import main_people
from training.data.pixels import from_pixels
from training.data.skeleton_file import read_bodies
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "uav_human", "UAV-Human", "coco_17"
DIMENSIONS = 2
ACTIONS = (
    "drink", "eat_snacks", "brush_hair", "drop", "pick_up", "throw_away", "sit_down", "stand_up", "applaud", "read",
    "write", "put_on_coat", "take_off_coat", "put_on_glasses", "take_off_glasses", "put_on_hat", "take_off_hat",
    "throw_away_hat", "cheer", "wave", "kick_something", "reach_into_pocket", "jump_on_one_leg", "jump_on_both_legs",
    "phone_call", "play_with_phone", "point_somewhere", "check_watch", "rub_hands", "bow", "shake_head", "salute",
    "palms_together", "cross_arms_to_say_no", "put_on_headphones", "take_off_headphones", "hush", "touch_hair",
    "thumb_up", "thumb_down", "make_ok_sign", "make_victory_sign", "punch", "snap_fingers", "open_bottle", "smell",
    "squat", "apply_cream_on_face", "apply_cream_on_hands", "grasp_bag", "put_down_bag", "put_into_bag",
    "take_out_of_bag", "open_box", "move_box", "hands_up", "hands_on_hips", "wrap_arms_around", "shake_arms",
    "walk_on_the_spot", "kick_aside", "kick_backward", "cough", "sneeze", "yawn", "blow_nose", "stagger", "headache",
    "chest_discomfort", "backache", "neck_ache", "vomit", "fan_self", "stretch", "punch_person", "kick_person",
    "push_person", "slap_person_on_back", "point_at_person", "hug", "give_object", "steal_from_pocket", "rob_person",
    "shake_hands", "walk_towards_person", "walk_away_from_person", "hit_person_with_object", "threaten_with_knife",
    "bump_into_person", "walk_side_by_side", "high_five", "drink_a_toast", "move_object_together",
    "take_photo_of_person", "stalk_person", "whisper", "exchange_objects", "support_person", "rock_paper_scissors",
    "hover", "land", "land_at_designated_location", "move_forward", "move_backward", "move_left", "move_right",
    "ascend", "descend", "accelerate", "decelerate", "come_here", "stay_there", "rear_right_turn", "rear_left_turn",
    "abandon_landing", "all_clear", "not_clear", "have_command", "follow_me", "turn_left", "turn_right",
    "throw_litter", "dig_hole", "mow", "set_on_fire", "smoke", "cut_tree", "fish", "pick_lock", "pollute_wall",
    "hold_hostage", "threaten_with_gun", "wave_goodbye", "chase_person", "comfort_person", "drag_person",
    "sweep_floor", "mop_floor", "bounce_ball", "shoot_at_basket", "swing_racket", "leg_press", "escape",
    "call_for_help", "put_on_mask", "take_off_mask", "arm_around_shoulder", "run", "stab_person", "throw_frisbee",
    "carry_pole", "lift_with_lever", "walk", "open_umbrella", "close_umbrella",
)  # fmt: skip
"""A000 to A154."""
FRAMES_PER_SECOND = 30.0
IMAGE_HEIGHT, IMAGE_WIDTH = 1080, 1920
PEOPLE = 2
TEST_PEOPLE_V1 = frozenset((
    1, 3, 4, 9, 22, 23, 24, 31, 41, 54, 58, 60, 66, 72, 74, 75, 91, 92, 93, 94, 95, 96, 97, 99, 101, 104, 107, 108, 109,
    113,
))  # fmt: skip
TEST_PEOPLE_V2 = frozenset((
    1, 2, 7, 9, 13, 15, 17, 23, 25, 27, 28, 33, 34, 41, 42, 48, 50, 51, 53, 55, 58, 65, 68, 76, 82, 85, 90, 98, 105,
    116,
))  # fmt: skip

_FILE_NAME = r"(P(\d{3})S\d+G\d+B\d+H\d+UC\d+LC\d+A(\d{3})R\d+_\d+)\.txt"


def _cross_subject_v1(name: str, person: str, view: str) -> str:
    return "test" if int(person[1:]) in TEST_PEOPLE_V1 else "train"


def _cross_subject_v2(name: str, person: str, view: str) -> str:
    return "test" if int(person[1:]) in TEST_PEOPLE_V2 else "train"


PROTOCOLS = {"cross_subject_v1": _cross_subject_v1, "cross_subject_v2": _cross_subject_v2}


def find(root: Path) -> list[Path]:
    """The clips of the set, in order of path.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "**/P*S*G*B*H*UC*LC*A*R*_*.txt", TITLE)


def read(source: Path) -> Recording:
    """One clip: the main person is `person_1`, a second one, if there is any, `person_2`; x, y and a score of 1.

    Raises:
        DatasetError: The file is not as it should be, or nobody is in it.
    """
    expected = "P000S00G10B10H10UC022000LC021000A000R0_08241716.txt"
    names = parse_name(source, _FILE_NAME, expected)
    action = int(names[3])
    if action >= len(ACTIONS):
        raise DatasetError(f"{source}: actions are numbered 0 to {len(ACTIONS) - 1}", "unknown action")
    frames, bodies = read_bodies(source, joints=17)
    people = {}
    for body, values in bodies.items():
        score = np.where((values[..., :2] == 0.0).all(-1) | np.isnan(values[..., 0]), 0.0, 1.0)
        people[body] = from_pixels(values[..., :2], score, IMAGE_HEIGHT, IMAGE_WIDTH)
    chosen = main_people(people, PEOPLE)
    if not chosen:
        raise DatasetError(f"{source}: no body is in its {frames} frames", "nobody is seen")
    joints = {f"person_{number}": people[body] for number, body in enumerate(chosen, 1)}
    stamps = at_rate(frames, FRAMES_PER_SECOND)
    return trimmed_clip(source, names[1], LAYOUT, stamps, joints, ACTIONS[action], person=f"P{names[2]}")
