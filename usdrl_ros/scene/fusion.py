"""People who are seen by several cameras become one person each.

All cameras give people in one fixed frame, with ids of their own. Who is near a person that another
camera follows, where that person is expected by then, is that person; the link lasts while both
stay together. Joints are the mean over the cameras that see them, by confidence; the camera that
sees a person best gives the stamps. Clocks of cameras differ: by how much is estimated from how
people move, and taken off.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from usdrl_ros.problems import Problem
from usdrl_ros.scene.clocks import ClockOffsets
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.person import Frame, Person

_TRUNK = [
    NTU_25.index(name)
    for name in (
        "SpineBase", "SpineMid", "SpineShoulder", "Head", "HipLeft", "HipRight", "ShoulderLeft", "ShoulderRight"
    )
]  # fmt: skip
_NEVER = -(1 << 62)
_SLOW_S = 0.1
"""Seconds between two looks at what changes slowly: velocities, and whether views stay together."""
MOST_PEOPLE = 128
MOST_CAMERAS = 8


@dataclass(frozen=True)
class FusionSettings:
    """What makes two views one person.

    Args:
        gate_m: How far apart two cameras may see one person, metres: what calibration and trackers are off.
        part_m: Views that are farther apart than this for `part_s` are two people after all.
        part_s: Seconds.
        speed_mps: How much farther someone may be for each second unseen.
        forget_s: Seconds unseen after which a person is forgotten.
        fresh_s: Seconds after which what a camera saw of a person no longer counts.
        better: How much better another camera must see a person to give the stamps from then on.
        agree_m: Joints that are farther apart than this are not averaged: the more confident one counts.
        stopped_s: Seconds without a frame of a camera while others send theirs, after which it is reported.
    """

    gate_m: float = 0.5
    part_m: float = 0.8
    part_s: float = 0.5
    speed_mps: float = 2.0
    forget_s: float = 2.0
    fresh_s: float = 0.15
    better: float = 1.3
    agree_m: float = 0.3
    stopped_s: float = 1.0


@dataclass(frozen=True)
class Fused:
    """What the cameras see together.

    Args:
        frame: All people who are there, on the common clock, by their ids.
        updated: Ids of those who have new joints at the stamp of the frame.
    """

    frame: Frame
    updated: frozenset[str]


class _Human:
    """A person who is followed.

    Attributes:
        person_id: The id by which they are known.
        row: Of the arrays of `Fusion`.
        links: The camera's id, by camera.
        past: What each camera has seen of them lately: stamps and joints.
    """

    def __init__(self, person_id: str, row: int) -> None:
        self.person_id, self.row = person_id, row
        self.links: dict[int, str] = {}
        self.past: dict[str, deque[tuple[int, np.ndarray]]] = {}


class Fusion:
    """Follows people through several cameras.

    Args:
        settings: None: the defaults.
    """

    def __init__(self, settings: FusionSettings | None = None) -> None:
        self._settings = settings or FusionSettings()
        self._fresh_ns = round(self._settings.fresh_s * 1e9)
        self._clocks = ClockOffsets()
        self._cameras: list[str] = []  # of the columns
        self._reset()

    def _reset(self) -> None:
        """Follow nobody."""
        self._people: list[_Human] = []
        self._linked: dict[tuple[int, str], _Human] = {}
        self._frame_ns: dict[int, int] = {}  # stamp of the last frame of each camera
        self._slow_ns: dict[int, int] = {}
        self._reported_ns: dict[int, int] = {}
        rows, views = MOST_PEOPLE, (MOST_PEOPLE, MOST_CAMERAS)
        # Of each person: when and where they were seen last; how fast they move, since when; what was given last.
        self._last_ns = np.full(rows, _NEVER)
        self._trunk = np.full((rows, len(_TRUNK), 3), np.nan)
        self._velocity = np.zeros((rows, 3))
        self._before_ns = np.full(rows, _NEVER)
        self._before = np.full((rows, len(_TRUNK), 3), np.nan)
        self._given_ns = np.full(rows, _NEVER)
        self._joints = np.full((rows, 25, 3), np.nan)
        self._confidence = np.zeros((rows, 25))
        self._best = np.zeros(rows, int)  # the camera that sees them best
        # Of each person in each camera: what was seen last, when, how well; and since when far from the best camera's.
        self._seen_ns = np.full(views, _NEVER)
        self._view = np.full((*views, 25, 3), np.nan)
        self._view_confidence = np.zeros((*views, 25))
        self._quality = np.zeros(views)
        self._apart_ns = np.full(views, _NEVER)

    @property
    def clock_offsets_s(self) -> dict[str, float]:
        """What is added to the stamps of each camera, seconds."""
        return dict(self._clocks.offsets_s)

    def update(self, frame: Frame) -> Fused:
        """Take a frame of people in NTU-25, placed in the fixed frame."""
        problems = list(frame.problems)
        camera = self._column(frame.camera or frame.frame_id)
        if camera is None:
            fault = f"camera '{frame.camera or frame.frame_id}' ignored: at most {MOST_CAMERAS} are fused"
            problems.append(Problem("too_many_cameras", fault))
            return Fused(replace(frame, people=[], problems=problems), frozenset())
        stamp_ns = frame.stamp_ns + self._clocks.offset_ns(self._cameras[camera])
        if stamp_ns < max(self._frame_ns.values(), default=stamp_ns) - self._settings.forget_s * 1e9:
            self._reset()  # the clock has jumped back
        problems += self._stopped(camera, stamp_ns)
        self._drop_lost(stamp_ns)
        people, humans = self._who_is_who(camera, stamp_ns, frame.people, problems)
        updated: list[int] = []
        if people:
            rows = np.array([human.row for human in humans])
            self._take(rows, camera, stamp_ns, people, humans)
            updated = self._merge(rows, camera, stamp_ns)
            self._clocks.compare(self._cameras[camera], stamp_ns, [human.past for human in humans])
        there = [human for human in self._people if stamp_ns - self._given_ns[human.row] <= 2 * self._fresh_ns]
        given = [
            Person(human.person_id, "ntu_25", self._joints[human.row].copy(), self._confidence[human.row].copy())
            for human in there
        ]
        names = frozenset(human.person_id for human in there if human.row in updated)
        return Fused(replace(frame, stamp_ns=stamp_ns, people=given, problems=problems), names)

    def _column(self, name: str) -> int | None:
        """The column of a camera; None: there are too many."""
        if name not in self._cameras:
            if len(self._cameras) == MOST_CAMERAS:
                return None
            self._cameras.append(name)
        return self._cameras.index(name)

    def _stopped(self, camera: int, stamp_ns: int) -> list[Problem]:
        """Cameras that have sent nothing for a while, each once a second."""
        self._frame_ns[camera] = max(stamp_ns, self._frame_ns.get(camera, stamp_ns))
        found = []
        for other, last_ns in self._frame_ns.items():
            silent_s = (stamp_ns - last_ns) / 1e9
            if silent_s > self._settings.stopped_s and stamp_ns - self._reported_ns.get(other, _NEVER) >= 1e9:
                self._reported_ns[other] = stamp_ns
                fault = f"camera '{self._cameras[other]}' has sent nothing for {silent_s:.1f} s"
                found.append(Problem("camera_stopped", f"{fault}: people are followed by the others alone"))
        return found

    def _drop_lost(self, stamp_ns: int) -> None:
        """Forget people whom nobody has seen for long."""
        oldest_ns = stamp_ns - round(self._settings.forget_s * 1e9)
        for human in [human for human in self._people if self._last_ns[human.row] < oldest_ns]:
            self._people.remove(human)
            for camera in list(human.links):
                self._unlink(human, camera)

    def _unlink(self, human: _Human, camera: int) -> None:
        """What a camera sees by its id is no longer this person."""
        del self._linked[camera, human.links.pop(camera)]
        human.past.pop(self._cameras[camera], None)
        self._seen_ns[human.row, camera] = self._apart_ns[human.row, camera] = _NEVER

    def _who_is_who(
        self, camera: int, stamp_ns: int, people: list[Person], problems: list[Problem]
    ) -> tuple[list[Person], list[_Human]]:
        """The people of a frame who are followed, and whom each one is."""
        found = [self._linked.get((camera, person.person_id)) for person in people]
        new = [i for i, human in enumerate(found) if human is None]
        if not new:
            return people, [human for human in found if human is not None]
        free = [
            human
            for human in self._people
            if human not in found and stamp_ns - self._seen_ns[human.row, camera] > self._fresh_ns // 2
        ]
        trunks = np.stack([people[i].joints[_TRUNK] for i in new])
        for i, human in zip(new, self._nearest(stamp_ns, trunks, free), strict=True):
            found[i] = human = human or self._begin(camera, stamp_ns, people[i])
            if human is None:
                fault = f"person '{people[i].person_id}' ignored: {MOST_PEOPLE} people are followed already"
                problems.append(Problem("too_many_people", fault))
                continue
            if camera in human.links:
                self._unlink(human, camera)
            human.links[camera] = people[i].person_id
            human.past[self._cameras[camera]] = deque(maxlen=40)
            self._linked[camera, people[i].person_id] = human
        kept = [i for i, human in enumerate(found) if human is not None]
        return [people[i] for i in kept], [human for human in found if human is not None]

    def _nearest(self, stamp_ns: int, trunks: np.ndarray, free: list[_Human]) -> list[_Human | None]:
        """Whose trunks (N, P, 3) are, by the least sum of distances from where people are expected."""
        chosen: list[_Human | None] = [None] * len(trunks)
        if not free:
            return chosen
        rows = [human.row for human in free]
        unseen_s = np.maximum(stamp_ns - self._last_ns[rows], 0) / 1e9
        expected = self._trunk[rows] + (self._velocity[rows] * np.minimum(unseen_s, 0.5)[:, None])[:, None]
        distance = np.sqrt((_shift(trunks[:, None] - expected) ** 2).sum(-1))
        distance[~(distance <= self._settings.gate_m + self._settings.speed_mps * unseen_s)] = np.inf
        for i, column in zip(*linear_sum_assignment(np.minimum(distance, 1e6)), strict=True):
            if np.isfinite(distance[i, column]):
                chosen[i] = free[column]
        return chosen

    def _begin(self, camera: int, stamp_ns: int, person: Person) -> _Human | None:
        """A new person, by the camera's id unless somebody has it; None: there are too many."""
        free = set(range(MOST_PEOPLE)) - {human.row for human in self._people}
        if not free:
            return None
        taken = {human.person_id for human in self._people}
        name, number = person.person_id, 1
        while name in taken:
            name = f"{self._cameras[camera]}/{person.person_id}" + (f"/{number}" if number > 1 else "")
            number += 1
        human = _Human(name, min(free))
        row = human.row
        self._trunk[row] = self._before[row] = person.joints[_TRUNK]
        self._last_ns[row] = self._before_ns[row] = stamp_ns
        self._velocity[row] = 0.0
        self._best[row] = camera
        self._given_ns[row] = _NEVER
        self._seen_ns[row] = self._apart_ns[row] = _NEVER
        self._people.append(human)
        return human

    def _take(self, rows: np.ndarray, camera: int, stamp_ns: int, people: list[Person], humans: list[_Human]) -> None:
        """Take what a camera sees of people, and choose who sees them best."""
        joints = np.stack([person.joints for person in people])
        seen = np.isfinite(joints[..., 0])
        confidence = seen.astype(float)
        for own, person in zip(confidence, people, strict=True):
            if person.confidence is not None:
                own *= person.confidence
        first = self._seen_ns[rows, camera] == _NEVER
        quality, before = confidence.sum(-1), self._quality[rows, camera]
        self._quality[rows, camera] = np.where(first, quality, before + 0.1 * (quality - before))
        self._view[rows, camera], self._view_confidence[rows, camera] = joints, confidence
        self._seen_ns[rows, camera] = stamp_ns
        self._last_ns[rows] = np.maximum(self._last_ns[rows], stamp_ns)
        for human, own in zip(humans, joints, strict=True):
            human.past[self._cameras[camera]].append((stamp_ns, own))
        best = self._best[rows]
        stale = stamp_ns - self._seen_ns[rows, best] > self._fresh_ns
        better = self._quality[rows, camera] > self._settings.better * self._quality[rows, best]
        self._best[rows] = np.where(stale | better, camera, best)
        mine = self._best[rows] == camera
        trunk = joints[mine][:, _TRUNK]
        self._trunk[rows[mine]] = np.where(np.isfinite(trunk), trunk, self._trunk[rows[mine]])
        if stamp_ns - self._slow_ns.get(camera, _NEVER) >= _SLOW_S * 1e9:
            self._slow_ns[camera] = stamp_ns
            self._measure_velocity(rows[mine], stamp_ns)
            self._part(camera, stamp_ns, [human for human, own in zip(humans, mine, strict=True) if not own])

    def _measure_velocity(self, rows: np.ndarray, stamp_ns: int) -> None:
        passed_s = (stamp_ns - self._before_ns[rows]) / 1e9
        due = passed_s >= 2 * _SLOW_S
        rows, passed_s = rows[due], passed_s[due]
        velocity = _shift(self._trunk[rows] - self._before[rows]) / passed_s[:, None]
        self._velocity[rows] = np.clip(np.nan_to_num(velocity), -3.0, 3.0)
        self._before[rows], self._before_ns[rows] = self._trunk[rows], stamp_ns

    def _part(self, camera: int, stamp_ns: int, humans: list[_Human]) -> None:
        """Undo links of views that do not stay together: one of the trackers has changed whom it follows."""
        for human in humans:
            row, best = human.row, self._best[human.row]
            apart = _shift(self._view[row, camera][_TRUNK] - self._view[row, best][_TRUNK])
            if not float(apart @ apart) > self._settings.part_m**2:
                self._apart_ns[row, camera] = _NEVER
            elif self._apart_ns[row, camera] == _NEVER:
                self._apart_ns[row, camera] = stamp_ns
            elif stamp_ns - self._apart_ns[row, camera] > self._settings.part_s * 1e9:
                self._unlink(human, camera)

    def _merge(self, rows: np.ndarray, camera: int, stamp_ns: int) -> list[int]:
        """Give joints to those whom this camera sees best, from all cameras that see them; returns their rows."""
        rows = rows[(self._best[rows] == camera) & (self._given_ns[rows] < stamp_ns)]
        joints, confidence = self._view[rows, camera], self._view_confidence[rows, camera]
        for other in range(len(self._cameras)):
            freshness = 1.0 - np.abs(stamp_ns - self._seen_ns[rows, other]) / self._fresh_ns
            usable = (freshness > 0.0) & (self._apart_ns[rows, other] == _NEVER)
            if other == camera or not usable.any():
                continue
            weight = self._view_confidence[rows[usable], other] * freshness[usable, None]
            joints[usable], confidence[usable] = _mean_of(
                joints[usable], confidence[usable], self._view[rows[usable], other], weight, self._settings.agree_m
            )
        self._joints[rows], self._confidence[rows], self._given_ns[rows] = joints, confidence, stamp_ns
        return rows.tolist()


def _shift(difference: np.ndarray) -> np.ndarray:
    """The mean (..., 3) of differences (..., P, 3) over the joints that are known, NaN where none is."""
    known = np.isfinite(difference[..., 0])
    with np.errstate(invalid="ignore"):
        return np.where(known[..., None], difference, 0.0).sum(-2) / known.sum(-1)[..., None]


def _mean_of(
    joints: np.ndarray, confidence: np.ndarray, other: np.ndarray, other_confidence: np.ndarray, agree_m: float
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 25, 3) and confidence (N, 25) of two views, by confidence; what one lacks comes from the other."""
    shift = np.nan_to_num(_shift(joints[:, _TRUNK] - other[:, _TRUNK]))
    other = other + shift[:, None]  # what the poses of the cameras are off
    apart = joints - other
    with np.errstate(invalid="ignore", divide="ignore"):
        together = (apart * apart).sum(-1) < agree_m**2  # false where one of them is unseen
        share = other_confidence / (confidence + other_confidence)
    share = np.where(together, share, other_confidence > confidence)[..., None]
    merged = np.where(share == 0.0, joints, np.where(share == 1.0, other, joints - share * apart))
    return merged, np.maximum(confidence, other_confidence)
