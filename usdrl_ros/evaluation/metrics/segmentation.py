"""How well every frame of a recording is named: accuracy, edit score and segmental F1.

Edit score: Lea et al., "Segmental Spatiotemporal CNNs for Fine-grained Action Segmentation" (ECCV 2016). Segmental F1
at an overlap: Lea et al., "Temporal Convolutional Networks for Action Segmentation and Detection" (CVPR 2017). A
recording is (T,) labels, one a frame; a segment is a run of one label. Metrics are shares, 0 to 1.

`background` names a label that stands for no action. Given, it is left out: its frames of the truth do not count for
the accuracy, and its segments, true or predicted, are no segments. None: it is a class as any other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LabelledRun:
    """A run of one label: frames from `start` to before `stop`."""

    label: Hashable
    start: int
    stop: int


def labelled_runs(labels: np.ndarray, background: Any = None) -> list[LabelledRun]:
    """The segments of labels (T,), in their order; those of the background left out."""
    if not len(labels):
        return []
    edges = [0, *(np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist(), len(labels)]
    runs = [LabelledRun(labels[start].item(), start, stop) for start, stop in pairwise(edges)]
    return [run for run in runs if background is None or run.label != background]


def frame_accuracy(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray], background: Any = None) -> float:
    """Share of all recordings' frames that are named right; 0 where there is none.

    Raises:
        ValueError: The recordings are not equally many, or not equally long.
    """
    _check(predicted, true)
    right = frames = 0
    for found, labels in zip(predicted, true, strict=True):
        counted = np.ones(len(labels), bool) if background is None else labels != background
        right += int((found == labels)[counted].sum())
        frames += int(counted.sum())
    return right / frames if frames else 0.0


def edit_score(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray], background: Any = None) -> float:
    """Mean over recordings of how alike the orders of segments are, wherever their borders; 0 without a recording.

    Of one recording: 1 - d / n, d being the Levenshtein distance of the two sequences of segments' labels, n the length
    of the longer one; 1 where both are empty.

    Raises:
        ValueError: The recordings are not equally many, or not equally long.
    """
    _check(predicted, true)
    scores = []
    for found, labels in zip(predicted, true, strict=True):
        first, second = ([run.label for run in labelled_runs(each, background)] for each in (found, labels))
        longest = max(len(first), len(second))
        scores.append(1.0 - _levenshtein(first, second) / longest if longest else 1.0)
    return sum(scores) / len(scores) if scores else 0.0


def segmental_f1(
    predicted: Sequence[np.ndarray], true: Sequence[np.ndarray], overlap: float, background: Any = None
) -> float:
    """F1 of the segments of all recordings together; 0 where none is right.

    In their order, each predicted segment is compared with the true one of its label that it overlaps most
    (intersection over union, in frames). It is right if that reaches `overlap` and no earlier one has claimed it.

    Raises:
        ValueError: The recordings are not equally many, or not equally long, or the overlap is not above 0 and up to 1.
    """
    _check(predicted, true)
    _check_overlap(overlap)
    counts = [count_segments(found, labels, overlap, background) for found, labels in zip(predicted, true, strict=True)]
    right, segments = (sum(count) for count in zip(*counts, strict=True)) if counts else (0, 0)
    return 2 * right / segments if right else 0.0


def count_segments(found: np.ndarray, labels: np.ndarray, overlap: float, background: Any = None) -> tuple[int, int]:
    """Of one recording: the segments that `segmental_f1` counts as right, and all, predicted and true together.

    Raises:
        ValueError: The overlap is not above 0 and up to 1.
    """
    _check_overlap(overlap)
    first, second = labelled_runs(found, background), labelled_runs(labels, background)
    claimed: set[int] = set()
    for run in first:
        shares = [_overlap(run, other) for other in second]
        best = int(np.argmax(shares)) if shares else 0
        if shares and shares[best] >= overlap:
            claimed.add(best)
    return len(claimed), len(first) + len(second)


def _overlap(first: LabelledRun, second: LabelledRun) -> float:
    if first.label != second.label:
        return 0.0
    intersection = min(first.stop, second.stop) - max(first.start, second.start)
    return max(intersection, 0) / (max(first.stop, second.stop) - min(first.start, second.start))


def _levenshtein(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and replacements that make one sequence the other."""
    previous = list(range(len(second) + 1))
    for row, label in enumerate(first, 1):
        current = [row]
        for column, other in enumerate(second, 1):
            kept = previous[column - 1] + (label != other)
            current.append(min(kept, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def _check_overlap(overlap: float) -> None:
    if not 0.0 < overlap <= 1.0:
        raise ValueError(f"overlap is {overlap}, expected a share above 0 and up to 1")


def _check(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> None:
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} recordings are predicted, {len(true)} are true: expected equally many")
    for index, (found, labels) in enumerate(zip(predicted, true, strict=True)):
        if np.shape(found) != np.shape(labels) or np.ndim(labels) != 1:
            raise ValueError(
                f"recording {index}: predicted labels are {np.shape(found)}, true ones {np.shape(labels)}; "
                "expected one label a frame in both"
            )
