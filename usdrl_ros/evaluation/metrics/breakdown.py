"""The metrics of each action and of each person, confusions, and how precision falls as recall grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from usdrl_ros.evaluation.metrics.detection import Interval, compare, match, overlap
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.values import DRAWS, Estimate, MetricSheet, draw_weights, estimates

MISSED = ""
"""The column of a true action without an event."""
CONFUSED_FROM = 0.1
"""Least overlap at which an event of another action counts as taken for the true one."""


@dataclass(frozen=True)
class Row:
    """The counts of some true actions and events; medians in seconds, None where nothing was found."""

    true: int
    found: int
    false: int
    delay_median_s: float | None
    onset_error_s: float | None
    offset_error_s: float | None

    @property
    def missed(self) -> int:
        """True actions without an event."""
        return self.true - self.found


def make_row(events: Sequence[Interval], truths: Sequence[Interval]) -> Row:
    """Count events and truths, which may be of several recordings."""
    comparison = compare(events, truths)
    pairs = comparison.found
    return Row(
        true=len(truths),
        found=len(pairs),
        false=len(comparison.false),
        delay_median_s=comparison.delay_median_s,
        onset_error_s=median(abs(event.start - truth.start) for truth, event in pairs) if pairs else None,
        offset_error_s=median(abs(event.end - truth.end) for truth, event in pairs) if pairs else None,
    )


def by_action(outcomes: Sequence[Outcome]) -> dict[str, tuple[Row, Estimate]]:
    """Of each action that occurs: its counts, and its average precision at tIoU 0.5."""
    events, truths = pooled(outcomes)
    sheet = MetricSheet(outcomes)
    drawn = sheet.average_precision(draw_weights(len(outcomes), DRAWS), 0.5) if len(outcomes) > 1 else None
    precision = estimates(sheet.average_precision(np.ones((1, len(outcomes))), 0.5), drawn)
    rows = {}
    for action in sheet.actions:
        own = [[interval for interval in kind if interval.action == action] for kind in (events, truths)]
        rows[action] = (make_row(*own), precision[action])
    return rows


def by_person(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], Row]:
    """Of each person of each recording: the counts. A truth without a person is nobody's."""
    rows = {}
    for outcome in outcomes:
        for person_id in sorted({interval.person_id for interval in (*outcome.events, *outcome.truths)}):
            own = [[i for i in kind if i.person_id == person_id] for kind in (outcome.events, outcome.truths)]
            rows[outcome.name, person_id] = make_row(*own)
    return rows


def confusion(outcomes: Sequence[Outcome]) -> Counter[tuple[str, str]]:
    """How often a true action was recognised as which: keys (true, recognised), `MISSED` where there was no event.

    A truth that was found (`detection.compare`) was recognised right. One that was missed counts as the action of the
    event that overlaps it most, of the same person, from `CONFUSED_FROM` on. So each truth counts once.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        comparison = compare(outcome.events, outcome.truths)
        for truth, _ in comparison.found:
            counts[truth.action, truth.action] += 1
        for truth in comparison.missed:
            shares = [(overlap(event, truth, any_action=True), event.action) for event in outcome.events]
            share, action = max(shares, default=(0.0, MISSED), key=lambda entry: entry[0])
            counts[truth.action, action if share >= CONFUSED_FROM else MISSED] += 1
    return counts


def precision_recall(events: Sequence[Interval], truths: Sequence[Interval], theta: float) -> np.ndarray:
    """(n, 3): recall, precision, and the confidence from which on events count, from the surest event on.

    As `detection.average_precision` counts: several events may match one truth, and it counts once.
    """
    ordered = sorted(events, key=lambda event: -event.score)
    matched: set[int] = set()
    points = []
    for rank, (event, index) in enumerate(zip(ordered, match(ordered, truths, theta), strict=True), start=1):
        if index is not None:
            matched.add(index)
        points.append((len(matched) / max(len(truths), 1), len(matched) / rank, event.score))
    return np.array(points, float).reshape(-1, 3)


def pooled(outcomes: Sequence[Outcome]) -> tuple[list[Interval], list[Interval]]:
    """The events and the truths of all recordings."""
    events = [event for outcome in outcomes for event in outcome.events]
    return events, [truth for outcome in outcomes for truth in outcome.truths]
