"""Train both heads of a model at once, from scratch or from given weights: `python -m training.fit CONFIG --root DATA`.

Writes to the output directory: `last.ckpt` (averaged weights, resumable), `metrics.csv`, `curves.png`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy

from training.checkpoints import load_checkpoint
from training.configuration import load
from training.curves import save_curves
from training.data import utkinect
from training.data.acted import TRAIN_SEED, VALIDATION_SEED, act
from training.data.sets import read_all
from training.data.windows import FRAMES, IGNORE, NO_VARIATION, Track, Variation, WindowDataset, split_people, tracks
from training.model.modalities import MODALITIES
from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from training.optimization import adamw, cosine_schedule


@dataclass(frozen=True)
class FitConfig:
    """One training run; the keys of its YAML file."""

    name: str
    window_s: float = 5.0
    modalities: tuple[str, ...] = MODALITIES
    width: int = 256
    heads: int = 1
    layers: int = 2
    drop_path: float = 0.1
    train_people: tuple[str, ...] = utkinect.TRAIN_PEOPLE
    held_out_people: tuple[str, ...] = ()
    actor_takes: int = 0
    actor_first_seed: int = TRAIN_SEED
    actor_share: float = 0.3
    clips: float = 0.25
    variation: dict[str, float] = field(default_factory=dict)
    windows_per_epoch: int = 2048
    batch_size: int = 64
    epochs: int = 40
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    seed: int = 0


class FitModule(lightning.LightningModule):
    """Cross-entropy a frame for detection, plus cross-entropy a window for recognition."""

    def __init__(self, model: dict[str, Any], training: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.options = training
        self.model = USDRL(ModelOptions.from_dict(model))
        classes = len(self.model.options.actions)
        self.frame_accuracy = MulticlassAccuracy(classes + 1, average="micro")
        self.clip_accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE)

    def _losses(self, batch: tuple[Tensor, Tensor, Tensor], smoothing: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        skeletons, labels, action = batch
        detection, recognition, _ = self.model(skeletons)
        frame_loss = _cross_entropy(detection.flatten(0, 1), labels.flatten(), smoothing)
        clip_loss = _cross_entropy(recognition, action, smoothing)
        return frame_loss, clip_loss, detection, recognition

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        frame_loss, clip_loss, _, _ = self._losses(batch, self.options["label_smoothing"])
        self.log_dict(
            {"train_detection_loss": frame_loss, "train_recognition_loss": clip_loss}, on_epoch=True, on_step=False
        )
        self.log("loss", frame_loss + clip_loss, prog_bar=True, logger=False)
        return frame_loss + clip_loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        frame_loss, clip_loss, detection, recognition = self._losses(batch, 0.0)
        _, labels, action = batch
        valid = labels.flatten() != IGNORE
        if valid.any():
            self.frame_accuracy(detection.flatten(0, 1)[valid], labels.flatten()[valid])
        if (action != IGNORE).any():
            self.clip_accuracy(recognition, action)
        self.log_dict({"val_detection_loss": frame_loss, "val_recognition_loss": clip_loss})
        self.log_dict(
            {"val_frame_accuracy": self.frame_accuracy, "val_clip_accuracy": self.clip_accuracy}, prog_bar=True
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = self.options
        optimizer = adamw([(self.model, options["learning_rate"])], options["weight_decay"])
        return cosine_schedule(self.trainer, optimizer, options["epochs"], 0.1)


class MixedDataset(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Recorded and acted windows in a fixed proportion: one in round(1 / share) is acted."""

    def __init__(self, recorded: WindowDataset, acted: WindowDataset | None, share: float) -> None:
        self._recorded, self._acted = recorded, acted
        self._every = round(1.0 / share) if acted is not None and share > 0 else 0

    def __len__(self) -> int:
        return len(self._recorded)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        if self._acted is not None and self._every and index % self._every == 0:
            return self._acted[index]
        return self._recorded[index]

    def set_epoch(self, epoch: int) -> None:
        """Draw other windows than in the epochs before."""
        self._recorded.epoch = epoch
        if self._acted is not None:
            self._acted.epoch = epoch


