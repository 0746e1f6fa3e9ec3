"""An hour of stream in minutes: does the perception node grow, and does every STARTED get its ENDED?

python -m bench.soak --minutes 6 --rate 10     an hour at ten times real time, as `make soak`

Two people who act come again and again with ids of their own. Beside them are a publisher of malformed messages (noise,
cut off, with flipped bits, empty) and a subscriber that has stopped taking anything; the node is taken down and brought
up again in between. Printed are memory, threads and descriptors before and after, and what became of all events.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HZ = 15.0
_SCRIPTS = {"ann": ("wave", "clap", "pick_up", "wave"), "bob": ("clap", "wave", "throw", "wave")}
_START_S = 120.0
_BLOCKED = """
import signal, os, sys, rclpy
from usdrl_ros.msg import ActionEvent, ActionScores
rclpy.init()
node = rclpy.create_node("blocked")
for kind, topic in ((ActionEvent, "usdrl/actions"), (ActionScores, "usdrl/scores")):
    node.create_subscription(kind, topic, lambda message: None, 1000)
for _ in range(100):
    rclpy.spin_once(node, timeout_sec=0.05)
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@dataclass
class Usage:
    """What a process holds: resident memory in MB, threads, open descriptors."""

    memory_mb: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Read it from /proc."""
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return cls(int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), descriptors)

    def __str__(self) -> str:
        return f"{self.memory_mb:.1f} MB, {self.threads} threads, {self.descriptors} descriptors"


@dataclass
class Heard:
    """What the listener of the run has heard."""

    phases: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    vocabularies: int = 0
    diagnostics: dict[str, str] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """The ids of events that are not STARTED, ONGOING or nothing, ENDED."""
        return [
            event_id
            for event_id, phases in self.phases.items()
            if phases[0] != 1 or phases[-1] != 3 or set(phases[1:-1]) - {2}
        ]


def main(arguments: list[str] | None = None) -> int:
    """Run it; return 0 if nothing was lost and nothing grew."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--minutes", type=float, default=6.0, help="wall time; default: %(default)s")
    add("--rate", type=float, default=10.0, help="times real time; default: %(default)s")
    add("--malformed", type=float, default=20.0, help="malformed messages a second; default: %(default)s")
    add("--cycle", type=float, default=60.0, help="seconds from one cleanup to the next; 0: none")
    add("--model", type=Path, help="an .onnx file; default: the shipped one")
    add("--seed", type=int, default=0, help="of the malformed messages; default: %(default)s")
    options = parser.parse_args(arguments)
    from usdrl_ros.nodes.live import own_domain  # needs ROS, which --help does not

    with own_domain() as domain:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        return _soak(options)


def _soak(options: argparse.Namespace) -> int:
    import rclpy

    rclpy.init()
    parameters = ["input_reliability:=reliable", "input_depth:=1000", "latency_budget_ms:=0.0", "input_timeout_s:=1.0"]
    parameters += [f"model:={options.model.resolve()}"] if options.model else []
    words = [word for parameter in parameters for word in ("-p", parameter)]
    command = [sys.executable, "-m", "usdrl_ros.nodes.perception", "--ros-args", "--log-level", "error", *words]
    node = subprocess.Popen(command)
    blocked = subprocess.Popen([sys.executable, "-c", _BLOCKED], stdout=subprocess.PIPE, text=True)
    run = _Run(options)
    try:
        run.wait_until_up(node)
        assert blocked.stdout is not None
        blocked.stdout.readline()
        return run.report(node, run.play(node))
    finally:
        for process in (node, blocked):
            if process.poll() is None:
                process.kill()
        run.close()
        rclpy.try_shutdown()


