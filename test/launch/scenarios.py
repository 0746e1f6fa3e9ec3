"""What the launch tests share: the launch file under test, and a node that listens."""

from __future__ import annotations

import os
import time

import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare
from launch_testing.actions import ReadyToTest
from launch_testing.util import KeepAliveProc

MODEL, BAG = os.environ["USDRL_TEST_MODEL"], os.environ["USDRL_TEST_BAG"]
"""Made by test_launch_files.py: a model whose actions are raised hands, and a bag of such."""


def launched(name: str, **arguments: str) -> LaunchDescription:
    """One of our launch files, with arguments."""
    path = PathJoinSubstitution([FindPackageShare("usdrl_ros"), "launch", name])
    included = IncludeLaunchDescription(PythonLaunchDescriptionSource(path), launch_arguments=arguments.items())
    # Without a process that keeps running, a launch whose nodes have ended is over before its test is.
    return LaunchDescription([KeepAliveProc(), included, ReadyToTest()])


def node_of(proc_info) -> str:
    """The process of the one node that is launched."""
    (name,) = [name for name in proc_info.process_names() if name.startswith("perception")]
    return name


class Listener:
    """A node that keeps what it hears; a context manager."""

    def __enter__(self) -> Listener:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("listener", context=self._context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait_until(self, condition, timeout_s: float = 40.0) -> bool:
        """Whether a condition came true in time."""
        give_up_at = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < give_up_at:
            self._executor.spin_once(timeout_sec=0.05)
        return bool(condition())

    def call(self, kind: type, service: str, request: object) -> object:
        """The response of a service."""
        client = self.node.create_client(kind, service)
        assert self.wait_until(client.service_is_ready), f"no service {service}"
        future = client.call_async(request)
        assert self.wait_until(future.done), f"no answer of {service}"
        return future.result()
