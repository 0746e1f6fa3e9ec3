"""What the tests over DDS share: a domain of their own, programs, a peer who talks to them, a model easy to foresee."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here: run by `make test`")
pytest.importorskip("usdrl_ros.msg", reason="the messages are not built: run by `make test`", exc_type=ImportError)

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from usdrl_ros.msg import ActionEvent, ActionScores, ActionVocabulary, SkeletonArray

from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.messages import message_to_event, skeletons_to_message
from usdrl_ros.nodes import live
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.skeleton.normalize import NORMALIZATION
from usdrl_ros.skeleton.person import Person

ROOT = Path(__file__).resolve().parent.parent
RIGHT, LEFT = "raise_right_hand", "raise_left_hand"
INFO = ModelInfo("hands", (RIGHT, LEFT), 2.0, NORMALIZATION, "none: made by hand")


@contextmanager
def own_domain():
    """A ROS domain that no other test process uses now, and that does not leave this machine."""
    with live.own_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield domain


class Program:
    """A program of the package in a process of its own; a context manager. What it logs is kept."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup's way would be inherited
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=lambda: self._lines.extend(self._process.stderr), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def wait_for_log(self, pattern: str, timeout_s: float = 60.0) -> str:
        """The first line that matches."""
        wait_until(lambda: re.search(pattern, self.log) or self._process.poll() is not None, timeout_s, pattern)
        match = re.search(f".*{pattern}.*", self.log)
        assert match, f"no line matches {pattern}:\n{self.log}"
        return match.group()

    def wait(self, timeout_s: float = 60.0) -> int:
        """The exit code, once it has ended by itself."""
        code = self._process.wait(timeout_s)
        self._reader.join()
        return code

    def end(self, number: int = signal.SIGINT, timeout_s: float = 60.0) -> int:
        """The exit code, after a signal."""
        self._process.send_signal(number)
        return self.wait(timeout_s)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        self._process.stderr.close()


def perception(*parameters: str, remap: str = "") -> Program:
    """The perception node with parameters such as "rate:=5.0"."""
    arguments = [argument for parameter in parameters for argument in ("-p", parameter)]
    return Program("usdrl_ros.nodes.perception", "--ros-args", *arguments, *(("-r", remap) if remap else ()))


class Peer:
    """What talks to the nodes: publishes skeletons, keeps what it hears; a context manager."""

    def __init__(self, domain: int, namespace: str = "", *, skeletons: bool = True) -> None:
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, domain_id=domain)
        self.node = rclpy.create_node("peer", context=self._context, namespace=namespace)
        self.heard = defaultdict(list)
        self.at = defaultdict(list)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.listen(ActionEvent, "usdrl/actions")
        self.listen(ActionScores, "usdrl/scores")
        self.listen(ActionVocabulary, "usdrl/vocabulary", latched)
        self.listen(DiagnosticArray, "/diagnostics")
        self.skeletons = self.node.create_publisher(SkeletonArray, "skeletons", 1000) if skeletons else None
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def listen(self, kind: type, topic: str, qos: QoSProfile | int = 1000, *, raw: bool = False) -> None:
        """Keep the messages of a topic in `heard`, and when they came in `at` (monotonic seconds)."""

        def keep(message):
            self.at[topic].append(time.monotonic())
            self.heard[topic].append(message)

        self.node.create_subscription(kind, topic, keep, qos, raw=raw)

    def wait_for_perception(self) -> None:
        """Until the node and this peer have found each other."""

        def ready():
            vocabulary = self.heard["usdrl/vocabulary"]
            heard_by = self.skeletons is None or self.skeletons.get_subscription_count()
            return vocabulary and heard_by and self.node.count_publishers("/diagnostics")

        wait_until(ready, what="the perception node")
        time.sleep(0.2)

    def publish(self, stamp_ns: int, people: dict[str, np.ndarray], layout: str = "ntu_25", **fields) -> None:
        """Skeletons; `fields` replace those of each Skeleton."""
        persons = [Person(person_id, layout, joints, None) for person_id, joints in people.items()]
        message = skeletons_to_message(message_types(), stamp_ns, "camera", layout, persons)
        for skeleton in message.skeletons:
            for name, value in fields.items():
                setattr(skeleton, name, value)
        self.skeletons.publish(message)

    @property
    def events(self):
        """The action events heard so far."""
        return [message_to_event(message) for message in list(self.heard["usdrl/actions"])]

    def scored(self, person_id: str, from_ns: int) -> bool:
        """Whether there are scores of a person from a stamp on."""
        return any(
            message.person_id == person_id
            and message.header.stamp.sec * 10**9 + message.header.stamp.nanosec >= from_ns
            for message in list(self.heard["usdrl/scores"])
        )

    def diagnostics(self) -> dict[str, str]:
        """The newest status of the perception node."""
        for array in reversed(self.heard["/diagnostics"]):
            status = array.status[0]
            values = {value.key: value.value for value in status.values}
            return {"level": str(status.level[0]), "message": status.message, "model": status.hardware_id, **values}
        return {}

    def call(self, kind: type, service: str, request) -> object:
        """The response of a service."""
        client = self.node.create_client(kind, service)
        assert client.wait_for_service(20.0), f"no service {service}"
        future = client.call_async(request)
        wait_until(future.done, what=service)
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, transition: str) -> bool:
        """Whether the perception node made a transition such as "configure"."""
        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, "perception/change_state", request).success

    def set_parameter(self, name: str, value) -> str | None:
        """Why the perception node refused a value; None if it took it."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, "perception/set_parameters", request).results[0]
        return None if result.successful else result.reason


def without_run(event_id: str) -> str:
    """An event's id without what distinguishes the runs, for events of two processes that are compared."""
    shorter, count = re.subn(r"/[0-9a-f]{8}-(\d+)$", r"/\1", event_id)
    assert count == 1, event_id
    return shorter


