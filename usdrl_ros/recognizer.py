"""Skeletons in, action events out: the one class that the live node, the evaluation, the tests and the demo drive.

Knows no ROS. The stamps of the skeletons are its only clock, so a recording gives the same events however fast it is
played. `observe` is called as messages come; it schedules steps on that clock, and `step` runs them, from one worker.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from usdrl_ros.actions.events import ActionState, DecoderSettings, Event, EventDecoder
from usdrl_ros.actions.scores import Scores
from usdrl_ros.actions.timeline import Timeline
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.problems import Problem
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.canonical import to_ntu25
from usdrl_ros.skeleton.layouts import SPINE_BASE
from usdrl_ros.skeleton.normalize import NORMALIZATION, model_input
from usdrl_ros.skeleton.person import Person
from usdrl_ros.skeleton.window import SkeletonWindow, between, frame_times

MAX_PENDING_STEPS = 10
"""Steps that may wait for the worker; beyond, the oldest is left out: a second late at most at 10 Hz."""


@dataclass(frozen=True)
class Step:
    """What one step gave, for data up to `stamp_ns`."""

    stamp_ns: int
    events: list[Event] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Track:
    """One person while they are followed."""

    def __init__(
        self, person_id: str, actions: Sequence[str], window_s: float, frames: int, settings: Settings
    ) -> None:
        self.person_id = person_id
        self.frame_id = ""
        self.position: tuple[float, ...] = (float("nan"),) * 3
        # The worker may be behind the newest sample by as many steps as may wait.
        self.window = SkeletonWindow(window_s + 1.0 + MAX_PENDING_STEPS / settings.rate)
        self.since_ns = 0
        self.timeline = Timeline(round(window_s * 1e9 / frames), frames, len(actions) + 1)
        self.decoder = EventDecoder(actions, _decoding(settings))
        self.event_ids: dict[int, str] = {}
        # Of the last inference: what the model was given, and the probabilities that it gave.
        self.input = self.detection = self.recognition = np.empty(0)
        self.finite = True

    def distance(self, stamp_ns: int) -> float:
        """How far away the person is at a stamp, metres from the origin of the skeletons' frame."""
        joints = self.window.newest(stamp_ns)
        distance = math.hypot(*joints[SPINE_BASE].tolist())
        return distance if math.isfinite(distance) else math.hypot(*np.nanmean(joints, 0).tolist())


