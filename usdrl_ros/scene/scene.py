"""The scene: of the people of each frame, whom recognition follows.

Between the conversion to NTU-25 and the windows of time. A scene takes frames in the order of their stamps, and gives
subjects whose joints are all in one coordinate frame.
"""

from __future__ import annotations

from dataclasses import dataclass

from usdrl_ros.scene.subject import Subject
from usdrl_ros.skeleton.person import Frame


@dataclass(frozen=True)
class SceneFrame:
    """What the scene makes of one frame.

    Args:
        frame: The people as they were taken: with ids, in the coordinate frame of the scene, with all problems.
        subjects: Whom to follow.
    """

    frame: Frame
    subjects: list[Subject]


class Scene:
    """Follows each person as a subject of their own."""

    def update(self, frame: Frame) -> SceneFrame:
        """Take a frame of people in NTU-25, as `skeleton.canonical.to_ntu25` gives them."""
        return SceneFrame(frame, [Subject((person.person_id,), person.joints[None]) for person in frame.people])
