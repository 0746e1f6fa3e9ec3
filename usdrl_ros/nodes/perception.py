"""The perception node: skeletons in, action events out.

    ros2 run usdrl_ros perception
    python -m usdrl_ros.nodes.perception --ros-args --params-file config/perception.yaml

A managed node. `configure` loads and warms the model, `activate` subscribes. The executor's thread takes the messages
in, a worker runs the recognizer on them; what it does is in `usdrl_ros.recognizer`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from usdrl_ros.actions.events import Event
from usdrl_ros.inference.engine import Engine, ModelError, default_model, load_engine
from usdrl_ros.messages import event_to_message, scores_to_message, vocabulary_to_message
from usdrl_ros.msg import ActionEvent, ActionScores, ActionVocabulary, SkeletonArray
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.parameters import ParameterError, declare, settings_of, values_of
from usdrl_ros.nodes.perception_parameters import PARAMETERS, fault_of_change
from usdrl_ros.nodes.program import run_program
from usdrl_ros.nodes.worker import Worker
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer, Step
from usdrl_ros.skeleton.sources import read_skeleton_array

ACTIONS, SCORES, VOCABULARY = "usdrl/actions", "usdrl/scores", "usdrl/vocabulary"
_SUMMARY_PERIOD_S = 60.0
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def _guarded(transition: Callable[..., TransitionCallbackReturn]) -> Callable[..., TransitionCallbackReturn]:
    """Tell of an exception in a transition; rclpy makes an error state of it and says nothing."""

    @wraps(transition)
    def guarded(self: PerceptionNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            self.monitor.failed(error)
            return TransitionCallbackReturn.ERROR

    return guarded


class PerceptionNode(LifecycleNode):
    """Recognise actions in a stream of skeletons.

    Raises:
        ParameterError: A parameter given at the start may not have its value.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("perception", **kwargs)
        declare(self, PARAMETERS)
        settings_of(values_of(self, PARAMETERS))
        self.add_on_set_parameters_callback(self._check_parameters)
        self.monitor = Monitor(self)
        self.finalized = False
        self._engine: Engine | None = None
        self._worker: Worker | None = None
        self._last_input_at = 0.0
        self._step_s = 0.0
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock may stand still
        self.create_timer(1.0, self._publish_status, clock=steady)
        self.create_timer(_SUMMARY_PERIOD_S, self._log_summary, clock=steady)

    @_guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and run it once."""
        values = values_of(self, PARAMETERS)
        path = Path(values["model"]) if values["model"] else default_model()
        try:
            self._engine = load_engine(path, engine=values["engine"], threads=values["threads"])
            self._recognizer = Recognizer(self._engine, settings_of(values))
        except (ModelError, ParameterError) as error:
            self.get_logger().error(str(error))
            self._release()
            return _FAILURE
        info = self._engine.info
        began = time.monotonic()
        self._engine.infer(np.zeros((1, 3, info.frames, info.joints, info.people), np.float32))
        self.get_logger().info(
            f"model '{info.name}' of {path}: {len(info.actions)} actions ({', '.join(info.actions)}), "
            f"{type(self._engine).__name__}, first inference {(time.monotonic() - began) * 1e3:.0f} ms"
        )
        self._input_topic = self.resolve_topic_name(values["input_topic"])
        reliability = ReliabilityPolicy[values["input_reliability"].upper()]
        self._input_qos = QoSProfile(depth=values["input_depth"], reliability=reliability)
        self._input_timeout_s = values["input_timeout_s"]
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._actions = self.create_lifecycle_publisher(ActionEvent, ACTIONS, 50)
        self._scores = self.create_lifecycle_publisher(ActionScores, SCORES, 50)
        self._vocabulary = self.create_lifecycle_publisher(ActionVocabulary, VOCABULARY, latched)
        return super().on_configure(state)

    @_guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and tell the vocabulary."""
        super().on_activate(state)
        info = self._recognizer.info
        self._vocabulary.publish(vocabulary_to_message(message_types(), info.name, info.actions))
        self._worker = Worker(
            self._recognizer,
            input_timeout_s=self._input_timeout_s,
            on_step=self._publish_step,
            on_end=self._publish_end,
            on_error=self.monitor.failed,
        )
        self._worker.start()
        self._last_input_at = time.monotonic()
        self._subscription = self.create_subscription(
            SkeletonArray, self._input_topic, self._on_skeletons, self._input_qos
        )
        self.get_logger().info(f"watching {self._input_topic}")
        return _SUCCESS

    @_guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End what runs, and unsubscribe."""
        self._stop()
        return super().on_deactivate(state)

    @_guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model back."""
        self._release()
        return super().on_cleanup(state)

    @_guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End what runs, and give all back, from any state."""
        self._stop()
        self._release()
        if self.monitor.counters:
            self._log_summary()
        self.finalized = True
        return super().on_shutdown(state)

    @_guarded
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that went wrong: back to unconfigured."""
        self._stop()
        self._release()
        return super().on_error(state)

    def _stop(self) -> None:
        if self._worker is None:
            return
        self.destroy_subscription(self._subscription)
        self._worker.stop()
        self._worker = None
        self._actions.wait_for_all_acked(Duration(seconds=0.2))

    def _release(self) -> None:
        if self._engine is None:
            return
        for name in ("_actions", "_scores", "_vocabulary"):
            if publisher := self.__dict__.pop(name, None):
                self.destroy_lifecycle_publisher(publisher)
        self._engine.close()
        self._engine = None

    def _on_skeletons(self, message: SkeletonArray) -> None:
        self._last_input_at = time.monotonic()
        self.monitor.count("messages")
        try:
            self._take(message)
        except Exception as error:  # else rclpy ends the node
            self.monitor.failed(error)
        if self._worker is not None:
            self._worker.notify()

    def _take(self, message: SkeletonArray) -> None:
        frame = read_skeleton_array(message)
        self.monitor.report(frame.problems)
        stamp_ns = frame.stamp_ns
        if stamp_ns == 0:
            stamp_ns = self.get_clock().now().nanoseconds
            taken = "taken to be of now" if stamp_ns else "ignored, since there is no /clock to take the time from"
            self.monitor.report([Problem("no_stamp", f"message has stamp 0, {taken}: fill header.stamp")])
        if stamp_ns:
            self.monitor.report(self._recognizer.observe(stamp_ns, frame.people, frame.frame_id))

    def _publish_step(self, step: Step, duration_s: float) -> None:
        self._step_s = duration_s
        self.monitor.count("steps")
        self.monitor.report(step.problems)
        for scores in step.scores:
            self._scores.publish(scores_to_message(message_types(), scores))
        self._publish_events(step.events)

    def _publish_end(self, events: list[Event], input_stopped: bool) -> None:
        self._publish_events(events)
        if input_stopped:
            self.get_logger().info(
                f"no skeletons on {self._input_topic} for {self._input_timeout_s} s: ended {len(events)} actions"
            )

    def _publish_events(self, events: list[Event]) -> None:
        for event in events:
            self._actions.publish(event_to_message(message_types(), event))
            self.monitor.count("events")

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        reason = fault_of_change(
            values_of(self, PARAMETERS),
            {parameter.name: parameter.value for parameter in parameters},
            configured=self._engine is not None,
        )
        return SetParametersResult(successful=reason is None, reason=reason or "")

    def _publish_status(self) -> None:
        if self._worker is None:
            state = "not active" if self._engine else "not configured"
            self.monitor.publish(DiagnosticStatus.OK, state, "", {})
            return
        silent_s = time.monotonic() - self._last_input_at
        running = self._recognizer.running()
        info = self._recognizer.info
        level, message = DiagnosticStatus.OK, f"watching {len(running)} people"
        if problem := self.monitor.recent_problem():
            level = DiagnosticStatus.ERROR if problem.cause == "internal_error" else DiagnosticStatus.WARN
            message = f"{problem.cause}: {problem.message.splitlines()[0]}"
        elif silent_s > self._input_timeout_s:
            publishers = self.count_publishers(self._input_topic)
            level = DiagnosticStatus.STALE
            message = f"no skeletons on {self._input_topic} for {silent_s:.0f} s; {publishers} publishers"
        values = {
            "engine": type(self._engine).__name__,
            "people": str(len(running)),
            "running actions": str(sum(map(len, running.values()))),
            "last step ms": f"{self._step_s * 1e3:.1f}",
        }
        self.monitor.publish(level, message, info.name, values)

    def _log_summary(self) -> None:
        self.get_logger().info(self.monitor.summary())


def perceive(stop: threading.Event) -> int:
    """Run the node until it is told to stop; the exit code."""
    node = PerceptionNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            if node.trigger_configure() != _SUCCESS or node.trigger_activate() != _SUCCESS:
                return 1
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        return 0
    finally:
        if not node.finalized:
            node.trigger_shutdown()
        executor.shutdown()
        node.destroy_node()


def main(args: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    return run_program("perception", perceive, sys.argv[1:] if args is None else args)


if __name__ == "__main__":
    sys.exit(main())
