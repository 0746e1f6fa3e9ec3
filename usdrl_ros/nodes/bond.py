"""The node's side of a bond (bond_core): a heartbeat by which nav2's lifecycle manager knows that the node is well.

nav2's manager forms a bond of the node's name on the topic `bond` when it has activated a node, and takes all its nodes
down when the heartbeat stays away for `bond_timeout`. The timer runs on the node's executor, so a node that hangs has
no heartbeat.
"""

from __future__ import annotations

import uuid
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.timer import Timer
from std_msgs.msg import Header

from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class
from usdrl_ros.parameters import ParameterError

TOPIC, TYPE = "bond", "bond/msg/Status"
_PERIOD_S, _TIMEOUT_S = 0.25, 4.0
"""nav2's own."""


class Bond:
    """A heartbeat from `start` to `stop`.

    Args:
        node: Publishes; the bond has its name.

    Raises:
        ParameterError: The package bond is not installed.
    """

    def __init__(self, node: Node) -> None:
        try:
            _, self._class = first_message_class([TYPE], ("ros-{distro}-bond",), "parameter bond")
        except MissingMessagesError as error:
            raise ParameterError(f"{error}; or set bond:=false, and the manager's bond_timeout to 0") from error
        self._node = node
        self._instance = ""
        self._publisher: Publisher | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin a bond; each has an instance id of its own."""
        self.stop()
        self._instance = str(uuid.uuid4())
        self._publisher = self._node.create_publisher(self._class, TOPIC, QoSProfile(depth=1))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock may stand still
        self._timer = self._node.create_timer(_PERIOD_S, lambda: self._publish(active=True), clock=steady)
        self._publish(active=True)

    def stop(self) -> None:
        """Break the bond, and say so."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        if self._publisher is not None:
            self._publish(active=False)
            self._publisher.wait_for_all_acked(Duration(seconds=0.2))  # else it may be lost with the publisher
            self._node.destroy_publisher(self._publisher)
            self._publisher = None

    def _publish(self, *, active: bool) -> None:
        status: Any = self._class(
            header=Header(stamp=self._node.get_clock().now().to_msg()),
            id=self._node.get_name(),
            instance_id=self._instance,
            active=active,
            heartbeat_timeout=_TIMEOUT_S,
            heartbeat_period=_PERIOD_S,
        )
        if self._publisher is not None:
            self._publisher.publish(status)
