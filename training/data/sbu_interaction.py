"""SBU Kinect Interaction (Yun et al., CVPR Workshops 2012): 282 clips of two people, 8 interactions, 21 pairs.

`ROOT/SBU/sAAsBB/CC/NNN/skeleton_pos.txt` has a line a frame, at 15 a second: frame number, then 2 x 15 x 3 numbers
(OpenNI), normalised by the authors. Undone here by their formula, in metres: x = 1.28 - 2.56 x', y = 0.96 - 1.92 y',
z = 1.28 z' (in their words millimetres, and z' 10000 / 7.8125). A recording's person is the pair; person_1
and person_2 are in the file's order, which says neither who acts nor who stands on which side.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, numbered_action, parse_table, read_text, trimmed_clip
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "sbu_interaction", "SBU Kinect Interaction", "openni_15"
PEOPLE = 2
ACTIONS = ("approach", "depart", "kick", "push", "shake_hands", "hug", "exchange_object", "punch")
FRAMES_PER_SECOND = 15.0
FOLDS = (
    ("s01s02", "s03s04", "s05s02", "s06s04"),
    ("s02s03", "s02s07", "s03s05", "s05s03"),
    ("s01s03", "s01s07", "s07s01", "s07s03"),
    ("s02s01", "s02s06", "s03s02", "s03s06"),
    ("s04s02", "s04s03", "s04s06", "s06s02", "s06s03"),
)
"""The pairs of the five folds of the authors' cross-validation."""


def _fold(test: tuple[str, ...], name: str, person: str, view: str) -> str:
    return "test" if person in test else "train"


def _person_7(name: str, person: str, view: str) -> str:
    return "test" if "s07" in person else "train"


PROTOCOLS: dict[str, Callable[[str, str, str], str]] = {
    **{f"fold_{number}": partial(_fold, pairs) for number, pairs in enumerate(FOLDS, 1)},
    "person_7": _person_7,
}


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "SBU/s*s*/*/*/skeleton_pos.txt", TITLE)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    pair, number, take = source.parts[-4:-1]
    if not number.isdigit():
        raise DatasetError(
            f"{source}: a place like {TITLE}'s SBU/s01s02/01/001 was expected", "not a name of the data set"
        )
    action = numbered_action(ACTIONS, number, source)
    text = "\n".join(line.strip().rstrip(",") for line in read_text(source).splitlines())
    rows = parse_table(source, text, 91, "frame number and 2 x 15 x 3 coordinates", delimiter=",")
    joints = rows[:, 1:].reshape(-1, 2, 15, 3)
    unseen = (joints == 0.0).all(-1)
    joints = np.array([1.28, 0.96, 0.0]) + joints * np.array([-2.56, -1.92, 1.28])
    joints[unseen] = np.nan
    people = {"person_1": joints[:, 0], "person_2": joints[:, 1]}
    stamps = at_rate(len(rows), FRAMES_PER_SECOND)
    return trimmed_clip(source, f"{pair}_{number}_{take}", LAYOUT, stamps, people, action, person=pair)
