"""Florence 3D Actions (Seidenari et al., CVPR Workshops 2013): 215 clips of 9 actions by 10 people, one Kinect v1.

`ROOT/clips/aAA_sS_idN.txt` has 15 lines a frame (OpenNI): x, y, z in millimetres. There are no times. The rate is taken
to be 15 a second: at that, people sit down and stand up about as fast as in MSR DailyActivity3D, at 30 twice as fast.

The set's own protocol leaves one person out at a time; `people_9_10` is one split for a single run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, numbered_action, parse_name, read_table, trimmed_clip
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "florence3d", "Florence 3D", "openni_15"
ACTIONS = (
    "wave", "drink", "answer_phone", "clap", "tight_lace", "sit_down", "stand_up", "read_watch", "bow",
)  # fmt: skip
FRAMES_PER_SECOND = 15.0


def _test_on(people: tuple[str, ...], name: str, person: str, view: str) -> str:
    return "test" if person in people else "train"


PROTOCOLS: dict[str, Callable[[str, str, str], str]] = {
    "people_9_10": partial(_test_on, ("s9", "s10")),
    **{f"leave_out_{number}": partial(_test_on, (f"s{number}",)) for number in range(1, 11)},
}


def find(root: Path) -> list[Path]:
    """The files of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "clips/a*_s*_id*.txt", TITLE)


def read(source: Path) -> Recording:
    """One clip.

    Raises:
        DatasetError: The file is not as it should be.
    """
    names = parse_name(source, r"(a(\d\d)_(s\d+)_id\d+)\.txt", "a01_s1_id1.txt")
    action = numbered_action(ACTIONS, names[2], source)
    rows = read_table(source, 3, "x, y, z")
    if len(rows) % 15:
        raise DatasetError(f"{source} has {len(rows)} lines, expected 15 for each frame", "joints missing")
    joints = rows.reshape(-1, 15, 3) / 1000.0
    stamps = at_rate(len(joints), FRAMES_PER_SECOND)
    return trimmed_clip(source, names[1], LAYOUT, stamps, {"person_1": joints}, action, person=names[3])
