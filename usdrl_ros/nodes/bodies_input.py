"""Skeletons from ROS4HRI's bodies (REP-155): ids on /humans/bodies/tracked, joints from the bodies' frames on /tf.

The messages of REP-155 hold positions in the image alone; "3D body poses SHOULD be exposed via TF frames". Each message
with ids is a frame of people, whose joints are where the newest transforms have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from usdrl_ros.messages import time_to_ns
from usdrl_ros.nodes.bodies import HRI_PACKAGES, IDS_TYPE, TRACKED
from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.input import SkeletonInput
from usdrl_ros.nodes.transforms import TransformFeed
from usdrl_ros.parameters import ParameterError
from usdrl_ros.problems import Problem, shown
from usdrl_ros.scene.bodies import BODY, LAYOUT, LINKS
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.sources.limits import LONGEST_ID, MOST_PEOPLE

SOURCE = "ros4hri"
"""Name of the source; it has no file, since no message holds the joints."""
_ASSOCIATION = {"auto": "never", "on": "always", "off": "never"}


@dataclass(frozen=True)
class _BodiesSource:
    name: str = SOURCE
    topic: str = TRACKED
    reliability: str = "best_effort"
    depth: int = 10


class BodiesInput(SkeletonInput):
    """Reads the bodies that a tracker of ROS4HRI publishes.

    Args:
        node: Subscribes.
        values: The node's parameters.
        monitor: Reports what is wrong.

    Raises:
        ParameterError: hri_msgs or tf2_msgs is not installed, or this node itself publishes bodies.
    """

    def _prepare(self, node: Node, values: Mapping[str, Any], monitor: Monitor) -> None:
        if values["hri_bodies"]:
            raise ParameterError(f"hri_bodies publishes what the source {SOURCE} reads: use one of them")
        if values["layout"]:
            raise ParameterError(f"source '{SOURCE}' has REP-155's layout: leave the parameter layout out")
        self.source = _BodiesSource()
        try:
            wanted_by = f"source '{SOURCE}'"
            self.type_name, self._message_class = first_message_class([IDS_TYPE], HRI_PACKAGES, wanted_by)
        except MissingMessagesError as error:
            raise ParameterError(str(error)) from error
        self._decode = partial(deserialize_message, message_type=self._message_class)
        self._most = max(MOST_PEOPLE, values["max_people"])
        self._association = _ASSOCIATION[values["association"]]
        self._feed = TransformFeed(node, "", (), monitor, wanted_by=f"source '{SOURCE}'")

    def open(self, take: Callable[[bytes], None]) -> None:
        """Subscribe to the ids and to tf; `take` gets each message with ids, serialized."""
        self._feed.open(lambda: None)
        super().open(take)

    def close(self) -> None:
        """Unsubscribe."""
        super().close()
        self._feed.close()

    def _read(self, message: Any, now_ns: int) -> Frame:
        problems = []
        stamp_ns, frame_id = time_to_ns(message.header.stamp), message.header.frame_id.lstrip("/")
        if not stamp_ns:
            problems.append(Problem("no_stamp", "header.stamp is 0: the time of receipt is taken"))
            stamp_ns = now_ns
        ids = list(dict.fromkeys(message.ids[: self._most]))
        if len(message.ids) > self._most:
            fault = f"{len(message.ids)} bodies in a message, read are the first {self._most}"
            problems.append(Problem("too_many_in_message", fault))
        people = []
        for body in ids:
            if not 0 < len(body) <= LONGEST_ID:
                problems.append(Problem("no_person_id", f"a body's id of {len(body)} characters is left out"))
                continue
            if not frame_id:
                problems.append(Problem("no_frame", "header.frame_id is empty: tf cannot say where the bodies are"))
                break
            joints = np.stack([self._place(frame_id, f"{link}_{body}") for link in LINKS.values()])
            if np.isnan(joints).all():
                fault = self._feed.transforms.latest(frame_id, f"{BODY}_{body}").fault or "its links have no frames"
                problems.append(Problem("no_body_frame", f"body {shown(body)} is tracked, but tf lacks it: {fault}"))
                continue
            people.append(Person(body, LAYOUT, joints))
        return Frame(stamp_ns, frame_id, people, problems, association=self._association)

    def _place(self, frame_id: str, link: str) -> np.ndarray:
        """(3,) metres of a link's origin; NaN where tf does not have it."""
        pose = self._feed.transforms.latest(frame_id, link).pose
        return np.full(3, np.nan) if pose is None else pose[:3, 3]
