"""What is compared: the events and the true actions of one recording."""

from __future__ import annotations

from dataclasses import dataclass

from usdrl_ros.evaluation.metrics.detection import Interval


@dataclass(frozen=True)
class Outcome:
    """One recording with truth.

    Args:
        name: Of the recording, as its intervals carry it.
        duration_s: Seconds recorded.
        events: What was recognised.
        truths: The true actions that the model knows.
        unknown: Those that it does not: counted apart, in no metric.
    """

    name: str
    duration_s: float
    events: tuple[Interval, ...]
    truths: tuple[Interval, ...]
    unknown: tuple[Interval, ...] = ()
