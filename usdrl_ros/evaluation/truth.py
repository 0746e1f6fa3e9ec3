"""The true actions of a bag, from its own topic or from labels beside it, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.label_files import labels_of_bag
from usdrl_ros.bags.labels import Label
from usdrl_ros.bags.reader import Bag
from usdrl_ros.bags.tables import normalised, short
from usdrl_ros.bags.types import EVENT_TYPE, TRUTH, BagError
from usdrl_ros.evaluation.metrics.detection import Interval, intervals_of_truth
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.messages import message_to_event
from usdrl_ros.problems import Problem

_SAME_NAME = 0.8
"""How alike (0 to 1) an unknown label and an action of the model are, from which on one is meant for the other."""
_UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}


@dataclass(frozen=True)
class Truth:
    """The true actions of a bag as they are written down.

    Args:
        events: Of its topic; None where there is no topic.
        labels: Of a file, instead; None where there is none.
        problems: Messages of the topic that cannot be used.
    """

    events: list[Event] | None = None
    labels: list[Label] | None = None
    problems: list[Problem] = field(default_factory=list)

    def intervals(self, recording: str, origin_ns: int) -> list[Interval] | None:
        """The true actions, in seconds from the first skeletons, whose stamp is `origin_ns`; None without truth."""
        if self.labels is not None:
            return intervals_of_labels(recording, self.labels, origin_ns)
        return None if self.events is None else intervals_of_truth(recording, self.events, origin_ns)


def read_truth(path: str, bag: Bag, options: EvaluationOptions) -> Truth:
    """The true actions of an open bag.

    Raises:
        BagError: The topic is wanted and not there, has another type, or the bag is damaged.
        LabelError: The labels are not there, or not right.
    """
    if options.labels is not None:
        one_bag = len(set(options.bags)) <= 1
        return Truth(
            labels=labels_of_bag(
                options.labels, Path(path), frame_rate=options.frame_rate, classes=options.classes, one_bag=one_bag
            )
        )
    topics, topic = bag.topics, options.truth or TRUTH
    if topic not in topics:
        if not options.truth:
            return Truth()
        raise BagError(f"{path}: no topic {topic}; topics of the bag: {', '.join(sorted(topics)) or 'none'}")
    if topics[topic].type != EVENT_TYPE:
        raise BagError(f"{path}: topic {topic} has type {topics[topic].type}, expected {EVENT_TYPE}")
    truth = Truth(events=[])
    for _, _, message in bag.messages([topic]):
        _take(message, topic, truth)
    return truth


def _take(message: object, topic: str, truth: Truth) -> None:
    assert truth.events is not None
    try:
        event = message_to_event(message)
    except ValueError as error:
        truth.problems.append(Problem("bad_truth", f"message on {topic} ignored: {error}"))
        return
    if event.phase == Phase.ENDED and event.end_ns <= event.start_ns:
        fault = f"'{short(event.action)}' on {topic} ignored: its end is not after its start"
        truth.problems.append(Problem("bad_truth", fault))
    else:
        truth.events.append(event)


def intervals_of_labels(recording: str, labels: Iterable[Label], origin_ns: int) -> list[Interval]:
    """Labels as intervals, in seconds from the recording's first skeletons, whose stamp is `origin_ns`."""
    intervals = []
    for label in labels:
        start, end = ((time_ns - origin_ns) / 1e9 for time_ns in label.times_ns(origin_ns))
        intervals.append(Interval(recording, label.action, start, end, person_id=label.person_id))
    return intervals


def renamed(truths: Iterable[Interval], names: Mapping[str, str]) -> list[Interval]:
    """The truths with other names for some actions."""
    return [replace(truth, action=names.get(normalised(truth.action), truth.action)) for truth in truths]


