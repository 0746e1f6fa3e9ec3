"""Skeletons of a moving camera in a frame that stands still, by the pose of the camera at the stamp of each message."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from usdrl_ros.problems import Problem
from usdrl_ros.scene.transforms import TransformBuffer, Transforms
from usdrl_ros.skeleton.person import Frame

MOST_WAITING = 300
"""Frames of one camera that wait for its pose; beyond, the oldest goes with the pose that is known."""


class PoseError(ValueError):
    """The pose of a camera cannot be used; one line."""


def read_pose(text: str) -> tuple[str, tuple[float, float, float], tuple[float, float, float, float]]:
    """An entry "FRAME X Y Z QX QY QZ QW" of the parameter `camera_poses`.

    Raises:
        PoseError: It has another form.
    """
    frame, *rest = text.split() or [""]
    try:
        x, y, z, qx, qy, qz, qw = (float(value) for value in rest)
    except ValueError:
        raise PoseError(f"camera pose {text!r}: expected FRAME X Y Z QX QY QZ QW") from None
    translation, rotation = (x, y, z), (qx, qy, qz, qw)
    if fault := TransformBuffer().add("fixed_frame", frame, 0, translation, rotation, static=True):
        raise PoseError(f"camera pose {text!r}: {fault}")
    return frame, translation, rotation


def add_poses(buffer: TransformBuffer, fixed_frame: str, poses: Sequence[str]) -> None:
    """Add the entries of `camera_poses` to a buffer.

    Raises:
        PoseError: One has another form.
    """
    for text in poses:
        frame, translation, rotation = read_pose(text)
        buffer.add(fixed_frame, frame, 0, translation, rotation, static=True)


class Placing:
    """Places frames in a fixed frame.

    A frame whose pose has not come waits until a transform brings it, or until frames that are `timeout_s` newer have
    come; then the newest pose that is known is used, and reported. What cannot be placed at all is left out and
    reported.

    Args:
        fixed_frame: The frame that stands still, for instance "map" or "odom".
        transforms: Where the frames are.
        timeout_s: Seconds that a frame waits, by the stamps of the frames.
    """

    def __init__(self, fixed_frame: str, transforms: Transforms, timeout_s: float) -> None:
        self.fixed_frame, self.timeout_s = fixed_frame.lstrip("/"), timeout_s
        self._transforms = transforms
        self._waiting: dict[str, deque[Frame]] = {}
        self._newest_ns = 0
        self.fault = ""
        """What lacks now, as /diagnostics shows it; "" where all is well."""

    @property
    def waiting(self) -> int:
        """How many frames wait for their pose."""
        return sum(map(len, self._waiting.values()))

    def push(self, frame: Frame) -> list[Frame]:
        """Take a frame; returns those that are placed by now, of each camera in their order."""
        if frame.stamp_ns < self._newest_ns - 10e9:  # the clock has jumped back
            self._waiting.clear()
            self._newest_ns = frame.stamp_ns
        self._newest_ns = max(self._newest_ns, frame.stamp_ns)
        self._waiting.setdefault(frame.frame_id, deque()).append(frame)
        return self.poll()

    def poll(self) -> list[Frame]:
        """The frames that are placed by now, after transforms have come."""
        return self._placed(flush=False)

    def flush(self) -> list[Frame]:
        """All frames that wait, because the input stopped or the bag ended."""
        return self._placed(flush=True)

    def _placed(self, *, flush: bool) -> list[Frame]:
        placed: list[Frame] = []
        for camera, frames in list(self._waiting.items()):
            while frames:
                frame = frames[0]
                late = self._newest_ns - frame.stamp_ns > self.timeout_s * 1e9
                result = self._place(frame, use_latest=flush or late or len(frames) > MOST_WAITING)
                if result is None:
                    break
                placed.append(result)
                frames.popleft()
            if not frames:
                del self._waiting[camera]
        return sorted(placed, key=lambda frame: frame.stamp_ns)

    def _place(self, frame: Frame, *, use_latest: bool) -> Frame | None:
        """The frame in the fixed frame; None: wait. Without people where its pose is not known."""
        if frame.frame_id.lstrip("/") == self.fixed_frame:
            return frame
        if not frame.frame_id:
            fault = f"message ignored: it has no frame_id, so it cannot be placed in '{self.fixed_frame}'"
            return _left_out(frame, self.fixed_frame, Problem("no_frame_id", f"{fault}; fill header.frame_id"))
        found = self._transforms.lookup(self.fixed_frame, frame.frame_id, frame.stamp_ns)
        if found.pose is not None:
            self.fault = ""
            return placed(frame, found.pose, self.fixed_frame)
        self.fault = found.fault
        if not found.pending:  # it is older than what is kept: the newest pose would be of another time
            fault = f"skeletons in '{frame.frame_id}' cannot be placed in '{self.fixed_frame}': {found.fault}"
            return _left_out(frame, self.fixed_frame, Problem("transform_missing", fault))
        if not use_latest:
            return None
        latest = self._transforms.latest(self.fixed_frame, frame.frame_id)
        if latest.pose is None:
            fault = f"skeletons in '{frame.frame_id}' cannot be placed in '{self.fixed_frame}': {latest.fault}"
            return _left_out(frame, self.fixed_frame, Problem("transform_missing", fault))
        fault = f"{found.fault}: the last known pose of '{frame.frame_id}' in '{self.fixed_frame}' is used"
        late = Problem("transform_late", f"{fault} after {self.timeout_s:g} s (transform_timeout_s)")
        return placed(replace(frame, problems=[*frame.problems, late]), latest.pose, self.fixed_frame)


def placed(frame: Frame, pose: np.ndarray, fixed_frame: str) -> Frame:
    """A frame with its people in another coordinate frame, where the pose of its camera there is (4, 4)."""
    rotation, translation = pose[:3, :3], pose[:3, 3]
    people = [replace(person, joints=person.joints @ rotation.T + translation) for person in frame.people]
    return replace(frame, frame_id=fixed_frame, camera=frame.camera or frame.frame_id, people=people, pose=pose)


def _left_out(frame: Frame, fixed_frame: str, problem: Problem) -> Frame:
    camera = frame.camera or frame.frame_id
    return replace(frame, frame_id=fixed_frame, camera=camera, people=[], problems=[*frame.problems, problem])
