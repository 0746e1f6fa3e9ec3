"""Where in time a person moves: the stretches between rest and rest, in which gestures are looked for.

What counts is how fast the hands, elbows, knees, feet, the head and the trunk move: the limbs against the trunk, the
trunk by itself. A stretch begins where the fastest of them exceeds a speed that noise at rest does not reach, and ends
where all have calmed down again. Speeds are in metres a second for an adult and scale with the length of the trunk, so
that children count alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usdrl_ros.skeleton.layouts import SPINE_BASE, SPINE_MID

ADULT_TRUNK_M = 0.5
"""Length from SpineBase to SpineShoulder at which speeds count as they are."""
SPEED = 0.8
"""Metres a second of an adult's limb at which movement begins."""
REST_SPEED = 0.45
"""Metres a second below which the limb is at rest again."""
PAUSE_S = 0.3
"""A shorter rest does not separate two movements."""
SHORTEST_S = 0.25
"""A shorter movement is a jerk of the tracker, not a gesture."""
MARGIN_S = 0.1
"""What a movement is given at each end: it begins and ends slowly."""
SMOOTH_S = 0.25
"""Span of the moving average under which the noise of a camera is less than `REST_SPEED`."""

_SPINE_SHOULDER = 20
_LIMBS = (3, 5, 6, 9, 10, 13, 14, 17, 18)


@dataclass(frozen=True)
class Movement:
    """A stretch of time in which a person moves.

    Args:
        start, stop: Seconds.
        begun: It began within what was looked at, after rest.
        over: It ended within what was looked at, and rest of `PAUSE_S` followed.
    """

    start: float
    stop: float
    begun: bool
    over: bool

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.stop - self.start

    def overlap(self, start: float, stop: float) -> float:
        """Intersection over union with another stretch of time, 0 to 1."""
        shared = min(self.stop, stop) - max(self.start, start)
        return max(shared, 0.0) / max(max(self.stop, stop) - min(self.start, start), 1e-9)


def speeds(times: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """How fast the fastest part of the body moves.

    Args:
        times: (T,) seconds, increasing, about evenly spaced.
        joints: (T, 25, 3) metres, NaN where unseen.

    Returns:
        (T,) metres a second, as of an adult; 0 where nothing is seen.
    """
    if len(times) < 2:
        return np.zeros(len(times))
    step = (times[-1] - times[0]) / (len(times) - 1)
    trunk = np.linalg.norm(joints[:, _SPINE_SHOULDER] - joints[:, SPINE_BASE], axis=-1)
    seen = trunk[np.isfinite(trunk) & (trunk > 0.05)]
    scale = ADULT_TRUNK_M / float(np.median(seen)) if len(seen) else 1.0
    centre = joints[:, SPINE_MID]
    points = np.concatenate([joints[:, _LIMBS] - centre[:, None], centre[:, None]], 1)
    points = _smooth(points, max(round(SMOOTH_S / step), 1))
    velocity = np.gradient(points, step, axis=0)
    speed = np.linalg.norm(velocity, axis=-1) * scale
    return np.nan_to_num(speed, nan=0.0).max(1)


def find_movements(times: np.ndarray, joints: np.ndarray) -> list[Movement]:
    """The movements of one person, in order of time.

    Args:
        times: (T,) seconds, increasing, about evenly spaced.
        joints: (T, 25, 3) metres, NaN where unseen.
    """
    speed = speeds(times, joints)
    above = speed >= REST_SPEED
    edges = np.flatnonzero(np.diff(np.r_[False, above, False].astype(int)))
    stretches = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    joined: list[list[int]] = []
    for first, last in stretches:
        if joined and times[first] - times[joined[-1][1]] < PAUSE_S:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    found = []
    for first, last in joined:
        if speed[first : last + 1].max() < SPEED or times[last] - times[first] < SHORTEST_S:
            continue
        found.append(
            Movement(
                max(float(times[first]) - MARGIN_S, float(times[0])),
                min(float(times[last]) + MARGIN_S, float(times[-1])),
                begun=first > 0,
                over=float(times[-1] - times[last]) >= PAUSE_S,
            )
        )
    return found


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Moving average over the first axis of (T, V, 3), NaN left out; the ends over what there is."""
    if width < 2:
        return values
    finite = np.isfinite(values)
    padding = ((width // 2 + 1, (width - 1) // 2), (0, 0), (0, 0))
    sums = np.cumsum(np.pad(np.where(finite, values, 0.0), padding), 0)
    counts = np.cumsum(np.pad(finite.astype(float), padding), 0)
    total, count = sums[width:] - sums[:-width], counts[width:] - counts[:-width]
    return np.where(finite, total / np.maximum(count, 1.0), np.nan)