def check_truths(
    truths: Sequence[Interval], span_s: float, people: Collection[str] | None = None
) -> tuple[list[Interval], list[str]]:
    """Leave out the truths that cannot be found, and say what is wrong with them and with others.

    Args:
        truths: Of one recording, in seconds from its first skeletons.
        span_s: Seconds from its first skeletons to its last.
        people: The ids in its skeletons; None: not known. Names are compared in one Unicode spelling.

    Returns:
        Those that lie, with a part at least, within the recording, with the ids of the skeletons; and one line for each
        kind of fault: those that lie outside (left out), those of people who are not in the skeletons (kept), and pairs
        of one person that overlap (kept).
    """
    faults = []
    outside = [truth for truth in truths if truth.end <= 0.0 or truth.start >= span_s]
    if outside:
        faults.append(
            f"{_count(outside, 'true action')} outside the recording, 0 to {span_s:.2f} s, left out, first: "
            f"{_words(outside[0])}; {_cause(outside, span_s)}"
        )
    left_out = set(map(id, outside))
    kept = [truth for truth in truths if id(truth) not in left_out]
    if people is not None:
        spellings = {normalised(person_id): person_id for person_id in people}
        kept = [replace(truth, person_id=_spelled(truth.person_id, people, spellings)) for truth in kept]
        if absent := [truth for truth in kept if truth.person_id and truth.person_id not in people]:
            there = ", ".join(short(person_id, 40) for person_id in sorted(people)[:8]) or "nobody"
            faults.append(
                f"{_count(absent, 'true action')} of people whom no skeletons show (there: {there}), counted as "
                f"missed, first: {_words(absent[0])}; correct the name, or leave it out where anyone's event may match"
            )
    by_person: dict[str, list[Interval]] = defaultdict(list)
    for truth in sorted(kept, key=lambda truth: (truth.start, truth.end)):
        by_person[truth.person_id].append(truth)
    overlapping = [
        (first, second) for own in by_person.values() for first, second in pairwise(own) if second.start < first.end
    ]
    if overlapping:
        first, second = overlapping[0]
        faults.append(
            f"{_count(overlapping, 'pair')} of true actions of one person overlap, all are counted, first: "
            f"{_words(first)} and {_words(second)}"
        )
    return kept, faults


def _spelled(person_id: str, people: Collection[str], spellings: Mapping[str, str]) -> str:
    return person_id if person_id in people else spellings.get(normalised(person_id), person_id)


def _cause(outside: Sequence[Interval], span_s: float) -> str:
    """Why truths may lie outside: in another unit all would lie within."""
    for scale, unit in _UNITS.items():
        if span_s > 0 and all(0 <= truth.start / scale < span_s for truth in outside):
            return f"are the times in {unit}? Write seconds"
    return "check the labels' clock"


def split_unknown(truths: Iterable[Interval], actions: Collection[str]) -> tuple[list[Interval], list[Interval]]:
    """The truths that a model with these actions can find, and the others."""
    known: list[Interval] = []
    unknown: list[Interval] = []
    for truth in truths:
        (known if truth.action in actions else unknown).append(truth)
    return known, unknown


def misspelt(truths: Iterable[Interval], actions: Collection[str]) -> list[str]:
    """A line for labels that the model does not know but that resemble one of its actions closely; empty if none do."""
    pairs: dict[str, str] = {}
    for truth in truths:
        near = [] if truth.action in actions else get_close_matches(truth.action, actions, 1, _SAME_NAME)
        pairs |= {truth.action: near[0]} if near else {}
    if not pairs:
        return []
    renames = " ".join(f"--rename '{short(true)}={known}'" for true, known in sorted(pairs.items()))
    return [f"labels are spelt as no action of the model, and counted in no metric: {renames} or correct them"]


def unknown_line(unknown: Mapping[str, int], actions: Sequence[str]) -> str:
    """Labels that the model does not know: how often each, and which action they resemble."""
    parts = []
    for name, count in sorted(unknown.items()):
        near = get_close_matches(name, actions, 1)
        parts.append(f"{name} ({count}{f', meant {near[0]}?' if near else ''})")
    return ", ".join(parts)


def _count(items: Sequence[object], name: str) -> str:
    return f"{len(items)} {name}{'s' if len(items) > 1 else ''}"


def _words(truth: Interval) -> str:
    who = f" of {short(truth.person_id, 40)}" if truth.person_id else ""
    return f"'{short(truth.action, 40)}'{who} {truth.start:.2f} to {truth.end:.2f} s"
