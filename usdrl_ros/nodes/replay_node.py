"""The replay node: plays a rosbag2 bag (sqlite3 or MCAP) onto its topics, with the bag's clock on `/clock`.

Messages are published as they were recorded, without decoding. What this package publishes itself is left out, so that
a recording of a run can be recognised again.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock

from usdrl_ros.bags.reader import Bag, BagError, Topic
from usdrl_ros.nodes.conversion import message_class
from usdrl_ros.nodes.parameters import declare, values_of
from usdrl_ros.nodes.program_parameters import OUTPUTS, REPLAY
from usdrl_ros.sources.reader import load_source, source_names

_CLOCK_PERIOD_S = 0.01
_SETTLE_S = 0.5
"""Seconds without a new subscriber after which all are taken to be there."""
_DEPTH = 1000
"""Messages of a topic that a publisher keeps for subscribers who have not got them yet."""


class ReplayNode(Node):
    """Plays an open bag.

    Raises:
        ParameterError: A parameter given at the start may not have its value.
    """

    def __init__(self, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__("replay", start_parameter_services=False, **kwargs)
        declare(self, REPLAY, arguments)
        values = values_of(self, REPLAY)
        self.bag_path: str = values["bag"]
        self.loop: bool = values["loop"]
        self._rate: float = values["rate"]
        self._wanted: list[str] = values["topics"]
        self._subscribers: int = values["subscribers"]
        self._patience_s: float = values["wait_for_subscribers_s"]
        self._clock_publisher: Publisher | None = None
        if values["clock"]:
            best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)  # as rosbag2's player
            self._clock_publisher = self.create_publisher(Clock, "/clock", best_effort)
        self._publishers_by_topic: dict[str, Publisher] = {}

    def advertise(self, bag: Bag) -> None:
        """Choose the bag's topics to play and create their publishers.

        Raises:
            BagError: A topic that is wanted is not there or cannot be played, or none can.
        """
        types: dict[str, str] = {}
        for name, topic in self._choose(bag.topics).items():
            qos = QoSProfile(depth=_DEPTH)
            if topic.latched:
                qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
            try:
                publisher = self.create_publisher(message_class(topic.type), name, qos)
            except Exception as error:  # ImportError, AttributeError, and what rclpy raises without type support
                fault = f"{name} cannot be played: its type {topic.type} is not installed ({error})"
                if name in self._wanted:
                    raise BagError(f"{self.bag_path}: {fault}") from error
                self.get_logger().warning(f"{fault}; it is left out")
                continue
            self._publishers_by_topic[name] = publisher
            types[name] = topic.type
        if not types:
            raise BagError(f"{self.bag_path}: no topic that can be played; topics of the bag: {_list(bag.topics)}")
        for name, kind in types.items():
            if kind.startswith("usdrl_ros/"):  # one that another version of our types recorded is refused here
                next(bag.messages([name]), None)
        skeletons = {kind for name in source_names() for kind in load_source(name).message_types}
        self._awaited = [name for name, kind in types.items() if kind in skeletons] or list(types)

    def wait_for_subscribers(self, stop: threading.Event) -> None:
        """Wait until each topic of skeletons (in a bag without any: each topic) has its subscribers, within limits."""
        began = settled_since = time.monotonic()
        before: list[int] = []
        while not stop.wait(0.05):
            now = time.monotonic()
            found = [self._publishers_by_topic[name].get_subscription_count() for name in self._awaited]
            known = [self.count_subscribers(name) for name in self._awaited]
            if found != before or any(f < k for f, k in zip(found, known, strict=True)):
                before, settled_since = found, now
            # The first to come is not always the last, and it may not have found the publisher that has found it.
            if min(found) >= self._subscribers and now - settled_since > _SETTLE_S:
                return
            if now - began > self._patience_s:
                if self._patience_s:
                    state = ", ".join(f"{n} {f} of {k}" for n, f, k in zip(self._awaited, found, known, strict=True))
                    self.get_logger().warning(
                        f"playing on after {self._patience_s} s without all subscribers (connected: {state})"
                    )
                return

    def play(self, bag: Bag, stop: threading.Event) -> None:
        """Play once from the beginning; returns early once `stop` is set.

        Raises:
            BagError: The bag is damaged; what comes before has been played.
        """
        self.get_logger().info(
            f"playing {self.bag_path}, {bag.duration_s:.1f} s at rate {self._rate}: {_list(self._publishers_by_topic)}"
        )
        sent, began, first_ns, latest_s = 0, time.monotonic(), None, 0.0
        for connection, stamp_ns, data in bag.raw_messages(self._publishers_by_topic):
            if first_ns is None:
                began, first_ns = time.monotonic(), stamp_ns
            # Counted from the beginning, so that errors do not add up.
            due = began + (stamp_ns - first_ns) * 1e-9 / self._rate
            while not stop.is_set() and (wait_s := due - time.monotonic()) > 0:
                stop.wait(min(wait_s, _CLOCK_PERIOD_S))
                self._publish_clock(min(stamp_ns, first_ns + round((time.monotonic() - began) * self._rate * 1e9)))
            if stop.is_set():
                break
            latest_s = max(latest_s, time.monotonic() - due)
            self._publish_clock(stamp_ns)
            self._publishers_by_topic[connection.topic].publish(data)
            sent += 1
        late = f", up to {latest_s:.2f} s late: the machine is too slow for this rate" if latest_s > 0.2 else ""
        self.get_logger().info(f"played {sent} messages in {time.monotonic() - began:.1f} s{late}")

    def flush(self) -> None:
        """Wait until the subscribers have received everything, a few seconds at most."""
        for name, publisher in self._publishers_by_topic.items():
            if not publisher.wait_for_all_acked(Duration(seconds=5.0)):
                self.get_logger().warning(f"a subscriber of {name} has not got all messages")

    def _choose(self, topics: dict[str, Topic]) -> dict[str, Topic]:
        for name in self._wanted:
            if name not in topics:
                raise BagError(f"{self.bag_path}: no topic {name}; topics of the bag: {_list(topics)}")
        left_out = {name for name in topics if name in OUTPUTS}
        if self._clock_publisher is not None:
            left_out |= {"/clock"} & set(topics)
        left_out = set(topics) - set(self._wanted) if self._wanted else left_out
        if left_out:
            self.get_logger().info(f"left out: {_list(left_out)}")
        return {name: topic for name, topic in topics.items() if name not in left_out}

    def _publish_clock(self, now_ns: int) -> None:
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=Time(nanoseconds=now_ns).to_msg()))


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _parse(arguments: list[str]) -> list[Parameter]:
    """Parameters from the command line's own arguments, ROS's removed."""
    parser = argparse.ArgumentParser(
        prog="replay",
        description="Play a rosbag2 bag onto its topics.",
        epilog="All else by --ros-args -p NAME:=VALUE.",
    )
    parser.add_argument("bag", nargs="?", metavar="BAG", help="the bag's directory, or one .mcap or .db3 file")
    parser.add_argument("--rate", type=float, help="speed; 2.0 is twice as fast as recorded")
    parser.add_argument("--loop", action="store_const", const=True, help="start over at the end")
    given = vars(parser.parse_args(arguments))
    return [Parameter(name, value=value) for name, value in given.items() if value is not None]


def replay(arguments: Sequence[str], stop: threading.Event) -> int:
    """Play the bag until its end or until `stop` is set; return the exit code."""
    if stop.is_set():
        return 0
    node = ReplayNode(arguments, parameter_overrides=_parse(remove_ros_args(list(arguments))))
    try:
        if not node.bag_path:
            raise BagError("no bag: give its path, as argument or as -p bag:=PATH")
        with Bag(node.bag_path) as bag:
            node.advertise(bag)
            node.wait_for_subscribers(stop)
            try:
                while not stop.is_set():
                    node.play(bag, stop)
                    if not node.loop:
                        break
            finally:
                if not stop.is_set():
                    node.flush()
        return 0
    except BagError as error:
        node.get_logger().fatal(str(error))
        return 1
    finally:
        node.destroy_node()
