"""People as ROS4HRI's bodies (REP-155): who is tracked, where they are, and their frames on /tf."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PointStamped, Quaternion, Transform, TransformStamped, Vector3
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.publisher import LifecyclePublisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from usdrl_ros.nodes.conversion import first_message_class
from usdrl_ros.scene.bodies import BODY, LINKS, body_id, body_pose, link_positions, quaternion_of
from usdrl_ros.skeleton.person import Frame

IDS_TYPE, TF_TYPE = "hri_msgs/msg/IdsList", "tf2_msgs/msg/TFMessage"
BODIES, TRACKED, TF = "/humans/bodies", "/humans/bodies/tracked", "/tf"
HRI_PACKAGES = ("ros-{distro}-hri-msgs",)
_MOST_POSITIONS = 32
"""Bodies that have a topic of their own at a time."""
_MOST_KNOWN = 256
"""Bodies whose frames are known to be ours."""
_NAMES = {BODY, *LINKS.values()}


class Bodies:
    """Publishes the bodies of each frame. Thread-safe.

    Args:
        node: Makes the publishers of single bodies.
        advertise: Makes a publisher: message class, topic, quality of service.

    Raises:
        MissingMessagesError: hri_msgs or tf2_msgs is not installed.
    """

    def __init__(self, node: LifecycleNode, advertise: Callable[[type, str, QoSProfile], LifecyclePublisher]) -> None:
        _, self._ids_class = first_message_class([IDS_TYPE], HRI_PACKAGES, "parameter hri_bodies")
        _, self._tf_class = first_message_class([TF_TYPE], ("ros-{distro}-tf2-msgs",), "parameter hri_bodies")
        self._node = node
        self._tracked = advertise(self._ids_class, TRACKED, QoSProfile(depth=1))
        self._tf = advertise(self._tf_class, TF, QoSProfile(depth=100))
        self._positions: dict[str, LifecyclePublisher] = {}
        self._known: dict[str, None] = {}
        self._header: Header | None = None  # of the last frame with somebody in it
        self._lock = threading.Lock()

    def is_own(self, frame_id: str) -> bool:
        """Whether a frame of /tf is one of those published here."""
        link, _, body = frame_id.rpartition("_")
        while link:  # an id may hold "_"
            if link in _NAMES:
                return body in self._known
            link, _, more = link.rpartition("_")
            body = f"{more}_{body}"
        return False

    def publish(self, frame: Frame) -> None:
        """Publish the people of a frame, in NTU-25."""
        with self._lock:
            header = Header(stamp=_time(frame.stamp_ns), frame_id=frame.frame_id)
            joints = {body_id(person.person_id): person.joints for person in frame.people}
            self._header = header if joints else None
            for body in joints:
                self._known[body] = self._known.pop(body, None)
            while len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            transforms: list[TransformStamped] = []
            places = {}
            for body, each in joints.items():
                pose = body_pose(each)
                if pose is not None:
                    transforms += _transforms(header, body, each, pose)
                    places[body] = PointStamped(header=header, point=_point(pose[:3, 3]))
            self._tracked.publish(self._ids_class(header=header, ids=list(joints)))
            if transforms:
                self._tf.publish(self._tf_class(transforms=transforms))
            self._publish_positions(places, set(joints))

    def end(self) -> None:
        """Publish that nobody is tracked any more, unless that is known."""
        with self._lock:
            if self._header is not None:
                self._tracked.publish(self._ids_class(header=self._header))
                self._header = None
            self._publish_positions({}, set())

    def close(self) -> None:
        """Take the publishers of single bodies down."""
        with self._lock:
            self._publish_positions({}, set())

    def _publish_positions(self, places: dict[str, PointStamped], tracked: set[str]) -> None:
        for body in [body for body in self._positions if body not in tracked]:
            self._node.destroy_lifecycle_publisher(self._positions.pop(body))
        for body, place in places.items():
            if body not in self._positions and len(self._positions) < _MOST_POSITIONS:
                made = self._node.create_lifecycle_publisher(PointStamped, f"{BODIES}/{body}/position", 1)
                made.on_activate(None)  # the node is active already, which activates only what was there before
                self._positions[body] = made
            if body in self._positions:
                self._positions[body].publish(place)


def _time(stamp_ns: int) -> Time:
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    return Time(sec=seconds, nanosec=nanoseconds)


def _point(position: np.ndarray) -> Point:
    x, y, z = position.tolist()
    return Point(x=x, y=y, z=z)


def _transforms(header: Header, body: str, joints: np.ndarray, pose: np.ndarray) -> list[TransformStamped]:
    """The body frame in the frame of the skeletons, and each link in the body frame, turned as the body is."""
    root = f"{BODY}_{body}"
    inside = Header(stamp=header.stamp, frame_id=root)
    x, y, z, w = quaternion_of(pose[:3, :3])
    placed = [_stamped(header, root, pose[:3, 3], Quaternion(x=x, y=y, z=z, w=w))]
    for link, position in link_positions(joints, pose).items():
        placed.append(_stamped(inside, f"{link}_{body}", position, Quaternion(w=1.0)))
    return placed


def _stamped(header: Header, child: str, position: np.ndarray, rotation: Quaternion) -> Any:
    x, y, z = position.tolist()
    transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=rotation)
    return TransformStamped(header=header, child_frame_id=child, transform=transform)
