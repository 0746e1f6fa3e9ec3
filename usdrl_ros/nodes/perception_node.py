"""The perception node: skeletons in, action events out.

A managed node. `configure` loads and warms the model, `activate` subscribes. The executor's thread takes the messages
in, a worker runs the recognizer on them; what it does is in `usdrl_ros.recognizer`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from usdrl_ros.actions.events import Event
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError, read_model_file
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.distribution import answer_refused_transitions
from usdrl_ros.nodes.input import SkeletonInput
from usdrl_ros.nodes.outputs import Outputs
from usdrl_ros.nodes.parameters import accept_other_types, declare, values_of
from usdrl_ros.nodes.statistics import Statistics
from usdrl_ros.nodes.status import Status, inactive, ok, silent, watching
from usdrl_ros.nodes.worker import Worker
from usdrl_ros.parameters import ParameterError, settings_of
from usdrl_ros.perception_parameters import PARAMETERS, fault_of_change
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer, Step

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

    def __init__(self, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__("perception", **kwargs)
        answer_refused_transitions(self)
        declare(self, PARAMETERS, arguments)
        accept_other_types(self, PARAMETERS)
        settings_of(values_of(self, PARAMETERS))
        self.add_on_set_parameters_callback(self._check_parameters)
        self.monitor = Monitor(self)
        self.finalized = False
        self._fault = ""  # why it could not be configured
        self._statistics = Statistics()
        self._engine: Engine | None = None
        self._worker: Worker | None = None
        self._last_input_at, self._awaits_first = 0.0, False
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock may stand still
        self.create_timer(1.0, self._publish_status, clock=steady)
        self.create_timer(_SUMMARY_PERIOD_S, self._log_summary, clock=steady)

    @_guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Find out how the skeletons are read, and load the model; the engine comes back warm."""
        values = values_of(self, PARAMETERS)
        path = Path(values["model"]) if values["model"] else default_model()
        self._fault = ""
        self._tell(ok(f"configuring: loading {path}"))
        try:
            info = read_model_file(path).info  # what is told of the model alone comes before the slow work
            self._input = SkeletonInput(self, values, dimensions=getattr(info, "dimensions", 3), monitor=self.monitor)
            self._outputs = Outputs(self, info, values)
            self._engine = load_engine(
                path,
                engine=values["engine"],
                threads=values["threads"],
                precision=values["precision"],
                max_batch=values["max_people"],
                cache=values["engine_cache"] or None,
                log=self.get_logger().info,
            )
            self._recognizer = Recognizer(self._engine, settings_of(values))
        except (ModelError, ParameterError) as error:
            self._fault = str(error)
            self.get_logger().error(self._fault)
            self._release()
            return _FAILURE
        self._values = values
        actions = f"{len(info.actions)} actions ({', '.join(info.actions)})"
        self.get_logger().info(f"model '{info.name}' of {path} on {self._engine.name}: {actions}")
        return super().on_configure(state)

    @_guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and tell the vocabulary."""
        super().on_activate(state)
        self._outputs.tell_vocabulary()
        self._worker = Worker(
            self._recognizer,
            input_timeout_s=self._values["input_timeout_s"],
            on_step=self._publish_step,
            on_end=self._publish_end,
            on_error=self.monitor.failed,
        )
        self._worker.start()
        self._statistics.clear()
        self._last_input_at, self._awaits_first = time.monotonic(), True
        self._input.open(self._on_message)
        source = f"source '{self._input.source.name}', {self._input.type_name}"
        self.get_logger().info(f"watching {self._input.topic} ({source})")
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
        self._input.close()
        self._worker.stop()
        self._worker = None
        self._outputs.flush(seconds=0.2)

    def _release(self) -> None:
        if outputs := self.__dict__.pop("_outputs", None):
            outputs.close()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _on_message(self, message: Any) -> None:
        self._last_input_at, self._awaits_first = time.monotonic(), False
        self.monitor.count("messages")
        try:
            self._take(message)
        except Exception as error:  # else rclpy ends the node
            self.monitor.failed(error)
        if self._worker is not None:
            self._worker.notify()  # whatever it was, the input has not stopped

    def _take(self, message: Any) -> None:
        frame = self._input.read(message)
        self.monitor.report(frame.problems)
        if not frame.stamp_ns:
            fault = "message ignored: it has stamp 0, and there is no /clock to take the time from"
            self.monitor.report([Problem("no_stamp", f"{fault}: fill header.stamp")])
            return
        now_ns = self.get_clock().now().nanoseconds
        self._statistics.message(frame.stamp_ns, (now_ns - frame.stamp_ns) * 1e-9 if now_ns else None)
        self._statistics.people(frame.people)
        problems = self._recognizer.observe(frame.stamp_ns, frame.people, frame.frame_id)
        if self._worker is not None:
            self._worker.notify()  # the step need not wait for the rest
        self.monitor.report(problems)
        self._outputs.publish_people(frame)

    def _publish_step(self, step: Step, duration_s: float) -> None:
        self.monitor.count("steps")
        self.monitor.report(step.problems)
        self._publish_events(step.events)  # they are waited for; scores are looked at
        self._outputs.publish_scores(step.scores)
        latency_s = self._statistics.step(step.stamp_ns, duration_s)
        budget_ms = self._values["latency_budget_ms"]
        if latency_s is not None and budget_ms and latency_s * 1e3 > budget_ms:
            figure = f"{latency_s * 1e3:.0f} ms from stamp to events, latency_budget_ms is {budget_ms:.0f}"
            took = f"the step took {duration_s * 1e3:.0f} ms"
            self.monitor.report([Problem("over_budget", f"{figure} ({took})")])

    def _publish_end(self, events: list[Event], input_stopped: bool) -> None:
        self._publish_events(events)
        if input_stopped:
            silence = f"no skeletons on {self._input.topic} for {self._values['input_timeout_s']} s"
            self.get_logger().info(f"{silence}: ended {len(events)} actions")

    def _publish_events(self, events: list[Event]) -> None:
        self._outputs.publish_events(events)
        self.monitor.count("events", len(events))

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        new = {parameter.name: parameter.value for parameter in parameters}
        reason = fault_of_change(values_of(self, PARAMETERS), new, configured=self._engine is not None)
        if reason is None and self._engine is not None and self.executor is not None:
            self.executor.create_task(self._change_parameters)  # once they are set: others may refuse them yet
        return SetParametersResult(successful=reason is None, reason=reason or "")

    def _change_parameters(self) -> None:
        """Go on with the parameters as they are now."""
        if self._engine is None:
            return
        values = values_of(self, PARAMETERS)
        changed = [f"{name} {value}" for name, value in values.items() if value != self._values[name]]
        if not changed:  # rclpy's own parameters, or a value that it had
            return
        self._recognizer.change_settings(settings_of(values))
        self._outputs.change(values)
        if self._worker is not None:
            self._worker.input_timeout_s = values["input_timeout_s"]
        self._values = values
        self.get_logger().info(f"goes on with {', '.join(changed)}")

    def _publish_status(self) -> None:
        if self._worker is None:
            self._tell(inactive(self._fault, configured=self._engine is not None))
            return
        silent_s = time.monotonic() - self._last_input_at
        running = self._recognizer.running()
        problem = self.monitor.recent_problem()
        status = watching(len(running), problem, self._statistics)
        if problem is None and silent_s > self._values["input_timeout_s"]:
            why = self._input.why_silent()
            status = silent(self._input.topic, silent_s, why)
            if self._awaits_first:  # so it may be set up wrongly; later silence is the publisher's affair
                self._awaits_first = False
                self.get_logger().warning(status.message)
        self._tell(
            status,
            {
                "source": self._input.source.name,
                "topic": self._input.topic,
                "people": str(len(running)),
                "running actions": str(sum(map(len, running.values()))),
                **self._statistics.values(),
            },
        )

    def _tell(self, status: Status, values: dict[str, str] | None = None) -> None:
        engine = {} if self._engine is None else {"engine": self._engine.name}
        model = "" if self._engine is None else self._engine.info.name
        self.monitor.publish(status.level, status.message, model, {**engine, **(values or {})})

    def _log_summary(self) -> None:
        self.get_logger().info(self.monitor.summary())


def perceive(arguments: Sequence[str], stop: threading.Event) -> int:
    """Run the node until `stop` is set; return the exit code."""
    if stop.is_set():
        return 0
    node = PerceptionNode(arguments)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value:
            for trigger in (node.trigger_configure, node.trigger_activate):
                if stop.is_set():
                    return 0
                if trigger() != _SUCCESS:
                    return 1
        while not stop.is_set():
            try:
                executor.spin_once(timeout_sec=0.1)
            except ExternalShutdownException:
                break
            except Exception as error:  # a callback of rclpy's own, or a message that cannot be decoded
                node.monitor.failed(error)
        return 0
    finally:
        if not node.finalized:
            node.trigger_shutdown()
        executor.shutdown()
        node.destroy_node()
