"""Run the library over a bag as the live node runs it: each message is observed, each step that is due is run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.labels import Label
from usdrl_ros.bags.reader import TRUTH, Bag, BagError, Topic
from usdrl_ros.evaluation.journal import Journal
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_events, intervals_of_truth
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.report.strips import Strip
from usdrl_ros.evaluation.truth import check_truths, intervals_of_labels, renamed, split_unknown
from usdrl_ros.inference.contract import Engine
from usdrl_ros.messages import message_to_event
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.settings import Settings
from usdrl_ros.sources.reader import DEFAULT_SOURCE, Source, SourceReader, load_source

EVENT_TYPE = "usdrl_ros/msg/ActionEvent"
FAULTS = ("no_messages", "repeated_person", "bad_truth")
"""Problems that make a bag's figures doubtful, so that the tool does not end as if all were well."""


@dataclass(frozen=True)
class BagRun:
    """What the library made of a bag.

    Args:
        name: The bag's path, as given.
        origin_ns: Stamp of the first skeletons, from which the seconds of intervals count.
        events: All phases, in the order told; without ONGOING where they were not to be kept.
        truth_intervals: The true actions; None where there is no truth.
        problems: How often each cause of `usdrl_ros.problems` came up.
        first_problems: The first of each cause.
        truth_faults: What is wrong with the truth, a line each.
        bag_s: Seconds from message to message by their stamps; jumps back do not count.
        processing_s: Seconds that it took, reading included.
        step_ms: How many steps took so many milliseconds, rounded to tenths.
        latencies_s: Of a live run: seconds from each skeletons message to the scores that it led to.
        strips: Of misses and false events.
    """

    name: str
    origin_ns: int
    events: list[Event]
    truth_intervals: list[Interval] | None
    problems: Counter[str]
    first_problems: dict[str, Problem]
    truth_faults: list[str]
    bag_s: float
    processing_s: float
    step_ms: Counter[float] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)

    @property
    def event_intervals(self) -> list[Interval]:
        """One for each event id."""
        return intervals_of_events(self.name, self.events, self.origin_ns)

    @property
    def faults(self) -> list[str]:
        """What makes this bag's figures doubtful, a line each."""
        lines = [*self.truth_faults]
        for cause in FAULTS:
            if count := self.problems[cause]:
                lines.append(f"{count} x {cause}, first: {self.first_problems[cause].message}")
        return [f"{self.name}: {line}" for line in lines]

    def outcome(self, actions: Sequence[str]) -> Outcome:
        """What is compared, for a model with these actions; without a truth there is none to find."""
        known, unknown = split_unknown(self.truth_intervals or (), actions)
        return Outcome(self.name, self.bag_s, tuple(self.event_intervals), tuple(known), tuple(unknown))


class _Tally:
    """What is noted of a bag message by message."""

    def __init__(self) -> None:
        self.problems: Counter[str] = Counter()
        self.first_problems: dict[str, Problem] = {}
        self.origin_ns = self.newest_ns = self._stamp_ns = 0
        self.bag_ns = 0
        self.messages = 0

    def note(self, found: Sequence[Problem]) -> None:
        for problem in found:
            self.problems[problem.cause] += 1
            self.first_problems.setdefault(problem.cause, problem)

    def pass_to(self, stamp_ns: int) -> None:
        if not self.messages:
            self.origin_ns = self.newest_ns = stamp_ns
        else:
            self.bag_ns += max(0, stamp_ns - self._stamp_ns)
        self._stamp_ns = stamp_ns
        self.newest_ns = max(self.newest_ns, stamp_ns)
        self.messages += 1


