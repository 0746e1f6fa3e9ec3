"""Every metric of an evaluation, for the recordings as they are and for draws of them (bootstrap).

Recordings are few and differ much, so a metric comes with the interval that draws of the recordings with replacement
give (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, percentile method). What each recording adds to a
metric is counted once (`counts.py`); a draw is then a weight for each recording, how often it was drawn, and a
metric is computed for all draws at a time. Weights of 1 give the metrics themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.evaluation.metrics.counts import OVERLAPS, RankedEvents, RecordingCounts, count_recording, rank_events
from usdrl_ros.evaluation.metrics.detection import THETAS
from usdrl_ros.evaluation.metrics.outcome import Outcome

DRAWS = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Metric:
    """What one metric is.

    Args:
        name: By which JSON files and `--require` know it.
        title: In words.
        unit: "" for shares, "s" for seconds, "/min" for how often in a minute.
        higher_is_better: Which way is good.
    """

    name: str
    title: str
    unit: str = ""
    higher_is_better: bool = True


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(
            Metric(f"mAP_action@{theta}", f"mean average precision of the true actions, tIoU {theta}")
            for theta in THETAS
        ),
        *(Metric(f"mAP_video@{theta}", f"mean average precision by recording, tIoU {theta}") for theta in THETAS),
        *(Metric(f"F1@{theta}", f"F1 of detections, tIoU {theta}") for theta in THETAS),
        *(Metric(f"segmental_F1@{round(100 * share)}", f"segmental F1, overlap {share:g}") for share in OVERLAPS),
        Metric("edit", "edit score of the order of actions"),
        Metric("frame_accuracy", "share of the time of true actions that is named right"),
        Metric("found", "share of the true actions that were found at all"),
        Metric("false_events_per_minute", "events that overlap no true action of their kind", "/min", False),
        Metric("delay_median_s", "true onset to STARTED, median", "s", False),
        Metric("delay_p90_s", "true onset to STARTED, 90th percentile", "s", False),
        Metric("onset_error_s", "distance of recognised and true onset, median", "s", False),
        Metric("offset_error_s", "distance of recognised and true end, median", "s", False),
        Metric("calibration_error", "expected calibration error of the events' confidence", "", False),
    )
}
"""By name, in the order in which they are shown."""


@dataclass(frozen=True)
class Estimate:
    """A metric and its confidence interval; None where it is not defined, or recordings are too few."""

    value: float | None
    low: float | None = None
    high: float | None = None


class MetricSheet:
    """The metrics of some recordings, for any weights of them."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        """Count what each recording adds; the expensive part."""
        self.names = tuple(outcome.name for outcome in outcomes)
        actions = {interval.action for each in outcomes for interval in (*each.events, *each.truths)}
        self.actions = tuple(sorted(actions))
        # Events of other actions are false events; a precision they have none.
        self.true_actions = tuple(sorted({truth.action for each in outcomes for truth in each.truths}))
        self._counts: list[RecordingCounts] = [count_recording(outcome, self.actions) for outcome in outcomes]
        self._ranked: dict[tuple[str, float], RankedEvents] = {
            (action, theta): rank_events(outcomes, action, theta) for action in self.actions for theta in THETAS
        }

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each of `METRICS` for weights (draws, recordings): (draws,), NaN where it is not defined."""
        metrics: dict[str, np.ndarray] = {}
        for theta in THETAS:
            precision = self.average_precision(weights, theta)
            by_action = [precision[action] for action in self.true_actions]
            metrics[f"mAP_action@{theta}"] = _mean(np.stack(by_action, 1) if by_action else np.empty((len(weights), 0)))
        for index, theta in enumerate(THETAS):
            video = np.array([counts.average_precision[index] for counts in self._counts])
            there = np.array([counts.events + counts.truths > 0 for counts in self._counts], bool)
            metrics[f"mAP_video@{theta}"] = _ratio(weights @ np.where(there, video, 0.0), weights @ there)
        for index, theta in enumerate(THETAS):
            matched = self._sum(weights, [counts.matched[index] for counts in self._counts])
            both = self._sum(weights, [counts.events + counts.truths for counts in self._counts])
            metrics[f"F1@{theta}"] = _ratio(2 * matched, both)
        for index, overlap in enumerate(OVERLAPS):
            right = self._sum(weights, [counts.segments_right[index] for counts in self._counts])
            segments = self._sum(weights, [counts.segments for counts in self._counts])
            metrics[f"segmental_F1@{round(100 * overlap)}"] = _ratio(2 * right, segments)

        def share(part: str, whole: str) -> np.ndarray:
            return _ratio(*(self._sum(weights, [getattr(c, name) for c in self._counts]) for name in (part, whole)))

        metrics["edit"] = share("edit", "sequences")
        metrics["frame_accuracy"] = share("frames_right", "frames")
        metrics["found"] = share("found", "truths")
        metrics["false_events_per_minute"] = share("false", "minutes")
        for name, field, quantile in (
            ("delay_median_s", "delays", 0.5),
            ("delay_p90_s", "delays", 0.9),
            ("onset_error_s", "onset_errors", 0.5),
            ("offset_error_s", "offset_errors", 0.5),
        ):
            metrics[name] = self._quantile(weights, [getattr(counts, field) for counts in self._counts], quantile)
        metrics["calibration_error"] = self._calibration_error(weights)
        return {name: metrics[name] for name in METRICS}

    def average_precision(self, weights: np.ndarray, theta: float) -> dict[str, np.ndarray]:
        """Of each action (draws,), NaN where a draw has neither an event nor a truth of it."""
        return {action: self._ranked[action, theta].average_precision(weights) for action in self.actions}

    def _sum(self, weights: np.ndarray, values: Sequence[float]) -> np.ndarray:
        return weights @ np.array(values, float)

    def _quantile(self, weights: np.ndarray, values: Sequence[np.ndarray], quantile: float) -> np.ndarray:
        pooled = np.concatenate([np.empty(0), *values])
        recording = np.repeat(np.arange(len(values)), [len(each) for each in values])
        order = np.argsort(pooled, kind="stable")
        pooled = pooled[order]
        upto = np.cumsum(weights[:, recording[order]], 1)  # how many values are drawn, up to each
        result = np.full(len(weights), np.nan)
        if not len(pooled):
            return result
        there = upto[:, -1] > 0
        place = quantile * (upto[there, -1] - 1)  # among the drawn values, between two of them
        low, high = ((upto[there] <= np.floor(at)[:, None]).sum(1) for at in (place, np.ceil(place)))
        result[there] = pooled[low] + (place - np.floor(place)) * (pooled[high] - pooled[low])
        return result

    def _calibration_error(self, weights: np.ndarray) -> np.ndarray:
        bins = np.stack([counts.calibration for counts in self._counts]) if self._counts else np.zeros((0, 3, 1))
        events, confidence, right = np.moveaxis(np.tensordot(weights, bins, 1), 1, 0)
        return _ratio(np.abs(confidence - right).sum(1), events.sum(1))


