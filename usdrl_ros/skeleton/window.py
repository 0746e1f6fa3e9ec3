"""The recent past of one subject, by time stamp, and its resampling to the frames of the model.

Pose estimators publish at 5 to 60 Hz with jitter and gaps; the model takes frames that are evenly spaced.
"""

from __future__ import annotations

import numpy as np

_FINEST = 1000
"""Samples nearer to the one before than this part of the span are left out: a window has 64 frames."""
_SMALLEST = 32
"""Samples that a new window has memory for; it grows with what comes."""


class SkeletonWindow:
    """The skeletons of the last seconds, in the order of their stamps."""

    def __init__(self, span_s: float, joints: int = 25) -> None:
        """Keep the last `span_s` seconds of V `joints`."""
        self._span_ns = round(span_s * 1e9)
        self._last_ns = 0
        self._stamps = np.empty(_SMALLEST, np.int64)
        self._joints = np.empty((_SMALLEST, joints, 3), np.float32)
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
        """Add joints (V, 3), NaN unseen, of a stamp later than all before.

        Raises:
            ValueError: The stamp is not later.
        """
        if len(self) and stamp_ns <= self.last_ns:
            raise ValueError(f"stamp {stamp_ns} ns is not after the last one, {self.last_ns} ns")
        self._last_ns = stamp_ns
        if len(self) and stamp_ns - int(self._stamps[self._end - 1]) < self._span_ns // _FINEST:
            return
        if self._end == len(self._stamps):
            self._reallocate()
        self._stamps[self._end] = stamp_ns
        self._joints[self._end] = joints
        self._end += 1
        # One sample before the span stays, so that the first frame of the span can be interpolated.
        while self._begin < self._end - 1 and self._stamps[self._begin + 1] <= stamp_ns - self._span_ns:
            self._begin += 1

    def until(self, stamp_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the samples not later than a stamp: stamps (n,) ns and joints (n, V, 3), NaN unseen."""
        stop = self._begin + int(self._stamps[self._begin : self._end].searchsorted(stamp_ns, "right"))
        return self._stamps[self._begin : stop].copy(), self._joints[self._begin : stop].copy()

    def newest(self, stamp_ns: int) -> np.ndarray:
        """The newest joints (V, 3) not later than a stamp, which must not be before `first_ns`."""
        count = int(self._stamps[self._begin : self._end].searchsorted(stamp_ns, "right"))
        return self._joints[self._begin + count - 1]

    def _reallocate(self) -> None:
        """Move the samples that are kept to the start of new memory, twice as large as they are."""
        count, kept = len(self), slice(self._begin, self._end)
        size = max(2 * count, _SMALLEST)
        stamps, joints = np.empty(size, np.int64), np.empty((size, *self._joints.shape[1:]), np.float32)
        stamps[:count], joints[:count] = self._stamps[kept], self._joints[kept]
        self._stamps, self._joints, self._begin, self._end = stamps, joints, 0, count


def frame_times(end_s: float, window_s: float, frames: int) -> np.ndarray:
    """The times (frames,) in seconds of the frames of a window: evenly spaced, the last one at its end."""
    return end_s + window_s * (np.arange(1 - frames, 1) / frames)


def resample(stamps: np.ndarray, joints: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Joints at given times, each interpolated linearly between its own sightings.

    Args:
        stamps: (n,) strictly increasing, n >= 1.
        joints: (n, V, 3), NaN where unseen.
        times: (T,) increasing, in the unit of the stamps.

    Returns:
        (T, V, 3): held before the first sighting of a joint and after its last one; NaN where it was never seen.
    """
    count, width = joints.shape[:2]
    row = np.arange(count)[:, None]
    seen = np.isfinite(joints[..., 0]) & np.isfinite(joints[..., 1]) & np.isfinite(joints[..., 2])
    # Of each sample, the newest sighting of each joint up to it, and the oldest from it on.
    last = np.full((count + 1, width), -1)
    np.maximum.accumulate(np.where(seen, row, -1), 0, out=last[1:])
    following = np.full((count + 1, width), count)
    np.minimum.accumulate(np.where(seen, row, count)[::-1], 0, out=following[count - 1 :: -1])
    passed = stamps.searchsorted(times, "right")
    before, after = last[passed], following[passed]
    held, ahead = after == count, before < 0
    before, after = np.where(ahead, after, before), np.where(held, before, after)
    never = held & ahead
    before[never] = after[never] = 0
    start, stop = stamps[before], stamps[after]
    share = np.clip((times[:, None] - start) / np.where(stop > start, stop - start, 1), 0.0, 1.0).astype(joints.dtype)
    flat, joint = joints.reshape(-1, 3), np.arange(width)
    first = flat.take(before * width + joint, 0)
    result = first + share[..., None] * (flat.take(after * width + joint, 0) - first)
    result[never] = np.nan
    return result


def resample_window(stamps_ns: np.ndarray, joints: np.ndarray, times_ns: np.ndarray) -> np.ndarray:
    """As `resample`; a joint that was not seen since the first of the times is NaN: its last place is out of date."""
    result = resample(stamps_ns, joints, times_ns)
    newest = joints[stamps_ns >= times_ns[0]]
    recent = (np.isfinite(newest[..., 0]) & np.isfinite(newest[..., 1]) & np.isfinite(newest[..., 2])).any(0)
    result[:, ~recent] = np.nan
    return result
