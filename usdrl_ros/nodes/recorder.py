"""The record node: a rosbag2 bag, of which a kill takes the last second at most.

Recorded are the skeletons, what is published below `usdrl/` (actions, scores, vocabulary, markers, ground truth) and
`/diagnostics`, each from when it has a publisher.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys.store import Typestore

from usdrl_ros.bags.definitions import definitions_of
from usdrl_ros.bags.durable import DurableWriter
from usdrl_ros.bags.reader import BagError, typestore
from usdrl_ros.files import expanded
from usdrl_ros.installing import install_steps
from usdrl_ros.nodes.conversion import message_class
from usdrl_ros.nodes.parameters import declare, values_of
from usdrl_ros.nodes.program_parameters import RECORD
from usdrl_ros.parameters import ParameterError
from usdrl_ros.sources.reader import SourceError, load_source

_LOOK_S = 0.2
"""Seconds between two looks for new topics."""
_DEPTH = 1000
_FOREVER = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE of rmw/time.h
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)
"""What is written of a latched topic, so that whoever plays the bag latches it, too."""


class RecordNode(Node):
    """Records what it finds, until it is closed.

    Raises:
        ParameterError: A parameter given at the start may not have its value.
    """

    def __init__(self, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__("record", start_parameter_services=False, **kwargs)
        declare(self, RECORD, arguments)
        values = values_of(self, RECORD)
        self.path = expanded(values["bag"] or time.strftime("recording_%Y%m%d-%H%M%S"))
        self.storage: str = values["storage"]
        self.recorder: str = values["recorder"]
        try:
            skeletons = values["input_topic"] or load_source(values["source"]).topic
        except SourceError as error:
            raise ParameterError(str(error)) from error
        named = [self._resolved(name) for name in (skeletons, *values["topics"])]
        self._named = list(dict.fromkeys((*named, "/diagnostics")))
        self._below = self.resolve_topic_name("usdrl") + "/"
        self._writer: DurableWriter | None = None
        self._connections: dict[str, Connection | None] = {}
        self._lock = threading.Lock()
        self.counts: dict[str, int] = {}

    def _resolved(self, name: str) -> str:
        try:
            return self.resolve_topic_name(name)
        except Exception as error:  # RCLError, which is private
            raise ParameterError(f"topic {name!r} cannot be recorded: {' '.join(str(error).split())}") from error

    @property
    def pattern(self) -> str:
        """A regular expression of the names of the topics that are recorded."""
        names = "|".join(re.escape(name) for name in self._named)
        return f"^({names}|{re.escape(self._below)}.+)$"

    def open(self) -> None:
        """Begin a bag of rosbags.

        Raises:
            BagError: It cannot be written.
        """
        self._writer = DurableWriter(self.path, self.storage)

    def look(self) -> None:
        """Subscribe to the topics that have a publisher by now, and write out what has come.

        Raises:
            BagError: The bag cannot be written.
        """
        assert self._writer is not None
        self._writer.sync()
        wanted = re.compile(self.pattern)
        for name, types in self.get_topic_names_and_types():
            if name in self._connections or not wanted.match(name):
                continue
            publishers = self.get_publishers_info_by_topic(name)
            if not publishers:
                continue
            try:
                kind, store = message_class(types[0]), self._store(types[0])
            except Exception as error:  # ImportError, AttributeError, and what rclpy raises without type support
                self.get_logger().warning(f"{name} is not recorded: its type {types[0]} is not installed ({error})")
                self._connections[name] = None
                continue
            offered = [publisher.qos_profile for publisher in publishers]
            best_effort = any(qos.reliability == ReliabilityPolicy.BEST_EFFORT for qos in offered)
            latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
            qos = QoSProfile(
                depth=_DEPTH,
                reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self._connections[name] = self._writer.add_connection(name, types[0], store, [_LATCHED] if latched else [])
            self.create_subscription(kind, name, partial(self._take, name), qos, raw=True)
            self.get_logger().info(f"recording {name} ({types[0]})")

    def close(self, *, whole: bool) -> None:
        """End the bag; as it is, where it cannot be written any more.

        Raises:
            BagError: The end cannot be written.
        """
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None and whole:
                writer.close()
            elif writer is not None:
                writer.abort()

    def _store(self, name: str) -> Typestore:
        """What knows a type: ours and ROS 2's common ones, else the definitions that are installed."""
        store = typestore()
        if name not in store.types:
            store.register({kind: fields for kind, fields in definitions_of(name).items() if kind not in store.types})
        return store

    def _take(self, name: str, data: bytes) -> None:
        with self._lock:
            connection = self._connections[name]
            if self._writer is not None and connection is not None:
                self._writer.write(connection, self.get_clock().now().nanoseconds, data)
                self.counts[name] = self.counts.get(name, 0) + 1


def record(arguments: Sequence[str], stop: threading.Event) -> int:
    """Record until `stop` is set; return the exit code."""
    node = RecordNode(arguments, parameter_overrides=_parse(remove_ros_args(list(arguments))))
    try:
        if node.recorder == "rosbags":
            return _by_rosbags(node, stop)
        if not _has_ros2bag():
            steps = install_steps(["ros-{distro}-ros2bag"])
            raise BagError(f"recorder is ros2bag, and 'ros2 bag' is not installed: {steps}")
        return _by_ros2bag(node, stop)
    except BagError as error:
        node.get_logger().fatal(str(error))
        return 1
    finally:
        node.destroy_node()


def _by_rosbags(node: RecordNode, stop: threading.Event) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    node.open()
    node.get_logger().info(f"recording into {node.path}; end with Ctrl-C")
    look_at = 0.0
    whole = False
    try:
        while not stop.is_set():
            if time.monotonic() >= look_at:
                node.look()
                look_at = time.monotonic() + _LOOK_S
            executor.spin_once(timeout_sec=0.05)
        for _ in range(_DEPTH):  # what has come already is kept
            executor.spin_once(timeout_sec=0.0)
        whole = True
    finally:
        node.close(whole=whole)
        counts = ", ".join(f"{name} {count}" for name, count in sorted(node.counts.items()))
        node.get_logger().info(f"{node.path}: {counts or 'nothing came'}")
    return 0


def _has_ros2bag() -> bool:
    if shutil.which("ros2") is None:
        return False
    asked = subprocess.run(["ros2", "bag", "record", "--help"], capture_output=True, check=False)
    return asked.returncode == 0


def _by_ros2bag(node: RecordNode, stop: threading.Event) -> int:
    if node.path.exists():
        raise BagError(f"{node.path}: exists already; remove it or choose another path")
    command = ["ros2", "bag", "record", "-o", str(node.path), "-s", node.storage, "-e", node.pattern]
    if node.get_parameter("use_sim_time").value:
        command.append("--use-sim-time")
    node.get_logger().info(f"recording by: {' '.join(command)}")
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None and not stop.wait(0.1):
        pass
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        return process.wait() if process.wait() > 0 else 0
    return process.returncode


def _parse(arguments: list[str]) -> list[Parameter]:
    """Parameters from the command line's own arguments, ROS's removed."""
    parser = argparse.ArgumentParser(
        prog="record",
        description=(sys.modules[__name__].__doc__ or ""),
        epilog="All else by --ros-args -p NAME:=VALUE.",
    )
    parser.add_argument("bag", nargs="?", metavar="BAG", help="directory of the bag; must not exist")
    parser.add_argument("--topic", dest="input_topic", help="topic of the skeletons; default: the source's")
    given = vars(parser.parse_args(arguments))
    return [Parameter(name, value=value) for name, value in given.items() if value is not None]
