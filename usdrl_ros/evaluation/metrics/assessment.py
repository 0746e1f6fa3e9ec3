"""How good the events of some recordings are, in one place: for the screen, the JSON file and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.evaluation.metrics.breakdown import Row, by_action, by_person, confusion, make_row, pooled
from usdrl_ros.evaluation.metrics.counts import calibration_bins
from usdrl_ros.evaluation.metrics.detection import Comparison, compare
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.values import Estimate, evaluate


@dataclass(frozen=True)
class Assessment:
    """The metrics of some recordings with truth.

    Args:
        outcomes: The recordings.
        metrics: Each of `values.METRICS`.
        total: The counts of all.
        actions: Of each action its counts and average precision at tIoU 0.5.
        people: Of each (recording, person) the counts.
        confusion: How often a true action was recognised as which.
        false: False events of each action.
        calibration: As `counts.calibration_bins`, of all events.
        comparison: What was found and missed, and what was false.
        unknown: How often each true action occurs that the model does not know.
    """

    outcomes: tuple[Outcome, ...]
    metrics: dict[str, Estimate]
    total: Row
    actions: dict[str, tuple[Row, Estimate]]
    people: dict[tuple[str, str], Row]
    confusion: Counter[tuple[str, str]]
    false: Counter[str]
    calibration: np.ndarray
    comparison: Comparison
    unknown: Counter[str]


def assess(outcomes: Sequence[Outcome]) -> Assessment:
    """Compute everything."""
    events, truths = pooled(outcomes)
    comparison = compare(events, truths)
    false = set(map(id, comparison.false))
    return Assessment(
        outcomes=tuple(outcomes),
        metrics=evaluate(outcomes),
        total=make_row(events, truths),
        actions=by_action(outcomes),
        people=by_person(outcomes),
        confusion=confusion(outcomes),
        false=Counter(event.action for event in comparison.false),
        calibration=calibration_bins(
            np.array([event.score for event in events], float), np.array([id(event) not in false for event in events])
        ),
        comparison=comparison,
        unknown=Counter(truth.action for outcome in outcomes for truth in outcome.unknown),
    )
