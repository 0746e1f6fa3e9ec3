"""Every setting of recognition, declared once: default, what it means, and what values it may have.

The perception node declares its ROS parameters from here, and `config/perception.yaml` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any


def setting(default: Any, description: str, low: float, high: float) -> Any:
    """A dataclass field with a description and an inclusive range."""
    return field(default=default, metadata={"description": description, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """How skeletons become events. Seconds, hertz, and probabilities from 0 to 1.

    Raises:
        ValueError: A value is out of its range; the message names it.
    """

    rate: float = setting(10.0, "Steps a second, Hz, by the stamps' clock.", 0.5, 60.0)
    max_people: int = setting(16, "Most people looked at in a step; who acts comes first, then who is nearest.", 1, 256)
    max_followed: int = setting(
        200, "Most people followed at once, watched or not; who comes beyond is ignored.", 1, 2000
    )
    start_threshold: float = setting(
        0.65, "Probability in excess of this is evidence that an action has started.", 0.01, 1.0
    )
    end_threshold: float = setting(0.15, "An action goes on while its probability is at least this.", 0.0, 1.0)
    confirm_s: float = setting(
        0.35, "Seconds of evidence that start an action: what is certain starts after these.", 0.0, 5.0
    )
    patience_s: float = setting(0.7, "Seconds that the probability may fall below before an action ends.", 0.0, 10.0)
    ongoing_period_s: float = setting(0.5, "Seconds between two ONGOING events of one action.", 0.0, 60.0)
    min_observed_s: float = setting(0.5, "Seconds that a person must have been seen before they are judged.", 0.0, 10.0)
    lost_after_s: float = setting(1.0, "Seconds unseen after which a person is gone and their actions end.", 0.05, 30.0)
    clock_jump_s: float = setting(1.0, "Stamps that jump back by more seconds than this reset recognition.", 0.0, 60.0)
    min_joint_confidence: float = setting(0.0, "Joints of less confidence than this count as unseen.", 0.0, 1.0)

    def __post_init__(self) -> None:
        for f in fields(self):
            value, low, high = getattr(self, f.name), f.metadata["low"], f.metadata["high"]
            kind, called = (Integral, "a whole number") if isinstance(f.default, int) else (Real, "a number")
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{f.name} is {value!r}, must be {called}")
            if not low <= value <= high:  # NaN fails, too
                raise ValueError(f"{f.name} is {value}, must be from {low} to {high}")
        if self.end_threshold > self.start_threshold:
            raise ValueError(
                f"end_threshold is {self.end_threshold}, must not be above start_threshold, {self.start_threshold}"
            )
