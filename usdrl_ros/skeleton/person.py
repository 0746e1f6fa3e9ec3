"""One person's joints at one instant, in whatever layout they came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Person:
    """One person as a pose estimator saw them.

    Args:
        person_id: The tracker's name for the person.
        layout: Of the joints, as `load_layout` takes it.
        joints: (V, 3) metres, in the frame of the message; NaN where unseen.
        confidence: (V,) 0 to 1; None where the tracker does not tell.
    """

    person_id: str
    layout: str
    joints: np.ndarray
    confidence: np.ndarray | None = None
