"""What each recording adds to the metrics: counted once, weighted and summed by `values`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.evaluation.metrics.detection import THETAS, average_precision, compare, match
from usdrl_ros.evaluation.metrics.frames import BACKGROUND, label_sequences
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.segmentation import count_segments, edit_score

OVERLAPS = (0.1, 0.25, 0.5)
"""Of the segmental F1."""
CALIBRATION_BINS = 10
"""Equal parts of the confidences from 0 to 1."""


@dataclass(frozen=True)
class RecordingCounts:
    """Of one recording.

    Args:
        events, truths, found, false: How many; found and false as `detection.compare` says.
        minutes: Of recording.
        matched: Truths that an event matches, by tIoU.
        average_precision: Of all its actions together, by tIoU.
        segments, segments_right: Predicted and true segments, and those of them that are right by `OVERLAPS`.
        sequences, edit: People, and the sum of their edit scores.
        frames, frames_right: Frames of true actions, and those that are named right.
        delays, onset_errors, offset_errors: Seconds, of each found truth; how far the recognised start and end are off.
        calibration: (3, bins): events, the sum of their confidences, how many are right; see `calibration_bins`.
    """

    events: int
    truths: int
    found: int
    false: int
    minutes: float
    matched: tuple[int, ...]
    average_precision: tuple[float, ...]
    segments: int
    segments_right: tuple[int, ...]
    sequences: int
    edit: float
    frames: int
    frames_right: int
    delays: np.ndarray
    onset_errors: np.ndarray
    offset_errors: np.ndarray
    calibration: np.ndarray


def count_recording(outcome: Outcome, actions: Sequence[str]) -> RecordingCounts:
    """Count what a recording adds; `actions` are those of all recordings."""
    events, truths = outcome.events, outcome.truths
    comparison = compare(events, truths)
    codes = {action: code for code, action in enumerate(actions, start=BACKGROUND + 1)}
    sequences = label_sequences(events, truths, codes)
    counted = [[count_segments(*sequence, share, BACKGROUND) for share in OVERLAPS] for sequence in sequences]
    false = set(map(id, comparison.false))
    return RecordingCounts(
        events=len(events),
        truths=len(truths),
        found=len(comparison.found),
        false=len(comparison.false),
        minutes=outcome.duration_s / 60,
        matched=tuple(len({index for index in match(events, truths, t) if index is not None}) for t in THETAS),
        average_precision=tuple(average_precision(events, truths, theta) for theta in THETAS),
        segments=sum(each[0][1] for each in counted),
        segments_right=tuple(sum(each[index][0] for each in counted) for index in range(len(OVERLAPS))),
        sequences=len(sequences),
        edit=sum(edit_score([found], [true], BACKGROUND) for found, true in sequences),
        frames=sum(int((true != BACKGROUND).sum()) for _, true in sequences),
        frames_right=sum(int(((found == true) & (true != BACKGROUND)).sum()) for found, true in sequences),
        delays=np.array(comparison.delays, float),
        onset_errors=np.array([abs(event.start - truth.start) for truth, event in comparison.found], float),
        offset_errors=np.array([abs(event.end - truth.end) for truth, event in comparison.found], float),
        calibration=calibration_bins(
            np.array([event.score for event in events], float), np.array([id(event) not in false for event in events])
        ),
    )


def calibration_bins(confidences: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(3, bins): for each tenth of the confidences its events, the sum of their confidences, how many are right.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 2: bins are closed above. An event is
    right that overlaps a true action of its kind.
    """
    index = np.clip(np.ceil(confidences * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    values = (np.ones(len(index)), confidences, right.astype(float))
    return np.stack([np.bincount(index, value, CALIBRATION_BINS) for value in values])


@dataclass(frozen=True)
class RankedEvents:
    """The events of one action from the least confident on, as `detection.average_precision` needs them.

    Args:
        recording: (E,) index of each event's recording.
        matched: (E,) whether it matches a truth.
        last: (E,) whether it is the most confident one that matches its truth.
        truth_recording: (T,) index of each truth's recording.
    """

    recording: np.ndarray
    matched: np.ndarray
    last: np.ndarray
    truth_recording: np.ndarray

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """For weights (draws, recordings): (draws,), what the metric gives for recordings that occur so often.

        Its loop, for all draws at a time. Of the copies of an event that is the last one of its truths, the first one
        to go leaves the highest precision, and of those of any other, the last one to go.
        """
        drawn = weights[:, self.recording]
        truths = weights[:, self.truth_recording].sum(1)
        total = drawn.sum(1)
        lost = drawn * self.last
        found, left = (
            whole.sum(1, keepdims=True) - np.cumsum(each, 1) + each for whole, each in ((lost, lost), (drawn, drawn))
        )  # before each event goes
        found = found - self.last
        left = left - np.where(self.last, 1.0, drawn)
        looked_at = self.matched & (drawn > 0) & (left > 0)
        precision = np.divide(found, left, out=np.zeros_like(drawn), where=looked_at)
        first = np.divide(lost.sum(1), total, out=np.zeros(len(weights)), where=total > 0)
        running = np.maximum.accumulate(np.concatenate([first[:, None], precision], 1), 1)[:, 1:]
        area = np.divide((running * lost).sum(1), truths, out=np.zeros(len(weights)), where=truths > 0)
        return np.where((truths > 0) | (total > 0), area, np.nan)


def rank_events(outcomes: Sequence[Outcome], action: str, theta: float) -> RankedEvents:
    """The events of an action, matched at an overlap."""
    scores: list[float] = []
    recording: list[int] = []
    matches: list[int] = []
    truth_recording: list[int] = []
    for index, outcome in enumerate(outcomes):
        events = [event for event in outcome.events if event.action == action]
        truths = [truth for truth in outcome.truths if truth.action == action]
        offset = len(truth_recording)
        matches += [-1 if found is None else offset + found for found in match(events, truths, theta)]
        scores += [event.score for event in events]
        recording += [index] * len(events)
        truth_recording += [index] * len(truths)
    order = np.argsort(np.array(scores, float), kind="stable")
    matched = np.array(matches, int)[order]
    last = np.zeros(len(order), bool)
    taken: set[int] = set()
    for position in reversed(range(len(order))):
        truth = int(matched[position])
        last[position] = truth >= 0 and truth not in taken
        taken.add(truth)
    return RankedEvents(np.array(recording, int)[order], matched >= 0, last, np.array(truth_recording, int))
