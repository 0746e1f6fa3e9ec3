"""Recognise the action of a clip: linear probe, semi-supervised, fine-tuned, from scratch, transfer.

    python -m training.tasks.recognize training/configs/recognize_linear_small.yaml --checkpoint runs/p/last.ckpt

`mode: linear` is the published protocol of linear evaluation (authors' code): the encoder is frozen and in evaluation
mode, the view is the centre crop of the clip, and one linear layer is trained on the instance feature. As the features
of a clip then never change, they are computed once and the layer is trained on them; `crops` gives random views
instead, whose features are cached as well (crops x clips x 2H numbers in memory). Where the authors report the best
test accuracy of all epochs, this is the one after the last. It takes no trainer option but `--trainer.accelerator`;
`--resume` starts over, with the same result.

`mode: fine_tuned` trains the whole network on random views. `checkpoint: ""` means a random encoder: with `linear` the
floor that pretraining must beat, with `fine_tuned` supervised training from scratch. `label_share` below 1 is
semi-supervised: of each class a share of the labels is used.

A checkpoint may come from another data set (transfer). One of two people takes an archive of one; one of one person
needs `people: 1` on an archive of two, whose main persons it then sees; 2D and 3D joints do not mix.

Test clips are looked at once, at the end. `validation_people` are held out of training and measured about ten times a
run, to choose settings by; then train with them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import lightning
import torch

from training.configuration import ConfigError, RunOptions, configuration, option, plain_values
from training.data.archive import Archive, Clips
from training.data.augmentations import ViewOptions
from training.data.clips import ClipDataset
from training.model.usdrl import USDRL
from training.runs import LAST, Record, command, make_trainer, say, train, write_checkpoint
from training.tasks.encoders import EncoderConfig, make_model, open_archive
from training.tasks.features import device_of, embed, embed_views
from training.tasks.fine_tuning import FineTuningData, FineTuningModule
from training.tasks.linear import LinearOptions, fit_linear, save_curve
from training.tasks.parts import Parts, clip_names, smaller_tests, take_parts
from training.tasks.scores import Scores

MODES: dict[str, dict[str, Any]] = {
    "linear": {
        "epochs": 150,
        "batch_size": 512,
        "learning_rate": 0.006,
        "drops": (120, 140),
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
    },
    "fine_tuned": {
        "epochs": 60,
        "batch_size": 64,
        "learning_rate": 0.001,
        "drops": (),
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
    },
}
"""What the keys that differ are where they are not given; those of `linear` are published."""

MILD = ViewOptions(crop=(0.5, 1.0), crop_frames=16, corruption=0.0, shear=0.2)


@configuration
class RecognizeConfig(EncoderConfig):
    """One recognition run; the keys of its YAML file."""

    checkpoint: str = option("", "to begin with; none: a random encoder")
    mode: str = option("linear", "linear or fine_tuned", choices=tuple(MODES))
    validation_people: tuple[str, ...] = option((), "people of the training part to hold out and measure on")
    label_share: float = option(
        1.0, "share of each class's training clips that is used, at least one clip", above=0.0, high=1.0
    )
    crop: float = option(1.0, "share of a test clip, its middle, that is shown", above=0.0, high=1.0)
    observed: tuple[float, float] = option(
        (1.0, 1.0), "train on the first part of clips, a share between two", above=0.0, high=1.0
    )
    epochs: int | None = option(None, "passes over the clips; linear: 150, fine_tuned: 60", low=1)
    batch_size: int | None = option(None, "clips a step; linear: 512, fine_tuned: 64", low=1)
    learning_rate: float | None = option(None, "linear: of SGD, 0.006; fine_tuned: of AdamW, 0.001", above=0.0)
    drops: tuple[int, ...] | None = option(
        None, "epochs after which the rate is a tenth; []: cosine; linear: 120, 140, fine_tuned: []", low=1
    )
    weight_decay: float | None = option(None, "linear: 0; fine_tuned: 0.05, of matrices", low=0.0)
    label_smoothing: float | None = option(None, "linear: 0; fine_tuned: 0.1", low=0.0, below=1.0)
    momentum: float = option(0.9, "linear: of SGD", low=0.0, below=1.0)
    standardize: bool = option(False, "linear: train on standardised features (the result is linear all the same)")
    crops: int = option(0, "linear: random views of each clip instead of its centre crop", low=0)
    view: ViewOptions = option(MILD, "how training views vary; keys left out of a given one are the published ones")
    warmup: float = option(
        0.1, "fine_tuned: share of the steps over which the rate rises (with cosine decay)", low=0.0, high=1.0
    )
    encoder_rate: float = option(1.0, "fine_tuned: factor on the learning rate of the encoder", low=0.0)
    drop_path: float = option(
        0.1, "fine_tuned: share of samples for which a residual branch is left out", low=0.0, below=1.0
    )
    workers: int = option(0, "fine_tuned: processes that read clips", low=0)

    def __post_init__(self) -> None:
        for key, value in MODES[self.mode].items():
            if getattr(self, key) is None:
                object.__setattr__(self, key, value)
        if self.observed[0] > self.observed[1]:
            raise ConfigError(f"observed is {self.observed}, must be a smallest and a largest share")
        if self.mode == "linear" and self.observed != (1.0, 1.0) and not self.crops:
            raise ConfigError("observed: a linear run draws views of its clips only with crops of 1 or more")


def recognize(config: RecognizeConfig, run: RunOptions) -> Record:
    """Train and test as configured; writes the checkpoint, `scores.npz` and `result.json`, which it returns.

    Raises:
        ValueError: An archive, a split, a checkpoint or an option is not what it should be.
    """
    started = time.monotonic()
    lightning.seed_everything(config.seed, verbose=False)
    archive = open_archive(config)
    parts = take_parts(archive, config.split, config.validation_people, config.label_share, config.seed)
    smaller = smaller_tests(archive, parts.test, config.also_tested)
    model = make_model(config, config.checkpoint, archive, config.drop_path)
    fit = _linear if config.mode == "linear" else _fine_tuned
    device, is_first, further = fit(config, run, model, archive, parts)
    scores = replace(
        score(model, archive, parts.test, device, crop=config.crop, rotate_by=config.view.rotate_by), smaller=smaller
    )
    metrics = scores.measures() | {"n_train": len(parts.train), "n_validation": len(parts.validation)} | further
    record = Record.of("recognize", config.name, config, metrics, started)
    if is_first:
        scores.save(run.output)
        record.save(run.output)
    return record


def score(model: USDRL, archive: Archive, clips: Clips, device: torch.device | str, **view: Any) -> Scores:
    """Class probabilities of clips by a network with a trained head; `view` as for `embed`."""
    dataset = ClipDataset([(archive, clips)], model.options.people)
    features, labels = embed(model, dataset, device, text="testing", **view)
    with torch.no_grad():
        probabilities = model.recognition.cpu()(features).softmax(-1)
    return Scores(probabilities.numpy(), labels.numpy(), clip_names(archive, clips), archive.actions)


def _linear(
    config: RecognizeConfig, run: RunOptions, model: USDRL, archive: Archive, parts: Parts
) -> tuple[torch.device, bool, dict[str, Any]]:
    device = device_of(run)
    dataset = ClipDataset([(archive, parts.train)], model.options.people)
    view: dict[str, Any] = {"crop": config.crop, "rotate_by": config.view.rotate_by}
    if config.crops:
        features = embed_views(model, dataset, device, config.view, config.crops, config.seed, config.observed)
    else:
        features = embed(model, dataset, device, text="embedding training clips", **view)[0][None]
    validation = None
    if len(parts.validation):
        held_out = ClipDataset([(archive, parts.validation)], model.options.people)
        validation = embed(model, held_out, device, text="embedding validation clips", **view)
    given = asdict(config)
    options = LinearOptions(**{key: given[key] for key in LinearOptions.__dataclass_fields__})
    labels = torch.from_numpy(dataset.labels)
    weight, bias, curve = fit_linear(features.to(device), labels, len(archive.actions), options, validation)
    model.recognition.load_state_dict({"weight": weight, "bias": bias})
    save_curve(curve, run.output)
    save_checkpoint(model, plain_values(config), run)
    measured = [(line.epoch + 1, line.val_accuracy) for line in curve if line.val_accuracy is not None]
    further: dict[str, Any] = {"train_top1": curve[-1].train_accuracy if curve else None}
    if measured:
        further |= {"val_top1": measured[-1][1], "val_curve": measured}
    return device, True, further


def save_checkpoint(model: USDRL, training: dict[str, Any], run: RunOptions) -> None:
    """Write `last.ckpt` as Lightning would for a network that was trained without it."""
    content = {
        "hyper_parameters": {"model": model.options.as_dict(), "training": training},
        "state_dict": {f"model.{key}": value.cpu() for key, value in model.state_dict().items()},
    }
    write_checkpoint(content, run.output / LAST)


class _ValidationCurve(lightning.Callback):
    """Keeps the validation accuracy by epoch, also over a resumed run."""

    def __init__(self) -> None:
        self.measured: list[list[float]] = []

    def on_validation_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self.measured.append([trainer.current_epoch + 1, float(trainer.callback_metrics["val_accuracy"])])

    def state_dict(self) -> dict[str, Any]:
        return {"measured": [list(line) for line in self.measured]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.measured = state_dict["measured"]


def _fine_tuned(
    config: RecognizeConfig, run: RunOptions, model: USDRL, archive: Archive, parts: Parts
) -> tuple[torch.device, bool, dict[str, Any]]:
    assert config.epochs is not None
    assert config.batch_size is not None
    people = model.options.people
    validation = ClipDataset([(archive, parts.validation)], people) if len(parts.validation) else None
    module = FineTuningModule(model.options.as_dict(), plain_values(config))
    module.model.load_state_dict(model.state_dict())
    data = FineTuningData(
        ClipDataset([(archive, parts.train)], people), validation, config.batch_size, config.seed, config.workers
    )
    curve = _ValidationCurve()
    trainer = make_trainer(
        run,
        config.epochs,
        callbacks=[curve],
        reload_dataloaders_every_n_epochs=1,
        check_val_every_n_epoch=max(config.epochs // 10, 1),
        limit_val_batches=1.0 if validation else 0,
    )
    train(trainer, module, data, run)
    model.load_state_dict(module.model.state_dict())
    found = trainer.callback_metrics
    further: dict[str, Any] = {"train_top1": float(found["train_accuracy"]) if "train_accuracy" in found else None}
    if curve.measured:
        further |= {"val_top1": curve.measured[-1][1], "val_curve": curve.measured}
    return trainer.strategy.root_device, trainer.is_global_zero, further


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("recognize", RecognizeConfig, __doc__, recognize, _report, arguments)


def _report(config: RecognizeConfig, run: RunOptions, record: Record) -> None:
    top1, macro_f1 = record.metrics["top1"], record.metrics["macro_f1"]
    say(f"top-1 {top1:.1%} of {record.metrics['n_test']} clips, macro F1 {macro_f1:.3f}: {run.output}")


if __name__ == "__main__":
    sys.exit(main())
