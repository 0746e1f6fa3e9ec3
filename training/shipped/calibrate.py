"""Make confidences mean what they say: one temperature a head, fitted on people whom training left out.

    python -m training.shipped.calibrate runs/hri_2/last.ckpt --output runs/hri_2_calibrated

The logits of each head are divided by the temperature under which the validation people's labels are likeliest (Guo et
al., ICML 2017). It is folded into the head's weights, so that nothing else need know of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from training.checkpoints import read_checkpoint
from training.configuration import ConfigError, RunOptions
from training.data.archive import Archive
from training.data.augmentations import ViewOptions, centre_crop
from training.data.clips import ClipDataset, in_order, take
from training.data.frames import IGNORE, FrameSource, SlidingWindows, WindowLength
from training.model.usdrl import USDRL
from training.shipped.clips import calibration_error
from training.tasks.frame_module import plain_windows
from training.tasks.recognize import save_checkpoint
from training.tasks.robot import RobotModule, known_clips, words_of

BATCH = 64
HEADS = ("detection", "recognition")


@dataclass(frozen=True)
class Fitted:
    """The temperature of a head, and the expected calibration errors before and after."""

    temperature: float
    before: float
    after: float


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Fitted:
    """The temperature under which labels (N,) are likeliest by logits (N, C)."""
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(labels)

    def loss(log_temperature: float) -> float:
        return float(functional.cross_entropy(scores / np.exp(log_temperature), truth))

    temperature = float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))
    before, after = (calibration_error((scores / t).softmax(-1).numpy(), labels) for t in (1.0, temperature))
    return Fitted(temperature, before, after)


def validation_logits(
    module: RobotModule, archive: Archive, recordings: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Logits and labels of both heads on some recordings: of all frames of slid windows, and of all clips."""
    model, length = module.model.eval(), WindowLength(float(module.options["window_s"]))
    people = model.options.people
    windows = SlidingWindows(FrameSource(archive, recordings, length, people), 0.5 * length.span)
    frames: list[tuple[Tensor, Tensor]] = []
    clips: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for batch in track(DataLoader(windows, BATCH, collate_fn=take), "windows", transient=True):
            labels = module.frame_labels(batch.labels)
            logits = model(plain_windows(batch, module.view))[0]
            frames.append((logits[labels != IGNORE], labels[labels != IGNORE]))
        dataset = ClipDataset([(archive, known_clips(archive, recordings))], people)
        for clip in track(in_order(dataset, BATCH), "clips", transient=True):
            clips.append((model(centre_crop(clip, rotate_by="window"))[1], clip.label))
    return {
        name: (torch.cat([a for a, _ in found]).numpy(), torch.cat([b for _, b in found]).numpy())
        for name, found in (("detection", frames), ("recognition", clips))
    }


def scale(model: USDRL, temperatures: dict[str, float]) -> None:
    """Fold temperatures into the heads."""
    with torch.no_grad():
        for name, temperature in temperatures.items():
            for parameter in getattr(model, name).parameters():
                parameter /= temperature


def calibrate(
    checkpoint: Path, archives: Path, output: Path, part: str = "validation", heads: Sequence[str] = HEADS
) -> dict[str, Fitted]:
    """Fit the heads' temperatures and write `last.ckpt` and `calibration.json`.

    Args:
        checkpoint: Of `training.tasks.robot`.
        archives: Where the sessions are.
        output: Directory of the two files.
        part: Of the sessions, on which nothing was trained.
        heads: Which of `HEADS` get their temperature; the other stays as it was trained.

    Raises:
        ValueError: The checkpoint is not of `training.tasks.robot`, or was trained on the part.
    """
    found = read_checkpoint(checkpoint)
    if "clip_view" not in found.training:
        raise ConfigError(f"{checkpoint} is not of `python -m training.tasks.robot`")
    if part in found.training["parts"]:
        raise ConfigError(f"{checkpoint} was trained on '{part}': confidences must be fitted on other people")
    archive = Archive(archives / found.training["data"])
    if words_of(archive) != found.options.actions:
        raise ConfigError(f"{checkpoint} knows other actions than {archive.directory}")
    module = RobotModule(found.options.as_dict(), found.training)
    module.model.load_state_dict(found.network().state_dict())
    module.view = ViewOptions(**found.training["view"])
    logits = validation_logits(module, archive, archive.split(found.training["split"] or None, part))
    fitted = {name: fit_temperature(*logits[name]) for name in heads}
    scale(module.model, {name: one.temperature for name, one in fitted.items()})
    output.mkdir(parents=True, exist_ok=True)
    save_checkpoint(module.model, found.training, RunOptions(output))
    report = {name: one.__dict__ for name, one in fitted.items()}
    (output / "calibration.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return fitted


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="last.ckpt of training.tasks.robot")
    parser.add_argument("--archives", type=Path, default=Path("archives"), help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="directory of the calibrated checkpoint")
    parser.add_argument(
        "--heads",
        nargs="+",
        default=HEADS,
        choices=HEADS,
        help="that get a temperature; detection without one is softer, and its events may be better (both)",
    )
    options = parser.parse_args(arguments)
    try:
        fitted = calibrate(options.checkpoint, options.archives, options.output, heads=options.heads)
    except ValueError as error:
        print(f"training.shipped.calibrate: {error}", file=sys.stderr)
        return 1
    for name, one in fitted.items():
        errors = f"expected calibration error {one.before:.3f} before, {one.after:.3f} after"
        print(f"{name}: temperature {one.temperature:.3f}, {errors} (validation people)")
    print(f"wrote {options.output / 'last.ckpt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
