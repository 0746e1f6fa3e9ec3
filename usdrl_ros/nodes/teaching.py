"""The services and actions of the perception node: teach, choose, ask, wait.

All run in the executor's thread, except the model's part of a lesson, which has a thread of its own and shares the
engine with the steps through a lock.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.lifecycle import LifecycleNode
from rclpy.service import Service
from rclpy.task import Future

from usdrl_ros.actions.choice import Choice, ChoiceError, parse_pairs, parse_thresholds
from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.actions.evidence import MovementReader
from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.actions.gallery import Gallery
from usdrl_ros.inference.contract import Engine, Predictions
from usdrl_ros.lesson import Lesson
from usdrl_ros.messages import event_to_message
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.nodes.diagnostics import Monitor
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.teaching import Report, Teacher

try:
    from usdrl_ros.action import Teach, WaitForAction
    from usdrl_ros.srv import GetActions, ManageGallery, Reset, SetActions

    SERVED = True
except ImportError:  # a workspace that was built before the package had these
    SERVED = False

DEFAULT_EXAMPLES, MOST_EXAMPLES = 5, 50
DEFAULT_TIMEOUT_S = 60.0
MEMORY_S = 600.0
"""How long ended actions are remembered, by the stamps' clock."""
_MOST_REMEMBERED = 2000
_MOST_WAITING = 50