def wait_until(condition, timeout_s: float = 60.0, what: str = "") -> None:
    """Wait for a condition; the test fails if it does not come true."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {timeout_s} s in vain for {what or condition}"
        time.sleep(0.01)


def pose(right_hand_m: float = -0.4, left_hand_m: float = -0.4) -> np.ndarray:
    """A standing person, NTU-25 (25, 3), y up, 2 m away, seen from the side; the hands so far above the head."""
    joints = np.zeros((25, 3))
    joints[[0, 1, 20, 2, 3], 1] = [0.0, 0.3, 0.5, 0.55, 0.7]  # spine, neck, head
    for side, first_arm, first_leg, tips, hand_m in (
        (-1, 4, 12, (21, 22), left_hand_m),
        (1, 8, 16, (23, 24), right_hand_m),
    ):
        joints[first_arm : first_arm + 4, 2] = side * np.array([0.2, 0.25, 0.3, 0.3])
        joints[first_arm : first_arm + 4, 1] = np.linspace(0.5, 0.7 + hand_m, 4)
        joints[list(tips)] = joints[first_arm + 3]
        joints[first_leg : first_leg + 4, 2] = side * 0.1
        joints[first_leg : first_leg + 4, 1] = [0.0, -0.45, -0.9, -0.95]
        # Nobody is flat: feet point to where the person looks, knees are bent a little, in layouts without feet too.
        joints[first_leg + 3, 0], joints[first_leg + 1, 0] = 0.15, 0.05
    return joints + np.array([0.0, 0.0, 2.0])


def write_model(path: Path, *, metadata: bool = True) -> Path:
    """A model file of the contract whose actions are: a hand is above the head (logit 40 a metre)."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    shapes = {"detection": ["N", 64, 3], "recognition": ["N", 2], "embedding": ["N", 2]}

    def value(name, shape):
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("Gather", ["skeletons", "zero"], ["person"], axis=4),
        helper.make_node("Gather", ["person", "two"], ["heights"], axis=1),  # z is up after normalisation
        helper.make_node("Gather", ["heights", "hand_joints"], ["hands"], axis=2),
        helper.make_node("Gather", ["heights", "head_joint"], ["head"], axis=2),
        helper.make_node("Sub", ["hands", "head"], ["above"]),
        helper.make_node("Mul", ["above", "slope"], ["logits"]),
        helper.make_node("Sub", ["head", "head"], ["background"]),
        helper.make_node("Concat", ["background", "logits"], ["detection"], axis=2),
        helper.make_node("ReduceMean", ["logits"], ["recognition"], axes=[1], keepdims=0),
        helper.make_node("Identity", ["recognition"], ["embedding"]),
    ]
    constants = {
        "zero": np.array(0),
        "two": np.array(2),
        "hand_joints": np.array([11, 7]),
        "head_joint": np.array([3]),
        "slope": np.array(40.0, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "hands",
        [value("skeletons", ["N", 3, 64, 25, 2])],
        [value(name, shape) for name, shape in shapes.items()],
        [tensor(constant, name) for name, constant in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if metadata:
        helper.set_model_props(model, INFO.to_metadata())
    onnx.save(model, path)
    return path
