"""Skeletons in, action events out: the one class that the live node, the evaluation, the tests and the demo drive.

Knows no ROS. The stamps of the skeletons are its only clock, so a recording gives the same events however fast it is
played. `observe` is called as messages come; it schedules steps on that clock, and `step` runs them, from one worker.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from usdrl_ros.actions.classifier import Classifier, Posterior
from usdrl_ros.actions.events import ActionState, DecoderSettings, Event
from usdrl_ros.actions.scores import Scores
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.problems import Problem
from usdrl_ros.scene.scene import Scene
from usdrl_ros.scene.subject import Subject
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.canonical import to_ntu25
from usdrl_ros.skeleton.layouts import SPINE_BASE
from usdrl_ros.skeleton.normalize import NORMALIZATIONS
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.skeleton.window import frame_times, resample_window
from usdrl_ros.track import MAX_PENDING_STEPS, Track


@dataclass(frozen=True)
class Step:
    """What one step gave, for data up to `stamp_ns`."""

    stamp_ns: int
    events: list[Event] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Recognizer:
    """The way from skeletons to events."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings | None = None,
        *,
        scene: Scene | None = None,
        classifier: Classifier | None = None,
    ) -> None:
        """Take a loaded engine.

        Args:
            engine: Runs the model.
            settings: None: the defaults.
            scene: Says whom to follow; None: each person alone.
            classifier: Says what the outputs of the model mean; None: the actions of the model.

        Raises:
            ModelError: The model needs a normalisation that this version does not have.
        """
        self.info = engine.info
        if self.info.normalization not in NORMALIZATIONS:
            raise ModelError(
                f"model '{self.info.name}' needs the normalisation '{self.info.normalization}', "
                f"this version has {', '.join(map(repr, NORMALIZATIONS))}: export the model again"
            )
        self._normalize = NORMALIZATIONS[self.info.normalization]
        self.settings = settings or Settings()
        self.counters: Counter[str] = Counter()
        self.classifier = classifier or Classifier(self.info.actions)
        self._thresholds = self.classifier.thresholds
        self._scene = scene or Scene(self.info.actions, people=self.info.people)
        self._engine = engine
        self._step_ns = round(1e9 / self.settings.rate)
        self._lock = threading.Lock()
        self._tracks: dict[tuple[str, ...], Track] = {}
        self._gone: list[tuple[Track, int]] = []  # tracks to end in the next step, and when they were last seen
        self._pending: deque[int] = deque()
        self._newest_ns: int | None = None
        self._events_started = 0
        self.run_id = new_run_id()
        self._frame_times_ns = np.round(frame_times(0.0, self.info.window_s, self.info.frames) * 1e9).astype(np.int64)

    @property
    def due(self) -> int:
        """How many steps wait to be run."""
        return len(self._pending)

    def observe(self, frame: Frame) -> Frame:
        """Take what one message shows. Cheap; may be called from another thread than `step`.

        Returns:
            The people as they were taken, in NTU-25, placed and named by the scene; and all problems of the frame,
            those that it came with included.
        """
        with self._lock:
            if not frame.stamp_ns and not frame.people:  # it could not be read, so nothing is known of its time
                taken = frame
            elif self._is_zero_stamp(frame.stamp_ns):
                fault = Problem("zero_stamp", "message ignored: its stamp is 0; its publisher must fill header.stamp")
                taken = replace(frame, people=[], problems=[*frame.problems, fault])
            else:
                scene = self._scene.update(to_ntu25(frame, self.settings.min_joint_confidence))
                taken, problems = scene.frame, list(scene.frame.problems)
                self._advance_clock(taken.stamp_ns, problems)
                for subject in scene.subjects:
                    self._take(taken, subject, problems)
                taken = replace(taken, problems=problems)
            self.counters["messages"] += 1
            self.counters.update(problem.cause for problem in taken.problems)
        return taken

    def step(self) -> Step | None:
        """Run the oldest step that is due, on the data up to its stamp; None when none is due. From one thread only.

        Where the engine fails, its exception is raised and this step is lost; the events of those who have left come
        with the next step, or with `finish`.
        """
        with self._lock:
            if not self._pending:
                return None
            step = Step(self._pending.popleft())
            self._drop_lost(step.stamp_ns)
            tracks, skipped = self._choose(step.stamp_ns)
            times_ns = step.stamp_ns + self._frame_times_ns
            samples = [track.window.until(step.stamp_ns) for track in tracks]  # copied while nobody adds to them
        found = None
        if tracks:
            windows = [resample_window(stamps_ns, joints, times_ns) for stamps_ns, joints in samples]
            found = self._classify(tracks, windows, step.stamp_ns)
        # Nothing raises from here on, so that each change of state is handed over.
        with self._lock:
            gone, self._gone = self._gone, []
        for track, last_ns in gone:
            step.events.extend(self._end(track, last_ns))
        if skipped:
            step.problems.append(
                Problem(
                    "too_many_people",
                    f"{len(tracks) + skipped} people, max_people is {len(tracks)}: {skipped} are not watched",
                )
            )
        if found is not None:
            joints, posterior = found
            self._update(step, tracks, joints, [int(stamps_ns[-1]) for stamps_ns, _ in samples], posterior)
        with self._lock:
            self.counters["steps"] += 1
            self.counters.update(problem.cause for problem in step.problems)
        return step

    def finish(self) -> list[Event]:
        """End all that is running, because the input stopped or the bag ended; afterwards nobody is followed.

        From the thread of `step`, or while none is running. Event ids continue, so that none comes twice.
        """
        with self._lock:
            self._pending.clear()
            self._newest_ns = None
            for ids in list(self._tracks):
                self._drop(ids)
            gone, self._gone = self._gone, []
        return [event for track, last_ns in gone for event in self._end(track, last_ns)]

    def change_settings(self, settings: Settings) -> None:
        """Change the settings, from the next message and step on; what runs continues. From any thread."""
        with self._lock:
            self.settings = settings
            self._step_ns = round(1e9 / settings.rate)
            for track in self._tracks.values():
                track.decoder.change(DecoderSettings.of(settings, self._thresholds))

    def running(self) -> dict[str, tuple[str, ...]]:
        """The people who are followed, and what they are doing."""
        with self._lock:
            running: dict[str, tuple[str, ...]] = {}
            for ids, track in self._tracks.items():
                running[ids[0]] = running.get(ids[0], ()) + track.decoder.running
            return running

    def _is_zero_stamp(self, stamp_ns: int) -> bool:
        """Whether a stamp is 0 amid stamps of another time."""
        newest_ns = self._newest_ns
        return stamp_ns == 0 and newest_ns is not None and newest_ns > self.settings.clock_jump_s * 1e9

    def _advance_clock(self, stamp_ns: int, problems: list[Problem]) -> None:
        """Schedule the step that this stamp makes due; reset where the clock jumps back."""
        newest_ns = self._newest_ns
        if newest_ns is not None and newest_ns - stamp_ns > self.settings.clock_jump_s * 1e9:
            fault = f"stamps jump back by {(newest_ns - stamp_ns) / 1e9:.3f} s"
            problems.append(Problem("clock_jump", f"{fault}: what ran ends, and all people are followed as new ones"))
            self._pending.clear()
            for ids in list(self._tracks):
                self._drop(ids)
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

    def _take(self, frame: Frame, subject: Subject, problems: list[Problem]) -> None:
        """Add a subject of a frame of the scene to its track, or begin one."""
        stamp_ns = frame.stamp_ns
        track = self._tracks.get(subject.ids)
        if track is not None and stamp_ns <= track.window.last_ns:
            late = (track.window.last_ns - stamp_ns) / 1e9
            cause, fault = (
                ("late_stamp", f"{late:.3f} s older than the one before") if late else ("repeated_stamp", "repeated")
            )
            problems.append(Problem(cause, f"{track.name} ignored at this stamp: it is {fault}"))
            return
        if track is not None and stamp_ns - track.window.last_ns > self.settings.lost_after_s * 1e9:
            self._drop(subject.ids)
            track = None
        if track is None:
            if len(self._tracks) >= self.settings.max_followed:
                self._drop_lost(stamp_ns)
            if len(self._tracks) >= self.settings.max_followed:
                fault = f"{len(self._tracks)} people are followed, max_followed is {self.settings.max_followed}"
                problems.append(Problem("too_many_followed", f"{fault}: those who come now are ignored"))
                return
            info = self.info
            track = Track(
                subject.ids, self.classifier.actions, info.window_s, info.frames, self.settings, self._thresholds
            )
            track.since_ns = stamp_ns
            self._tracks[subject.ids] = track
        track.window.append(stamp_ns, subject.joints.reshape(-1, 3))
        track.frame_id, track.excluded = frame.frame_id, subject.excluded
        track.camera = frame.camera_position.astype(np.float32)

    def _drop(self, ids: tuple[str, ...]) -> None:
        """Follow a subject no longer; what may run ends with the next step."""
        track = self._tracks.pop(ids)
        if track.watched:
            self._gone.append((track, track.window.last_ns))

    def _drop_lost(self, stamp_ns: int) -> None:
        """Follow those no longer who have not been seen for `lost_after_s`."""
        for ids, track in list(self._tracks.items()):
            if stamp_ns - track.window.last_ns > self.settings.lost_after_s * 1e9:
                self._drop(ids)

    def _choose(self, stamp_ns: int) -> tuple[list[Track], int]:
        """The people to look at in this step, and how many are left out: who acts comes first, then who is nearest."""
        there = [
            track
            for track in self._tracks.values()
            if stamp_ns - track.since_ns >= self.settings.min_observed_s * 1e9 and track.window.first_ns <= stamp_ns
        ]
        most = self.settings.max_people
        if len(there) > most:
            there.sort(key=lambda track: (not track.decoder.running, track.distance(stamp_ns)))
        for track in there[:most]:
            track.watched = True
        return there[:most], max(len(there) - most, 0)

    def _classify(self, tracks: list[Track], windows: list[np.ndarray], stamp_ns: int) -> tuple[np.ndarray, Posterior]:
        """Run the model on all subjects. Changes nothing of them, so that a failure costs this step only.

        Args:
            tracks: (N,) the subjects.
            windows: (N,) of (T, V, 3): their joints in the frames of the model, person after person, NaN unseen.
            stamp_ns: At which the windows end.

        Returns:
            The joints (N, T, M, 25, 3) of all, and the posterior.
        """
        joints = np.full((len(tracks), self.info.frames, self.info.people, 25, 3), np.nan, np.float32)
        for own, window, track in zip(joints, windows, tracks, strict=True):
            own[:, : len(track.ids)] = window.reshape(len(window), -1, 25, 3)
        self._follow_thresholds()
        return joints, self.classifier.read([track.ids for track in tracks], joints, stamp_ns, self._run_model)

    def _update(
        self, step: Step, tracks: list[Track], joints: np.ndarray, seen_ns: list[int], posterior: Posterior
    ) -> None:
        """Merge what the model gave, decode, and add to the step.

        Args:
            step: The step that runs.
            tracks: (N,) the subjects.
            joints: (N, T, M, 25, 3) their joints.
            seen_ns: (N,) the stamps of their newest samples.
            posterior: Of the N subjects.
        """
        finite = np.isfinite(posterior.detection).all((1, 2)) & np.isfinite(posterior.recognition).all(1)
        for i, (track, stamp_ns) in enumerate(zip(tracks, seen_ns, strict=True)):
            pelvis = joints[i, -1, 0, SPINE_BASE].tolist()  # where it was last seen
            if math.isfinite(sum(pelvis)):
                track.position = tuple(pelvis)
            if not finite[i]:
                fault = f"{track.name} left out of this step: the output of the model is not finite"
                step.problems.append(Problem("not_finite", fault))
                continue
            if posterior.actions != track.actions:
                step.events.extend(self._change_actions(track, posterior.actions, stamp_ns))
            detection = _without(posterior.detection[i], posterior.actions, track.excluded)
            track.timeline.add(step.stamp_ns, detection, track.since_ns)
            if len(track.ids) == 1:  # those of a pair have no one person to be of
                step.scores.append(
                    Scores(stamp_ns, track.frame_id, track.ids[0], detection[-1], posterior.recognition[i])
                )
            states = track.decoder.update(track.timeline, stamp_ns)
            step.events.extend(self._event(track, state, stamp_ns) for state in states)

    def _run_model(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Run windows (N, T, M, 25, 3): the skeletons that the model is given, and its outputs."""
        there = max(1, *(m + 1 for m in range(joints.shape[2]) if np.isfinite(joints[:, :, m]).any()), 1)
        skeletons = self._normalize.model_input(joints[:, :, :there], self.info.people)
        predictions = self._engine.infer(skeletons)
        return skeletons, predictions.detection, predictions.recognition, predictions.embedding

    def _follow_thresholds(self) -> None:
        """Give the decoders the thresholds of the classifier, where they have changed."""
        if (thresholds := self.classifier.thresholds) != self._thresholds:
            with self._lock:
                self._thresholds = thresholds
                for track in self._tracks.values():
                    track.decoder.change(DecoderSettings.of(self.settings, thresholds))

    def _change_actions(self, track: Track, actions: tuple[str, ...], stamp_ns: int) -> list[Event]:
        """Follow a classifier whose actions have changed: what is no longer in use ends, the rest continues."""
        states = track.decoder.change_actions(actions, track.timeline, stamp_ns)
        events = [self._event(track, state, stamp_ns) for state in states]
        kept = [track.actions.index(action) + 1 if action in track.actions else None for action in actions]
        track.timeline.change_classes([0, *kept])
        track.actions = actions
        return events

    def _end(self, track: Track, last_ns: int) -> list[Event]:
        return [self._event(track, state, last_ns) for state in track.decoder.finish(track.timeline, last_ns)]

    def _event(self, track: Track, state: ActionState, stamp_ns: int) -> Event:
        if state.number not in track.event_ids:
            self._events_started += 1
            track.event_ids[state.number] = f"{track.ids[0]}/{state.action}/{self.run_id}-{self._events_started}"
        return Event(
            stamp_ns=stamp_ns,
            frame_id=track.frame_id,
            phase=state.phase,
            event_id=track.event_ids[state.number],
            person_id=track.ids[0],
            action=state.action,
            confidence=state.confidence,
            start_ns=state.start_ns,
            end_ns=state.end_ns,
            position=track.position,
            partner_id=track.ids[1] if len(track.ids) > 1 else "",
        )


def new_run_id() -> str:
    """Eight random hexadecimal digits, so that the event ids of two runs or nodes differ."""
    return secrets.token_hex(4)


def _without(detection: np.ndarray, actions: Sequence[str], excluded: frozenset[str]) -> np.ndarray:
    """Probabilities (T, K+1) in which excluded actions count as background."""
    if not excluded:
        return detection
    columns = [number + 1 for number, action in enumerate(actions) if action in excluded]
    kept = detection.copy()
    kept[:, 0] += kept[:, columns].sum(-1)
    kept[:, columns] = 0.0
    return kept
