"""Who is meant, where a sensor reports several bodies: broken tracks joined, the main people chosen.

Depth sensors see bodies in furniture, and give a person whom they lost for a moment a new id. Data sets store all of
it. As the published preparation of NTU RGB+D does (Shahroudy et al., CVPR 2016; Shi et al., 2s-AGCN, CVPR 2019), the
people meant are those whose coordinates vary most. Joints are (T, V, 3) by body, NaN where unseen, throughout.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FARTHEST = 0.5
"""How far a body's centre may be, in metres, from where another was seen last, to be the same person."""
FASTEST = 1.5
"""How much farther with each second between, metres a second: a brisk walk."""


def main_people(joints: Mapping[str, np.ndarray], at_most: int = 2) -> list[str]:
    """The bodies whose joints vary most, the one that varies most first.

    How much a body varies is the standard deviation of x over all its seen joints in all frames, plus that of y, plus
    that of z. The order in which the bodies come plays no part; of equal ones the first by name is taken.

    Args:
        joints: (T, V, 3) by body, NaN where unseen.
        at_most: How many to choose.

    Returns:
        Names; bodies that are never seen are not among them.
    """
    spread = {}
    for body, values in joints.items():
        seen = values[np.isfinite(values).all(-1)]
        if len(seen):
            spread[body] = float(seen.std(0).sum())
    return sorted(spread, key=lambda body: (-spread[body], body))[:at_most]


def join_tracks(joints: Mapping[str, np.ndarray], rate_hz: float) -> dict[str, np.ndarray]:
    """Join bodies that are one person whom the sensor lost and found again under a new id.

    A body continues one that was seen last before it was seen first, nearest to where it begins: at most `FARTHEST`
    away, and `FASTEST` for each second between.

    Args:
        joints: (T, V, 3) metres by body, NaN where unseen.
        rate_hz: Frames a second.

    Returns:
        The people, each by the name of its first body; bodies that are never seen are left out.
    """
    there = {body: np.flatnonzero(np.isfinite(values).all(-1).any(-1)) for body, values in joints.items()}
    people: dict[str, np.ndarray] = {}
    last: dict[str, int] = {}
    for body in sorted((body for body in joints if len(there[body])), key=lambda body: (there[body][0], body)):
        first = int(there[body][0])
        begin = np.nanmean(joints[body][first], axis=0)
        distances = {
            person: float(np.linalg.norm(np.nanmean(people[person][frame], axis=0) - begin))
            for person, frame in last.items()
            if frame < first
        }
        near = [p for p in distances if distances[p] <= FARTHEST + FASTEST * (first - last[p]) / rate_hz]
        person = min(near, key=lambda p: (distances[p], p), default=body)
        if person in people:
            frames = there[body]
            people[person][frames] = joints[body][frames]
        else:
            people[person] = joints[body].copy()
        last[person] = int(there[body][-1])
    return people
