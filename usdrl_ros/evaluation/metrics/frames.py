"""From intervals to labels frame by frame, as `segmentation` wants them: one sequence a person of a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from usdrl_ros.evaluation.metrics.detection import Interval

FRAME_S = 1 / 30
"""Seconds of a frame, the one of most pose estimators."""
BACKGROUND = 0
"""The label of a frame in which nothing is done."""


def label_sequences(
    events: Sequence[Interval], truths: Sequence[Interval], codes: Mapping[str, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labels of one recording: recognised (T,) and true (T,), for each person who is in events or truths.

    Frames count from the first start, so that a shift of all times changes nothing. Where actions of one person
    overlap, a frame has the more certain, then the later one. A truth without a person stands for anyone: then all
    people of the recording are one sequence.

    Args:
        events, truths: Of one recording.
        codes: The label of each action, above 0.
    """
    intervals = [*events, *truths]
    if not intervals:
        return []
    anyone = any(not truth.person_id for truth in truths)
    people = {""} if anyone else {interval.person_id for interval in intervals}
    begin = min(interval.start for interval in intervals)
    frames = max(1, _frame(max(interval.end for interval in intervals) - begin))
    sequences = []
    for person_id in sorted(people):
        first, second = (
            [interval for interval in kind if anyone or interval.person_id == person_id] for kind in (events, truths)
        )
        sequences.append((_labels(first, begin, frames, codes), _labels(second, begin, frames, codes)))
    return sequences


def _labels(intervals: Sequence[Interval], begin: float, frames: int, codes: Mapping[str, int]) -> np.ndarray:
    labels = np.full(frames, BACKGROUND)
    for interval in sorted(intervals, key=lambda interval: (interval.score, interval.start)):
        labels[_frame(interval.start - begin) : _frame(interval.end - begin)] = codes[interval.action]
    return labels


def _frame(seconds: float) -> int:
    # A shift leaves the last bit of a time in doubt: nowhere near the half that is rounded away from.
    return int(np.floor(seconds / FRAME_S + 0.5 + 1e-6))
