"""A recording: people's joints over time, with what they did. What data-set readers, the actor and bags exchange."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Segment:
    """One action of one person, `start` to `end` in seconds on the clock of the recording's stamps."""

    start: float
    end: float
    action: str
    person_id: str = "person_1"

    def __post_init__(self) -> None:
        if not self.end > self.start:
            raise ValueError(f"segment '{self.action}': end {self.end} s is not after start {self.start} s")


@dataclass(frozen=True)
class Recording:
    """One take by one camera.

    Args:
        name: Unique within its data set, for instance "s02_e01".
        layout: Name of the joint layout, see `usdrl_ros.skeleton.layouts`.
        stamps: (T,) seconds, strictly increasing.
        joints: person_id -> (T, V, 3) metres in the layout's order; NaN where unseen (all NaN: not there).
        segments: The true actions, in any order.
        labelled: Whether the true actions are known: without, no segment does not mean that nothing happens.
        person: The subject as the data set names them (for splits by person); "" where there is none.
        view: The camera as the data set names it; "" where there is one.
    """

    name: str
    layout: str
    stamps: np.ndarray
    joints: dict[str, np.ndarray]
    segments: tuple[Segment, ...] = field(default=())
    person: str = ""
    view: str = ""
    labelled: bool = True

    def __post_init__(self) -> None:
        if self.stamps.ndim != 1 or not np.all(np.diff(self.stamps) > 0):
            raise ValueError(f"recording '{self.name}': stamps must be (T,) and strictly increasing")
        for person_id, joints in self.joints.items():
            if joints.ndim != 3 or joints.shape[0] != len(self.stamps) or joints.shape[2] != 3:
                raise ValueError(
                    f"recording '{self.name}': joints of '{person_id}' have shape {joints.shape}, "
                    f"expected ({len(self.stamps)}, V, 3)"
                )
