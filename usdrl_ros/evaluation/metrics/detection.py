"""How good detected actions are: PKU-MMD's mean average precision, delay, and false events.

Average precision follows PKU-MMD's evaluation (Liu et al., "PKU-MMD: A Large Scale Benchmark for Continuous Multi-Modal
Human Action Understanding", arXiv 1703.07475, and its published script). What a robot also needs, the delay of
events and the rate of false ones, is counted event by event, without an overlap threshold (`compare`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from usdrl_ros.actions.events import Event, Phase


@dataclass(frozen=True)
class Interval:
    """One action of one person in one recording, true or detected.

    Args:
        recording: Name of the recording.
        action: Name of the action.
        start: Seconds.
        end: Seconds.
        score: Confidence of a detection; unused of a truth.
        person_id: Who acts. "" of a truth: not known, so that anyone's event may match.
        announced: When a detection was announced (the stamp of its STARTED), seconds; None where it is not known.
        event_id: The id in the bag; it plays no part in any metric.
    """

    recording: str
    action: str
    start: float
    end: float
    score: float = 1.0
    person_id: str = ""
    announced: float | None = None
    event_id: str = ""


def intervals_of_events(recording: str, events: Iterable[Event], origin_ns: int) -> list[Interval]:
    """Join the STARTED, ONGOING and ENDED of each event; seconds count from `origin_ns`.

    The last message of an event gives its start, end and confidence, so an event that was still running when its bag
    ended reaches to where it was last known to. An id that comes again, because the node was restarted while its bag
    was recorded, is another event.
    """
    found: list[tuple[Event, int | None]] = []  # the last message, and the stamp of STARTED
    places: dict[str, int] = {}
    for event in events:
        place = places.get(event.event_id)
        if place is None or _comes_again(event, *found[place]):
            place = places[event.event_id] = len(found)
            found.append((event, None))
        announced_ns = event.stamp_ns if event.phase == Phase.STARTED else found[place][1]
        found[place] = event, announced_ns
    return [
        _interval(recording, event, origin_ns, None if announced_ns is None else (announced_ns - origin_ns) / 1e9)
        for event, announced_ns in found
    ]


def _comes_again(event: Event, last: Event, announced_ns: int | None) -> bool:
    """Whether a message is of another event than those before with its id."""
    if event.phase == Phase.STARTED:
        return event.stamp_ns != announced_ns
    return last.phase == Phase.ENDED and event.start_ns != last.start_ns


def intervals_of_truth(recording: str, events: Iterable[Event], origin_ns: int) -> list[Interval]:
    """True actions: one for each ENDED, whatever its id; seconds count from `origin_ns`."""
    return [_interval(recording, event, origin_ns, None) for event in events if event.phase == Phase.ENDED]


def _interval(recording: str, event: Event, origin_ns: int, announced: float | None) -> Interval:
    return Interval(
        recording=recording,
        action=event.action,
        start=(event.start_ns - origin_ns) / 1e9,
        end=(event.end_ns - origin_ns) / 1e9,
        score=event.confidence,
        person_id=event.person_id,
        announced=announced,
        event_id=event.event_id,
    )


def overlap(event: Interval, truth: Interval, *, any_action: bool = False) -> float:
    """Temporal intersection over union; 0 for apart, other recordings, persons or (unless any will do) actions."""
    if event.recording != truth.recording or not (any_action or event.action == truth.action):
        return 0.0
    if truth.person_id not in ("", event.person_id):
        return 0.0
    union = max(event.end, truth.end) - min(event.start, truth.start)
    intersection = min(event.end, truth.end) - max(event.start, truth.start)
    return max(0.0, intersection / union) if union > 0 else 0.0


def match(events: Sequence[Interval], truths: Sequence[Interval], theta: float) -> list[int | None]:
    """For each event, the index of the truth that it overlaps most, if by theta; of equals the last, as in PKU-MMD."""
    by_action = _indices_by_action(truths)
    matches: list[int | None] = []
    for event in events:
        candidates = by_action.get((event.recording, event.action), [])
        best = max(candidates, key=lambda index: (overlap(event, truths[index]), index), default=None)
        matches.append(None if best is None or overlap(event, truths[best]) < theta else best)
    return matches


def _indices_by_action(intervals: Sequence[Interval]) -> dict[tuple[str, str], list[int]]:
    indices: dict[tuple[str, str], list[int]] = {}
    for index, interval in enumerate(intervals):
        indices.setdefault((interval.recording, interval.action), []).append(index)
    return indices


def f1_score(events: Sequence[Interval], truths: Sequence[Interval], theta: float) -> float:
    """Harmonic mean of precision and recall at overlap theta; a truth counts once however many events match it."""
    matched = {index for index in match(events, truths, theta) if index is not None}
    return 2 * len(matched) / (len(events) + len(truths)) if matched else 0.0


def average_precision(events: Sequence[Interval], truths: Sequence[Interval], theta: float) -> float:
    """PKU-MMD's average precision of events of any actions and recordings, at overlap theta > 0.

    Every event is matched to the truth that it overlaps most, if by theta; several may match one truth, which counts
    once. Events are dropped one by one from the least confident (of equals in the order given); precision is the number
    of truths still matched over the events left, looked at before the first and after each *matched* event is dropped
    (as the original script does), and made non-increasing from the low-confidence end by a running maximum. Returned is
    the sum of precision times the fall in recall.
    """
    if not events or not truths:
        return 0.0
    ordered = sorted(events, key=lambda event: event.score)
    matches = match(ordered, truths, theta)
    still_matching = [0] * len(truths)
    for index in matches:
        if index is not None:
            still_matching[index] += 1
    found = sum(count > 0 for count in still_matching)
    precision = found / len(ordered)
    area = 0.0
    for dropped, index in enumerate(matches, start=1):
        if index is None:
            continue
        still_matching[index] -= 1
        lost = still_matching[index] == 0
        found -= lost
        left = len(ordered) - dropped
        precision = max(precision, found / left if left else 0.0)
        area += precision * lost / len(truths)
    return area


def average_precision_by_action(
    events: Sequence[Interval], truths: Sequence[Interval], theta: float, actions: Iterable[str] = ()
) -> dict[str, float]:
    """Average precision of each action that occurs in events, truths or `actions`; 0 without an event or a truth."""
    names = sorted({interval.action for interval in (*events, *truths)} | set(actions))
    return {
        name: average_precision([e for e in events if e.action == name], [t for t in truths if t.action == name], theta)
        for name in names
    }


def mean_average_precision_by_action(
    events: Sequence[Interval], truths: Sequence[Interval], theta: float, actions: Iterable[str] = ()
) -> float:
    """mAP_action: the mean over actions. `actions` adds those that occur neither in events nor in truths (as 0)."""
    return _mean(average_precision_by_action(events, truths, theta, actions).values())


def mean_average_precision_by_recording(events: Sequence[Interval], truths: Sequence[Interval], theta: float) -> float:
    """mAP_video: the mean over the recordings that occur in events or truths."""
    names = sorted({interval.recording for interval in (*events, *truths)})
    return _mean(
        [
            average_precision(
                [e for e in events if e.recording == name], [t for t in truths if t.recording == name], theta
            )
            for name in names
        ]
    )


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0


@dataclass(frozen=True)
class Comparison:
    """What was found and missed, and what was false; see `compare`.

    Args:
        found: (truth, event) pairs.
        missed: Truths without an event.
        false: Events that overlap no truth.
    """

    found: list[tuple[Interval, Interval]] = field(default_factory=list)
    missed: list[Interval] = field(default_factory=list)
    false: list[Interval] = field(default_factory=list)

    @property
    def delays(self) -> list[float]:
        """Seconds from each found truth's start to when its event was announced, where that is known.

        Negative where an event was announced too early.
        """
        return [event.announced - truth.start for truth, event in self.found if event.announced is not None]

    @property
    def delay_median_s(self) -> float | None:
        """Median of the delays; missed truths do not count. None where nothing was found."""
        delays = self.delays
        return median(delays) if delays else None

    def false_events_per_minute(self, duration_s: float) -> float | None:
        """False events in a minute of recording (not of each person); None without a duration."""
        return len(self.false) * 60 / duration_s if duration_s > 0 else None


def compare(events: Sequence[Interval], truths: Sequence[Interval]) -> Comparison:
    """Compare event by event, for the same recording, action and (where the truth names one) person.

    Each event belongs to the truth that it overlaps most, however little. A truth with events is found, and paired with
    the one of them that overlaps it most; without, it is missed. So one long event across two truths finds one of them.
    An event that overlaps no truth is false; the pieces of a truth that was found in pieces are not.
    """
    result = Comparison()
    best: dict[int, Interval] = {}
    by_action = _indices_by_action(truths)
    for event in events:
        candidates = by_action.get((event.recording, event.action), [])
        index = max(candidates, key=lambda i: overlap(event, truths[i]), default=None)
        if index is None or overlap(event, truths[index]) <= 0:
            result.false.append(event)
        elif index not in best or overlap(event, truths[index]) > overlap(best[index], truths[index]):
            best[index] = event
    for index, truth in enumerate(truths):
        if index in best:
            result.found.append((truth, best[index]))
        else:
            result.missed.append(truth)
    return result


THETAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
