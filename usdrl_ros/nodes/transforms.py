"""Transforms from `/tf` and `/tf_static` for the perception node, in tf2's own buffer where `tf2_ros` is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.time import Time

from usdrl_ros.installing import install_steps
from usdrl_ros.messages import message_to_transforms, time_to_ns
from usdrl_ros.nodes.conversion import message_class
from usdrl_ros.parameters import ParameterError
from usdrl_ros.problems import Problem
from usdrl_ros.scene.placing import add_poses, read_pose
from usdrl_ros.scene.transforms import MOST_FRAMES, SPAN_S, Lookup, TransformBuffer, Transforms, matrix_of

TF, TF_STATIC = "/tf", "/tf_static"
_TYPE = "tf2_msgs/msg/TFMessage"
_DEPTH = 200


class Tf2Transforms:
    """tf2's buffer, by the interface of `usdrl_ros.scene.transforms.Transforms`.

    Args:
        tf2_ros: The module.
    """

    def __init__(self, tf2_ros: Any) -> None:
        from rclpy.duration import Duration

        self._errors = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=SPAN_S))
        self._newest_ns: dict[str, int] = {}  # by child

    def add(self, transform: Any, *, static: bool) -> None:
        """Take a geometry_msgs/TransformStamped."""
        if not static:
            # tf2 refuses what is older than it keeps, for ever after a bag starts over; static transforms stay.
            stamp_ns, newest_ns = time_to_ns(transform.header.stamp), self._newest_ns.get(transform.child_frame_id, 0)
            if stamp_ns < newest_ns - SPAN_S * 1e9:
                self._buffer.clear()
                self._newest_ns.clear()
                newest_ns = 0
            if transform.child_frame_id in self._newest_ns or len(self._newest_ns) < MOST_FRAMES:
                self._newest_ns[transform.child_frame_id] = max(stamp_ns, newest_ns)
        set_transform = self._buffer.set_transform_static if static else self._buffer.set_transform
        set_transform(transform, "usdrl_ros")

    def lookup(self, target: str, source: str, stamp_ns: int) -> Lookup:
        """The pose of `source` in `target` at a stamp."""
        target, source = target.lstrip("/"), source.lstrip("/")
        try:
            return Lookup(_matrix(self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))))
        except self._errors as error:
            return Lookup(None, " ".join(str(error).split()), pending=self._may_come(target, source, stamp_ns))

    def latest(self, target: str, source: str) -> Lookup:
        """The newest pose of `source` in `target` that is known."""
        try:
            return Lookup(_matrix(self._buffer.lookup_transform(target.lstrip("/"), source.lstrip("/"), Time())))
        except self._errors as error:
            return Lookup(None, " ".join(str(error).split()), pending=True)

    def _may_come(self, target: str, source: str, stamp_ns: int) -> bool:
        try:
            return bool(self._buffer.get_latest_common_time(target, source).nanoseconds < stamp_ns)
        except self._errors:
            return True


def _matrix(stamped: Any) -> np.ndarray:
    place, turn = stamped.transform.translation, stamped.transform.rotation
    return matrix_of(np.array([place.x, place.y, place.z]), np.array([turn.x, turn.y, turn.z, turn.w]))


class Reporter(Protocol):
    """Takes what is wrong: the node's `Monitor`, or anything with these two."""

    def report(self, problems: Iterable[Problem]) -> None: ...

    def failed(self, error: Exception) -> None: ...


class TransformFeed:
    """Listens to tf.

    Args:
        node: Subscribes.
        fixed_frame: The frame in which `poses` are.
        poses: The parameter `camera_poses`.
        monitor: Reports transforms that are none.
        wanted_by: Who asks, for the error.
        ignore: Frames of which nothing is kept, by name.

    Raises:
        ParameterError: tf's messages are not installed, and there are no poses that would do without.
    """

    def __init__(
        self,
        node: Node,
        fixed_frame: str,
        poses: Sequence[str],
        monitor: Reporter,
        *,
        wanted_by: str = "fixed_frame",
        ignore: Callable[[str], bool] = lambda child: False,
    ) -> None:
        self._node, self._monitor, self._ignore = node, monitor, ignore
        self._subscriptions: list[Subscription] = []
        self._own = TransformBuffer()
        self._tf2 = _tf2()
        self.transforms: Transforms = self._own if self._tf2 is None else self._tf2
        try:
            self._type: type | None = message_class(_TYPE)
        except Exception as error:  # ImportError, AttributeError, and what rclpy raises without type support
            if not poses:
                install = install_steps(["ros-{distro}-tf2-msgs"])
                fault = f"{wanted_by} needs {_TYPE}, which is not installed ({error}): {install}"
                poses_do = ", or give the poses of cameras that stand still by camera_poses" if fixed_frame else ""
                raise ParameterError(f"{fault}{poses_do}") from error
            self._type = None
        if self._tf2 is None:
            add_poses(self._own, fixed_frame, poses)
        else:
            for text in poses:
                self._tf2.add(_stamped(fixed_frame, text), static=True)

    def open(self, on_transforms: Callable[[], None]) -> None:
        """Subscribe; `on_transforms` is called after transforms have come."""
        if self._type is None:
            return

        def take(message: Any, static: bool) -> None:
            try:
                self._add(message, static)
                on_transforms()
            except Exception as error:  # else rclpy ends the node
                self._monitor.failed(error)

        static_qos = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic, qos, static in ((TF, QoSProfile(depth=_DEPTH), False), (TF_STATIC, static_qos, True)):
            self._subscriptions.append(
                self._node.create_subscription(
                    self._type, topic, lambda message, static=static: take(message, static), qos
                )
            )

    def close(self) -> None:
        """Unsubscribe."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _add(self, message: Any, static: bool) -> None:
        if self._tf2 is not None:
            for transform in message.transforms:
                if not self._ignore(transform.child_frame_id):
                    self._tf2.add(transform, static=static)
            return
        for parent, child, stamp_ns, translation, rotation in message_to_transforms(message):
            if self._ignore(child):
                continue
            if fault := self._own.add(parent, child, stamp_ns, translation, rotation, static=static):
                self._monitor.report([Problem("bad_transform", fault)])


def _tf2() -> Tf2Transforms | None:
    """tf2's buffer, if it is installed."""
    try:
        import tf2_ros
    except ImportError:
        return None
    return Tf2Transforms(tf2_ros)


def _stamped(fixed_frame: str, text: str) -> Any:
    """The geometry_msgs/TransformStamped of an entry of `camera_poses`."""
    from geometry_msgs.msg import TransformStamped

    frame, translation, rotation = read_pose(text)
    stamped = TransformStamped(child_frame_id=frame.lstrip("/"))
    stamped.header.frame_id = fixed_frame.lstrip("/")
    place, turn = stamped.transform.translation, stamped.transform.rotation
    place.x, place.y, place.z = translation
    turn.x, turn.y, turn.z, turn.w = rotation
    return stamped
