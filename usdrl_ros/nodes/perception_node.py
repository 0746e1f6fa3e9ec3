"""The perception node: skeletons in, action events out.

A managed node: parameters, life cycle, diagnostics. What it builds at `configure` is one `Session`; what that does with
the skeletons is in `usdrl_ros.recognizer`.
"""

from __future__ import annotations

import argparse
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
from rclpy.utilities import remove_ros_args

from usdrl_ros.inference.factory import default_model
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.nodes.bond import Bond
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.distribution import answer_refused_transitions
from usdrl_ros.nodes.parameters import accept_other_types, declare, values_of
from usdrl_ros.nodes.session import Session
from usdrl_ros.nodes.status import Status, broken, inactive, ok
from usdrl_ros.parameters import ParameterError, settings_of
from usdrl_ros.perception_parameters import PARAMETERS, fault_of_change
from usdrl_ros.problems import Problem

_GHOST_S = 25.0
"""For so long a node of the same name may be one that was killed: DDS keeps it for its lease, 20 s by default."""
_SUMMARY_PERIOD_S = 60.0
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def _guarded(transition: Callable[..., TransitionCallbackReturn]) -> Callable[..., TransitionCallbackReturn]:
    """Report an exception in a transition; rclpy makes an error state of it and says nothing."""

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

    Args:
        arguments: The command line, for the texts of parameters; see `usdrl_ros.nodes.parameters.declare`.
        kwargs: As for any node.

    Raises:
        ParameterError: A parameter has a value at the start that is not allowed.
    """

    def __init__(self, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__("perception", **kwargs)
        answer_refused_transitions(self)
        declare(self, PARAMETERS, arguments)
        settings_of(values_of(self, PARAMETERS))
        accept_other_types(self, PARAMETERS)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.monitor = Monitor(self)
        self.finalized = False
        self._fault = ""  # why it could not be configured
        self._session: Session | None = None
        self._bond: Bond | None = None
        self._alone_at = time.monotonic()  # when no other node had this name
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock may stand still
        self.create_timer(1.0, self._publish_status, clock=steady)
        self.create_timer(_SUMMARY_PERIOD_S, self._log_summary, clock=steady)

    @_guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Find out how the skeletons are read, and load the model; the engine comes back warm."""
        values = values_of(self, PARAMETERS)
        model = Path(values["model"]) if values["model"] else default_model()
        self._fault = ""
        self._publish(ok(f"configuring: loading {model}"))
        try:
            self._bond = Bond(self) if values["bond"] else None
            self._session = Session(self, model, values, self.monitor)
        except (ModelError, ParameterError) as error:
            self._fault = str(error)
            self.get_logger().error(self._fault)
            return _FAILURE
        info = self._session.info
        actions = f"{len(info.actions)} actions ({', '.join(info.actions)})"
        self.get_logger().info(f"model '{info.name}' of {model} on {self._session.engine_name}: {actions}")
        return super().on_configure(state)

    @_guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and publish the vocabulary."""
        super().on_activate(state)
        assert self._session is not None
        self.get_logger().info(f"watching {self._session.start()}")
        if self._bond is not None:
            self._bond.start()
        return _SUCCESS

    @_guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End what runs, and unsubscribe."""
        self._break_bond()
        if self._session is not None:
            self._session.stop()
        return super().on_deactivate(state)

    @_guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model back."""
        self._close()
        return super().on_cleanup(state)

    @_guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End what runs, and give everything back, from any state."""
        self._close()
        if self.monitor.counters:
            self._log_summary()
        self.finalized = True
        return super().on_shutdown(state)

    @_guarded
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that went wrong: back to unconfigured."""
        self._close()
        return super().on_error(state)

    def _break_bond(self) -> None:
        if self._bond is not None:
            self._bond.stop()

    def _close(self) -> None:
        self._break_bond()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _check_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        new = {parameter.name: parameter.value for parameter in parameters}
        reason = fault_of_change(values_of(self, PARAMETERS), new, configured=self._session is not None)
        if reason is None and self._session is not None and self.executor is not None:
            self.executor.create_task(self._change_parameters)  # once they are set: others may refuse them yet
        return SetParametersResult(successful=reason is None, reason=reason or "")

    def _change_parameters(self) -> None:
        """Apply the parameters as they are now."""
        if self._session is not None and (changed := self._session.change(values_of(self, PARAMETERS))):
            self.get_logger().info(f"changed parameters: {', '.join(changed)}")

    def _publish_status(self) -> None:
        """What is done once a second."""
        try:
            self._report_namesakes()
            if self._session is not None and self._session.running:
                self._session.tick()
                self._publish(*self._session.status())
            else:
                self._publish(inactive(self._fault, configured=self._session is not None))
        except Exception as error:
            self.monitor.failed(error)
            self._publish(broken(error))

    def _report_namesakes(self) -> None:
        """Two nodes of one name answer each other's parameter and life cycle services, and publish on one topic."""
        own = (self.get_name(), self.get_namespace())
        count = self.get_node_names_and_namespaces().count(own)
        if count < 2:
            self._alone_at = time.monotonic()
        elif time.monotonic() - self._alone_at > _GHOST_S:
            fault = f"{count} nodes are called {self.get_fully_qualified_name()}, and all publish their events"
            hint = "end the others, or give each its name or namespace (-r __node:=NAME, -r __ns:=/NAMESPACE)"
            self.monitor.report([Problem("name_taken", f"{fault}: {hint}")])

    def _publish(self, status: Status, values: dict[str, str] | None = None) -> None:
        session = self._session
        engine = {} if session is None else {"engine": session.engine_name}
        model = "" if session is None else session.info.name
        self.monitor.publish(status.level, status.message, model, {**engine, **(values or {})})

    def _log_summary(self) -> None:
        self.get_logger().info(self.monitor.summary())


def perceive(arguments: Sequence[str], stop: threading.Event) -> int:
    """Run the node until `stop` is set; return the exit code."""
    _check_arguments(arguments)
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


def _check_arguments(arguments: Sequence[str]) -> None:
    """Print the usage where it is asked for; refuse arguments that are not ROS's own."""
    parameters = [
        f"  {spec.name}: {spec.description} ({spec.allowed}; default: {spec.default!r})" for spec in PARAMETERS
    ]
    parser = argparse.ArgumentParser(
        prog="perception",
        usage="perception [--help] [--ros-args -p NAME:=VALUE ... --params-file FILE -r OLD:=NEW ...]",
        description="Recognise actions in a stream of skeletons: the perception node.",
        epilog="\n".join(["parameters:", *parameters]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(remove_ros_args(list(arguments)))
