"""The observer: a node that records everything around recognition, and keeps what a screen shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.writer import BagWriter
from usdrl_ros.messages import message_to_event, time_to_ns
from usdrl_ros.msg import ActionEvent, ActionScores, ActionVocabulary, SkeletonArray
from usdrl_ros.nodes.conversion import first_message_class
from usdrl_ros.sources.reader import DEFAULT_SOURCE, SourceReader, load_source

_DEPTH = 1000  # nothing is to be missing from the record, however busy the machine


class Observer(Node):
    """Listens to skeletons, truth and what recognition publishes; writes every message to a bag.

    Args:
        writer: An open bag.
        skeletons, truth: Topics of the input.
        reader: Reads the skeletons; None: they are ours. Others are not written to the bag.
        cameras: Topics of further cameras, which are written to the bag.
        context: As for any node.
    """

    def __init__(
        self,
        writer: BagWriter,
        *,
        skeletons: str,
        truth: str,
        reader: SourceReader | None = None,
        cameras: Sequence[str] = (),
        context: Context | None = None,
    ) -> None:
        super().__init__("observer", context=context)
        self._reader = reader or SourceReader(load_source(DEFAULT_SOURCE))
        source = self._reader.source
        _, kind = first_message_class(source.message_types, source.packages, f"source '{source.name}'")
        self._writer = writer
        self._lock = threading.Lock()
        self._people: tuple[str, ...] = ()
        self._recent: deque[Event] = deque(maxlen=12)
        self._running: dict[str, Event] = {}
        self.first_ns: int | None = None
        self.newest_ns: int | None = None
        self.frames = 0
        self.events: list[Event] = []
        self.truth: list[Event] = []
        self.vocabulary: ActionVocabulary | None = None
        self.problems: dict[str, int] = {}  # by cause, as the newest diagnostics of the perception node have them
        latched = QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
        )
        for message_type, topic, qos, take in (
            (kind, skeletons, _DEPTH, self._take_skeletons),
            *((kind, topic, _DEPTH, lambda message: None) for topic in cameras),
            (ActionEvent, truth, _DEPTH, self._take_truth),
            (ActionEvent, "usdrl/actions", _DEPTH, self._take_event),
            (ActionScores, "usdrl/scores", _DEPTH, self._take_scores),
            (ActionVocabulary, "usdrl/vocabulary", latched, self._take_vocabulary),
        ):
            record = partial(self._record, self.resolve_topic_name(topic), take)
            self.create_subscription(message_type, topic, record, qos)

        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)

    def state(self) -> tuple[tuple[str, ...], dict[str, Event], list[Event]]:
        """The people in view, the running event by event id, and the last STARTED and ENDED."""
        with self._lock:
            return self._people, dict(self._running), list(self._recent)

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": recognition"):
                problems = {pair.key: pair.value for pair in status.values if pair.key.startswith("problem.")}
                self.problems = {key.removeprefix("problem."): int(value) for key, value in problems.items()}

    def _record(self, topic: str, take: Any, message: Any) -> None:
        with self._lock:
            take(message)
            stamp_ns = time_to_ns(message.header.stamp) if hasattr(message, "header") else (self.newest_ns or 0)
            if take != self._take_skeletons or isinstance(message, SkeletonArray):
                self._writer.write(topic, stamp_ns, message)

    def _take_skeletons(self, message: Any) -> None:
        frame = self._reader.read(message, time.time_ns())
        self._people = tuple(sorted(person.person_id for person in frame.people))
        self.newest_ns = frame.stamp_ns
        if self.first_ns is None:
            self.first_ns = self.newest_ns
        self.frames += 1

    def _take_truth(self, message: ActionEvent) -> None:
        self.truth.append(message_to_event(message))

    def _take_event(self, message: ActionEvent) -> None:
        event = message_to_event(message)
        self.events.append(event)
        if event.phase != Phase.ONGOING:
            self._recent.append(event)
        self._running[event.event_id] = event
        if event.phase == Phase.ENDED:
            del self._running[event.event_id]

    def _take_scores(self, message: ActionScores) -> None:
        """Recorded only."""

    def _take_vocabulary(self, message: ActionVocabulary) -> None:
        self.vocabulary = message
