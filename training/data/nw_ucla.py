"""Northwestern-UCLA Multiview Action3D (Wang et al., CVPR 2014): 1,484 clips of 10 actions by 10 people in 3 views.

`ROOT/all_sqe/aAA_sSS_eEE_vVV.json`: `skeletons` (T, 20, 3) in metres, Kinect v1; `label` 1 to 10. Two clips have
one frame only. There are no times; the rate is taken to be 15 a second, at which people walk at 1.0 m/s (at 30, the
sensor's rate, they would at 2.0).

As distributed, the 95 clips of two actions in view 3 hold the numbers of their namesakes of view 2. The usual protocol
tests on them although it trains on view 2; `cross_view_clean` leaves them out, so that it tests on 8 of the 10 actions.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, parse_name, read_text, trimmed_clip
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "nw_ucla", "NW-UCLA", "kinect_v1_20"
_ACTION_OF = {
    "a01": "pick_up_with_one_hand", "a02": "pick_up_with_two_hands", "a03": "drop_trash", "a04": "walk_around",
    "a05": "sit_down", "a06": "stand_up", "a08": "put_on", "a09": "take_off", "a11": "throw", "a12": "carry",
}  # fmt: skip
ACTIONS = tuple(_ACTION_OF.values())
FRAMES_PER_SECOND = 15.0
_VIEW_3_REPEATS_VIEW_2 = ("a02", "a03")


def _cross_view(name: str, person: str, view: str) -> str:
    return "test" if view == "v03" else "train"


def _cross_view_clean(name: str, person: str, view: str) -> str:
    repeated = view == "v03" and name.startswith(_VIEW_3_REPEATS_VIEW_2)
    return "" if repeated else _cross_view(name, person, view)


PROTOCOLS = {"cross_view": _cross_view, "cross_view_clean": _cross_view_clean}


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "all_sqe/a*_s*_e*_v*.json", TITLE)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    names = parse_name(source, r"((a\d\d)_(s\d\d)_e\d\d_(v\d\d))\.json", "a01_s01_e00_v01.json")
    if names[2] not in _ACTION_OF:
        raise DatasetError(f"{source}: there is no action {names[2]} in {TITLE}", "unknown action")
    action = _ACTION_OF[names[2]]
    try:
        content = json.loads(read_text(source))
        label, joints = content["label"], np.array(content["skeletons"], float)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{source} cannot be read: {error!r}", "unreadable file") from error
    if joints.ndim != 3 or joints.shape[1:] != (20, 3):
        raise DatasetError(f"{source}: skeletons have shape {joints.shape}, expected (frames, 20, 3)", "wrong columns")
    if label != ACTIONS.index(action) + 1:
        raise DatasetError(
            f"{source}: label {label} disagrees with the name, which says {ACTIONS.index(action) + 1} ({action})",
            "label disagrees",
        )
    stamps = at_rate(len(joints), FRAMES_PER_SECOND)
    return trimmed_clip(source, names[1], LAYOUT, stamps, {"person_1": joints}, action, person=names[3], view=names[4])
