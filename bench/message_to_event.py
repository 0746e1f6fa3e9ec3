"""From a message to its event over DDS: the perception node in a process of its own, fed at 30 Hz.

The node publishes ONGOING at every step, so that each step in which somebody acts gives an event; its
stamp says which message it follows. The clock runs from just before that message is published, as bytes (what a
publisher in Python takes to write 150 joints is not the node's), until its first event has come.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.steps import RATE_HZ, scene
from bench.timing import Times

START_S = 120.0
"""Seconds that the node may take to come up: an engine may have to be built first."""

STAMP_AT = 4
"""Where the header's stamp stands in a serialized message: after CDR's own four bytes."""


class UnavailableError(Exception):
    """It cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Result:
    """What was measured.

    Args:
        people: In each message.
        rate_hz: Of the messages.
        latency: From a message to its first event.
        engine: What the node's engine is called.
        step_ms: A step in the node, p50, by its own diagnostics: engine, decoding and all between; None: unknown.
        steps: How many steps should have been, and `latency.runs` of them gave an event.
        cpu: Of the node: seconds of a CPU a second.
        memory_mb: Of the node: resident.
    """

    people: int
    rate_hz: float
    latency: Times
    engine: str
    step_ms: float | None
    steps: int
    cpu: float
    memory_mb: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def measure(model: Path, engine: str, threads: int, people: int, seconds: float, log: Callable[[str], None]) -> Result:
    """Feed the node for so many seconds.

    Raises:
        UnavailableError: No ROS 2, the package is not built, the node does not come up, or no event came.
    """
    try:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rclpy.serialization import serialize_message
        from usdrl_ros.msg import ActionEvent, ActionVocabulary, SkeletonArray

        from usdrl_ros.messages import skeletons_to_message
        from usdrl_ros.nodes.conversion import message_types
        from usdrl_ros.nodes.live import own_domain
    except ImportError as error:
        raise UnavailableError(f"ROS 2 or the built package is missing ({error}): run `make bench`") from error
    claim = ExitStack()
    domain = claim.enter_context(own_domain())
    os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    parameters = {
        "model": model.resolve(), "engine": engine, "threads": threads, "input_reliability": "reliable",
        "ongoing_period_s": 0.0, "max_people": people,
    }  # fmt: skip
    command = [sys.executable, "-m", "usdrl_ros.nodes.perception", "--ros-args", "--log-level", "warn"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    context = rclpy.Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    node = rclpy.create_node("bench", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    came: dict[int, float] = {}
    vocabulary: list[Any] = []
    status: dict[str, str] = {}
    log(f"starting the perception node: {engine}, {threads} threads, {people} people at {RATE_HZ:g} Hz")
    process = subprocess.Popen(command, start_new_session=True)
    try:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(ActionVocabulary, "usdrl/vocabulary", vocabulary.append, latched)
        node.create_subscription(
            ActionEvent, "usdrl/actions", lambda m: came.setdefault(_stamp_ns(m), time.perf_counter()), 1000
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: status.update(_values(m)), 10)
        publisher = node.create_publisher(SkeletonArray, "skeletons", 10)
        until = time.monotonic() + START_S
        while not (vocabulary and publisher.get_subscription_count()):
            executor.spin_once(timeout_sec=0.1)
            if process.poll() is not None:
                raise UnavailableError(f"the perception node ended with code {process.returncode}")
            if time.monotonic() > until:
                raise UnavailableError(f"the perception node has not come up within {START_S:.0f} s")
        messages = [
            bytearray(serialize_message(skeletons_to_message(message_types(), stamp_ns, "camera", "ntu_25", here)))
            for stamp_ns, here in scene(people, seconds)
        ]
        spinning = threading.Thread(target=executor.spin, daemon=True)
        spinning.start()
        sent: dict[int, float] = {}
        cpu_s, began = _cpu_seconds(process.pid), time.perf_counter()
        for number, message in enumerate(messages):
            time.sleep(max(0.0, began + number / RATE_HZ - time.perf_counter()))
            now_ns = time.time_ns()
            struct.pack_into("<iI", message, STAMP_AT, *divmod(now_ns, 10**9))
            sent[now_ns] = time.perf_counter()
            publisher.publish(bytes(message))
        wall_s = time.perf_counter() - began
        cpu_s, memory_mb = _cpu_seconds(process.pid) - cpu_s, _memory_mb(process.pid)
        time.sleep(1.5)
        latencies = [came[stamp] - sent[stamp] for stamp in sorted(came) if stamp in sent]
        if not latencies:
            raise UnavailableError("the perception node published no event")
        steps = len({stamp // 10**8 for stamp in sent})
        name = status.get("engine", engine)
        found = status.get("step ms p50")
        step_ms = None if found is None else float(found)
        return Result(people, RATE_HZ, Times.of(latencies), name, step_ms, steps, cpu_s / wall_s, memory_mb)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        executor.shutdown()
        rclpy.try_shutdown(context=context)
        claim.close()


def _stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _values(message: Any) -> dict[str, str]:
    return {value.key: value.value for status in message.status for value in status.values}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS"))
