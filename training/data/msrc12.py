"""MSRC-12 (Fothergill et al., CHI 2012): 12 gestures, each repeated over long takes, by 12 of its 30 people; Kinect v1.

`ROOT/data/P#_#_G[A]_pNN.csv` has a line a frame: time in microseconds, 20 x (x, y, z, w) in metres; all zero while
nobody is seen. The `.tagstream` of that name has a line a gesture: the tick of its *action point*, the instant at which
a person would expect the machine to react, and the gesture; time = (1000 tick + 24937.5) / 49875.

The set does not say where a gesture begins and ends. Here it lasts from 1.5 s before its action point to 1 s after,
but no further than half way to the one before and the one after: an estimate. On average people set out 1.25 s before
the action point (to bow, 2 s), hold still at it, and are most of the way back 1 s later.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import find_files, numbered_action, parse_name, read_table, read_text, unseen_as_nan
from usdrl_ros.recording import Recording, Segment

NAME, TITLE, LAYOUT = "msrc12", "MSRC-12", "kinect_v1_20"
ACTIONS = (
    "lift_arms", "crouch", "push_right", "goggles", "wind_up", "shoot", "bow", "throw", "had_enough", "change_weapon",
    "beat_both", "kick",
)  # fmt: skip
BEFORE_S, AFTER_S = 1.5, 1.0
"""How long a gesture lasts at most before and after its action point."""
TEST_PEOPLE = ("p10", "p11", "p12")


def _cross_subject(name: str, person: str, view: str) -> str:
    return "test" if person in TEST_PEOPLE else "train"


PROTOCOLS = {"cross_subject": _cross_subject}


def find(root: Path) -> list[Path]:
    """The takes of the set.

    Raises:
        DatasetError: There are none.
    """
    return find_files(root, "data/P*_p*.csv", TITLE)


def read(source: Path) -> Recording:
    """One take. Seconds count from the first frame in which somebody is seen.

    Raises:
        DatasetError: The file or its tags are missing or malformed, or do not belong together.
    """
    names = parse_name(source, r"(P\d_\d_(\d+)A?_(p\d\d))\.csv", "P1_1_1_p06.csv")
    action = numbered_action(ACTIONS, names[2], source)
    rows = read_table(source, 81, "time and 20 x (x, y, z, w)")
    joints = unseen_as_nan(rows[:, 1:].reshape(-1, 20, 4)[..., :3])
    seen = np.flatnonzero(np.isfinite(joints).any((1, 2)))
    if len(seen) < 2:
        raise DatasetError(f"{source}: somebody is seen in {len(seen)} frames, expected at least 2", "nobody is seen")
    frames = slice(seen[0], seen[-1] + 1)
    stamps = (rows[frames, 0] - rows[seen[0], 0]) / 1e6
    if not (np.diff(stamps) > 0).all():
        raise DatasetError(f"{source}: the times of its frames do not increase", "time does not advance")
    points = (_action_points(source, int(names[2])) - rows[seen[0], 0]) / 1e6
    if len(points) and not 0.0 < points[0] <= points[-1] <= stamps[-1]:
        raise DatasetError(f"{source}: its tags are of other times than its frames", "label disagrees")
    half_way = (points[:-1] + points[1:]) / 2
    starts = np.maximum(points - BEFORE_S, np.append(0.0, half_way))
    ends = np.minimum(points + AFTER_S, np.append(half_way, stamps[-1]))
    segments = tuple(Segment(float(start), float(end), action) for start, end in zip(starts, ends, strict=True))
    return Recording(names[1], LAYOUT, stamps, {"person_1": joints[frames]}, segments, person=names[3])


def _action_points(take: Path, gesture: int) -> np.ndarray:
    """Times in microseconds, in order."""
    wanted = take.with_suffix(".tagstream").name.lower()  # one of the files begins with a small p
    path = next((other for other in take.parent.glob("*.tagstream") if other.name.lower() == wanted), None)
    if path is None:
        raise DatasetError(f"{take}: its tags, {take.with_suffix('.tagstream').name}, are missing", "label missing")
    points = []
    for number, line in enumerate(read_text(path).splitlines()[1:], 2):
        match = re.fullmatch(r"(\d+);G(\d+)\s.*", line.strip())
        if match is None and line.strip():
            raise DatasetError(f"{path}, line {number}: expected 'tick;Ggesture name', found '{line.strip()}'")
        if match is not None:
            if int(match[2]) != gesture:
                raise DatasetError(
                    f"{path}, line {number}: gesture {match[2]}, but the name says {gesture}", "label disagrees"
                )
            points.append((int(match[1]) * 1000 + 24937.5) / 49875)
    return np.sort(points)