def draw_weights(recordings: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each recording is in each draw with replacement: (draws, recordings), rows sum to recordings."""
    random = np.random.default_rng(seed)
    return random.multinomial(recordings, np.full(recordings, 1 / max(recordings, 1)), draws).astype(float)


def estimates(values: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray] | None) -> dict[str, Estimate]:
    """Value and confidence interval of each metric, from (1,) values and (draws,) values of draws, if there are."""
    result = {}
    for name, value in values.items():
        low = high = None
        if drawn is not None and np.isfinite(drawn[name]).any() and np.isfinite(value[0]):
            tail = (1 - CONFIDENCE) / 2
            low, high = (float(x) for x in np.nanquantile(drawn[name], (tail, 1 - tail)))
        result[name] = Estimate(float(value[0]) if np.isfinite(value[0]) else None, low, high)
    return result


def evaluate(outcomes: Sequence[Outcome], draws: int = DRAWS) -> dict[str, Estimate]:
    """Each metric of some recordings, with its confidence interval where there are two recordings or more."""
    sheet = MetricSheet(outcomes)
    drawn = sheet.metrics(draw_weights(len(outcomes), draws)) if len(outcomes) > 1 and draws else None
    return estimates(sheet.metrics(np.ones((1, len(outcomes)))), drawn)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row (draws, n) over what is not NaN."""
    there = np.isfinite(values)
    return _ratio(np.where(there, values, 0.0).sum(1), there.sum(1))
