"""People as markers for RViz and Foxglove: bones, joints, and above the head who it is and what they are doing."""

from __future__ import annotations

import colorsys
import threading
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.skeleton.layouts import NTU_25, SPINE_BASE, load_layout
from usdrl_ros.skeleton.person import Person

_HEAD = NTU_25.index("Head")
_BONE_M, _JOINT_M, _LETTER_M = 0.025, 0.05, 0.12
_ABOVE_HEAD_M = 0.25


class RunningActions:
    """What each person is doing, from the events published so far. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, dict[str, tuple[str, float]]] = {}

    def take(self, events: Sequence[Event]) -> None:
        """Follow events."""
        with self._lock:
            for event in events:
                actions = self._running.setdefault(event.person_id, {})
                actions[event.event_id] = (event.action, event.confidence)
                if event.phase == Phase.ENDED:
                    del actions[event.event_id]
                if not actions:
                    del self._running[event.person_id]

    def of(self, person_id: str) -> list[tuple[str, float]]:
        """Actions and their confidences, the surest first."""
        with self._lock:
            return sorted(self._running.get(person_id, {}).values(), key=lambda action: -action[1])


def people_markers(
    stamp_ns: int, frame_id: str, people: Sequence[Person], running: RunningActions, lifetime_s: float
) -> MarkerArray:
    """The markers of all people of a frame.

    Args:
        stamp_ns, frame_id: Of the skeletons; the markers stand where the people do.
        people: In NTU-25, metres, NaN unseen.
        running: What they are doing.
        lifetime_s: Seconds after which the markers of a person who is not updated vanish.
    """
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    whole_s, part_s = divmod(lifetime_s, 1.0)
    common = {
        "header": Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame_id),
        "lifetime": Duration(sec=int(whole_s), nanosec=int(part_s * 1e9)),
    }
    array = MarkerArray()
    for person in people:
        seen = np.isfinite(person.joints).all(-1)
        if seen.any():
            array.markers += _person(person, seen, running.of(person.person_id), common)
    return array


def _person(person: Person, seen: np.ndarray, actions: list[tuple[str, float]], common: dict[str, Any]) -> list[Marker]:
    number = zlib.crc32(person.person_id.encode()) & 0x7FFFFFFF  # the same for a person from message to message
    color = ColorRGBA(**dict(zip("rgb", colorsys.hsv_to_rgb(number % 360 / 360, 0.6, 1.0), strict=True)), a=1.0)
    joints = person.joints.astype(float)
    points = [Point(x=x, y=y, z=z) for x, y, z in joints.tolist()]
    bones = [index for bone in load_layout(person.layout).bones if seen[list(bone)].all() for index in bone]
    text = "\n".join([person.person_id, *(f"{action} {confidence:.2f}" for action, confidence in actions)])

    def marker(namespace: str, kind: int, size: tuple[float, float, float], **fields: Any) -> Marker:
        made = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD, color=color, **fields, **common)
        made.pose.orientation.w = 1.0
        made.scale.x, made.scale.y, made.scale.z = size
        return made

    label = marker("label", Marker.TEXT_VIEW_FACING, (0.0, 0.0, _LETTER_M), text=text)
    label.pose.position = Point(**dict(zip("xyz", _label_position(person, joints[seen]).tolist(), strict=True)))
    return [
        marker("bones", Marker.LINE_LIST, (_BONE_M, 0.0, 0.0), points=[points[index] for index in bones]),
        marker("joints", Marker.SPHERE_LIST, (_JOINT_M,) * 3, points=[points[index] for index in np.flatnonzero(seen)]),
        label,
    ]


def _label_position(person: Person, seen_joints: np.ndarray) -> np.ndarray:
    """Beyond the head, as seen from the pelvis: above it, whichever axis of the frame points up."""
    head, pelvis = person.joints[_HEAD], person.joints[SPINE_BASE]
    if not np.isfinite(head).all():
        return seen_joints.mean(0)
    up = head - pelvis
    length = float(np.linalg.norm(up))
    return head + (up / length * _ABOVE_HEAD_M if np.isfinite(length) and length > 0.0 else 0.0)
