"""How long it took: steps of the recognizer, and in a live run from a message to what it led to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from usdrl_ros.evaluation.bag_run import BagRun


def step_times(runs: Iterable[BagRun]) -> dict[str, float] | None:
    """Median, 90th percentile and greatest of the steps' times, milliseconds; None without a step."""
    counts: Counter[float] = Counter()
    for run in runs:
        counts.update(run.step_ms)
    if not counts:
        return None
    values = np.array(sorted(counts))
    reached = np.cumsum([counts[value] for value in values]) / counts.total()
    at = {name: float(values[np.searchsorted(reached, share)]) for name, share in (("median", 0.5), ("p90", 0.9))}
    return {**at, "max": float(values[-1]), "steps": float(counts.total())}


def latency_summary(runs: Iterable[BagRun]) -> dict[str, float] | None:
    """Median, 90th percentile and greatest latency of messages, seconds; None where no run was live."""
    values = pooled_latencies(runs)
    if not values:
        return None
    return {"median": float(np.median(values)), "p90": float(np.quantile(values, 0.9)), "max": max(values)}


def pooled_latencies(runs: Iterable[BagRun]) -> list[float]:
    """The latencies of all runs."""
    return [value for run in runs for value in run.latencies_s]


def times_real_time(runs: Sequence[BagRun], wall_s: float) -> float | None:
    """Seconds of recording in a second of work."""
    return sum(run.bag_s for run in runs) / wall_s if wall_s > 0 else None
