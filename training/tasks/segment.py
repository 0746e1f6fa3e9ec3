"""Name every frame of untrimmed recordings: segmentation.

    python -m training.tasks.segment training/configs/segment_utkinect_small.yaml --checkpoint runs/pretrained/last.ckpt

The network is that of detection (`training.tasks.detect`): the whole of it, or its linear head alone, is trained on
windows by cross-entropy a frame, and windows slid over each recording are merged to a posterior. Here each frame takes
its most probable class. `--scores '[runs/detect]'` judges runs of either task, one or the average of several ("3s"),
instead of training one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.configuration import RunOptions, configuration, option
from training.runs import Record, command, say
from training.tasks.frame_scores import FrameScores
from training.tasks.framewise import FramewiseConfig, judge
from usdrl_ros.evaluation.metrics.segmentation import edit_score, frame_accuracy, segmental_f1

BACKGROUND = 0
OVERLAPS = (0.1, 0.25, 0.5)


@configuration
class SegmentConfig(FramewiseConfig):
    """One segmentation run; the keys of its YAML file."""

    smoothing_s: float = option(
        0.0, "seconds around a frame over which the posterior is averaged; 0: not at all", low=0.0
    )


def smooth(stamps: np.ndarray, probabilities: np.ndarray, span_s: float) -> np.ndarray:
    """The mean of probabilities (T, K+1) over the frames within half of `span_s` of each, by stamps (T,) seconds."""
    first = np.searchsorted(stamps, stamps - span_s / 2, "left")
    stop = np.searchsorted(stamps, stamps + span_s / 2, "right")
    total = np.concatenate([np.zeros((1, probabilities.shape[1])), np.cumsum(probabilities, 0, dtype=float)])
    return (total[stop] - total[first]) / (stop - first)[:, None]


def measures(config: SegmentConfig, scores: Sequence[FrameScores]) -> dict[str, Any]:
    """What the scores of recordings are worth.

    Returns:
        frame_accuracy, edit, f1_0.1, f1_0.25 and f1_0.5, with background as a class as any other; the same with
        "action_" before them, without the background (`usdrl_ros.evaluation.metrics.segmentation`); n_recordings.
    """
    true = [score.labels for score in scores]
    predicted = [smooth(score.stamps, score.probabilities, config.smoothing_s).argmax(1) for score in scores]
    result: dict[str, Any] = {}
    for prefix, background in (("", None), ("action_", BACKGROUND)):
        result[f"{prefix}frame_accuracy"] = frame_accuracy(predicted, true, background)
        result[f"{prefix}edit"] = edit_score(predicted, true, background)
        for overlap in OVERLAPS:
            result[f"{prefix}f1_{overlap}"] = segmental_f1(predicted, true, overlap, background)
    return result | {"n_recordings": len(scores)}


def segment(config: SegmentConfig, run: RunOptions) -> Record:
    """Train and judge as configured; returns what `result.json` says, the validation people's metrics by "validation".

    Raises:
        ValueError: An archive, a split, a checkpoint or an option is not what it should be.
    """
    return judge(config, run, "segment", lambda scores, _: measures(config, scores))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("segment", SegmentConfig, __doc__, segment, _report, arguments)


def _report(config: SegmentConfig, run: RunOptions, record: Record) -> None:
    for part, found in (("validation", record.metrics.get("validation", {})), ("test", record.metrics)):
        if "edit" in found:
            values = [f"{name} {found[name]:.3f}" for name in ("frame_accuracy", "edit", "f1_0.1", "f1_0.25", "f1_0.5")]
            say(f"{part}: {', '.join(values)}")
    say(f"wrote {run.output}: {record.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
