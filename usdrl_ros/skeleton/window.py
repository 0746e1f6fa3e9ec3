"""The recent past of one person, by time stamp, and its resampling to the model's frames.

Pose estimators publish at 5 to 60 Hz with jitter and gaps; the model wants frames evenly spaced. Each joint is
interpolated linearly between its own sightings, and held before the first and after the last.
"""

from __future__ import annotations

import numpy as np

_FINEST = 1000
"""Samples nearer to the one before than this part of the span are left out: a window has 64 frames."""
_CAPACITY = _FINEST + 2
"""Most samples a buffer keeps at a time: those of its span and one before it."""


class SkeletonWindow:
    """Ring buffer of one person's skeletons, NTU-25 order."""

    def __init__(self, span_s: float) -> None:
        """Keep the last `span_s` seconds."""
        self._span_ns = round(span_s * 1e9)
        self._last_ns = 0
        self._stamps = np.empty(2 * _CAPACITY, np.int64)
        self._joints = np.empty((2 * _CAPACITY, 25, 3), np.float32)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def first_ns(self) -> int:
        """Stamp of the oldest sample kept."""
        return int(self._stamps[self._begin])

    @property
    def last_ns(self) -> int:
        """Stamp of the newest sample that came, kept or not."""
        return self._last_ns

    def append(self, stamp_ns: int, joints: np.ndarray) -> None:
        """Add joints (25, 3), NaN unseen, of a stamp later than all before.

        Raises:
            ValueError: The stamp is not later.
        """
        if len(self) and stamp_ns <= self.last_ns:
            raise ValueError(f"stamp {stamp_ns} ns is not after the last one, {self.last_ns} ns")
        self._last_ns = stamp_ns
        if len(self) and stamp_ns - int(self._stamps[self._end - 1]) < self._span_ns // _FINEST:
            return
        if self._end == len(self._stamps):  # slide the kept half back to the start
            kept = slice(self._begin, self._end)
            count = len(self)
            self._stamps[:count] = self._stamps[kept]
            self._joints[:count] = self._joints[kept]
            self._begin, self._end = 0, count
        self._stamps[self._end] = stamp_ns
        self._joints[self._end] = joints
        self._end += 1
        # One sample before the span stays, so that the span's first frame can be interpolated.
        oldest = np.searchsorted(self._stamps[self._begin : self._end], stamp_ns - self._span_ns, "right") - 1
        self._begin += max(int(oldest), 0)

    def newest(self, stamp_ns: int) -> np.ndarray:
        """The newest joints (25, 3) not later than a stamp, which must not be before `first_ns`."""
        return self._joints[self._begin + self._count(stamp_ns) - 1]

    def until(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the stamps (n,) ns and joints (n, 25, 3) not later than a stamp."""
        kept = slice(self._begin, self._begin + self._count(stamp_ns))
        return self._stamps[kept].copy(), self._joints[kept].copy()

    def _count(self, stamp_ns: int) -> int:
        return int(np.searchsorted(self._stamps[self._begin : self._end], stamp_ns, "right"))


def frame_times(end_s: float, window_s: float, frames: int) -> np.ndarray:
    """The times (frames,) in seconds of a window's frames: evenly spaced, the last one at its end."""
    return end_s + window_s * (np.arange(1 - frames, 1) / frames)


def resample(stamps: np.ndarray, joints: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Joints at given times.

    Args:
        stamps: (n,) seconds, strictly increasing, n >= 1.
        joints: (n, V, 3), NaN where unseen.
        times: (T,) seconds, increasing.

    Returns:
        (T, V, 3): interpolated linearly between the sightings of each joint, held beyond its first and last one;
        NaN where a joint was never seen.
    """
    count, joint_count = joints.shape[:2]
    seen = np.isfinite(joints).all(-1)
    after = np.searchsorted(stamps, times, "right")
    if seen.all():
        before = np.clip(after - 1, 0, count - 1)[:, None]
        after = np.clip(after, 0, count - 1)[:, None]
    else:
        index = np.broadcast_to(np.arange(count)[:, None], seen.shape)
        none = np.full((1, joint_count), -1)
        last_seen = np.concatenate([none, np.maximum.accumulate(np.where(seen, index, -1), 0)])
        next_seen = np.minimum.accumulate(np.where(seen, index, count)[::-1], 0)[::-1]
        next_seen = np.concatenate([next_seen, none + count + 1])
        before, after = last_seen[after], next_seen[after]
        # Held at the ends; a joint without any sighting points at sample 0, which is NaN for it.
        before = np.where(before < 0, np.where(after < count, after, 0), before)
        after = np.where(after >= count, before, after)
    column = np.arange(joint_count)
    gap = (stamps[after] - stamps[before])[..., None]
    share = np.clip((times[:, None] - stamps[before])[..., None] / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
    start = joints[before, column]
    return start + share * (joints[after, column] - start)
