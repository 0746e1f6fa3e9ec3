"""What recognition made of a bag, noted message by message: by the library (`run`) and over DDS (`live`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.actions.scores import Scores
from usdrl_ros.evaluation.journal import Journal
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_events
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.strips import Strip, make_strips
from usdrl_ros.evaluation.truth import Truth, check_truths, misspelt, renamed, split_unknown
from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.person import Frame

FAULTS = ("no_messages", "repeated_person", "bad_truth")
"""Problems that make a bag's metrics doubtful, so that the tool does not end as if all were well."""


@dataclass(frozen=True)
class BagRun:
    """What recognition made of a bag.

    Args:
        name: The bag's path, as given.
        origin_ns: Stamp of the first skeletons, from which the seconds of intervals count.
        events: All phases, in the order given; without ONGOING where they were not to be kept.
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
        """One for each event."""
        return intervals_of_events(self.name, self.events, self.origin_ns)

    @property
    def faults(self) -> list[str]:
        """What makes this bag's metrics doubtful, a line each."""
        lines = [*self.truth_faults]
        for cause in FAULTS:
            if count := self.problems[cause]:
                lines.append(f"{count} x {cause}, first: {self.first_problems[cause].message}")
        return [f"{self.name}: {line}" for line in lines]

    def outcome(self, actions: Sequence[str]) -> Outcome:
        """What is compared, for a model with these actions; without a truth there is none to find."""
        return outcome_of(self.name, self.bag_s, self.event_intervals, self.truth_intervals, actions)


def outcome_of(
    name: str, bag_s: float, events: Sequence[Interval], truths: Sequence[Interval] | None, actions: Sequence[str]
) -> Outcome:
    """The events and the truths of a recording, for a model with these actions."""
    known, unknown = split_unknown(truths or (), actions)
    return Outcome(name, bag_s, tuple(events), tuple(known), tuple(unknown))


class RunNotes:
    """Notes what goes into recognition and what comes out of it, and makes a `BagRun` of it.

    Args:
        name: The bag's path, as given.
        actions: The model's, in its order.
        journal: Keeps skeletons and scores for the report; None: nobody wants them.
        ongoing: Whether to keep ONGOING events: they are most, and memory grows with them.
    """

    def __init__(
        self, name: str, actions: Sequence[str], *, journal: Journal | None = None, ongoing: bool = True
    ) -> None:
        self.frames = 0
        self.origin_ns = 0
        self.problems: Counter[str] = Counter()
        self.first_problems: dict[str, Problem] = {}
        self._name, self._actions = name, tuple(actions)
        self._journal, self._ongoing = journal, ongoing
        self._began = time.perf_counter()
        self._newest_ns = self._stamp_ns = self._bag_ns = 0
        self._people: set[str] = set()
        self._events: list[Event] = []

    def add_frame(self, frame: Frame) -> None:
        """Note what one message shows."""
        stamp_ns = frame.stamp_ns
        if not self.frames:
            self.origin_ns = self._newest_ns = self._stamp_ns = stamp_ns
        self._bag_ns += max(0, stamp_ns - self._stamp_ns)
        self._stamp_ns = stamp_ns
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self.frames += 1
        self._people.update(person.person_id for person in frame.people)
        if self._journal is not None:
            self._journal.add_people(stamp_ns, frame.people)

    def add_problems(self, found: Sequence[Problem]) -> None:
        """Count problems of the input."""
        for problem in found:
            self.problems[problem.cause] += 1
            self.first_problems.setdefault(problem.cause, problem)

    def add_events(self, events: Sequence[Event]) -> None:
        """Keep events."""
        self._events += [event for event in events if self._ongoing or event.phase != Phase.ONGOING]

    def add_scores(self, scores: Sequence[Scores]) -> None:
        """Note the model's output in a step."""
        if self._journal is not None:
            self._journal.add_scores(scores)

    def finish(
        self,
        truth: Truth,
        options: EvaluationOptions,
        *,
        faults: Sequence[str] = (),
        step_ms: Counter[float] | None = None,
        latencies_s: Sequence[float] = (),
    ) -> BagRun:
        """All of it, compared with the truth; `faults` are further ones."""
        self.add_problems(truth.problems)
        given = truth.intervals(self._name, self.origin_ns)
        span_s = (self._newest_ns - self.origin_ns) / 1e9
        kept, found = check_truths(renamed(given or (), options.names), span_s, self._people if self.frames else None)
        found += misspelt(kept, self._actions)
        truths = None if given is None else kept
        events = intervals_of_events(self._name, self._events, self.origin_ns)
        strips: list[Strip] = []
        if self._journal is not None and truths is not None:
            outcome = outcome_of(self._name, self._bag_ns / 1e9, events, truths, self._actions)
            strips = make_strips(outcome, self._journal, self.origin_ns, options.strips_of_bag)
        return BagRun(
            name=self._name,
            origin_ns=self.origin_ns,
            events=self._events,
            truth_intervals=truths,
            problems=self.problems,
            first_problems=self.first_problems,
            truth_faults=[*found, *faults],
            bag_s=self._bag_ns / 1e9,
            processing_s=time.perf_counter() - self._began,
            step_ms=step_ms or Counter(),
            latencies_s=list(latencies_s),
            strips=strips,
        )
