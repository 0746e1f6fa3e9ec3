"""The scene: of the people of each frame, whom recognition follows.

Between the conversion to NTU-25 and the windows of time. A scene takes frames in the order of their stamps, and gives
subjects whose joints are all in one coordinate frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from usdrl_ros.problems import Problem, shown
from usdrl_ros.scene.naming import Naming
from usdrl_ros.scene.pairing import Pairing
from usdrl_ros.scene.subject import Subject
from usdrl_ros.skeleton.body import BodyCheck
from usdrl_ros.skeleton.person import Frame

if TYPE_CHECKING:
    from usdrl_ros.scene.fusion import Fusion

_UP = np.array([0.0, 0.0, 1.0])
"""The vertical of a fixed frame (REP 103)."""
_MOST_CAMERAS = 16


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
    """Checks the bodies, makes one person of those whom several cameras see, and pairs people who act together.

    People of several cameras become one where the cameras are in one fixed frame (`usdrl_ros.scene.placing`);
    otherwise each camera's people are their own.

    Args:
        actions: Of the model.
        people: M of the model: with 2, people near each other are subjects together as well.
        mend: Whether wrong units and swapped sides are mended, see `BodyCheck`.
    """

    def __init__(self, actions: Sequence[str] = (), *, people: int = 1, mend: bool = False) -> None:
        self._actions = tuple(actions)
        self._mend = mend
        self._naming = Naming()
        self._checks: dict[str, BodyCheck] = {}
        pairing = Pairing()
        self._pairing = pairing if people > 1 and pairing.interactions & set(actions) else None
        self._fusion: Fusion | None = None
        self._cameras: list[str] = []  # that are not placed, the first one first
        self._last_camera = ""

    def update(self, frame: Frame) -> SceneFrame:
        """Take a frame of people in NTU-25, as `skeleton.canonical.to_ntu25` gives them."""
        frame = self._naming.update(frame)
        frame = self._checked(frame)
        if frame.camera and frame.camera != frame.frame_id:  # it has been placed
            if self._fusion is None:
                # It needs scipy, 46 MB, which a camera that is not placed does not.
                from usdrl_ros.scene.fusion import Fusion

                self._fusion = Fusion()
            fused = self._fusion.update(frame)
            frame, updated = fused.frame, fused.updated
        else:
            frame = self._by_camera(frame)
            updated = frozenset(person.person_id for person in frame.people)
        if self._pairing is not None:
            return SceneFrame(frame, self._pairing.subjects(frame.people, updated, self._actions))
        people = [person for person in frame.people if person.person_id in updated]
        return SceneFrame(frame, [Subject((person.person_id,), person.joints[None]) for person in people])

    def _checked(self, frame: Frame) -> Frame:
        """The frame without joints that no body has."""
        camera = frame.camera or frame.frame_id
        if not frame.people:
            return frame
        check = self._checks.get(camera)
        if check is None:
            if len(self._checks) >= _MOST_CAMERAS:  # frame_id comes from the network
                self._checks.pop(next(iter(self._checks)))
            check = self._checks[camera] = BodyCheck(mend=self._mend)
        problems = list(frame.problems)
        joints = np.stack([person.joints for person in frame.people])
        names = [shown(person.person_id) for person in frame.people]
        placed = frame.pose is not None
        origin = frame.pose[:3, 3] if frame.pose is not None else None
        checked = check.check(frame.stamp_ns, joints, names, problems, up=_UP if placed else None, camera=origin)
        people = frame.people
        if checked is not joints:
            seen = np.isfinite(checked).all(-1)
            people = [
                replace(person, joints=own, confidence=None if given is None else np.where(there, given, 0.0))
                for person, own, there, given in zip(
                    people, checked, seen, [person.confidence for person in people], strict=True
                )
                if there.any()
            ]
        return replace(frame, people=people, problems=problems)

    def _by_camera(self, frame: Frame) -> Frame:
        """The frame of one of several cameras that are not placed: ids of all but the first are the camera's own."""
        camera = frame.frame_id
        if not camera:  # it is not known which one
            return frame
        if not self._cameras or (camera not in self._cameras and len(self._cameras) < _MOST_CAMERAS):
            self._cameras.append(camera)
        changed = camera != self._last_camera and len(self._cameras) > 1
        self._last_camera = camera
        if not changed and camera == self._cameras[0]:
            return frame
        people = frame.people
        if camera != self._cameras[0]:
            people = [replace(person, person_id=f"{camera}/{person.person_id}") for person in people]
        problems = list(frame.problems)
        if changed:
            names = ", ".join(f"'{shown(name)}'" for name in self._cameras[:4])
            fault = f"skeletons come in several frames ({names}), and fixed_frame is not set"
            what = "people of each are followed on their own; set fixed_frame to a frame that tf connects them to"
            problems.append(Problem("several_cameras", f"{fault}: {what}"))
        return replace(frame, people=people, problems=problems)
