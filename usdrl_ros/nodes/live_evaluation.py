"""Evaluate a bag through the live nodes over DDS, and measure how long a message takes: `evaluate --live`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from usdrl_ros.actions.scores import Scores
from usdrl_ros.bags.labels import LabelError
from usdrl_ros.bags.reader import Bag, BagError
from usdrl_ros.bags.skeletons import find_skeletons
from usdrl_ros.evaluation.bag_run import BagRun, RunNotes
from usdrl_ros.evaluation.journal import optional_journal
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.truth import read_truth
from usdrl_ros.messages import message_to_event, time_to_ns
from usdrl_ros.msg import ActionEvent, ActionScores, ActionVocabulary
from usdrl_ros.nodes.conversion import MissingMessagesError, first_message_class
from usdrl_ros.nodes.live import LiveError, play_live
from usdrl_ros.problems import Problem
from usdrl_ros.scene.naming import Naming
from usdrl_ros.skeleton.canonical import to_ntu25
from usdrl_ros.sources.reader import SourceError, SourceReader

_DEPTH = 1000
_OPEN_STAMPS = 1000
"""Messages whose scores may still come."""


class Listener(Node):
    """Hears the skeletons and what recognition makes of them; measures from the one to the other.

    Args:
        context: As for any node.
        topic: Of the skeletons.
        reader: Reads them.
        notes: Takes everything.
    """

    def __init__(self, context: Context, topic: str, reader: SourceReader, notes: RunNotes) -> None:
        super().__init__("evaluation", context=context)
        self._reader, self._naming, self.notes = reader, Naming(), notes
        self._arrived: dict[int, float] = {}
        self.vocabulary: ActionVocabulary | None = None
        self.latencies_s: list[float] = []
        self.problems: dict[str, int] = {}
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
        self.notes.add_frame(to_ntu25(self._naming.update(frame)))
        self._arrived.setdefault(frame.stamp_ns, now)
        if len(self._arrived) > _OPEN_STAMPS:
            del self._arrived[next(iter(self._arrived))]

    def _take_scores(self, message: ActionScores) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        if (arrived := self._arrived.pop(stamp_ns, None)) is not None:
            self.latencies_s.append(time.monotonic() - arrived)
        scores = Scores(stamp_ns, message.header.frame_id, message.person_id, message.detection, message.recognition)
        self.notes.add_scores([scores])

    def _take_event(self, message: ActionEvent) -> None:
        self.notes.add_events([message_to_event(message)])

    def _take_vocabulary(self, message: ActionVocabulary) -> None:
        self.vocabulary = message

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            counts = {pair.key: pair.value for pair in status.values if pair.key.startswith("problem.")}
            if status.name.endswith(": recognition"):
                self.problems = {key.removeprefix("problem."): int(value) for key, value in counts.items()}


def run_bag_live(path: str, options: EvaluationOptions, progress: Callable[[int, int], None]) -> BagRun | str:
    """Play a bag through the nodes.

    Args:
        path: The bag.
        options: As for the library; the node has the same model, settings and source.
        progress: Called with the messages that came through, and those that there are.

    Returns:
        The run, or in one line why there is none.
    """
    try:
        return _run(path, options, progress)
    except (BagError, LabelError, SourceError) as error:
        return str(error)
    except (LiveError, MissingMessagesError) as error:
        return f"{path}: {error}"


def _run(path: str, options: EvaluationOptions, progress: Callable[[int, int], None]) -> BagRun:
    with Bag(path) as bag:
        topics = bag.topics
        source, topic = find_skeletons(path, topics, source=options.source, topic=options.topic)
        truth = read_truth(path, bag, options)
    total = topics[topic].count
    actions = options.model_info().actions
    with optional_journal(actions, options.strips_of_bag > 0) as journal:
        notes = RunNotes(path, actions, journal=journal, ongoing=False)
        reader = SourceReader(source, layout=options.layout, association=options.association)
        listener: Listener = play_live(
            Path(path),
            options.model,
            rate=options.rate,
            parameters=_parameters(options, source.name, topic),
            observe=partial(Listener, topic=topic, reader=reader, notes=notes),
            watch=lambda listener: progress(listener.notes.frames, total),
        )
        for cause, count in listener.problems.items():
            notes.add_problems([Problem(cause, "see the node's log")] * count)
        lost = f"{notes.frames} of {total} messages came through DDS: give a lower --rate"
        faults = [lost] if notes.frames < total else []
        return notes.finish(truth, options, faults=faults, latencies_s=listener.latencies_s)


def _parameters(options: EvaluationOptions, source: str, topic: str) -> list[str]:
    """What the perception node is given besides its model."""
    given = [
        f"engine:={options.engine}",
        f"precision:={options.precision}",
        f"source:={source}",
        f"association:={options.association}",
        f"input_topic:={topic}",
        *([f"layout:={options.layout}"] if options.layout else []),
    ]
    return given + [f"{field.name}:={getattr(options.settings, field.name)}" for field in fields(options.settings)]
