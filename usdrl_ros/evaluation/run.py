"""Run the library over a bag as the live node runs it: each message is observed, each step that is due is run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from usdrl_ros.actions.events import Event
from usdrl_ros.evaluation.bags import SKELETONS, TRUTH, BagError, read_messages, read_topics
from usdrl_ros.evaluation.metrics import Interval, intervals_of_events, intervals_of_truth
from usdrl_ros.inference.engine import Engine
from usdrl_ros.messages import message_to_event
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.sources import read_skeleton_array

SKELETON_TYPE = "usdrl_ros/msg/SkeletonArray"
EVENT_TYPE = "usdrl_ros/msg/ActionEvent"


@dataclass(frozen=True)
class BagRun:
    """What the library made of a bag.

    Args:
        name: The bag's path, as given.
        origin_ns: Stamp of the first skeletons, from which the seconds of intervals count.
        events: All phases, in the order told.
        truth: The messages on the truth's topic; None where the bag has none.
        problems: How often each cause of `usdrl_ros.problems` came up.
        first_problems: The first of each cause.
        bag_s: Seconds from message to message by their stamps; jumps back do not count.
        processing_s: Seconds that it took, reading included.
    """

    name: str
    origin_ns: int
    events: list[Event]
    truth: list[Event] | None
    problems: Counter[str]
    first_problems: dict[str, Problem]
    bag_s: float
    processing_s: float

    @property
    def event_intervals(self) -> list[Interval]:
        """One for each event id."""
        return intervals_of_events(self.name, self.events, self.origin_ns)

    @property
    def truth_intervals(self) -> list[Interval]:
        """The true actions; none where the bag has no truth."""
        return intervals_of_truth(self.name, self.truth or (), self.origin_ns)


def run_bag(
    path: Path | str,
    engine: Engine,
    *,
    settings: Settings | None = None,
    skeletons: str = SKELETONS,
    truth: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BagRun:
    """Recognise the actions in a bag.

    A message without a stamp (0) is taken to be of the time at which it was recorded, and that is told as a problem.

    Args:
        path: The bag.
        engine: The model.
        settings: As for the live node; None for the defaults.
        skeletons: Topic of the skeletons.
        truth: Topic of the true actions, which must be there; None for `/usdrl/ground_truth` if it is there.
        progress: Called with messages read and messages there are.

    Raises:
        BagError: The bag is missing, is damaged, or lacks a topic.
    """
    began = time.perf_counter()
    topics = read_topics(path)
    truth_topic = TRUTH if truth is None and TRUTH in topics else truth
    wanted = [(skeletons, SKELETON_TYPE), *([(truth_topic, EVENT_TYPE)] if truth_topic else [])]
    for topic, kind in wanted:
        if topic in topics and topics[topic].type != kind:
            raise BagError(f"{path}: topic {topic} has type {topics[topic].type}, expected {kind}")
    total = sum(topics[topic].count for topic, _ in wanted if topic in topics)

    recognizer = Recognizer(engine, settings)
    events: list[Event] = []
    truths: list[Event] = []
    problems: Counter[str] = Counter()
    first_problems: dict[str, Problem] = {}
    stamp_ns: int | None = None
    origin_ns, bag_ns = 0, 0

    def note(found: list[Problem]) -> None:
        for problem in found:
            problems[problem.cause] += 1
            first_problems.setdefault(problem.cause, problem)

    for done, (topic, record_ns, message) in enumerate(read_messages(path, [topic for topic, _ in wanted]), start=1):
        progress(done, total)
        if topic == truth_topic:
            try:
                truths.append(message_to_event(message))
            except ValueError as error:
                note([Problem("bad_truth", f"message on {topic} ignored: {error}")])
            continue
        frame = read_skeleton_array(message)
        note(frame.problems)
        previous_ns, stamp_ns = stamp_ns, frame.stamp_ns
        if stamp_ns == 0:
            stamp_ns = record_ns
            note([Problem("no_stamp", f"message on {topic} has stamp 0: taken to be of when it was recorded")])
        if previous_ns is None:
            origin_ns = stamp_ns
        else:
            bag_ns += max(0, stamp_ns - previous_ns)
        note(recognizer.observe(stamp_ns, frame.people, frame.frame_id))
        while recognizer.due:
            step = recognizer.step()
            if step is not None:
                events += step.events
                note(step.problems)
    events += recognizer.finish()
    if stamp_ns is None:
        note([Problem("no_messages", f"topic {skeletons} holds no message")])
    return BagRun(
        name=str(path),
        origin_ns=origin_ns,
        events=events,
        truth=truths if truth_topic else None,
        problems=problems,
        first_problems=first_problems,
        bag_s=bag_ns / 1e9,
        processing_s=time.perf_counter() - began,
    )
