"""Detection in untrimmed recordings, online through the recognizer, and by the authors' rule on the same model."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.data.archive import Archive
from training.data.frames import FRAMES
from training.shipped.conditions import Condition
from training.tasks.frame_scores import FrameScores, runs_above
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.bags.writer import seconds_to_ns
from usdrl_ros.evaluation.metrics.breakdown import make_row
from usdrl_ros.evaluation.metrics.detection import (
    THETAS,
    Interval,
    average_precision_by_action,
    compare,
    intervals_of_events,
    mean_average_precision_by_recording,
)
from usdrl_ros.inference.contract import Engine, Predictions
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.normalize import normalize
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.skeleton.window import frame_times, resample

START_NS = 1_000_000_000
AUTHORS_THRESHOLD = 0.02
AUTHORS_HOP = 0.1
"""From one window to the next, as a share of the window."""


RANKED = Settings(start_threshold=0.1, end_threshold=0.05, confirm_s=0.1, patience_s=0.7)
"""Every action is emitted at slight evidence, because average precision ranks all there is, false or not: how detectors
are compared, and how the authors' rule is made. Chosen on validation people."""


@dataclass(frozen=True)
class Detected:
    """What was detected in recordings of `duration_s` seconds in all."""

    events: list[Interval]
    truths: list[Interval]
    duration_s: float

    def figures(self) -> dict[str, Any]:
        """mAP_action, mAP_video, delay, false events a minute, and by action."""
        found = compare(self.events, self.truths)
        video = {str(t): mean_average_precision_by_recording(self.events, self.truths, t) for t in THETAS}
        return {
            "minutes": self.duration_s / 60.0,
            "actions": len(self.truths),
            "found": len(found.found),
            "false": len(found.false),
            "map_action": map_action(self.events, self.truths),
            "map_video": video,
            "delay_median_s": found.delay_median_s,
            "false_events_per_minute": found.false_events_per_minute(self.duration_s),
            "by_action": self._by_action(),
        }

    def _by_action(self) -> dict[str, dict[str, float]]:
        """The counts of each action, and its average precision at overlap 0.5."""
        rows = {}
        for name, precision in average_precision_by_action(self.events, self.truths, 0.5).items():
            own = [[each for each in kind if each.action == name] for kind in (self.events, self.truths)]
            row = make_row(*own)
            counts = {count: getattr(row, count) for count in ("true", "found", "missed", "false")}
            rows[name] = {**counts, "average_precision": precision}
        return rows


def map_action(events: list[Interval], truths: list[Interval]) -> dict[str, float]:
    """Mean average precision by overlap, over the actions that are in the truths.

    Events of other actions of the vocabulary are false events, and are counted as such; they have no precision.
    """
    there = sorted({truth.action for truth in truths})
    found = {}
    for theta in THETAS:
        precision = average_precision_by_action(events, truths, theta)
        found[str(theta)] = float(np.mean([precision[action] for action in there])) if there else 0.0
    return found


def recordings_of(archive: Archive, part: str, prefix: str, words: tuple[str, ...]) -> list[Recording]:
    """The recordings of one part of a session archive whose names begin with `prefix`, with the actions of `words`."""
    found = []
    for index in archive.split(None, part):
        name = str(archive.names[index])
        if name.startswith(prefix):
            stamps, joints, segments = archive.recording_of(int(index))
            truths = tuple(
                Segment(float(s["start"]), float(s["end"]), archive.actions[s["action"]])
                for s in segments
                if archive.actions[s["action"]] in words
            )
            people = {"person_1": np.asarray(joints[:, 0], float)}
            found.append(Recording(name, "ntu_25", np.asarray(stamps), people, truths))
    return found


class RememberingEngine:
    """Runs another engine once and then repeats its outputs, as long as it is asked in the same order."""

    def __init__(self, engine: Engine) -> None:
        self.info = engine.info
        self._engine = engine
        self._outputs: list[Predictions] = []
        self._next = 0

    def rewind(self) -> None:
        """Begin again with the first output."""
        self._next = 0

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """The output of the engine for these windows, or the one that it gave at this place before."""
        if self._next == len(self._outputs):
            self._outputs.append(self._engine.infer(skeletons))
        self._next += 1
        return self._outputs[self._next - 1]


def detect(
    engine: Engine, recordings: Iterable[Recording], condition: Condition, *settings: Settings
) -> tuple[Detected, ...]:
    """Play recordings into a recognizer, as on the robot: once for each choice of settings, inferred once."""
    found: list[list[Interval]] = [[] for _ in settings]
    truths, duration_s = [], 0.0
    for recording in recordings:
        seen = condition(recording, np.random.default_rng(zlib.crc32(recording.name.encode())))
        remembering = RememberingEngine(engine)
        for events, chosen in zip(found, settings, strict=True):
            remembering.rewind()
            events += play(remembering, seen, chosen)  # type: ignore[arg-type]
        truths += truths_of(recording)
        duration_s += float(recording.stamps[-1] - recording.stamps[0])
    return tuple(Detected(events, truths, duration_s) for events in found)


def play(engine: Engine, recording: Recording, settings: Settings | None = None) -> list[Interval]:
    """The events of one recording, in its seconds."""
    recognizer = Recognizer(engine, settings)
    events = []
    origin = recording.stamps[0]
    for index, seconds in enumerate(recording.stamps):
        people = [Person(name, recording.layout, joints[index]) for name, joints in recording.joints.items()]
        recognizer.observe(Frame(START_NS + seconds_to_ns(seconds - origin), "", people))
        while step := recognizer.step():
            events += step.events
    events += recognizer.finish()
    return intervals_of_events(recording.name, events, START_NS - seconds_to_ns(origin))


def truths_of(recording: Recording) -> list[Interval]:
    """The true actions of a recording."""
    return [Interval(recording.name, s.action, s.start, s.end, person_id=s.person_id) for s in recording.segments]


def authors_detections(engine: Engine, recording: Recording) -> list[Interval]:
    """The published post-processing: windows slid over the whole recording, merged, and cut at a low threshold."""
    info = engine.info
    stamps, joints = recording.stamps, recording.joints["person_1"]
    ends = np.append(np.arange(stamps[0], stamps[-1], AUTHORS_HOP * info.window_s), stamps[-1])
    total = np.zeros((len(stamps), len(info.actions) + 1))
    count = np.zeros(len(stamps))
    for end in ends:
        times = frame_times(end, info.window_s, FRAMES)
        window = resample(stamps, joints, times)
        found = softmax(engine.infer(normalize.model_input(window[None, :, None], info.people)).detection)[0]
        inside = np.flatnonzero((stamps >= times[0]) & (stamps <= end))
        total[inside] += np.stack([np.interp(stamps[inside], times, column) for column in found.T], -1)
        count[inside] += 1.0
    probabilities = total / np.maximum(count, 1.0)[:, None]
    score = FrameScores(recording.name, stamps, probabilities, np.zeros(len(stamps), int), ())
    found = runs_above(score, info.actions, AUTHORS_THRESHOLD)
    return [replace(interval, person_id="person_1") for interval in found]


def authors_figures(engine: Engine, recordings: list[Recording]) -> dict[str, float]:
    """mAP_action of the authors' detections, by overlap, over the actions that are in the truths."""
    found = [interval for recording in recordings for interval in authors_detections(engine, recording)]
    return map_action(found, [truth for recording in recordings for truth in truths_of(recording)])
