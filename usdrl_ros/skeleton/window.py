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
_BEFORE_AND_AFTER = np.array([[1], [0]])


class SkeletonWindow:
    """Ring buffer of one person's skeletons, NTU-25 order.

    What is unseen is filled in as samples come, once for all windows: between two sightings of a joint on the line
    between them, and held before the first one and after the last.
    """

    def __init__(self, span_s: float) -> None:
        """Keep the last `span_s` seconds."""
        self._span_ns = round(span_s * 1e9)
        self._last_ns = 0
        self._stamps = np.empty(2 * _CAPACITY, np.int64)
        self._joints = np.empty((2 * _CAPACITY, 25, 3), np.float32)
        self._seen = np.empty((2 * _CAPACITY, 25), bool)
        self._begin = self._end = 0
        # Rows of the last sightings of the joints that the newest sample lacks; before `_begin`: none that is kept.
        self._sighted: dict[int, int] = {}

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
        if self._end == len(self._stamps):
            self._slide()
        row = self._end
        self._stamps[row] = stamp_ns
        self._joints[row] = joints
        self._end += 1
        self._seen[row] = seen = np.isfinite(np.add.reduce(joints, 1))
        if self._sighted or not seen.all():
            self._fill(row, seen)
        # One sample before the span stays, so that the span's first frame can be interpolated.
        while self._begin < row and self._stamps[self._begin + 1] <= stamp_ns - self._span_ns:
            self._begin += 1

    def newest(self, stamp_ns: int) -> np.ndarray:
        """The newest joints (25, 3) not later than a stamp, which must not be before `first_ns`."""
        return self._joints[self._begin + self._count(stamp_ns) - 1]

    def samples(self, times_ns: np.ndarray, stamps_ns: np.ndarray, joints: np.ndarray) -> int:
        """What the joints at given times lie between, as far as it was known at the last of these times.

        A joint that was not seen since the first of these times is NaN, and so is one that was never seen.

        Args:
            times_ns: (T,) stamps, increasing; the last one not before `first_ns`.
            stamps_ns: (2, T) filled in: of the samples before and after each time; before the first sample that one,
                after the last one that.
            joints: (2, T, 25, 3) float32, filled in: the joints in these samples.

        Returns:
            The stamp of the last sample that counted.
        """
        last = self._end - 1
        if self._stamps[last] > times_ns[-1]:
            last = self._begin + self._count(int(times_ns[-1])) - 1
        stamps = self._stamps[self._begin : last + 1]
        rows = stamps.searchsorted(times_ns, "right") - _BEFORE_AND_AFTER
        stamps.take(rows, out=stamps_ns, mode="clip")  # beyond an end: the sample at that end
        self._joints[self._begin : last + 1].take(rows, 0, out=joints, mode="clip")
        if last < self._end - 1 or self._sighted:
            self._hide(last, times_ns, self._begin + rows, joints)
        return int(self._stamps[last])

    def _fill(self, row: int, seen: np.ndarray) -> None:
        """Fill in what is unseen in a new sample, and the gaps of the joints that have come back with it."""
        new = self._joints[row]
        came_back: dict[int, list[int]] = {}
        for joint in [joint for joint in self._sighted if seen[joint]]:
            came_back.setdefault(max(self._sighted.pop(joint), self._begin - 1), []).append(joint)
        for last, joints in came_back.items():
            if last < self._begin:  # never seen, or that is forgotten
                self._joints[self._begin : row, joints] = new[joints]
                continue
            passed = self._stamps[last + 1 : row] - self._stamps[last]
            share = (passed / (self._stamps[row] - self._stamps[last]))[:, None, None]
            start = self._joints[last, joints]
            self._joints[last + 1 : row, joints] = start + share * (new[joints] - start)
        before = self._joints[row - 1] if row > self._begin else np.full((25, 3), np.nan)
        for joint in (~seen).nonzero()[0].tolist():
            new[joint] = before[joint]
            self._sighted.setdefault(joint, row - 1)

    def _hide(self, last: int, times_ns: np.ndarray, rows: np.ndarray, joints: np.ndarray) -> None:
        """Take back what `samples` may not know of the joints that are unseen in its last sample.

        Args:
            last: Row of that sample.
            times_ns: As `samples` has them.
            rows: (2, T) that the joints are from; beyond an end, those at that end.
            joints: (2, T, 25, 3), changed in place.
        """
        hidden = (~self._seen[last]).nonzero()[0]
        if not len(hidden):
            return
        seen = self._seen[self._begin : last + 1, hidden]
        sighted = last - seen[::-1].argmax(0)
        gone = ~seen.any(0) | (self._stamps[sighted] < times_ns[0])
        joints[:, :, hidden[gone]] = np.nan
        if last < self._end - 1:  # later samples may have filled in what follows the last sighting
            for joint, row in zip(hidden[~gone].tolist(), sighted[~gone].tolist(), strict=True):
                joints[rows > row, joint] = self._joints[row, joint]

    def _slide(self) -> None:
        """Move what is kept back to the start."""
        kept, count = slice(self._begin, self._end), len(self)
        for array in (self._stamps, self._joints, self._seen):
            array[:count] = array[kept]
        self._sighted = {joint: row - self._begin for joint, row in self._sighted.items()}
        self._begin, self._end = 0, count

    def _count(self, stamp_ns: int) -> int:
        return int(self._stamps[self._begin : self._end].searchsorted(stamp_ns, "right"))


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
    after = stamps.searchsorted(times, "right")
    before, after = np.maximum(after - 1, 0), np.minimum(after, len(stamps) - 1)
    result = between(times, stamps[before], stamps[after], joints[before], joints[after])
    if not all_finite(joints[before[0] :]):  # where all is seen, older samples do not count
        seen = np.isfinite(joints).all(-1)
        for joint in (~seen.all(0)).nonzero()[0].tolist():
            own = seen[:, joint]
            for axis in range(3):
                values = np.interp(times, stamps[own], joints[own, joint, axis]) if own.any() else np.nan
                result[:, joint, axis] = values
    return result


def between(
    times: np.ndarray, start: np.ndarray, stop: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """Joints at some times, on the line between what they are before and after.

    Args:
        times: (T,) in any unit.
        start, stop: (..., T) the times before and after these, in the same unit.
        before, after: (..., T, V, 3) the joints at those; `after` is changed.

    Returns:
        (..., T, V, 3), in place of `after`.
    """
    gap = stop - start
    share = np.minimum(np.maximum(times - start, 0) / np.where(gap > 0, gap, 1), 1.0)
    after -= before
    after *= share[..., None, None].astype(after.dtype)
    after += before
    return after


def all_finite(values: np.ndarray) -> bool:
    """Whether all are finite; false as well where their squares are not, which costs time only."""
    flat = values.ravel()
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.dot(flat, flat)))
