"""Early prediction: the accuracy of a recognition model on the first 10 %, 20 % ... 100 % of test clips.

    python -m training.tasks.early training/configs/early_small.yaml --checkpoints '[runs/causal/last.ckpt]'

The checkpoints are those of `training.tasks.recognize`, linear or fine-tuned, trained on whole clips or, better, on
first parts of them: `--observed '[0.1, 1.0]'`. Of several ("3s") the probabilities are averaged. An encoder with
`attention: causal` lets no frame attend to later ones.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.checkpoints import read_checkpoint
from training.configuration import ConfigError, RunOptions, configuration, option
from training.data.archive import Archive
from training.model.usdrl import USDRL
from training.runs import Record, command, say
from training.tasks.features import device_of
from training.tasks.parts import take_parts
from training.tasks.recognize import score
from training.tasks.scores import measures

CURVE = "curve.png"


@configuration
class EarlyConfig:
    """One run of early prediction; the keys of its YAML file."""

    name: str = option(help="name of the run")
    data: str = option(help="archive")
    checkpoints: tuple[str, ...] = option(help="of recognition, whose probabilities are averaged")
    archives: str = option("archives", "directory that holds the archives")
    split: str = option("", "split of the archive; none: the data set's usual one")
    shares: tuple[float, ...] = option(
        tuple(tenth / 10 for tenth in range(1, 11)), "observed shares of the clips", above=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ConfigError("checkpoints: give one or more of training.tasks.recognize")
        if not self.shares:
            raise ConfigError("shares: give one or more")


def early(config: EarlyConfig, run: RunOptions) -> Record:
    """Measure as configured; writes `curve.png` and `result.json`, which it returns.

    Its metrics: observed, top1 and macro_f1 are lists, an entry a share; mean_top1 is the mean over them.

    Raises:
        ValueError: An archive, a split, a checkpoint or an option is not what it should be.
    """
    started = time.monotonic()
    archive = Archive(Path(config.archives) / config.data)
    clips = take_parts(archive, config.split).test
    models = [_recognizer(checkpoint, config, archive) for checkpoint in config.checkpoints]
    device = device_of(run)
    found = []
    for share in config.shares:
        each = [score(model, archive, clips, device, observed=share, **view).probabilities for model, view in models]
        found.append(measures(np.mean(each, 0).argmax(-1), clips.label, archive.actions))
    top1 = [each["top1"] for each in found]
    metrics = {
        "observed": list(config.shares),
        "top1": top1,
        "macro_f1": [each["macro_f1"] for each in found],
        "mean_top1": float(np.mean(top1)),
        "n_test": len(clips),
    }
    record = Record.of("early", config.name, config, metrics, started)
    record.save(run.output)
    save_curve(config.shares, top1, run.output / CURVE)
    return record


def save_curve(shares: Sequence[float], accuracy: Sequence[float], picture: Path) -> None:
    """Draw accuracy over observed share, in percent."""
    figure = Figure(figsize=(5, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([100 * share for share in shares], [100 * value for value in accuracy], "o-")
    axes.set(xlabel="observed share of the clip, %", ylabel="top-1 accuracy, %", xlim=(0, 102), ylim=(0, 102))
    axes.grid(alpha=0.3)
    figure.savefig(picture)


def _recognizer(checkpoint: str, config: EarlyConfig, archive: Archive) -> tuple[USDRL, dict[str, Any]]:
    """A recognition model, and how it is shown a clip."""
    content = read_checkpoint(Path(checkpoint))
    model, training = content.network(), content.training
    if "recognition" not in content.trained_heads or model.options.actions != archive.actions:
        held = "is for other actions" if "recognition" in content.trained_heads else "has no trained recognition head"
        raise ConfigError(
            f"{checkpoint} {held}; {archive.directory} has {len(archive.actions)} actions: train one on it with "
            "training.tasks.recognize"
        )
    if model.options.joints != archive.joints.shape[2]:
        raise ConfigError(
            f"{checkpoint} is for {model.options.joints} joints, {archive.directory} has {archive.joints.shape[2]}"
        )
    trained = training.get("split") or archive.protocols[0]
    if training.get("data") == config.data and trained != (config.split or archive.protocols[0]):
        raise ConfigError(
            f"{checkpoint} was trained on the split '{trained}' of {config.data}: give split: {trained}, or it is "
            "tested on clips that it was trained on"
        )
    return model, {"crop": training.get("crop", 1.0), "rotate_by": training.get("view", {}).get("rotate_by", "clip")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("early", EarlyConfig, __doc__, early, _report, arguments)


def _report(config: EarlyConfig, run: RunOptions, record: Record) -> None:
    for share, accuracy in zip(record.metrics["observed"], record.metrics["top1"], strict=True):
        say(f"{share:4.0%} observed: top-1 {accuracy:.1%}")
    say(f"{record.metrics['n_test']} clips: {run.output}")


if __name__ == "__main__":
    sys.exit(main())