class SharedEngine:
    """An engine that several threads may use, one at a time."""

    def __init__(self, engine: Engine) -> None:
        self.info = engine.info
        self._engine, self._lock = engine, threading.Lock()

    @property
    def name(self) -> str:
        """What runs the model."""
        return self._engine.name

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows once nobody else does."""
        with self._lock:
            return self._engine.infer(skeletons)


def choice_of(values: Mapping[str, Any]) -> Choice:
    """The choice among parameter values.

    Raises:
        ChoiceError: A pair is malformed.
    """
    return Choice(
        tuple(name for name in values["enabled_actions"] if name),
        tuple(name for name in values["disabled_actions"] if name),
        parse_pairs(values["action_names"], "action_names"),
        parse_thresholds(values["thresholds"]),
        values["unknown"],
    )


class _Pending:
    """A goal that waits for its result."""

    def __init__(self, goal: ServerGoalHandle, future: Future, timeout_s: float) -> None:
        self.goal, self.future = goal, future
        self.started_at = time.monotonic()
        self.deadline = self.started_at + timeout_s if timeout_s > 0 else float("inf")


class TeachingServices:
    """What one can ask of a perception node.

    Args:
        node: Serves.
        engine: Shared with the recognizer.
        model: The model file.
        values: The node's parameters.
        recognizer: Whose classifier is changed.
        monitor: Reports what cannot be used.
        on_vocabulary: Is called when the actions in use have changed.
        on_reset: Ends what runs; returns how many actions that were.
    """

    def __init__(
        self,
        node: LifecycleNode,
        engine: SharedEngine,
        model: Path,
        values: Mapping[str, Any],
        recognizer: Recognizer,
        monitor: Monitor,
        on_vocabulary: Callable[[], None],
        on_reset: Callable[[], int],
    ) -> None:
        self._node, self._engine, self._model = node, engine, model
        self._recognizer, self._monitor = recognizer, monitor
        self._on_vocabulary, self._on_reset = on_vocabulary, on_reset
        self._gallery = Gallery(values["gallery"])
        self._teacher: Teacher | None = None
        self._reader: MovementReader | None = None
        self._choice = choice_of(values)
        self._lesson: Lesson | None = None
        self._lesson_pending: _Pending | None = None
        self._waiting: list[_Pending] = []
        self._events: dict[str, Event] = {}
        self._newest_ns = 0
        self._lock = threading.Lock()
        self._load_gallery()
        self._apply(self._choice)
        self._servers: list[ActionServer] = []
        self._services: list[Service] = []
        if SERVED:
            self._serve()
        else:
            fault = "usdrl_ros was built before it had actions and services, and serves none: build it again"
            monitor.report([Problem("not_built", fault)])

    def _serve(self) -> None:
        node = self._node
        self._servers = [
            ActionServer(
                node, Teach, "usdrl/teach", self._teach,
                goal_callback=self._accept_lesson, cancel_callback=lambda _: CancelResponse.ACCEPT,
            ),
            ActionServer(
                node, WaitForAction, "usdrl/wait_for_action", self._wait,
                goal_callback=self._accept_waiting, cancel_callback=lambda _: CancelResponse.ACCEPT,
            ),
        ]  # fmt: skip
        self._services = [
            node.create_service(GetActions, "usdrl/get_actions", self._get_actions),
            node.create_service(SetActions, "usdrl/set_actions", self._set_actions),
            node.create_service(ManageGallery, "usdrl/manage_gallery", self._manage_gallery),
            node.create_service(Reset, "usdrl/reset", self._reset),
        ]

    @property
    def taught(self) -> tuple[str, ...]:
        """The taught actions."""
        return self._recognizer.classifier.taught

    def close(self) -> None:
        """Answer who waits, and stop serving."""
        for pending in [*self._waiting, *([self._lesson_pending] if self._lesson_pending else [])]:
            if not pending.future.done():
                pending.future.set_result("the node was stopped")
        for server in self._servers:
            server.destroy()
        for service in self._services:
            self._node.destroy_service(service)

    def change(self, values: Mapping[str, Any]) -> None:
        """Take changed parameters; a choice that cannot be used is reported, and the one so far stays."""
        try:
            self._apply(choice_of(values))
        except (ChoiceError, TeachingError) as error:
            self._monitor.report([Problem("wrong_choice", f"{error}; the choice so far stays")])

    def observe(self, frame: Frame) -> None:
        """Take the people of a frame, in NTU-25, for a lesson that runs."""
        lesson, pending = self._lesson, self._lesson_pending
        if lesson is None or pending is None or lesson.complete or pending.future.done():
            return
        try:
            progress = lesson.observe(frame)
        except TeachingError as error:
            pending.future.set_result(str(error))
            return
        for one in progress:
            feedback = Teach.Feedback(state=int(one.state), examples=one.examples, text=one.text)
            pending.goal.publish_feedback(feedback)
            self._node.get_logger().info(f"lesson: {one.text}")
        if lesson.complete:
            pending.future.set_result("")

    def remember(self, events: Sequence[Event], stamp_ns: int = 0) -> None:
        """Take what happens, for those who ask and those who wait. From any thread."""
        with self._lock:
            self._newest_ns = max(self._newest_ns, stamp_ns, *(event.stamp_ns for event in events), 0)
            for event in events:
                self._events[event.event_id] = event
            while len(self._events) > _MOST_REMEMBERED:
                self._events.pop(next(iter(self._events)))
            waiting = list(self._waiting)
        for event in events:
            for pending in waiting:
                if _answers(event, pending.goal.request) and not pending.future.done():
                    pending.future.set_result(event)

    def tick(self) -> None:
        """Give up what has waited too long or was cancelled; at least once a second."""
        now = time.monotonic()
        for pending in [*self._waiting, *([self._lesson_pending] if self._lesson_pending else [])]:
            if pending.future.done():
                continue
            if pending.goal.is_cancel_requested:
                pending.future.set_result("cancelled")
            elif now > pending.deadline:
                lesson = self._lesson if pending is self._lesson_pending else None
                pending.future.set_result(lesson.missing if lesson else "nobody did it in time")
            elif pending is not self._lesson_pending:
                pending.goal.publish_feedback(WaitForAction.Feedback(waited_s=now - pending.started_at))

    # Teach

    def _accept_lesson(self, _: Any) -> GoalResponse:
        return GoalResponse.REJECT if self._lesson is not None else GoalResponse.ACCEPT

    async def _teach(self, goal: ServerGoalHandle) -> Teach.Result:
        request = goal.request
        wanted = min(request.examples or DEFAULT_EXAMPLES, MOST_EXAMPLES)
        pending = _Pending(goal, self._future(), request.timeout_s or DEFAULT_TIMEOUT_S)
        self._lesson, self._lesson_pending = Lesson(wanted, request.person_id, self._engine.info.frames), pending
        try:
            teacher = self._ready_teacher()
            teacher.check_name(request.name, request.counter_to, request.replace)
            said = f"rest; {wanted} examples of '{request.name}' are wanted"
            goal.publish_feedback(Teach.Feedback(state=Teach.Feedback.WAIT, text=said))
            fault = await pending.future
            if fault:
                raise TeachingError(str(fault))
            self._lesson_pending = learning = _Pending(goal, self._future(), DEFAULT_TIMEOUT_S)
            lesson = self._lesson
            assert lesson is not None
            threading.Thread(target=self._learn, args=(teacher, request, lesson, learning.future), daemon=True).start()
            outcome = await learning.future
            if not isinstance(outcome, Report):
                raise TeachingError(str(outcome))
            self._load_gallery()
            self._apply(self._choice)
        except (TeachingError, ChoiceError) as error:
            return self._finish(goal, Teach.Result(success=False, message=str(error)))
        finally:
            self._lesson = self._lesson_pending = None
        looks = f"they look most like '{outcome.resembles}' ({100 * outcome.resemblance:.0f} %)"
        message = f"learned '{request.name}' from {outcome.action.examples} examples; {looks}"
        self._node.get_logger().info(message)
        goal.succeed()
        return Teach.Result(
            success=True, message=message, examples=outcome.action.examples, similarity=outcome.similarity,
            resembles=outcome.resembles, resemblance=outcome.resemblance,
        )  # fmt: skip

    def _learn(self, teacher: Teacher, request: Any, lesson: Lesson, future: Future) -> None:
        outcome: object
        try:
            outcome = teacher.teach(
                request.name, lesson.examples, taught_by=lesson.person_id, counter_to=request.counter_to,
                both_sides=request.both_sides, replace_existing=request.replace,
            )  # fmt: skip
        except TeachingError as error:
            outcome = str(error)
        except Exception as error:
            self._monitor.failed(error)
            outcome = f"the lesson failed: {error}"
        if not future.done():
            future.set_result(outcome)

    def _ready_teacher(self) -> Teacher:
        """Made when first needed: most robots are never taught.

        Raises:
            TeachingError: The file beside the model that teaching needs is missing or damaged.
        """
        if self._teacher is None:
            self._teacher = Teacher(self._engine, self._model, self._gallery)  # type: ignore[arg-type]
        return self._teacher

    def _load_gallery(self) -> None:
        """Read the gallery anew, and report what of it cannot be used."""
        self._reader = None
        if not self._gallery.names():
            return
        try:
            self._reader, faults = self._ready_teacher().reader()
        except TeachingError as error:
            faults = [f"the gallery {self._gallery.directory} is not used: {error}"]
        self._monitor.report([Problem("gallery", fault) for fault in faults])

    def _apply(self, choice: Choice) -> None:
        """Change what is recognised.

        Raises:
            ChoiceError, TeachingError: It cannot be; nothing has changed.
        """
        reader = self._reader
        if reader is None and choice.unknown:
            reader = self._ready_teacher().reader()[0]
        before = self._recognizer.classifier.actions
        self._recognizer.classifier.change(choice, reader)
        self._choice = choice
        if self._recognizer.classifier.actions != before:
            self._on_vocabulary()

    # Ask and choose

    def _get_actions(self, request: GetActions.Request, response: GetActions.Response) -> GetActions.Response:
        with self._lock:
            since_ns = self._newest_ns - round(min(max(request.last_s, 0.0), MEMORY_S) * 1e9)
            found = [
                event
                for event in self._events.values()
                if request.person_id in ("", event.person_id)
                and (event.phase != Phase.ENDED or (request.last_s > 0 and event.end_ns >= since_ns))
            ]
        found.sort(key=lambda event: event.start_ns)
        response.events = [event_to_message(message_types(), event) for event in found]
        return response

    def _set_actions(self, request: SetActions.Request, response: SetActions.Response) -> SetActions.Response:
        classifier = self._recognizer.classifier
        try:
            Choice(tuple(request.enable), tuple(request.disable)).check(classifier.known)
            in_use = set(classifier.known if request.all else self._choice.in_use(classifier.known))
            if request.enable:
                in_use |= set(Choice(tuple(request.enable)).in_use(classifier.known))
            in_use &= set(Choice(disabled=tuple(request.disable)).in_use(classifier.known))
            disabled = tuple(action for action in classifier.known if action not in in_use)
            self._apply(replace(self._choice, enabled=(), disabled=disabled))
            response.success, response.message = True, f"{len(classifier.actions)} actions are in use"
        except (ChoiceError, TeachingError) as error:
            response.success, response.message = False, str(error)
        response.actions = list(classifier.actions)
        return response

    def _manage_gallery(
        self, request: ManageGallery.Request, response: ManageGallery.Response
    ) -> ManageGallery.Response:
        gallery = self._gallery
        steps: dict[int, Callable[[], object]] = {
            ManageGallery.Request.LIST: lambda: None,
            ManageGallery.Request.RENAME: lambda: gallery.rename(request.name, request.target),
            ManageGallery.Request.DELETE: lambda: gallery.delete(request.name),
            ManageGallery.Request.EXPORT: lambda: gallery.export(request.name, request.target),
            ManageGallery.Request.IMPORT: lambda: gallery.add_file(request.target, name=request.name),
        }
        try:
            if request.command not in steps:
                raise TeachingError(f"command {request.command} is not known; 0 to {len(steps) - 1} are")
            steps[request.command]()
            if request.command not in (ManageGallery.Request.LIST, ManageGallery.Request.EXPORT):
                self._load_gallery()
                self._apply(self._surviving_choice())
            response.success, response.message = True, str(gallery.directory)
        except (TeachingError, ChoiceError) as error:
            response.success, response.message = False, str(error)
        found, _ = gallery.load_all()
        response.names = [action.name for action in found]
        response.metadata = [json.dumps(action.metadata()) for action in found]
        return response

    def _surviving_choice(self) -> Choice:
        """The choice without the names that the gallery has lost."""
        taught = self._reader.few_shot.actions if self._reader else ()
        known = {*self._engine.info.actions, *taught}
        lost = set(self._recognizer.classifier.known) - known
        choice = self._choice
        return replace(
            choice,
            enabled=tuple(name for name in choice.enabled if name not in lost),
            disabled=tuple(name for name in choice.disabled if name not in lost),
            names={action: name for action, name in choice.names.items() if action not in lost},
            thresholds={action: value for action, value in choice.thresholds.items() if action not in lost},
        )

    def _reset(self, _: Reset.Request, response: Reset.Response) -> Reset.Response:
        response.ended = self._on_reset()
        return response

    # Wait

    def _accept_waiting(self, _: Any) -> GoalResponse:
        return GoalResponse.REJECT if len(self._waiting) >= _MOST_WAITING else GoalResponse.ACCEPT

    async def _wait(self, goal: ServerGoalHandle) -> WaitForAction.Result:
        request = goal.request
        actions = self._recognizer.classifier.actions
        if unknown := sorted(set(request.actions) - set(actions)):
            fault = f"{', '.join(unknown)} is not in use; in use are {', '.join(actions)}"
            return self._finish(goal, WaitForAction.Result(success=False, message=fault))
        pending = _Pending(goal, self._future(), request.timeout_s)
        with self._lock:
            self._waiting.append(pending)
            running = [event for event in self._events.values() if event.phase != Phase.ENDED]
        try:
            for event in running if request.running else ():
                if _answers(event, request) and not pending.future.done():
                    pending.future.set_result(event)
            outcome = await pending.future
        finally:
            with self._lock:
                self._waiting.remove(pending)
        if not isinstance(outcome, Event):
            return self._finish(goal, WaitForAction.Result(success=False, message=str(outcome)))
        goal.succeed()
        message = f"'{outcome.person_id}' does '{outcome.action}'"
        return WaitForAction.Result(success=True, message=message, event=event_to_message(message_types(), outcome))

    def _future(self) -> Future:
        return Future(executor=self._node.executor)

    @staticmethod
    def _finish(goal: ServerGoalHandle, result: Any) -> Any:
        """End a goal that has not been reached."""
        if goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result


def _answers(event: Event, request: WaitForAction.Goal) -> bool:
    """Whether an event is what somebody waits for."""
    if event.phase == Phase.ENDED or (event.phase == Phase.ONGOING and not request.running):
        return False
    if (request.actions and event.action not in request.actions) or request.person_id not in ("", event.person_id):
        return False
    if request.within_m <= 0:
        return True
    return bool(np.linalg.norm(event.position) <= request.within_m)  # NaN is not near
