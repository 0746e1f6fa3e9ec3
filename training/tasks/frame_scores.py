"""Class probabilities of every frame of recordings: kept, so that runs can be averaged, and turned into intervals."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from usdrl_ros.actions.events import ActionState, DecoderSettings, EventDecoder
from usdrl_ros.actions.timeline import Timeline
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.settings import Settings


@dataclass(frozen=True)
class FrameScores:
    """The class probabilities of one recording of T frames.

    Args:
        name: Of the recording.
        stamps: (T,) seconds.
        probabilities: (T, K+1), background first; rows sum to 1.
        labels: (T,) true classes, 0 background.
        truths: The true actions.
    """

    name: str
    stamps: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    truths: tuple[Interval, ...]


def save_scores(path: Path, scores: Sequence[FrameScores], actions: Sequence[str]) -> None:
    """Write the scores of several recordings to one .npz file."""
    arrays: dict[str, np.ndarray] = {
        "names": np.array([score.name for score in scores], str),
        "actions": np.array(actions, str),
    }
    for number, score in enumerate(scores):
        arrays[f"stamps_{number}"] = score.stamps
        arrays[f"probabilities_{number}"] = score.probabilities.astype(np.float32)
        arrays[f"labels_{number}"] = score.labels
        arrays[f"truth_actions_{number}"] = np.array([truth.action for truth in score.truths], str)
        arrays[f"truth_times_{number}"] = np.array([(t.start, t.end) for t in score.truths], float).reshape(-1, 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load_scores(path: Path) -> tuple[list[FrameScores], tuple[str, ...]]:
    """The scores of recordings, and the actions.

    Raises:
        ValueError: The file is missing, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            scores = []
            for number, name in enumerate(content["names"].tolist()):
                truths = zip(content[f"truth_actions_{number}"], content[f"truth_times_{number}"], strict=True)
                scores.append(
                    FrameScores(
                        name,
                        content[f"stamps_{number}"],
                        content[f"probabilities_{number}"],
                        content[f"labels_{number}"],
                        tuple(Interval(name, str(action), float(t[0]), float(t[1])) for action, t in truths),
                    )
                )
            return scores, tuple(content["actions"].tolist())
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no frame scores ({error}): give the directory of a run with them") from error


def average_scores(paths: Sequence[Path]) -> tuple[list[FrameScores], tuple[str, ...]]:
    """The mean probabilities of several runs on the same recordings ("3s"), and the actions.

    Raises:
        ValueError: A file cannot be read, or the runs differ in their recordings or actions.
    """
    (scores, actions), *others = [load_scores(path) for path in paths]
    for path, (other, other_actions) in zip(paths[1:], others, strict=True):
        same = other_actions == actions and [s.name for s in other] == [s.name for s in scores]
        if not same or any(not np.array_equal(a.labels, b.labels) for a, b in zip(scores, other, strict=True)):
            raise ValueError(f"{path} is of other recordings or actions than {paths[0]}: they cannot be averaged")
    every = zip(scores, *(other for other, _ in others), strict=True)
    return [replace(each[0], probabilities=np.mean([s.probabilities for s in each], 0)) for each in every], actions


def runs_above(score: FrameScores, actions: Sequence[str], threshold: float) -> list[Interval]:
    """The authors' detections: of each action, runs of frames with a probability above the threshold.

    A detection's score is the mean probability in it. It lasts from the stamp of its first frame to that of the frame
    after its last one; after a frame that was followed by a pause, for a frame of median length.
    """
    stops = _frame_ends(score.stamps)
    found = []
    for number, action in enumerate(actions, 1):
        probability = score.probabilities[:, number]
        for first, stop in true_runs(probability > threshold):
            mean = float(probability[first:stop].mean())
            found.append(Interval(score.name, action, float(score.stamps[first]), float(stops[stop - 1]), mean))
    return found


def true_runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """(first, after the last) of each run of true in a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def _frame_ends(stamps: np.ndarray) -> np.ndarray:
    """(T,) until when each frame lasts, seconds: until the next one, but not through a pause."""
    steps = np.diff(stamps)
    usual = float(np.median(steps)) if len(steps) else 0.0
    return stamps + np.append(np.where(steps > PAUSE * usual, usual, steps), usual)


PAUSE = 3.0
"""A step to the next frame longer than this many usual ones is a pause."""


def decoded_events(score: FrameScores, actions: Sequence[str], settings: Settings, cell_s: float) -> list[Interval]:
    """The events that the robot's decoder makes of this posterior, step by step in time.

    Where nobody was seen for `settings.lost_after_s`, it is reset, as on the robot.

    Args:
        score: A recording.
        actions: K names.
        settings: Thresholds, and the rate of steps.
        cell_s: The length of a cell of the timeline, seconds.
    """
    found = []
    pauses = np.flatnonzero(np.diff(score.stamps) > settings.lost_after_s) + 1
    for frames in np.split(np.arange(len(score.stamps)), pauses):
        origin = float(score.stamps[frames[0]])
        decoder = EventDecoder(actions, DecoderSettings.of(settings))
        last: dict[int, ActionState] = {}
        stamps, probabilities = score.stamps[frames] - origin, score.probabilities[frames]
        for state in _decode(stamps, probabilities, decoder, settings.rate, cell_s):
            last[state.number] = state
        for state in last.values():
            start, end = origin + state.start_ns / 1e9, origin + state.end_ns / 1e9
            found.append(Interval(score.name, state.action, start, end, state.confidence))
    return found


def _decode(
    stamps: np.ndarray, probabilities: np.ndarray, decoder: EventDecoder, rate: float, cell_s: float
) -> list[ActionState]:
    """All states that the decoder emits for a posterior (T, K+1) whose stamps (T,) begin at 0."""
    cell_ns = round(cell_s * 1e9)
    timeline = Timeline(cell_ns, 1, probabilities.shape[1])
    stop_ns = round(stamps[-1] * 1e9)
    centres = (np.arange(stop_ns // cell_ns + 1) + 0.5) * cell_ns / 1e9
    cells = np.stack([np.interp(centres, stamps, column) for column in probabilities.T], -1)
    emitted: list[ActionState] = []
    added = 0
    for now_ns in [*range(round(1e9 / rate), stop_ns, round(1e9 / rate)), stop_ns]:
        while added <= now_ns // cell_ns:
            timeline.add(added * cell_ns, cells[added : added + 1], 0)
            added += 1
        emitted += decoder.update(timeline, now_ns)
    return emitted + decoder.finish(timeline, stop_ns)
