"""What the perception node builds when it configures: one object, made and closed whole.

Model, engine, recognizer, input and outputs live from `configure` to `cleanup`; the subscription and the worker from
`start` to `stop`. The executor's thread takes the messages in, the worker runs the recognizer on them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.lifecycle import LifecycleNode

from usdrl_ros.actions.choice import ChoiceError
from usdrl_ros.actions.events import Event
from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import read_model_file
from usdrl_ros.nodes.bodies_input import SOURCE as BODIES_SOURCE
from usdrl_ros.nodes.bodies_input import BodiesInput
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.nodes.input import MalformedMessageError, SkeletonInput
from usdrl_ros.nodes.outputs import Outputs
from usdrl_ros.nodes.stamps import StampWatch
from usdrl_ros.nodes.statistics import Statistics
from usdrl_ros.nodes.status import Status, silent, standing, watching
from usdrl_ros.nodes.teaching import SharedEngine, TeachingServices
from usdrl_ros.nodes.transforms import TransformFeed
from usdrl_ros.nodes.worker import End, Worker
from usdrl_ros.parameters import ParameterError, settings_of
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer, Step
from usdrl_ros.scene.placing import Placing
from usdrl_ros.scene.scene import Scene
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.sources.inputs import read_inputs

_PROBE_PERIOD_S = 5.0
"""Least wall time between two looks at whether a silent subscription is deaf."""


class Session:
    """Recognition with one model, one source and one set of parameters.

    Args:
        node: Publishes and subscribes.
        model: The model file.
        values: The node's parameters.
        monitor: Reports what happens.

    Raises:
        ModelError: The model or its engine cannot be used.
        ParameterError: The source or a publisher cannot be used.
    """

    def __init__(self, node: LifecycleNode, model: Path, values: Mapping[str, Any], monitor: Monitor) -> None:
        self._node, self._monitor = node, monitor
        self._values = dict(values)
        self._statistics = Statistics()
        self._worker: Worker | None = None
        self._stamps = StampWatch()
        self._message_at = self._moved_at = self._probed_at = 0.0
        self._awaits_first = False
        self._stamped = False  # whether a message had a stamp of its own: then one without moves no clock
        with ExitStack() as stack:
            self.info = read_model_file(model).info  # faults of the model file come before the slow work
            self._inputs = [_input_of(node, each, monitor) for each in _values_of_inputs(values)]
            self._transforms, self._placing = None, None
            if fixed_frame := values["fixed_frame"]:
                self._transforms = TransformFeed(
                    node,
                    fixed_frame,
                    values["camera_poses"],
                    monitor,
                    ignore=lambda child: self._outputs.is_own_frame(child),
                )
                self._placing = Placing(fixed_frame, self._transforms.transforms, values["transform_timeout_s"])
            self._outputs = Outputs(node, self.info, values, monitor)
            stack.callback(self._outputs.close)
            self._engine = stack.enter_context(
                load_engine(
                    model,
                    engine=values["engine"],
                    threads=values["threads"],
                    precision=values["precision"],
                    max_batch=values["max_people"],
                    cache=values["engine_cache"] or None,
                    log=node.get_logger().info,
                )
            )
            scene = Scene(self.info.actions, people=self.info.people, mend=values["mend_skeletons"])
            shared = SharedEngine(self._engine)
            self._recognizer = Recognizer(shared, settings_of(values), scene=scene)  # type: ignore[arg-type]
            try:
                self._teaching = TeachingServices(
                    node, shared, model, values, self._recognizer, monitor, self._publish_vocabulary, self._reset
                )
            except (ChoiceError, TeachingError) as error:
                raise ParameterError(str(error)) from error
            stack.callback(self._teaching.close)
            self._closing = stack.pop_all()

    @property
    def engine_name(self) -> str:
        """What runs the model."""
        return self._engine.name

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._worker is not None

    def start(self) -> str:
        """Publish the vocabulary, and subscribe; return what is subscribed to, in words."""
        self._outputs.publish_vocabulary(self._recognizer.classifier.actions)
        self._worker = Worker(
            self._recognizer,
            input_timeout_s=self._values["input_timeout_s"],
            on_step=self._publish_step,
            on_end=self._publish_end,
            on_error=self._monitor.failed,
        )
        self._worker.start()
        self._statistics.clear()
        self._stamps.clear()
        self._message_at = self._moved_at = time.monotonic()
        self._awaits_first, self._stamped = True, False
        if self._transforms is not None:
            self._transforms.open(self._on_transforms)
        for each in self._inputs:
            each.open(partial(self._on_message, each))
        return ", ".join(f"{each.topic} (source '{each.source.name}', {each.type_name})" for each in self._inputs)

    def stop(self) -> None:
        """Unsubscribe, and end what runs."""
        if self._worker is None:
            return
        for each in self._inputs:
            each.close()
        if self._transforms is not None:
            self._transforms.close()
        self._worker.stop()
        self._worker = None
        self._outputs.flush(seconds=0.2)

    def close(self) -> None:
        """Stop, and give everything back."""
        try:
            self.stop()
        finally:
            self._closing.close()

    def change(self, values: Mapping[str, Any]) -> list[str]:
        """Take changed parameters from now on; return those that differ, as "name value"."""
        changed = [f"{name} {value}" for name, value in values.items() if value != self._values[name]]
        if changed:
            self._recognizer.change_settings(settings_of(values))
            self._outputs.change(values)
            self._teaching.change(values)
            if self._worker is not None:
                self._worker.input_timeout_s = values["input_timeout_s"]
            self._values = dict(values)
        return changed

    def tick(self) -> None:
        """Do what must happen though nothing comes; once a second."""
        self._outputs.retry()
        self._teaching.tick()
        now, timeout_s = time.monotonic(), self._values["input_timeout_s"]
        if self.running and now - self._message_at > timeout_s and now - self._probed_at > _PROBE_PERIOD_S:
            self._probed_at = now
            for each in self._inputs:
                each.probe()

    def status(self) -> tuple[Status, dict[str, str]]:
        """How it goes, and the values for `/diagnostics`."""
        now, timeout_s = time.monotonic(), self._values["input_timeout_s"]
        running = self._recognizer.running()
        problem = self._monitor.recent_problem()
        status = watching(len(running), problem, self._statistics)
        if now - self._message_at > timeout_s and problem is None:
            why = "; ".join(dict.fromkeys(each.why_silent() for each in self._inputs))
            status = silent(self._topics, now - self._message_at, why)
            if self._awaits_first:  # so it may be set up wrongly; later silence is the publisher's affair
                self._awaits_first = False
                self._node.get_logger().warning(status.message)
        elif now - self._moved_at > timeout_s:
            status = standing(self._topics, now - self._moved_at, problem)
        values = {
            "source": ", ".join(dict.fromkeys(each.source.name for each in self._inputs)),
            "topic": self._topics,
            **self._camera_values(),
            "actions in use": str(len(self._recognizer.classifier.actions)),
            "taught actions": ", ".join(self._teaching.taught) or "none",
            "people": str(len(running)),
            "running actions": str(sum(map(len, running.values()))),
            "open events": str(self._outputs.open_events),
            **self._statistics.values(),
        }
        return status, values

    @property
    def _topics(self) -> str:
        return ", ".join(each.topic for each in self._inputs)

    def _camera_values(self) -> dict[str, str]:
        """What `/diagnostics` shows of the fixed frame."""
        if self._placing is None:
            return {}
        lacking = {"transform": self._placing.fault} if self._placing.fault else {}
        return {
            "fixed frame": self._placing.fixed_frame,
            "waiting for transforms": str(self._placing.waiting),
            **lacking,
        }

    def _on_transforms(self) -> None:
        """Take the messages that have waited for the pose of their camera."""
        if self._placing is not None and self._placing.waiting:
            self._observe(self._placing.poll())

    def _on_message(self, skeletons: SkeletonInput, message: bytes) -> None:
        self._message_at, self._awaits_first = time.monotonic(), False
        self._monitor.count("messages")
        try:
            self._take(skeletons, message)
        except MalformedMessageError as error:  # it has no stamp, so it moves no clock
            self._monitor.report([error.problem])
        except Exception as error:  # else rclpy ends the node
            self._monitor.failed(error)

    def _take(self, skeletons: SkeletonInput, message: bytes) -> None:
        frame = skeletons.read(message)
        if len(self._inputs) > 1:
            frame = replace(frame, camera=skeletons.topic)
        unstamped = any(problem.cause == "no_stamp" for problem in frame.problems)
        if not frame.stamp_ns or (unstamped and self._stamped):
            why = "and there is no /clock to take the time from"
            if self._stamped:
                why = "though messages before it had one"
            self._monitor.report([problem for problem in frame.problems if problem.cause != "no_stamp"])
            self._monitor.report([Problem("no_stamp", f"message ignored: it has stamp 0, {why}: fill header.stamp")])
            return
        self._stamped |= not unstamped
        now_ns = self._node.get_clock().now().nanoseconds
        self._statistics.message(frame.stamp_ns, (now_ns - frame.stamp_ns) * 1e-9 if now_ns else None)
        moved = self._stamps.moved(frame.stamp_ns, self._values["clock_jump_s"])
        if not moved and not self._stamps.known:  # it stands still, and what ran has been ended
            self._monitor.report(frame.problems)
            fault = "message ignored: its stamp is not newer than the last"
            self._monitor.report([Problem("stamps_stand_still", fault)])
            return
        if moved:
            self._moved_at = time.monotonic()
        self._observe([frame] if self._placing is None else self._placing.push(frame), moved=moved)

    def _observe(self, frames: Sequence[Frame], *, moved: bool = True) -> None:
        """Take frames into recognition."""
        for frame in frames:
            taken = self._recognizer.observe(frame)
            if moved and self._worker is not None:
                self._worker.notify()  # the step need not wait for the rest
            self._statistics.people(taken.people)
            self._monitor.report(taken.problems)
            self._teaching.observe(taken)
            self._outputs.publish_people(taken)

    def _publish_vocabulary(self) -> None:
        """Publish the actions in use, while anybody may listen."""
        if self._worker is not None:
            self._outputs.publish_vocabulary(self._recognizer.classifier.actions)

    def _reset(self) -> int:
        """End what runs and forget the people; return how many actions were ended."""
        if self._worker is None:
            return 0
        before = self._outputs.open_events
        self._worker.reset()
        return before

    def _publish_step(self, step: Step, duration_s: float) -> None:
        self._monitor.count("steps")
        self._monitor.report(step.problems)
        self._teaching.remember(step.events, step.stamp_ns)
        self._outputs.publish_events(step.events)  # someone may act on them; scores are for the eye
        self._outputs.publish_scores(step.scores)
        latency_s = self._statistics.step(step.stamp_ns, duration_s)
        budget_ms = self._values["latency_budget_ms"]
        if latency_s is not None and budget_ms and latency_s * 1e3 > budget_ms:
            found = f"{latency_s * 1e3:.0f} ms from stamp to events, latency_budget_ms is {budget_ms:.0f}"
            took = f"the step took {duration_s * 1e3:.0f} ms"
            self._monitor.report([Problem("over_budget", f"{found} ({took})")])

    def _publish_end(self, events: list[Event], why: End) -> None:
        if why is End.INPUT_STOPPED:
            self._stamps.clear_newest()
        self._teaching.remember(events)
        ended = self._outputs.end_events(events)
        topic, timeout_s = self._topics, self._values["input_timeout_s"]
        if why is End.INPUT_STOPPED:
            silence = f"no skeletons on {topic} for {timeout_s} s"
            if time.monotonic() - self._message_at < timeout_s:
                silence = f"messages come on {topic}, but no newer stamp for {timeout_s} s"
            self._node.get_logger().info(f"{silence}: ended {ended} actions")
        elif why is End.STEPS_FAILED:
            fault = f"every step has failed for {timeout_s} s: ended {ended} actions; see internal_error"
            self._monitor.report([Problem("steps_fail", fault)])


def _input_of(node: LifecycleNode, values: Mapping[str, Any], monitor: Monitor) -> SkeletonInput:
    kind = BodiesInput if values["source"] == BODIES_SOURCE else SkeletonInput
    return kind(node, values, monitor=monitor)


def _values_of_inputs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parameters of each input: the entries of `inputs`, else the one that `input_topic` and `source` name."""
    inputs = [
        {
            **values,
            "input_topic": each.topic,
            "source": each.source,
            "layout": each.layout or values["layout"],
            "input_reliability": each.reliability if each.reliability != "source" else values["input_reliability"],
            "input_depth": each.depth or values["input_depth"],
        }
        for each in read_inputs(values["inputs"])
    ]
    return inputs or [dict(values)]