class _Run:
    """The peer of the node: publishes and listens."""

    def __init__(self, options: argparse.Namespace) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from usdrl_ros.msg import ActionEvent, ActionVocabulary, SkeletonArray

        self._options = options
        self._random = np.random.default_rng(options.seed)
        self.heard = Heard()
        self.published = self.malformed = self.cycles = 0
        self._node = rclpy.create_node("soak")
        self._publisher = self._node.create_publisher(SkeletonArray, "skeletons", 1000)
        self._foreign = self._node.create_publisher(SkeletonArray, "skeletons", 1000)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(ActionEvent, "usdrl/actions", self._take_event, 1000)
        self._node.create_subscription(ActionVocabulary, "usdrl/vocabulary", self._take_vocabulary, latched)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        self._executor = executor
        self._stamp: Any = None
        self._thread = threading.Thread(target=executor.spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()

    def _take_event(self, message: Any) -> None:
        self.heard.phases[message.event_id].append(message.phase)

    def _take_vocabulary(self, message: Any) -> None:
        self.heard.vocabularies += 1

    def _take_diagnostics(self, message: Any) -> None:
        self.heard.diagnostics = {pair.key: pair.value for pair in message.status[0].values}

    def wait_until_up(self, node: subprocess.Popen[bytes]) -> None:
        """Until the node has published its vocabulary and subscribed."""
        until = time.monotonic() + _START_S
        while not (self.heard.vocabularies and self._publisher.get_subscription_count()):
            if node.poll() is not None or time.monotonic() > until:
                raise SystemExit("the perception node has not come up")
            time.sleep(0.05)

    def play(self, node: subprocess.Popen[bytes]) -> list[Usage]:
        """Publish for the time of the run; return what the node held, every few seconds."""
        options, frames = self._options, list(_frames())
        began = time.monotonic()
        cycle_at, used, used_at, malformed_at = began + options.cycle, [Usage.of(node.pid)], began + 5.0, began
        first_ns = time.time_ns()
        while (now := time.monotonic()) - began < options.minutes * 60.0 and node.poll() is None:
            due = int((now - began) * HZ * options.rate)
            for number in range(self.published, due):
                self._publish(first_ns + round(number * 1e9 / HZ), number, frames[number % len(frames)])
            if options.malformed and self.published and now >= malformed_at:
                malformed_at += 1.0 / options.malformed
                self._publish_malformed()
            if options.cycle and now >= cycle_at:
                cycle_at += options.cycle
                self._cycle()
            if now >= used_at:
                used_at += 5.0
                used.append(Usage.of(node.pid))
            time.sleep(0.002)
        time.sleep(3.0)  # the input has stopped: what runs ends
        return [*used, Usage.of(node.pid)] if node.poll() is None else used

    def _publish(self, stamp_ns: int, number: int, people: dict[str, np.ndarray]) -> None:
        from usdrl_ros.messages import skeletons_to_message
        from usdrl_ros.nodes.conversion import message_types
        from usdrl_ros.skeleton.person import Person

        take = number // _SECONDS_FRAMES
        persons = [Person(f"{name}_{take}", "ntu_25", joints) for name, joints in people.items()]
        message = skeletons_to_message(message_types(), stamp_ns, "camera", "ntu_25", persons)
        self._stamp = message.header.stamp
        self._publisher.publish(message)
        self.published = number + 1

    def _publish_malformed(self) -> None:
        """Noise, something cut off, something with flipped bits, or nothing at all."""
        from rclpy.serialization import serialize_message
        from usdrl_ros.msg import Skeleton, SkeletonArray

        kind = self._random.random()
        size = int(self._random.integers(1, 400))
        data = b"\0\1\0\0" + self._random.bytes(size)
        if kind > 0.5:
            whole = SkeletonArray(layout="ntu_25", skeletons=[Skeleton(person_id="x", positions=[0.1] * 75)] * 2)
            whole.header.stamp = self._stamp
            data = bytes(serialize_message(whole))[: None if kind > 0.9 else size]
        if kind > 0.9:
            flipped = bytearray(data)
            flipped[int(self._random.integers(16, len(flipped)))] ^= 1 << int(self._random.integers(8))  # not the stamp
            data = bytes(flipped)
        if kind > 0.9995:
            data = b""
        self._foreign.publish(data)
        self.malformed += 1

    def _cycle(self) -> None:
        """Take the node down, and bring it up again."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self._node.create_client(ChangeState, "perception/change_state")
        client.wait_for_service(10.0)
        for name in ("DEACTIVATE", "CLEANUP", "CONFIGURE", "ACTIVATE"):
            request = ChangeState.Request(transition=Transition(id=getattr(Transition, f"TRANSITION_{name}")))
            future = client.call_async(request)
            until = time.monotonic() + 60.0
            while not future.done() and time.monotonic() < until:
                time.sleep(0.01)
            if not future.done() or not future.result().success:
                raise SystemExit(f"the node did not {name.lower()}")
        self._node.destroy_client(client)
        self.cycles += 1

    def report(self, node: subprocess.Popen[bytes], used: list[Usage]) -> int:
        """Print what came of it; return the exit code."""
        node.send_signal(signal.SIGINT)
        code = node.wait(30)
        time.sleep(0.5)
        settled, last = used[min(len(used) // 5, len(used) - 1)], used[-1]
        phases = Counter(phase for each in self.heard.phases.values() for phase in each)
        status, faults = self.heard.diagnostics, self.heard.faults()
        stream_s = self.published / HZ
        problems = {name[8:]: count for name, count in status.items() if name.startswith("problem.")}
        print(f"{stream_s / 60:.1f} minutes of stream in {self._options.minutes:g}, {self.cycles} life cycles")
        print(f"published {self.published}, and {self.malformed} malformed; taken in {status.get('messages', '?')}")
        print(f"people {2 * (1 + self.published // _SECONDS_FRAMES)}, each with an id of their own")
        print(f"STARTED {phases[1]}, ENDED {phases[3]}, not one of each: {len(faults)} {faults[:3]}")
        print(f"at first {used[0]}; after a fifth {settled}; at the end {last}")
        tenths = [f"{used[index].memory_mb:.0f}" for index in np.linspace(0, len(used) - 1, 11).astype(int)]
        print(f"memory by tenths of the time {' '.join(tenths)} MB")
        print(f"problems {problems}; exit code {code}")
        grown = last.memory_mb - settled.memory_mb > 20 or last.threads > settled.threads
        grown = grown or last.descriptors > settled.descriptors + 5
        return int(bool(faults) or phases[1] != phases[3] or not phases[1] or grown or code != 0)


_SECONDS_FRAMES = int(30 * HZ)
"""Messages after which everybody has another id."""


def _frames() -> list[dict[str, np.ndarray]]:
    """Joints by person, message by message: half a minute of two people who act."""
    from usdrl_ros.demo.actor import play

    recording = play(dict(_SCRIPTS), seed=1, rate_hz=HZ, idle_s=(0.5, 1.0))
    count = len(recording.stamps)
    return [
        {name: joints[index % count].astype(np.float32) for name, joints in recording.joints.items()}
        for index in range(_SECONDS_FRAMES)
    ]


if __name__ == "__main__":
    sys.exit(main())
