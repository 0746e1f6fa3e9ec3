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
        clock_jump_s: Stamps that jump back by more seconds than this begin anew.
    """

    gate_m: float = 0.5
    speed_mps: float = 2.0
    forget_s: float = 2.0
    velocity_s: float = 0.3
    coast_s: float = 0.5
    duplicate_m: float = 0.15
    same_id: float = 0.5
    clock_jump_s: float = 1.0


class _Track:
    """One person while they are followed."""

    def __init__(self, person_id: str, stamp_ns: int, trunk: np.ndarray, hint: str) -> None:
        self.person_id, self.hint = person_id, hint
        self.first_ns = self.last_ns = stamp_ns
        self.trunk = trunk
        self.velocity = np.zeros(3)

    def predicted(self, stamp_ns: int, coast_s: float) -> np.ndarray:
        """Where the trunk (P, 3) is expected."""
        return self.trunk + self.velocity * min((stamp_ns - self.last_ns) / 1e9, coast_s)

    def update(self, stamp_ns: int, trunk: np.ndarray, hint: str, velocity_s: float) -> None:
        """Take a sighting."""
        elapsed = (stamp_ns - self.last_ns) / 1e9
        if elapsed > 0.0:
            moved = np.nanmean(trunk - self.trunk, 0) if np.isfinite(trunk - self.trunk).any() else np.zeros(3)
            share = 1.0 - np.exp(-elapsed / velocity_s)
            self.velocity = self.velocity + share * (moved / elapsed - self.velocity)
        # What is unseen now moves along with the rest, so that the next sighting can be compared with it.
        self.trunk = np.where(np.isfinite(trunk), trunk, self.trunk + self.velocity * max(elapsed, 0.0))
        self.last_ns, self.hint = stamp_ns, hint


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
            problems: Who is left out is told here: a person seen twice, without any joint, or too late.
        """
        settings = self._settings
        late_ns = max((track.last_ns for track in self._tracks), default=stamp_ns) - stamp_ns
        if late_ns > settings.clock_jump_s * 1e9:
            self._tracks.clear()
        elif late_ns > 0:
            told = f"{len(people)} people without ids ignored: stamp {late_ns / 1e9:.3f} s older than the one before"
            problems.append(Problem("late_stamp", told))
            return []
        self._tracks = [track for track in self._tracks if stamp_ns - track.last_ns <= settings.forget_s * 1e9]
        trunks = [_trunk(person) for person in people]
        kept = self._without_duplicates(stamp_ns, trunks, problems)
        free = [track for track in self._tracks if track.last_ns < stamp_ns]
        chosen: dict[int, _Track] = {}
        if free and kept:
            cost = self._cost(stamp_ns, free, [trunks[i] for i in kept], [people[i].person_id for i in kept])
            for row, column in zip(*linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e6)), strict=True):
                if np.isfinite(cost[row, column]):
                    chosen[kept[row]] = free[column]
        named = []
        for i in kept:
            track = chosen.get(i)
            if track is None:
                self._count += 1
                track = _Track(f"track_{self._count}", stamp_ns, trunks[i], people[i].person_id)
                self._tracks.append(track)
            else:
                track.update(stamp_ns, trunks[i], people[i].person_id, settings.velocity_s)
            named.append(replace(people[i], person_id=track.person_id))
        return named

    def has_seen(self, stamp_ns: int, people: Sequence[Person]) -> bool:
        """Whether one of these people has been seen already at this stamp: it is another instant then."""
        there = [track.trunk for track in self._tracks if track.last_ns == stamp_ns]
        trunks = [_trunk(person) for person in people]
        return bool(there and trunks) and self._nearest(trunks, there) < self._settings.duplicate_m

    @staticmethod
    def _nearest(trunks: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
        """The least distance, metres."""
        return float(_distances(np.stack(trunks), np.stack(others)).min())

    def _cost(
        self, stamp_ns: int, tracks: Sequence[_Track], trunks: Sequence[np.ndarray], hints: Sequence[str]
    ) -> np.ndarray:
        """(people, tracks): distance in metres, infinite where a person cannot have moved so far."""
        predicted = np.stack([track.predicted(stamp_ns, self._settings.coast_s) for track in tracks])
        distance = _distances(np.stack(trunks), predicted)
        unseen_s = np.array([(stamp_ns - track.last_ns) / 1e9 for track in tracks])
        distance[distance > self._settings.gate_m + self._settings.speed_mps * unseen_s] = np.inf
        same = np.array([[bool(hint) and hint == track.hint for track in tracks] for hint in hints])
        return np.where(same, self._settings.same_id * distance, distance)

    def _without_duplicates(self, stamp_ns: int, trunks: Sequence[np.ndarray], problems: list[Problem]) -> list[int]:
        """Numbers of the people to follow: of a person seen twice, the one with more of the trunk."""
        seen = [int(np.isfinite(trunk).all(-1).sum()) for trunk in trunks]
        there = [track.trunk for track in self._tracks if track.last_ns == stamp_ns]
        kept: list[int] = []
        for i in sorted(range(len(trunks)), key=lambda i: -seen[i]):
            others = [trunks[k] for k in kept] + there
            if not seen[i]:
                problems.append(Problem("no_trunk", "person without id ignored: neither trunk nor head is seen"))
            elif others and self._nearest([trunks[i]], others) < self._settings.duplicate_m:
                problems.append(Problem("repeated_person", "person without id ignored: the same one is seen twice"))
            else:
                kept.append(i)
        return sorted(kept)


def _trunk(person: Person) -> np.ndarray:
    """(P, 3) of the trunk's joints, NaN unseen."""
    trunk = load_layout(person.layout).to_ntu25(person.joints, person.confidence)[0][_TRUNK]
    trunk[~(np.abs(trunk).max(-1) <= _FARTHEST_M)] = np.nan
    return trunk


def _distances(trunks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) metres between trunks (N, P, 3) and (M, P, 3): of the mean shift of the joints that both show."""
    shift = trunks[:, None] - others[None]
    both = np.isfinite(shift).all(-1, keepdims=True)
    count = both.sum(2)
    mean = np.where(both, shift, 0.0).sum(2) / np.maximum(count, 1)
    return np.where(count[..., 0] > 0, np.linalg.norm(mean, axis=-1), np.inf)
