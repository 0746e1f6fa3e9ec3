"""NTU RGB+D 60 and 120 (Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2019): 114,480 clips of 120 actions, Kinect v2.

`SsssCcccPpppRrrrAaaa.skeleton`, anywhere below ROOT, is a text (see `skeleton_file`; 25 joints, 12 numbers each). Its
name says setup, camera, performer, repetition, and action; A001 to A060 are NTU RGB+D 60. Metres in the camera's frame,
x to the sensor's left, y up, z away from it; 30 frames a second. The authors' list of damaged samples
(`NTU_RGBD120_samples_with_missing_skeletons.txt` or the like) is heeded where it lies below ROOT.

A clip's people are the two bodies that vary most, main person first (`people`). Bodies are followed by their ids, not,
as the published preparation does, by their order in a frame; an id that continues another one is joined, and where
a body lasts longer, those of 11 frames or fewer are dropped as noise (as Zhang et al., SGN, CVPR 2020, do).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, parse_name, read_text, trimmed_clip, unseen_as_nan
from training.data.people import join_tracks, main_people
from training.data.skeleton_file import read_bodies
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "ntu_rgbd", "NTU RGB+D", "ntu_25"
ACTIONS = (
    "drink_water", "eat_meal", "brush_teeth", "brush_hair", "drop", "pick_up", "throw", "sit_down", "stand_up", "clap",
    "read", "write", "tear_up_paper", "put_on_jacket", "take_off_jacket", "put_on_shoe", "take_off_shoe",
    "put_on_glasses", "take_off_glasses", "put_on_hat", "take_off_hat", "cheer_up", "wave", "kick_something",
    "reach_into_pocket", "hop", "jump_up", "phone_call", "play_with_phone", "type_on_keyboard",
    "point_at_something", "take_selfie", "check_watch", "rub_hands", "nod_or_bow", "shake_head", "wipe_face", "salute",
    "palms_together", "cross_hands_stop", "sneeze_or_cough", "stagger", "fall", "touch_head", "touch_chest",
    "touch_back", "touch_neck", "vomit", "fan_self", "punch_person", "kick_person", "push_person",
    "pat_person_on_back", "point_at_person", "hug", "give_object", "touch_pocket_of_person", "shake_hands",
    "walk_towards_person", "walk_apart",
    "put_on_headphones", "take_off_headphones", "shoot_at_basket", "bounce_ball", "swing_tennis_bat",
    "juggle_table_tennis_balls", "hush", "flick_hair", "thumb_up", "thumb_down", "make_ok_sign", "make_victory_sign",
    "staple_book", "count_money", "cut_nails", "cut_paper", "snap_fingers", "open_bottle", "sniff", "squat_down",
    "toss_coin", "fold_paper", "ball_up_paper", "play_magic_cube", "apply_cream_on_face", "apply_cream_on_hand",
    "put_on_bag", "take_off_bag", "put_into_bag", "take_out_of_bag", "open_box", "move_heavy_objects", "shake_fist",
    "throw_up_hat", "hands_up", "cross_arms", "arm_circles", "arm_swings", "run_on_the_spot", "butt_kicks",
    "cross_toe_touch", "side_kick", "yawn", "stretch", "blow_nose", "hit_person_with_object", "wield_knife_at_person",
    "knock_over_person", "grab_from_person", "shoot_at_person", "step_on_foot", "high_five", "cheers_and_drink",
    "carry_together", "take_photo_of_person", "follow_person", "whisper", "exchange_objects", "support_person",
    "rock_paper_scissors",
)  # fmt: skip
"""A001 to A120."""
FRAMES_PER_SECOND = 30.0
PEOPLE = 2
NOISE_FRAMES = 11
"""A body of no more frames than these is noise where another one lasts longer."""
ACTIONS_60 = 60
TRAIN_PEOPLE_60 = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
TRAIN_PEOPLE_120 = TRAIN_PEOPLE_60 | {
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103,
}  # fmt: skip
TRAIN_CAMERAS = (2, 3)

CLIP_NAME = r"S(?P<setup>\d{3})C(?P<camera>\d{3})P(?P<person>\d{3})R\d{3}A(?P<action>\d{3})"
_CLIP_NAME = re.compile(CLIP_NAME)


def _numbers(name: str) -> dict[str, int]:
    match = _CLIP_NAME.fullmatch(name)
    if match is None:
        raise DatasetError(f"'{name}' is no clip of NTU RGB+D: a name like S001C001P001R001A001 was expected")
    return {key: int(value) for key, value in match.groupdict().items()}


def _part(train: bool) -> str:
    return "train" if train else "test"


def _cross_subject_60(name: str, person: str, view: str) -> str:
    numbers = _numbers(name)
    return _part(numbers["person"] in TRAIN_PEOPLE_60) if numbers["action"] <= ACTIONS_60 else ""


def _cross_view_60(name: str, person: str, view: str) -> str:
    numbers = _numbers(name)
    return _part(numbers["camera"] in TRAIN_CAMERAS) if numbers["action"] <= ACTIONS_60 else ""


def _cross_subject_120(name: str, person: str, view: str) -> str:
    return _part(_numbers(name)["person"] in TRAIN_PEOPLE_120)


def _cross_setup_120(name: str, person: str, view: str) -> str:
    return _part(_numbers(name)["setup"] % 2 == 0)


PROTOCOLS = {
    "ntu60_cross_subject": _cross_subject_60,
    "ntu60_cross_view": _cross_view_60,
    "ntu120_cross_subject": _cross_subject_120,
    "ntu120_cross_setup": _cross_setup_120,
}


@dataclass(frozen=True)
class Source:
    """A clip's file, and the list that names it as damaged, if one does."""

    path: Path
    listed_in: Path | None = None

    def __str__(self) -> str:
        return str(self.path)


