"""Ids for people whose tracker gives none, or changes them: by where they are and how they move.

Each followed person is predicted to go on as they went (constant velocity, as in Bewley et al., SORT, ICIP 2016), and
those who are seen are assigned to those who are followed by the least sum of distances (`linear_sum_assignment`),
within what a person can have moved. Distances are between pelvis and trunk, in metres, in any frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.layouts import NTU_25, load_layout
from usdrl_ros.skeleton.person import Person

_TRUNK = [
    NTU_25.index(name)
    for name in (
        "SpineBase", "SpineMid", "SpineShoulder", "Head", "HipLeft", "HipRight", "ShoulderLeft", "ShoulderRight"
    )
]  # fmt: skip
_FARTHEST_M = 1e6
"""Positions farther away are none, and would spoil the sums."""


@dataclass(frozen=True)
class AssociationSettings:
    """What people can do between two messages.

    Args:
        gate_m: How far a person may be from where they were predicted, however short the time.
        speed_mps: How much farther that may be for each second without a sighting.
        forget_s: Seconds unseen after which a person is forgotten; one who comes back is a new one.
        velocity_s: Seconds over which a velocity is averaged.
        coast_s: Seconds that a person unseen is predicted to go on; afterwards they are expected to stand there.
        duplicate_m: Trunks nearer than this are one person seen twice.
        same_id: Factor on the distance where the tracker's id is the one of the last sighting.
        clock_jump_s: Stamps that jump back by more seconds than this reset the association.
    """

    gate_m: float = 0.5
    speed_mps: float = 2.0
    forget_s: float = 2.0
    velocity_s: float = 0.3
    coast_s: float = 0.5
    duplicate_m: float = 0.15
    same_id: float = 0.5
    clock_jump_s: float = 1.0


@dataclass
class _Track:
    """One person while they are followed.

    Args:
        person_id, hint: Our id, and the tracker's of the last sighting.
        last_ns: When they were seen last.
        trunk: (P, 3) where the trunk was then, NaN where it has never been seen.
        velocity: (3,) m/s.
    """

    person_id: str
    hint: str
    last_ns: int
    trunk: np.ndarray
    velocity: np.ndarray


class Associator:
    """Gives people ids that stay with them."""

    def __init__(self, settings: AssociationSettings | None = None) -> None:
        self._settings = settings or AssociationSettings()
        self._tracks: list[_Track] = []
        self._count = 0

    def assign(self, stamp_ns: int, people: Sequence[Person], problems: list[Problem]) -> list[Person]:
        """The people of an instant with ids ("track_1", ...). Several calls of one stamp show different people.

        Args:
            stamp_ns: When they were seen.
            people: Their ids, if any, are the tracker's: a hint.
            problems: Who is left out is added here: a person seen twice, without any joint, or too late.
        """
        settings = self._settings
        late_ns = max((track.last_ns for track in self._tracks), default=stamp_ns) - stamp_ns
        if late_ns > settings.clock_jump_s * 1e9:
            self._tracks.clear()
        elif late_ns > 0:
            fault = f"{len(people)} people without ids ignored: stamp {late_ns / 1e9:.3f} s older than the one before"
            problems.append(Problem("late_stamp", fault))
            return []
        self._tracks = [track for track in self._tracks if stamp_ns - track.last_ns <= settings.forget_s * 1e9]
        if not people:
            return []
        trunks = _trunks(people)
        kept = self._without_duplicates(stamp_ns, trunks, problems)
        chosen = self._chosen(stamp_ns, trunks[kept], [people[i].person_id for i in kept]) if kept else []
        found = [(track, i) for track, i in zip(chosen, kept, strict=True) if track is not None]
        if found:
            self._update(stamp_ns, [track for track, _ in found], trunks[[i for _, i in found]])
        named = []
        for track, i in zip(chosen, kept, strict=True):
            if track is None:
                self._count += 1
                track = _Track(f"track_{self._count}", "", stamp_ns, trunks[i], np.zeros(3))
                self._tracks.append(track)
            track.hint = people[i].person_id
            named.append(replace(people[i], person_id=track.person_id))
        return named

    def has_seen(self, stamp_ns: int, people: Sequence[Person]) -> bool:
        """Whether one of these people has been seen already at this stamp: it is another instant then."""
        there = [track.trunk for track in self._tracks if track.last_ns == stamp_ns]
        if not there or not people:
            return False
        return float(_distances(_trunks(people), np.stack(there)).min()) < self._settings.duplicate_m

    def _chosen(self, stamp_ns: int, trunks: np.ndarray, hints: Sequence[str]) -> list[_Track | None]:
        """Of each person, who they are."""
        chosen: list[_Track | None] = [None] * len(trunks)
        free = [track for track in self._tracks if track.last_ns < stamp_ns]
        if free:
            cost = self._cost(stamp_ns, free, trunks, hints)
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, _FARTHEST_M)), strict=True):
                if np.isfinite(cost[row, column]):
                    chosen[row] = free[column]
        return chosen

    def _cost(self, stamp_ns: int, tracks: Sequence[_Track], trunks: np.ndarray, hints: Sequence[str]) -> np.ndarray:
        """(people, tracks): distance in metres, infinite where a person cannot have moved so far."""
        settings = self._settings
        unseen_s = np.array([(stamp_ns - track.last_ns) / 1e9 for track in tracks])
        gone = np.stack([track.velocity for track in tracks]) * np.minimum(unseen_s, settings.coast_s)[:, None]
        distance = _distances(trunks, np.stack([track.trunk for track in tracks]) + gone[:, None])
        distance[distance > settings.gate_m + settings.speed_mps * unseen_s] = np.inf
        same = np.array([[bool(hint) and hint == track.hint for track in tracks] for hint in hints])
        return np.where(same, settings.same_id * distance, distance)

    def _update(self, stamp_ns: int, tracks: Sequence[_Track], trunks: np.ndarray) -> None:
        """Take a sighting of each track."""
        elapsed = np.array([(stamp_ns - track.last_ns) / 1e9 for track in tracks])[:, None]
        before = np.stack([track.trunk for track in tracks])
        velocity = np.stack([track.velocity for track in tracks])
        share = 1.0 - np.exp(-elapsed / self._settings.velocity_s)
        velocity = velocity + share * (_mean_shift(trunks - before)[0] / elapsed - velocity)
        # What is unseen now moves along with the rest, so that the next sighting can be compared with it.
        after = np.where(np.isfinite(trunks), trunks, before + (velocity * elapsed)[:, None])
        for track, trunk, speed in zip(tracks, after, velocity, strict=True):
            track.trunk, track.velocity, track.last_ns = trunk, speed, stamp_ns

    def _without_duplicates(self, stamp_ns: int, trunks: np.ndarray, problems: list[Problem]) -> list[int]:
        """Numbers of the people to follow: of a person seen twice, the one with more of the trunk."""
        seen = np.isfinite(trunks).all(-1).sum(-1)
        there = [track.trunk for track in self._tracks if track.last_ns == stamp_ns]
        distance = _distances(trunks, np.concatenate([trunks, there]) if there else trunks)
        near = np.less(distance, self._settings.duplicate_m)
        known = near[:, len(trunks) :].any(-1)
        kept: list[int] = []
        for i in np.argsort(-seen, kind="stable").tolist():
            if not seen[i]:
                problems.append(Problem("no_trunk", "person without id ignored: neither trunk nor head is seen"))
            elif known[i] or near[i, kept].any():
                problems.append(Problem("repeated_person", "person without id ignored: the same one is seen twice"))
            else:
                kept.append(i)
        return sorted(kept)


def _trunks(people: Sequence[Person]) -> np.ndarray:
    """(N, P, 3) of the trunks' joints, NaN unseen."""
    trunks = np.empty((len(people), len(_TRUNK), 3))
    alike: dict[tuple[str, bool], list[int]] = {}
    for number, person in enumerate(people):
        alike.setdefault((person.layout, person.confidence is None), []).append(number)
    for (layout, unsure), numbers in alike.items():
        joints = np.stack([people[number].joints for number in numbers])
        confidence = None if unsure else np.stack([np.asarray(people[number].confidence) for number in numbers])
        trunks[numbers] = load_layout(layout).to_ntu25(joints, confidence)[0][:, _TRUNK]
    trunks[~(np.abs(trunks).max(-1) <= _FARTHEST_M)] = np.nan
    return trunks


def _mean_shift(shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (..., 3) of shifts (..., P, 3) over those that are known, 0 where none is, and how many are (...)."""
    known = np.isfinite(shift).all(-1, keepdims=True)
    count = known.sum((-1, -2))
    return np.where(known, shift, 0.0).sum(-2) / np.maximum(count, 1)[..., None], count


def _distances(trunks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) metres between trunks (N, P, 3) and (M, P, 3): of the mean shift of the joints that both show."""
    mean, count = _mean_shift(trunks[:, None] - others[None])
    distance = np.sqrt((mean**2).sum(-1))
    distance[count == 0] = np.inf
    return distance
