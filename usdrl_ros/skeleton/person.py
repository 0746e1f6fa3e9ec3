"""What one skeleton message shows: a frame of people, each in the joint layout in which they came."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from usdrl_ros.problems import Problem


@dataclass(frozen=True)
class Person:
    """One person as a pose estimator saw them.

    Args:
        person_id: The tracker's name for the person.
        layout: Of the joints, as `load_layout` takes it.
        joints: (V, 3) metres, in the frame of the message; NaN where unseen.
        confidence: (V,) 0 to 1; None where the tracker gives none.
        source_layout: The layout in which the person came, where `joints` have been converted; "" where they have not.
    """

    person_id: str
    layout: str
    joints: np.ndarray
    confidence: np.ndarray | None = None
    source_layout: str = ""


@dataclass(frozen=True)
class Frame:
    """The people of one skeleton message.

    Args:
        stamp_ns: Nanoseconds on the clock of the message's header; 0 where neither the message nor its reader has one.
        frame_id: The coordinate frame of the joints.
        people: In the order of the message.
        problems: What in the message could not be used.
        camera: Which camera saw them; "": the one that `frame_id` names.
        association: Whose ids come from where they are and how they move: nobody's ("never"), those who have none
            ("missing", their id is ""), or all ("always", the ids are those of the tracker, and a hint).
        instant_s: Frames that show one person each, and are no further apart than this, show one instant; 0: each
            frame is an instant.
        pose: (4, 4) of the camera in `frame_id`, by which the joints were placed there; None where they are in the
            frame of the camera itself.
    """

    stamp_ns: int
    frame_id: str
    people: list[Person]
    problems: list[Problem] = field(default_factory=list)
    camera: str = ""
    association: str = "never"
    instant_s: float = 0.0
    pose: np.ndarray | None = None

    @property
    def camera_position(self) -> np.ndarray:
        """(3,) where the camera is in `frame_id`, metres."""
        return np.zeros(3) if self.pose is None else self.pose[:3, 3]
