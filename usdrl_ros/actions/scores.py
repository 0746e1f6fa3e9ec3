"""The probabilities of one person at one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """The model's probabilities for one person at one step; the fields of `usdrl_ros/msg/ActionScores`.

    Args:
        detection: (K+1,) probabilities in the newest frame, background first.
        recognition: (K,) probabilities if the window shows exactly one action.
    """

    stamp_ns: int
    frame_id: str
    person_id: str
    detection: np.ndarray
    recognition: np.ndarray
