"""Why an action was missed, or an event false: what the person did, and the model's probabilities at that time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.evaluation.journal import Journal
from usdrl_ros.evaluation.metrics.detection import Interval, compare
from usdrl_ros.evaluation.metrics.outcome import Outcome

AROUND_S = 1.0
"""Seconds shown before and after."""
LONGEST_S = 16.0
"""Of a longer one its first seconds are shown."""
_RIVALS = 2


@dataclass(frozen=True)
class Strip:
    """One miss or false event; times in seconds of its recording.

    Args:
        kind: "missed" or "false".
        subject: The true action, or the event.
        person_id: Who is shown.
        truths, events: Those of the person that reach into the strip; the subject is among them.
        begin, end: What is shown.
        times: (n,) of the skeletons.
        joints: (n, 25, 3), NTU-25 order, metres, NaN unseen.
        score_times: (m,) of the probabilities.
        scores: Probability (m,) of the subject's action, and of those that were most likely besides.
    """

    kind: str
    subject: Interval
    person_id: str
    truths: tuple[Interval, ...]
    events: tuple[Interval, ...]
    begin: float
    end: float
    times: np.ndarray
    joints: np.ndarray
    score_times: np.ndarray
    scores: dict[str, np.ndarray]


def mistakes(outcome: Outcome) -> list[tuple[str, Interval]]:
    """Each miss and each false event of a recording, in the order of time."""
    comparison = compare(outcome.events, outcome.truths)
    found = [("missed", truth) for truth in comparison.missed] + [("false", event) for event in comparison.false]
    return sorted(found, key=lambda mistake: mistake[1].start)


def make_strips(outcome: Outcome, journal: Journal, origin_ns: int, limit: int) -> list[Strip]:
    """The strips of a recording's mistakes, `limit` at most: spread evenly over them where there are more."""
    found = mistakes(outcome)
    if len(found) > limit:
        found = [found[index] for index in np.linspace(0, len(found) - 1, limit).round().astype(int)] if limit else []
    return [_strip(kind, subject, outcome, journal, origin_ns) for kind, subject in found]


def _strip(kind: str, subject: Interval, outcome: Outcome, journal: Journal, origin_ns: int) -> Strip:
    begin = subject.start - AROUND_S
    end = min(subject.end + AROUND_S, begin + LONGEST_S)
    begin_ns, end_ns = (origin_ns + round(seconds * 1e9) for seconds in (begin, end))
    person_id = subject.person_id or journal.most_seen(begin_ns, end_ns)
    stamps, joints = journal.skeletons(person_id, begin_ns, end_ns)
    score_stamps, probabilities = journal.scores(person_id, begin_ns, end_ns)

    def near(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
        return tuple(i for i in intervals if i.person_id in ("", person_id) and i.start < end and i.end > begin)

    return Strip(
        kind=kind,
        subject=subject,
        person_id=person_id,
        truths=near((*outcome.truths, *outcome.unknown)),
        events=near(outcome.events),
        begin=begin,
        end=end,
        times=(stamps - origin_ns) / 1e9,
        joints=joints,
        score_times=(score_stamps - origin_ns) / 1e9,
        scores=_curves(subject.action, journal.actions, probabilities),
    )


def _curves(action: str, actions: Sequence[str], probabilities: np.ndarray) -> dict[str, np.ndarray]:
    if not len(probabilities):
        return {}
    names = [action] if action in actions else []
    for index in np.argsort(-probabilities.max(0), kind="stable")[: _RIVALS + 1]:
        if actions[index] not in names and len(names) <= _RIVALS:
            names.append(actions[index])
    return {name: probabilities[:, actions.index(name)] for name in names}