def run_bag(
    path: Path | str,
    engine: Engine,
    *,
    settings: Settings | None = None,
    source: str = DEFAULT_SOURCE,
    layout: str = "",
    association: str = "auto",
    topic: str = "",
    truth: str | None = None,
    labels: Sequence[Label] | None = None,
    names: Mapping[str, str] | None = None,
    journal: Journal | None = None,
    ongoing: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BagRun:
    """Recognise the actions in a bag.

    A message without a stamp (0) is taken to be of the time at which it was recorded, and that is told as a problem.

    Args:
        path: The bag.
        engine: The model.
        settings: As for the live node; None for the defaults.
        source: What messages the skeletons are: a name of `config/sources`, or the path of such a file.
        layout, association: As for `SourceReader`.
        topic: Of the skeletons. "": the source's, else the only one of its type.
        truth: Topic of the true actions, which must be there; None for `/usdrl/ground_truth` if it is there.
        labels: The true actions, instead of a topic.
        names: What the truth calls an action, and what the model calls it, where that differs.
        journal: Takes skeletons and scores.
        ongoing: Whether to keep ONGOING events: they are most, and memory grows with them.
        progress: Called with messages read and messages there are.

    Raises:
        BagError: The bag is missing, is damaged, or lacks a topic.
        SourceError: The source is not known or does not suit.
    """
    began = time.perf_counter()
    reading = load_source(source)
    reader = SourceReader(reading, layout=layout, association=association)
    recognizer = Recognizer(engine, settings)
    tally = _Tally()
    events: list[Event] = []
    truths: list[Event] = []
    step_ms: Counter[float] = Counter()
    with Bag(path) as bag:
        topic = skeleton_topic(path, bag.topics, reading, topic)
        truth_topic = _truth_topic(path, bag.topics, truth) if labels is None else None
        wanted = [topic, *([truth_topic] if truth_topic else [])]
        total = sum(bag.topics[name].count for name in wanted)
        for done, (name, record_ns, message) in enumerate(bag.messages(wanted), start=1):
            progress(done, total)
            if name == truth_topic:
                _take_truth(message, truths, tally, name)
                continue
            frame = reader.read(message, record_ns)
            tally.note(frame.problems)
            tally.pass_to(frame.stamp_ns)
            tally.note(recognizer.observe(frame.stamp_ns, frame.people, frame.frame_id))
            if journal is not None:
                journal.see(frame.stamp_ns, frame.people)
            while recognizer.due:
                step_began = time.perf_counter()
                step = recognizer.step()
                step_ms[round(1e3 * (time.perf_counter() - step_began), 1)] += 1
                if step is None:
                    break
                events += [event for event in step.events if ongoing or event.phase != Phase.ONGOING]
                tally.note(step.problems)
                if journal is not None:
                    journal.think(step.scores)
    events += recognizer.finish()
    if not tally.messages:
        tally.note([Problem("no_messages", f"topic {topic} holds no message")])

    if labels is not None:
        given = intervals_of_labels(str(path), labels, tally.origin_ns)
    else:
        given = intervals_of_truth(str(path), truths, tally.origin_ns)
    kept, faults = check_truths(renamed(given, names or {}), (tally.newest_ns - tally.origin_ns) / 1e9)
    return BagRun(
        name=str(path),
        origin_ns=tally.origin_ns,
        events=events,
        truth_intervals=None if labels is None and truth_topic is None else kept,
        problems=tally.problems,
        first_problems=tally.first_problems,
        truth_faults=faults,
        bag_s=tally.bag_ns / 1e9,
        processing_s=time.perf_counter() - began,
        step_ms=step_ms,
    )


def skeleton_topic(path: Path | str, topics: Mapping[str, Topic], source: Source, wanted: str = "") -> str:
    """The topic of the skeletons: the one that is wanted, else the source's, else the only one of its type.

    Raises:
        BagError: There is none, or it has another type.
    """
    of_type = [name for name, topic in topics.items() if topic.type in source.message_types]
    name = wanted or f"/{source.topic.lstrip('/')}"
    if not wanted and name not in topics and len(of_type) == 1:
        name = of_type[0]
    if name not in topics:
        held = ", ".join(sorted(topics)) or "none"
        hint = f"; of type {source.message_types[0]}: {', '.join(of_type)}, choose by --topic" if of_type else ""
        raise BagError(f"{path}: no topic {name}; topics of the bag: {held}{hint}")
    if topics[name].type not in source.message_types:
        raise BagError(
            f"{path}: topic {name} has type {topics[name].type}, expected {source.message_types[0]} "
            f"(source '{source.name}')"
        )
    return name


def _truth_topic(path: Path | str, topics: Mapping[str, Topic], wanted: str | None) -> str | None:
    name = wanted or TRUTH
    if name not in topics:
        if wanted is None:
            return None
        raise BagError(f"{path}: no topic {name}; topics of the bag: {', '.join(sorted(topics)) or 'none'}")
    if topics[name].type != EVENT_TYPE:
        raise BagError(f"{path}: topic {name} has type {topics[name].type}, expected {EVENT_TYPE}")
    return name


def _take_truth(message: object, truths: list[Event], tally: _Tally, topic: str) -> None:
    try:
        event = message_to_event(message)
    except ValueError as error:
        tally.note([Problem("bad_truth", f"message on {topic} ignored: {error}")])
        return
    if event.phase == Phase.ENDED and event.end_ns <= event.start_ns:
        tally.note([Problem("bad_truth", f"'{event.action}' on {topic} ignored: its end is not after its start")])
    else:
        truths.append(event)