class FitData(lightning.LightningDataModule):
    """Windows of UTKinect's people and of the actor."""

    def __init__(self, config: FitConfig, root: Path, workers: int) -> None:
        super().__init__()
        self._config, self._workers = config, workers
        actions = utkinect.ACTIONS
        recordings = [r for r in read_all(utkinect.NAME, root) if r.person in config.train_people]
        training, held_out = split_people(recordings, config.held_out_people)
        acted = act(config.actor_takes, config.actor_first_seed, actions)
        variation = Variation(**config.variation)
        options: dict[str, Any] = dict(window_s=config.window_s, clips=config.clips, seed=config.seed)
        length = config.windows_per_epoch
        self._train = MixedDataset(
            WindowDataset(tracks(training, actions), length=length, variation=variation, **options),
            WindowDataset(tracks(acted, actions), length=length, variation=variation, **options) if acted else None,
            config.actor_share,
        )
        checked: list[Track] = tracks(held_out or act(4, VALIDATION_SEED, actions), actions)
        self._check = WindowDataset(checked, length=512, variation=NO_VARIATION, **options)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        assert self.trainer is not None
        self._train.set_epoch(self.trainer.current_epoch)
        return self._loader(self._train, drop_last=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        return self._loader(self._check, drop_last=False)

    def _loader(self, dataset: Any, drop_last: bool) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        return DataLoader(
            dataset, self._config.batch_size, num_workers=self._workers, drop_last=drop_last, shuffle=False
        )


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Mean over the labelled; 0 where nothing is."""
    if not (labels != IGNORE).any():
        return logits.sum() * 0.0
    return functional.cross_entropy(logits, labels, ignore_index=IGNORE, label_smoothing=smoothing)


def fit(
    config: FitConfig,
    root: Path,
    output: Path,
    *,
    resume: bool = False,
    init: Path | None = None,
    workers: int = 0,
    trainer_options: dict[str, Any] | None = None,
) -> Path:
    """Train as configured; returns the checkpoint's path.

    Args:
        config: What to train on what.
        root: Directory of UTKinect-Action3D.
        output: Directory of the run.
        resume: Continue from `output/last.ckpt` where it was interrupted.
        init: A checkpoint of the same kind of model, whose weights to begin with.
        workers: Processes that prepare windows.
        trainer_options: Further options of `lightning.Trainer`.

    Raises:
        ValueError: A file is missing, or is not what it should be.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    model = ModelOptions(
        actions=utkinect.ACTIONS,
        modalities=config.modalities,
        width=config.width,
        heads=config.heads,
        layers=config.layers,
        drop_path=config.drop_path,
    )
    training = {
        key: getattr(config, key)
        for key in (
            "name",
            "window_s",
            "learning_rate",
            "weight_decay",
            "label_smoothing",
            "seed",
            "epochs",
            "actor_takes",
        )
    }
    training["people"] = [person for person in config.train_people if person not in config.held_out_people]
    module = FitModule(model.as_dict(), training)
    if init is not None:
        before, _ = load_checkpoint(init)
        if before.options != module.model.options:
            raise ValueError(f"{init} holds another model than {config.name}: {before.options}")
        module.model.load_state_dict(before.state_dict())
    checkpoint = output / "last.ckpt"
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        logger=CSVLogger(output.parent, name=output.name, version=""),
        callbacks=[
            EMAWeightAveraging(decay=0.99),
            ModelCheckpoint(output, filename="last", save_top_k=1, enable_version_counter=False),
            RichProgressBar(),
        ],
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=max(config.epochs // 20, 1),
        log_every_n_steps=1,
        **(trainer_options or {}),
    )
    trainer.fit(
        module, FitData(config, root, workers), ckpt_path=str(checkpoint) if resume else None, weights_only=True
    )
    trainer.save_checkpoint(checkpoint, weights_only=False)
    save_curves(output / "metrics.csv", output / "curves.png")
    return checkpoint


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.fit", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("config", type=Path, help="YAML file, for instance training/configs/utkinect.yaml")
    parser.add_argument("--root", type=Path, required=True, help="directory of UTKinect-Action3D (holds joints/)")
    parser.add_argument("--output", type=Path, help="directory of the run (default: runs/NAME)")
    parser.add_argument("--init", type=Path, help="begin with the weights of this checkpoint instead of random ones")
    parser.add_argument("--resume", action="store_true", help="continue from the output's last.ckpt")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare windows (default: 0)")
    parser.add_argument("--epochs", type=int, help="instead of the configuration's")
    parser.add_argument("--hold-out", nargs="+", metavar="PERSON", help="validate on these people, not trained on")
    options = parser.parse_args(arguments)
    try:
        config = load(FitConfig, options.config)
        if options.epochs:
            config = replace(config, epochs=options.epochs)
        if options.hold_out:
            config = replace(config, held_out_people=tuple(options.hold_out))
        output = options.output or Path("runs") / config.name
        if options.resume and not (output / "last.ckpt").is_file():
            raise ValueError(f"nothing to resume: {output / 'last.ckpt'} is not there")
        checkpoint = fit(
            config, options.root, output, resume=options.resume, init=options.init, workers=options.workers
        )
    except ValueError as error:
        print(f"training.fit: {error}", file=sys.stderr)
        return 1
    print(f"wrote {checkpoint} ({FRAMES} frames a window of {config.window_s} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
