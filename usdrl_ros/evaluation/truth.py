"""The true actions of a bag, from its own topic or from labels beside it, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise

from usdrl_ros.bags.labels import Label
from usdrl_ros.evaluation.metrics.detection import Interval


def intervals_of_labels(recording: str, labels: Iterable[Label], origin_ns: int) -> list[Interval]:
    """The labels as intervals, in seconds from the recording's first skeletons, whose stamp is `origin_ns`."""
    intervals = []
    for label in labels:
        start, end = ((time_ns - origin_ns) / 1e9 for time_ns in label.times_ns(origin_ns))
        intervals.append(Interval(recording, label.action, start, end, person_id=label.person_id))
    return intervals


def renamed(truths: Iterable[Interval], names: Mapping[str, str]) -> list[Interval]:
    """The truths with other names for some actions."""
    return [replace(truth, action=names.get(truth.action, truth.action)) for truth in truths]


def check_truths(truths: Sequence[Interval], span_s: float) -> tuple[list[Interval], list[str]]:
    """Leave out the truths that cannot be found, and say what is wrong with them and with others.

    Args:
        truths: Of one recording, in seconds from its first skeletons.
        span_s: Seconds from its first skeletons to its last.

    Returns:
        Those that lie, with a part at least, within the recording; and one line for each kind of fault: those that lie
        outside (left out), and pairs of one person that overlap (kept).
    """
    faults = []
    outside = [truth for truth in truths if truth.end <= 0.0 or truth.start >= span_s]
    if outside:
        faults.append(
            f"{_count(outside, 'true action')} outside the recording, 0 to {span_s:.2f} s, left out, first: "
            f"{_words(outside[0])}; check the labels' clock"
        )
    kept = [truth for truth in truths if truth not in outside]
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


def split_unknown(truths: Iterable[Interval], actions: Collection[str]) -> tuple[list[Interval], list[Interval]]:
    """The truths that a model with these actions can find, and the others."""
    known: list[Interval] = []
    unknown: list[Interval] = []
    for truth in truths:
        (known if truth.action in actions else unknown).append(truth)
    return known, unknown


def unknown_line(unknown: Mapping[str, int], actions: Sequence[str]) -> str:
    """What a user is told of labels that the model does not know: how often each, and what it may have meant."""
    parts = []
    for name, count in sorted(unknown.items()):
        near = get_close_matches(name, actions, 1)
        parts.append(f"{name} ({count}{f', meant {near[0]}?' if near else ''})")
    return ", ".join(parts)


def _count(items: Sequence[object], name: str) -> str:
    return f"{len(items)} {name}{'s' if len(items) > 1 else ''}"


def _words(truth: Interval) -> str:
    who = f" of {truth.person_id}" if truth.person_id else ""
    return f"'{truth.action}'{who} {truth.start:.2f} to {truth.end:.2f} s"
