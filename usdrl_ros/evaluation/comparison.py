"""Two models on the same recordings, and which of their differences are larger than chance.

Recordings differ more than models do, so both are drawn together (paired bootstrap): in each draw both models have the
same recordings, and the difference of each metric is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from usdrl_ros.evaluation.document import Document, DocumentError
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.values import DRAWS, METRICS, Estimate, MetricSheet, draw_weights, estimates


@dataclass(frozen=True)
class Difference:
    """One metric of two models.

    Args:
        metric: Its name.
        first, second: Its values.
        difference: Second minus first, with its confidence interval.
    """

    metric: str
    first: Estimate
    second: Estimate
    difference: Estimate

    @property
    def beyond_chance(self) -> bool:
        """Whether the confidence interval of the difference leaves out zero."""
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and (low > 0 or high < 0)

    @property
    def better(self) -> str:
        """Which is better, "first" or "second", where the difference is beyond chance; else ""."""
        value = self.difference.value
        if not self.beyond_chance or value is None:
            return ""
        return "second" if (value > 0) == METRICS[self.metric].higher_is_better else "first"


@dataclass(frozen=True)
class TwoModels:
    """Two evaluations side by side.

    Args:
        first, second: Their models.
        recordings: Those that both have, and all metrics are of.
        left_out: Those that only one has.
        differences: Of each metric.
    """

    first: str
    second: str
    recordings: tuple[str, ...]
    left_out: tuple[str, ...]
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Ready for `json.dump`."""
        return {
            "first": self.first,
            "second": self.second,
            "recordings": list(self.recordings),
            "left_out": list(self.left_out),
            "metrics": {
                each.metric: {
                    "first": each.first.value,
                    "second": each.second.value,
                    "difference": each.difference.value,
                    "low": each.difference.low,
                    "high": each.difference.high,
                    "better": each.better or None,
                }
                for each in self.differences
            },
        }


def compare_models(first: Document, second: Document, draws: int = DRAWS) -> TwoModels:
    """Compare two evaluations on the recordings that both have, which may lie in different directories.

    Actions that only one of the models knows count for both: who does not know them, misses them.

    Raises:
        DocumentError: They have no recording in common, or different truth for one.
    """
    outcomes = [_by_name(document) for document in (first, second)]
    common = sorted(outcomes[0].keys() & outcomes[1].keys())
    if not common:
        raise DocumentError(f"{first.path} and {second.path} have no recording with truth in common")
    pairs = [[_with_all_truths(each[name]) for name in common] for each in outcomes]
    for name, one, other in zip(common, *pairs, strict=True):
        if _plain(one.truths) != _plain(other.truths):
            raise DocumentError(f"{name}: its truth in {first.path} is not that in {second.path}: evaluate both again")
    sheets = [MetricSheet(each) for each in pairs]
    ones = np.ones((1, len(common)))
    values = [sheet.metrics(ones) for sheet in sheets]
    weights = draw_weights(len(common), draws)
    drawn = [sheet.metrics(weights) if len(common) > 1 else None for sheet in sheets]
    both = [estimates(value, draw) for value, draw in zip(values, drawn, strict=True)]
    difference = {name: values[1][name] - values[0][name] for name in METRICS}
    drawn_difference = None
    if drawn[0] is not None and drawn[1] is not None:
        drawn_difference = {name: drawn[1][name] - drawn[0][name] for name in METRICS}
    differences = estimates(difference, drawn_difference)
    return TwoModels(
        first=first.model,
        second=second.model,
        recordings=tuple(common),
        left_out=tuple(sorted(outcomes[0].keys() ^ outcomes[1].keys())),
        differences=tuple(Difference(name, both[0][name], both[1][name], differences[name]) for name in METRICS),
    )


def _by_name(document: Document) -> dict[str, Outcome]:
    """The outcomes by their bags' names; by their whole paths, where two have the same name."""
    names = [Path(outcome.name).name for outcome in document.outcomes]
    unique = len(set(names)) == len(names)
    return {name if unique else each.name: each for name, each in zip(names, document.outcomes, strict=True)}


def _with_all_truths(outcome: Outcome) -> Outcome:
    truths = sorted((*outcome.truths, *outcome.unknown), key=lambda truth: (truth.start, truth.end, truth.action))
    return replace(outcome, truths=tuple(truths), unknown=())


def _plain(truths: Sequence[Interval]) -> list[tuple[str, str, float, float]]:
    return [(truth.action, truth.person_id, round(truth.start, 3), round(truth.end, 3)) for truth in truths]