class Recognizer:
    """The way from skeletons to events."""

    def __init__(self, engine: Engine, settings: Settings | None = None) -> None:
        """Take a loaded engine and the settings.

        Raises:
            ModelError: The model wants another normalisation than this version has.
        """
        self.info = engine.info
        if self.info.normalization != NORMALIZATION:
            raise ModelError(
                f"model '{self.info.name}' wants the normalisation '{self.info.normalization}', "
                f"this version has '{NORMALIZATION}': export the model anew"
            )
        self.settings = settings or Settings()
        self.counters: Counter[str] = Counter()
        self._engine = engine
        self._step_ns = round(1e9 / self.settings.rate)
        self._lock = threading.Lock()
        self._tracks: dict[str, _Track] = {}
        self._gone: list[tuple[_Track, int]] = []  # tracks to end in the next step, and when they were last seen
        self._pending: deque[int] = deque()
        self._newest_ns: int | None = None
        self._events_started = 0
        self._frame_times_ns = np.round(frame_times(0.0, self.info.window_s, self.info.frames) * 1e9).astype(np.int64)
        self._buffers = (np.empty(0), np.empty(0))

    @property
    def due(self) -> int:
        """How many steps wait to be run."""
        return len(self._pending)

    def observe(self, stamp_ns: int, people: Sequence[Person], frame_id: str = "") -> list[Problem]:
        """Take what one message shows. Cheap; may be called from another thread than `step`.

        Returns:
            What could not be used, and why; all else has been taken.
        """
        problems: list[Problem] = []
        with self._lock:
            if self._advance_clock(stamp_ns, problems):
                canonical = to_ntu25(people, self.settings.min_joint_confidence, problems)
                for person, joints in zip(people, canonical, strict=True):
                    if joints is not None:
                        self._take(stamp_ns, person.person_id, joints, frame_id, problems)
            self.counters["messages"] += 1
            self.counters.update(problem.cause for problem in problems)
        return problems

    def step(self) -> Step | None:
        """Run the oldest step that is due, on the data up to its stamp; None when none is due. From one thread only."""
        with self._lock:
            if not self._pending:
                return None
            step = Step(self._pending.popleft())
            self._let_go(step.stamp_ns)
            gone, self._gone = self._gone, []
            tracks, skipped = self._choose(step.stamp_ns)
            times_ns = step.stamp_ns + self._frame_times_ns
            stamps_ns, joints = self._room(len(tracks))
            seen_ns = [
                track.window.samples(times_ns, stamps_ns[i], joints[i])  # copied while nobody adds to them
                for i, track in enumerate(tracks)
            ]
        for track, last_ns in gone:
            step.events.extend(self._end(track, last_ns))
        if skipped:
            step.problems.append(
                Problem(
                    "too_many_people",
                    f"{len(tracks) + skipped} people, max_people is {len(tracks)}: {skipped} are not watched",
                )
            )
        if tracks:
            self._infer(step, tracks, seen_ns, between(times_ns, *stamps_ns.swapaxes(0, 1), *joints.swapaxes(0, 1)))
        with self._lock:
            self.counters["steps"] += 1
            self.counters.update(problem.cause for problem in step.problems)
        return step

    def finish(self) -> list[Event]:
        """End all that is running, because the input stopped or the bag ended; afterwards all is as new.

        From the thread of `step`, or while none is running. Event ids go on, so that none comes twice.
        """
        with self._lock:
            self._pending.clear()
            self._newest_ns = None
            gone = self._gone + [(track, track.window.last_ns) for track in self._tracks.values()]
            self._gone, self._tracks = [], {}
        return [event for track, last_ns in gone for event in self._end(track, last_ns)]

    def change_settings(self, settings: Settings) -> None:
        """Go on with other settings, from the next message and step on; what runs goes on. From any thread."""
        with self._lock:
            self.settings = settings
            self._step_ns = round(1e9 / settings.rate)
            for track in self._tracks.values():
                track.decoder.change(_decoding(settings))

    def running(self) -> dict[str, tuple[str, ...]]:
        """The people who are followed, and what they are doing."""
        with self._lock:
            return {person_id: track.decoder.running for person_id, track in self._tracks.items()}

    def _advance_clock(self, stamp_ns: int, problems: list[Problem]) -> bool:
        """Schedule the step that this stamp makes due; begin anew where the clock jumps back. False: not to be used."""
        newest_ns = self._newest_ns
        if newest_ns is not None and newest_ns - stamp_ns > self.settings.clock_jump_s * 1e9:
            if stamp_ns == 0:
                problems.append(
                    Problem("zero_stamp", "message ignored: its stamp is 0; its publisher must fill header.stamp")
                )
                return False
            problems.append(
                Problem(
                    "clock_jump", f"stamps jump back by {(newest_ns - stamp_ns) / 1e9:.3f} s: beginning anew from here"
                )
            )
            self._pending.clear()
            self._gone += [(track, track.window.last_ns) for track in self._tracks.values()]
            self._tracks.clear()
            newest_ns = None
        if newest_ns is None:
            self._pending.append(stamp_ns)
        elif stamp_ns // self._step_ns > newest_ns // self._step_ns:
            self._pending.append(stamp_ns)
        if len(self._pending) > MAX_PENDING_STEPS:
            self._pending.popleft()
            problems.append(
                Problem(
                    "step_left_out",
                    "the machine is too slow for this rate: a step was left out; lower rate or max_people",
                )
            )
        self._newest_ns = stamp_ns if newest_ns is None else max(newest_ns, stamp_ns)
        return True

    def _take(self, stamp_ns: int, person_id: str, joints: np.ndarray, frame_id: str, problems: list[Problem]) -> None:
        name = f"person '{person_id}'"
        track = self._tracks.get(person_id)
        if track is not None and stamp_ns <= track.window.last_ns:
            late = (track.window.last_ns - stamp_ns) / 1e9
            cause, fault = (
                ("late_stamp", f"{late:.3f} s older than the one before") if late else ("repeated_stamp", "repeated")
            )
            problems.append(Problem(cause, f"{name} ignored at this stamp: it is {fault}"))
            return
        if track is not None and stamp_ns - track.window.last_ns > self.settings.lost_after_s * 1e9:
            self._gone.append((track, track.window.last_ns))
            track = None
        if track is None:
            track = _Track(person_id, self.info.actions, self.info.window_s, self.info.frames, self.settings)
            track.since_ns = stamp_ns
            self._tracks[person_id] = track
        track.window.append(stamp_ns, joints)
        track.frame_id = frame_id

    def _let_go(self, stamp_ns: int) -> None:
        """Move the people who have not been seen for `lost_after_s` to those who are gone."""
        for person_id, track in list(self._tracks.items()):
            if stamp_ns - track.window.last_ns > self.settings.lost_after_s * 1e9:
                self._gone.append((self._tracks.pop(person_id), track.window.last_ns))

    def _choose(self, stamp_ns: int) -> tuple[list[_Track], int]:
        """The people to look at in this step, and how many are left out: who acts comes first, then who is nearest."""
        there = [
            track
            for track in self._tracks.values()
            if stamp_ns - track.since_ns >= self.settings.min_observed_s * 1e9 and track.window.first_ns <= stamp_ns
        ]
        most = self.settings.max_people
        if len(there) > most:
            there.sort(key=lambda track: (not track.decoder.running, track.distance(stamp_ns)))
        return there[:most], max(len(there) - most, 0)

    def _infer(self, step: Step, tracks: list[_Track], seen_ns: list[int], windows: np.ndarray) -> None:
        """Judge all people; merge, decode, and add to the step.

        Args:
            step: That is run.
            tracks: (P,) the people.
            seen_ns: (P,) the stamps of their newest samples.
            windows: (P, T, 25, 3) their joints in the model's frames, NaN unseen.
        """
        self._judge(tracks, model_input(windows, self.info.people))
        pelvis = windows[:, -1, SPINE_BASE].tolist()  # where it was last seen
        for track, stamp_ns, position in zip(tracks, seen_ns, pelvis, strict=True):
            if math.isfinite(sum(position)):
                track.position = tuple(position)
            if not track.finite:
                name = f"person '{track.person_id}'"
                step.problems.append(Problem("not_finite", f"{name} left out of this step: the model's output is NaN"))
                continue
            track.timeline.add(step.stamp_ns, track.detection, track.since_ns)
            newest = track.detection[-1]
            step.scores.append(Scores(stamp_ns, track.frame_id, track.person_id, newest, track.recognition))
            states = track.decoder.update(track.timeline, stamp_ns)
            step.events.extend(self._event(track, state, stamp_ns) for state in states)

    def _room(self, people: int) -> tuple[np.ndarray, np.ndarray]:
        """What `SkeletonWindow.samples` fills in for so many people; the same memory at each step."""
        if len(self._buffers[0]) < people:
            shape = (people, 2, self.info.frames)
            self._buffers = (np.empty(shape, np.int64), np.empty((*shape, 25, 3), np.float32))
        stamps_ns, joints = self._buffers
        return stamps_ns[:people], joints[:people]

    def _judge(self, tracks: list[_Track], skeletons: np.ndarray) -> None:
        """Run the model, in one batch, on the windows that are not the same as the last one of their person."""
        new = [i for i, track in enumerate(tracks) if not _same(skeletons[i], track.input)]
        if not new:
            return
        chosen = skeletons if len(new) == len(tracks) else skeletons[new]
        predictions = self._engine.infer(chosen)
        detection, recognition = softmax(predictions.detection), softmax(predictions.recognition)
        finite = np.isfinite(np.add.reduce(detection, (1, 2)) + np.add.reduce(recognition, 1))
        for k, i in enumerate(new):
            track = tracks[i]
            track.input, track.finite = chosen[k], bool(finite[k])
            track.detection, track.recognition = detection[k], recognition[k]

    def _end(self, track: _Track, last_ns: int) -> list[Event]:
        return [self._event(track, state, last_ns) for state in track.decoder.finish(track.timeline, last_ns)]

    def _event(self, track: _Track, state: ActionState, stamp_ns: int) -> Event:
        if state.number not in track.event_ids:
            self._events_started += 1
            track.event_ids[state.number] = f"{track.person_id}/{state.action}/{self._events_started}"
        return Event(
            stamp_ns=stamp_ns,
            frame_id=track.frame_id,
            phase=state.phase,
            event_id=track.event_ids[state.number],
            person_id=track.person_id,
            action=state.action,
            confidence=state.confidence,
            start_ns=state.start_ns,
            end_ns=state.end_ns,
            position=track.position,
        )


def _decoding(settings: Settings) -> DecoderSettings:
    """The settings of an event decoder."""
    return DecoderSettings(
        settings.start_threshold,
        settings.end_threshold,
        settings.confirm_s,
        settings.patience_s,
        settings.ongoing_period_s,
    )


def _same(window: np.ndarray, last: np.ndarray) -> bool:
    """Whether a window (3, T, 25, M) is the last one: most often the newest frames alone show that it is not."""
    return len(last) > 0 and np.array_equal(window[:, -1], last[:, -1]) and np.array_equal(window, last)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(-1, keepdims=True)
    return shifted
