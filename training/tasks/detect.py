"""Detect actions in untrimmed recordings: what is done, from when until when.

    python -m training.tasks.detect training/configs/detect_utkinect_small.yaml --checkpoint runs/pretrained/last.ckpt

The whole network (or its linear head alone) is trained on windows by cross-entropy a frame. At test, windows slid over
each recording are merged to a posterior, and that to detections: by the authors' rule (runs of frames above a low
threshold), and by the decoder that runs on the robot. Both are measured by PKU-MMD's mean average precision.

`--scores '[runs/joint, runs/bone, runs/motion]'` judges the average of runs instead of training one ("3s").
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.configuration import RunOptions, configuration, option
from training.data.frames import FRAMES
from training.runs import Record, command, say
from training.tasks.frame_scores import FrameScores, decoded_events, runs_above
from training.tasks.framewise import FramewiseConfig, judge
from usdrl_ros.evaluation.metrics.detection import (
    THETAS,
    Interval,
    f1_score,
    mean_average_precision_by_action,
    mean_average_precision_by_recording,
)
from usdrl_ros.settings import Settings

POSTPROCESSING = ("authors", "events")
ROBOT = Settings()


@configuration
class DetectConfig(FramewiseConfig):
    """One detection run; the keys of its YAML file."""

    postprocessing: tuple[str, ...] = option(
        POSTPROCESSING, "authors: runs above a threshold; events: the robot's", choices=POSTPROCESSING
    )
    threshold: float = option(0.02, "authors: least probability of a frame of a detection", low=0.0, high=1.0)
    settings: Settings = option(ROBOT, "events: settings as on the robot")


def detections(config: DetectConfig, kind: str, score: FrameScores, actions: Sequence[str]) -> list[Interval]:
    """What is detected in one recording by one kind of post-processing."""
    if kind == "authors":
        return runs_above(score, actions, config.threshold)
    cell_s = config.window_s / FRAMES
    if config.window_frames:
        cell_s = float(np.median(np.diff(score.stamps))) * config.window_frames / FRAMES
    return decoded_events(score, actions, config.settings, cell_s)


def measures(config: DetectConfig, scores: Sequence[FrameScores], actions: Sequence[str]) -> dict[str, Any]:
    """What the scores of recordings are worth.

    Returns:
        frame_accuracy; for each post-processing KIND and overlap T of 0.1 ... 0.7 KIND_map_action_T, KIND_map_video_T
        and KIND_f1_T; the counts KIND_detections, n_actions and n_recordings.
    """
    truths = [truth for score in scores for truth in score.truths]
    right = np.concatenate([score.probabilities.argmax(1) == score.labels for score in scores])
    result: dict[str, Any] = {"frame_accuracy": float(right.mean())}
    for kind in config.postprocessing:
        found = [interval for score in scores for interval in detections(config, kind, score, actions)]
        for theta in THETAS:
            result[f"{kind}_map_action_{theta}"] = mean_average_precision_by_action(found, truths, theta, actions)
            result[f"{kind}_map_video_{theta}"] = mean_average_precision_by_recording(found, truths, theta)
            result[f"{kind}_f1_{theta}"] = f1_score(found, truths, theta)
        result[f"{kind}_detections"] = len(found)
    return result | {"n_actions": len(truths), "n_recordings": len(scores)}


def detect(config: DetectConfig, run: RunOptions) -> Record:
    """Train and judge as configured; returns what `result.json` says, the validation people's metrics by "validation".

    Raises:
        ValueError: An archive, a split, a checkpoint or an option is not what it should be.
    """
    return judge(config, run, "detect", lambda scores, actions: measures(config, scores, actions))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("detect", DetectConfig, __doc__, detect, _report, arguments)


def _report(config: DetectConfig, run: RunOptions, record: Record) -> None:
    for part, found in (("validation", record.metrics.get("validation", {})), ("test", record.metrics)):
        if "frame_accuracy" in found:
            values = [f"frame accuracy {found['frame_accuracy']:.3f}"]
            values += [f"{kind} mAP_action@0.5 {found[f'{kind}_map_action_0.5']:.3f}" for kind in config.postprocessing]
            say(f"{part}: {', '.join(values)}")
    say(f"wrote {run.output}: {record.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
