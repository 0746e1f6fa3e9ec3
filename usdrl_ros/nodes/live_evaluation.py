"""Evaluate a bag through the live nodes over DDS, and measure how long a message takes: `evaluate --live`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.actions.scores import Scores
from usdrl_ros.bags.label_files import labels_of_bag
from usdrl_ros.bags.labels import LabelError
from usdrl_ros.bags.reader import TRUTH, Bag, BagError, read_events
from usdrl_ros.evaluation.batch import Plan
from usdrl_ros.evaluation.journal import Journal
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_truth
from usdrl_ros.evaluation.report.strips import make_strips
from usdrl_ros.evaluation.run import BagRun, skeleton_topic
from usdrl_ros.evaluation.truth import check_truths, intervals_of_labels, renamed
from usdrl_ros.messages import message_to_event, time_to_ns
from usdrl_ros.msg import ActionEvent, ActionScores, ActionVocabulary
from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class
from usdrl_ros.nodes.live import LiveError, play_live
from usdrl_ros.problems import Problem
from usdrl_ros.sources.reader import SourceError, SourceReader, load_source

_DEPTH = 1000
_OPEN_STAMPS = 1000
"""Messages whose scores may still come."""


class Listener(Node):
    """Hears the skeletons and what recognition makes of them; measures from the one to the other.

    Args:
        context: As for any node.
        topic: Of the skeletons.
        reader: Reads them.
        journal: Takes skeletons and scores; None: nobody wants them.
    """

    def __init__(self, context: Context, topic: str, reader: SourceReader, journal: Journal | None) -> None:
        super().__init__("evaluation", context=context)
        self._reader, self._journal = reader, journal
        self._arrived: dict[int, float] = {}
        self.vocabulary: ActionVocabulary | None = None
        self.events: list[Event] = []
        self.latencies_s: list[float] = []
        self.problems: dict[str, int] = {}
        self.frames = 0
        self.first_ns = self.newest_ns = 0
        self.bag_ns = 0
        source = reader.source
        _, kind = first_message_class(source.message_types, source.packages, f"source '{source.name}'")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(kind, topic, self._take_skeletons, _DEPTH)
        self.create_subscription(ActionEvent, "usdrl/actions", self._take_event, _DEPTH)
        self.create_subscription(ActionScores, "usdrl/scores", self._take_scores, _DEPTH)
        self.create_subscription(ActionVocabulary, "usdrl/vocabulary", self._take_vocabulary, latched)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)

    def _take_skeletons(self, message: Any) -> None:
        now = time.monotonic()
        frame = self._reader.read(message, time.time_ns())
        if not self.frames:
            self.first_ns = self.newest_ns = frame.stamp_ns
        self.bag_ns += max(0, frame.stamp_ns - self.newest_ns)
        self.newest_ns = max(self.newest_ns, frame.stamp_ns)
        self.frames += 1
        self._arrived.setdefault(frame.stamp_ns, now)
        if len(self._arrived) > _OPEN_STAMPS:
            del self._arrived[next(iter(self._arrived))]
        if self._journal is not None:
            self._journal.see(frame.stamp_ns, frame.people)

    def _take_scores(self, message: ActionScores) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        if (arrived := self._arrived.pop(stamp_ns, None)) is not None:
            self.latencies_s.append(time.monotonic() - arrived)
        if self._journal is not None:
            scores = Scores(
                stamp_ns, message.header.frame_id, message.person_id, message.detection, message.recognition
            )
            self._journal.think([scores])

    def _take_event(self, message: ActionEvent) -> None:
        event = message_to_event(message)
        if event.phase != Phase.ONGOING:
            self.events.append(event)

    def _take_vocabulary(self, message: ActionVocabulary) -> None:
        self.vocabulary = message

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            told = {pair.key: pair.value for pair in status.values if pair.key.startswith("problem.")}
            if status.name.endswith(": recognition"):
                self.problems = {key.removeprefix("problem."): int(value) for key, value in told.items()}


def run_bag_live(path: str, plan: Plan, rate: float, progress: Callable[[int, int], None]) -> BagRun | str:
    """Play a bag through the nodes.

    Args:
        path: The bag.
        plan: As for the library; the node has the same model, settings and source.
        rate: Times real time.
        progress: Called with the messages that came through, and those that there are.

    Returns:
        The run, or in one line why there is none.
    """
    try:
        return _run(path, plan, rate, progress)
    except (BagError, LabelError, SourceError) as error:
        return str(error)
    except (LiveError, MissingMessagesError) as error:
        return f"{path}: {error}"


def _run(path: str, plan: Plan, rate: float, progress: Callable[[int, int], None]) -> BagRun:
    began = time.perf_counter()
    source = load_source(plan.source)
    with Bag(path) as bag:
        topics = bag.topics
        topic = skeleton_topic(path, topics, source, plan.topic)
    labels = None
    if plan.labels is not None:
        one = not plan.several
        labels = labels_of_bag(plan.labels, Path(path), frame_rate=plan.frame_rate, classes=plan.classes, one_bag=one)
    truth_topic = plan.truth or (TRUTH if TRUTH in topics else None)
    total = topics[topic].count
    with plan.load_engine() as engine:
        actions = engine.info.actions
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(actions)) if plan.strips else None
        reader = SourceReader(source, layout=plan.layout, association=plan.association)
        listener: Listener = play_live(
            Path(path),
            plan.model,
            rate=rate,
            parameters=_parameters(plan, topic),
            observe=partial(Listener, topic=topic, reader=reader, journal=journal),
            watch=lambda listener: progress(listener.frames, total),
        )
        truths: list[Interval] | None = None
        if labels is not None:
            truths = intervals_of_labels(path, labels, listener.first_ns)
        elif truth_topic is not None:
            truths = intervals_of_truth(path, read_events(path, truth_topic), listener.first_ns)
        span_s = (listener.newest_ns - listener.first_ns) / 1e9
        kept, faults = check_truths(renamed(truths or (), plan.names), span_s)
        if listener.frames < total:
            faults.append(f"{listener.frames} of {total} messages came through DDS: give a lower --rate")
        run = BagRun(
            name=path,
            origin_ns=listener.first_ns,
            events=listener.events,
            truth_intervals=None if truths is None else kept,
            problems=Counter(listener.problems),
            first_problems={cause: Problem(cause, "see the node's log") for cause in listener.problems},
            truth_faults=faults,
            bag_s=listener.bag_ns / 1e9,
            processing_s=time.perf_counter() - began,
            latencies_s=listener.latencies_s,
        )
        if journal is not None and truths is not None:
            run = replace(run, strips=make_strips(run.outcome(actions), journal, run.origin_ns, plan.strips))
    return run


def _parameters(plan: Plan, topic: str) -> list[str]:
    """What the perception node is given besides its model."""
    given = [
        f"engine:={plan.engine}",
        f"source:={plan.source}",
        f"association:={plan.association}",
        f"input_topic:={topic}",
        *([f"layout:={plan.layout}"] if plan.layout else []),
    ]
    return given + [f"{field.name}:={getattr(plan.settings, field.name)}" for field in fields(plan.settings)]
