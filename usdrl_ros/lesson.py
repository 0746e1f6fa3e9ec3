"""A live lesson: whom to watch, when to act, and which of their movements are the examples. Knows no ROS.

A person rests, acts, and rests again, so often as examples are wanted. `Lesson.observe` takes the people of each frame
and says what has changed; the examples go to `usdrl_ros.teaching.Teacher`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.actions.movement import PAUSE_S, find_movements
from usdrl_ros.skeleton.layouts import SPINE_BASE
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.teaching import LONGEST_S, SHORTEST_S, Example, cut_at, example_of

REST_S = 0.6
"""Seconds of rest before the person is asked to act, and after which an action is over."""
CLEARLY_NEARER_M = 0.5
"""By how much the person in front must be nearer than the next."""
LOST_S = 2.0
"""Seconds unseen after which the person counts as gone."""
_LOOK_EVERY_S = 0.2
_RATE_HZ = 15.0


class LessonState(IntEnum):
    """What the person should do; as in `usdrl_ros/action/Teach`."""

    WAIT = 1
    ACT = 2
    TAKEN = 3


@dataclass(frozen=True)
class Progress:
    """What has changed: the state, the examples so far, and the same in words for the person."""

    state: LessonState
    examples: int
    text: str


class Lesson:
    """Collects examples from frames of people in NTU-25."""

    def __init__(self, wanted: int, person_id: str = "", frames: int = 64) -> None:
        """Take how many examples are wanted, who shows them ("": the person in front), and T of the model."""
        self.wanted = wanted
        self.person_id = person_id
        self.examples: list[Example] = []
        self._frames = frames
        self._samples: deque[tuple[float, np.ndarray]] = deque()
        self._since_s: float | None = None  # nothing before counts
        self._seen_s: float | None = None
        self._looked_s = -np.inf
        self._state = LessonState.WAIT

    @property
    def complete(self) -> bool:
        """Whether all examples are there."""
        return len(self.examples) >= self.wanted

    @property
    def missing(self) -> str:
        """Why the lesson is not complete, in words."""
        if self._seen_s is None:
            who = f"'{self.person_id}'" if self.person_id else "nobody"
            return f"{who} was {'not ' if self.person_id else ''}seen: stand where the camera sees the whole body"
        if self._state is LessonState.WAIT and not self.examples:
            return f"'{self.person_id}' never rested for {REST_S} s: rest before acting"
        return (
            f"'{self.person_id}' moved {len(self.examples)} times and {self.wanted} examples are wanted: act after "
            "each prompt, and rest in between"
        )

    def observe(self, frame: Frame) -> list[Progress]:
        """Take a frame.

        Raises:
            TeachingError: Two people are about equally near, or the person has gone.
        """
        now_s = frame.stamp_ns / 1e9
        if not self.person_id:
            self.person_id = _in_front(frame)
        joints = next((p.joints for p in frame.people if p.person_id == self.person_id), None)
        if joints is None or not np.isfinite(joints).any():
            if self._seen_s is not None and now_s - self._seen_s > LOST_S:
                gone = f"'{self.person_id}' has not been seen for {LOST_S:.0f} s"
                raise TeachingError(f"{gone}: stay in front of the camera")
            return []
        if self._seen_s is not None and now_s <= self._seen_s:
            if self._seen_s - now_s > LOST_S:
                raise TeachingError("the stamps of the skeletons jumped back: start the lesson again")
            return []
        self._seen_s = now_s
        if self._since_s is None:
            self._since_s = now_s
        self._samples.append((now_s, joints))
        while self._samples[0][0] < now_s - LONGEST_S - 2.0 * REST_S:
            self._samples.popleft()
        if self.complete or now_s - self._looked_s < _LOOK_EVERY_S:
            return []
        self._looked_s = now_s
        return self._look(now_s)

    def _look(self, now_s: float) -> list[Progress]:
        assert self._since_s is not None
        samples = [(t, joints) for t, joints in self._samples if t >= self._since_s]
        if samples[-1][0] - samples[0][0] < REST_S:
            return []
        stamps, joints = np.array([t for t, _ in samples]), np.stack([j for _, j in samples]).astype(float)
        times = np.arange(stamps[0], stamps[-1], 1.0 / _RATE_HZ)
        movements = find_movements(times, cut_at(stamps, joints, times))
        if self._state is not LessonState.ACT:
            if movements and now_s - movements[-1].stop < REST_S:
                return []
            self._since_s, self._state = now_s - PAUSE_S, LessonState.ACT
            return [self._progress(self._prompt)]
        over = [m for m in movements if m.over and now_s - m.stop >= REST_S and m.duration >= SHORTEST_S]
        if not over or now_s - movements[-1].stop < REST_S:
            return []
        first, last = over[0].start, over[-1].stop
        self._since_s = now_s - PAUSE_S
        try:
            example = example_of(stamps, joints, self._frames, start=first, stop=last)
        except TeachingError as error:
            return [self._progress(f"not taken, {error}; {self._prompt}")]
        self.examples.append(example)
        taken = Progress(
            LessonState.TAKEN,
            len(self.examples),
            f"took example {len(self.examples)} of {self.wanted}, {example.duration_s:.1f} s",
        )
        return [taken] if self.complete else [taken, self._progress(self._prompt)]

    @property
    def _prompt(self) -> str:
        return f"act now ({len(self.examples) + 1} of {self.wanted}), and rest afterwards"

    def _progress(self, text: str) -> Progress:
        return Progress(self._state, len(self.examples), text)


def _in_front(frame: Frame) -> str:
    """The person nearest to the camera; "" where nobody is seen.

    Raises:
        TeachingError: Two are about equally near.
    """
    near = sorted(
        (float(np.linalg.norm(person.joints[SPINE_BASE] - frame.camera_position)), person.person_id)
        for person in frame.people
        if np.isfinite(person.joints[SPINE_BASE]).all()
    )
    if not near:
        return ""
    if len(near) > 1 and near[1][0] - near[0][0] < CLEARLY_NEARER_M:
        people = " and ".join(f"'{name}' at {distance:.1f} m" for distance, name in near[:2])
        raise TeachingError(f"two people are about equally near, {people}: step aside, or give person_id")
    return near[0][1]
