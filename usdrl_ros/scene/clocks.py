"""By how much the clocks of cameras differ, from how people whom two of them see move."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

_PERIOD_S = 0.1
"""Least time between two comparisons of a camera."""
_BACK_S, _HALF_S = 0.3, 0.1
"""How long ago positions are compared, and half the time over which a velocity is measured there."""
_LEAST_SQUARED = 60.0
"""Sum of squared velocities (m/s) of joints that an estimate needs: some seconds of a moving arm."""
_LARGEST_S = 0.25


Past = Mapping[str, deque[tuple[int, np.ndarray]]]
"""What each camera has seen of a person lately: stamps on the common clock, and joints (25, 3)."""


class ClockOffsets:
    """Offsets of the clocks of cameras to that of the first.

    Where the stamps of a camera are d late, it shows at a stamp what the first camera showed d before: the joints
    differ by -d times their velocity, and by what the poses of the cameras are off, which does not depend on the
    velocity. -d is the slope of that line, by least squares.
    """

    def __init__(self) -> None:
        self.offsets_s: dict[str, float] = {}
        self._compared_ns: dict[str, int] = {}
        self._sums: dict[str, np.ndarray] = {}

    def offset_ns(self, camera: str) -> int:
        """What is added to the stamps of a camera."""
        return round(self.offsets_s.setdefault(camera, 0.0) * 1e9)

    def compare(self, camera: str, stamp_ns: int, people: Sequence[Past]) -> None:
        """Compare what a camera and the first one have seen of people, and correct its offset."""
        first = next(iter(self.offsets_s), camera)
        if camera == first or stamp_ns - self._compared_ns.get(camera, 0) < _PERIOD_S * 1e9:
            return
        self._compared_ns[camera] = stamp_ns
        times = stamp_ns + np.array([-_BACK_S - _HALF_S, -_BACK_S, -_BACK_S + _HALF_S]) * 1e9
        for past in people:
            if first not in past or camera not in past:
                continue
            reference, own = _at(past[first], times), _at(past[camera], times[1:2])
            if reference is not None and own is not None:
                velocity = (reference[2] - reference[0]) / (2 * _HALF_S)
                self._add(camera, velocity, own[0] - reference[1])

    def _add(self, camera: str, velocity: np.ndarray, difference: np.ndarray) -> None:
        """Take velocities and differences of position (25, 3) of joints, NaN unseen."""
        known = np.isfinite(velocity[:, 0]) & np.isfinite(difference[:, 0])
        known &= ((difference**2).sum(-1) < 0.5**2) & ((velocity**2).sum(-1) < 4.0**2)
        v, d = velocity[known], difference[known]
        sums = self._sums.setdefault(camera, np.zeros(9))
        sums += np.concatenate([[len(v)], v.sum(0), d.sum(0), [(v * d).sum(), (v * v).sum()]])
        count, mean_v, mean_d = sums[0], sums[1:4], sums[4:7]
        if not count:
            return
        spread = sums[8] - mean_v @ mean_v / count
        if spread < _LEAST_SQUARED:
            return
        slope = (sums[7] - mean_v @ mean_d / count) / spread
        self.offsets_s[camera] = float(np.clip(self.offsets_s[camera] + slope, -_LARGEST_S, _LARGEST_S))
        del self._sums[camera]
        self._compared_ns[camera] += round(2 * _BACK_S * 1e9)  # what is kept has the stamps of before


def _at(past: deque[tuple[int, np.ndarray]], times_ns: np.ndarray) -> np.ndarray | None:
    """Joints (n, 25, 3) at times (n,), interpolated; None where they are not all within what is known."""
    stamps = np.array([stamp_ns for stamp_ns, _ in past])
    if len(stamps) < 2 or stamps[0] > times_ns[0] or stamps[-1] < times_ns[-1]:
        return None
    after = np.clip(np.searchsorted(stamps, times_ns, "right"), 1, len(stamps) - 1)
    gap = stamps[after] - stamps[after - 1]
    if gap.max() > 0.25e9 or gap.min() <= 0:
        return None
    share = ((times_ns - stamps[after - 1]) / gap)[:, None, None]
    before = np.stack([past[i - 1][1] for i in after.tolist()])
    return before + share * (np.stack([past[i][1] for i in after.tolist()]) - before)
