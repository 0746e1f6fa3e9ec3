"""Read people out of skeleton messages. Works on any object with the fields of `usdrl_ros/msg/SkeletonArray`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.layouts import LayoutError, load_layout
from usdrl_ros.skeleton.person import Person


@dataclass(frozen=True)
class SkeletonFrame:
    """What one message says: when, in which frame, who, and what of it could not be used."""

    stamp_ns: int
    frame_id: str
    people: list[Person]
    problems: list[Problem]


def read_skeleton_array(message: Any) -> SkeletonFrame:
    """Read a `SkeletonArray` (from rclpy or rosbags). What is malformed is left out and told, never raised."""
    stamp = message.header.stamp
    frame = SkeletonFrame(stamp.sec * 10**9 + stamp.nanosec, message.header.frame_id, [], [])
    try:
        layout = load_layout(message.layout)
    except LayoutError as error:
        frame.problems.append(Problem("unknown_layout", f"message ignored: {error}"))
        return frame
    expected = len(layout.joint_names)
    named: set[str] = set()
    for skeleton in message.skeletons:
        name = f"person '{skeleton.person_id}' ignored"
        positions = np.asarray(skeleton.positions, np.float32)
        confidences = np.asarray(skeleton.confidences, np.float32)
        if not skeleton.person_id:
            frame.problems.append(Problem("no_person_id", "person without person_id ignored: give each an id"))
        elif skeleton.person_id in named:
            frame.problems.append(Problem("repeated_person", f"{name}: the id occurs twice in one message"))
        elif positions.size != 3 * expected:
            found = f"{positions.size} position values, layout '{layout.name}' needs {3 * expected}"
            frame.problems.append(Problem("wrong_size", f"{name}: {found} (x y z of {expected} joints)"))
        elif confidences.size not in (0, expected):
            found = f"{confidences.size} confidences, layout '{layout.name}' needs {expected}, or none"
            frame.problems.append(Problem("wrong_size", f"{name}: {found}"))
        else:
            named.add(skeleton.person_id)
            joints = positions.reshape(expected, 3)
            frame.people.append(
                Person(skeleton.person_id, layout.name, joints, confidences if confidences.size else None)
            )
    return frame
