"""The recent past of one person, by time stamp, and its resampling to the model's frames.

Pose estimators publish at 5 to 60 Hz with jitter and gaps; the model wants frames evenly spaced. Each joint is
interpolated linearly between its own sightings, and held before the first and after the last.
"""

from __future__ import annotations

import numpy as np

_FINEST = 1000
"""Samples nearer to the one before than this part of the span are left out: a window has 64 frames."""
_TRIED = 8
"""Samples that are looked at for one without an unseen joint, before all are taken."""
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
        self._begin += max(self._count(stamp_ns - self._span_ns) - 1, 0)

    def newest(self, stamp_ns: int) -> np.ndarray:
        """The newest joints (25, 3) not later than a stamp, which must not be before `first_ns`."""
        return self._joints[self._begin + self._count(stamp_ns) - 1]

    def until(self, stamp_ns: int, since_ns: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The stamps (n,) ns and joints (n, 25, 3) not later than a stamp: views, which hold until the next sample.

        Args:
            stamp_ns: That stamp.
            since_ns: What resampling from here on does not need may be left out: all before a sample that is not later
                and in which every joint is seen.
        """
        begin = self._begin if since_ns is None else self._needed(since_ns)
        kept = slice(begin, max(begin, self._begin + self._count(stamp_ns)))
        return self._stamps[kept], self._joints[kept]

    def _needed(self, since_ns: int) -> int:
        """Row of the oldest sample that matters from a stamp on; whole ones are looked for among a few."""
        stop = self._begin + self._count(since_ns)
        start = max(stop - _TRIED, self._begin)
        whole = np.isfinite(np.add.reduce(self._joints[start:stop], (1, 2))).nonzero()[0]
        return start + int(whole[-1]) if len(whole) else self._begin

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
    start = max(int(stamps.searchsorted(times[0], "right")) - 1, 0)
    if start and all_finite(joints[start:]):  # where all is seen, older samples than the one before do not count
        stamps, joints = stamps[start:], joints[start:]
    return resample_together(stamps, joints.copy(), np.array([len(stamps)]), times)[0]


def resample_together(stamps: np.ndarray, joints: np.ndarray, ends: np.ndarray, times: np.ndarray) -> np.ndarray:
    """What `resample` gives for each of P people, at the same times: (P, T, V, 3).

    All samples lie in one array, so that the number of NumPy's calls does not grow with the number of people.

    Args:
        stamps: (S,) seconds, of several people, one after the other.
        joints: (S, V, 3); what is unseen is filled in, in place.
        ends: (P,) the sample after a person's last one.
        times: (T,) seconds, increasing.
    """
    starts = np.concatenate([[0], ends[:-1]])
    if not all_finite(joints):
        fill_unseen(stamps, joints, starts, ends)
    people = zip(starts.tolist(), ends.tolist(), strict=True)
    after = np.stack([stamps[start:end].searchsorted(times, "right") for start, end in people]) + starts[:, None]
    before = np.maximum(after - 1, starts[:, None])
    after = np.minimum(after, ends[:, None] - 1)
    gap = stamps[after] - stamps[before]
    share = np.clip((times - stamps[before]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
    start, result = joints[before], joints[after]
    result -= start
    result *= share[..., None, None].astype(joints.dtype)
    result += start
    return result


def fill_unseen(stamps: np.ndarray, joints: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Put what resampling would give at their stamps for joints that are not seen; a joint never seen stays NaN.

    Args:
        stamps: (S,) seconds, of several people, one after the other.
        joints: (S, V, 3), changed in place.
        starts, ends: (P,) a person's first sample, and the one after the last.
    """
    count, joint_count = joints.shape[:2]
    rows = joints.reshape(-1, 3)
    sample, joint = np.divmod(np.flatnonzero(~np.isfinite(rows @ np.ones(3, joints.dtype))), joint_count)
    unseen = np.sort(joint * count + sample)  # a joint's samples lie side by side, and what is unseen in runs
    if not len(unseen):
        return
    joint, sample = np.divmod(unseen, count)
    begins = np.concatenate([[True], unseen[1:] - unseen[:-1] > 1])
    run = np.cumsum(begins) - 1
    before = (unseen[begins] - 1)[run] - joint * count
    after = (unseen[np.concatenate([begins[1:], [True]])] + 1)[run] - joint * count
    person = np.searchsorted(ends, sample, "right")
    has_before, has_after = before >= starts[person], after < ends[person]
    known = has_before | has_after
    before, after = np.where(has_before, before, after)[known], np.where(has_after, after, before)[known]
    joint, sample = joint[known], sample[known]
    gap = stamps[after] - stamps[before]
    share = np.clip((stamps[sample] - stamps[before]) / np.where(gap > 0, gap, 1.0), 0.0, 1.0)
    start = rows[before * joint_count + joint]
    change = rows[after * joint_count + joint] - start
    rows[sample * joint_count + joint] = start + share[:, None].astype(joints.dtype) * change


def all_finite(values: np.ndarray) -> bool:
    """Whether all are finite; false as well where their squares are not, which costs time only."""
    flat = values.ravel()
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.dot(flat, flat)))