def find(root: Path) -> list[Source]:
    """The clips of the set, in order of path.

    Raises:
        DatasetError: There are none.
    """
    paths = find_files(root, "**/*.skeleton", TITLE)
    damaged: dict[str, Path] = {}
    for list_file in sorted(root.glob("**/*missing_skeletons*.txt")):
        damaged |= {word: list_file for word in read_text(list_file).split() if _CLIP_NAME.fullmatch(word)}
    return [Source(path, damaged.get(path.stem)) for path in paths]


def read(source: Source | Path) -> Recording:
    """One clip: the main person is `person_1`, a second one, if there is any, `person_2`.

    Raises:
        DatasetError: The file is not as it should be, nobody is in it, or it is listed as damaged.
    """
    source = Source(source) if isinstance(source, Path) else source
    path = source.path
    names = parse_name(path, rf"{CLIP_NAME}\.skeleton", "S001C001P001R001A001.skeleton")
    action = int(names["action"])
    if not 1 <= action <= len(ACTIONS):
        raise DatasetError(f"{path}: actions are numbered 1 to {len(ACTIONS)}", "unknown action")
    if source.listed_in is not None:
        raise DatasetError(f"{path} is listed as damaged in {source.listed_in}", "listed as damaged")
    frames, bodies = read_bodies(path, joints=25, fields=12)
    joints = people_of(bodies)
    if not joints:
        raise DatasetError(f"{path}: no body is in its {frames} frames", "nobody is seen")
    stamps = at_rate(frames, FRAMES_PER_SECOND)
    return trimmed_clip(
        path, path.stem, LAYOUT, stamps, joints, ACTIONS[action - 1],
        person=f"P{names['person']}", view=f"C{names['camera']}",
    )  # fmt: skip


def people_of(bodies: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The main people among bodies (T, 25, 3), as `person_1` and `person_2`; joints at the origin are unseen."""
    tracks = join_tracks({body: unseen_as_nan(joints) for body, joints in bodies.items()}, FRAMES_PER_SECOND)
    lasting = {body: joints for body, joints in tracks.items() if np.isfinite(joints).any((1, 2)).sum() > NOISE_FRAMES}
    tracks = lasting or tracks
    return {f"person_{number}": tracks[body] for number, body in enumerate(main_people(tracks, PEOPLE), 1)}
