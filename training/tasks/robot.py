"""Train both heads of the robot's model together, on the sessions of one vocabulary.

    python -m training.shipped.sessions training/configs/hri_2_sessions.yaml
    python -m training.tasks.robot training/configs/hri_2.yaml --checkpoint hri-2

Each step sees windows and clips: windows that end anywhere in a session, as on the robot, whose frames the detection
head labels; and single actions stretched to a window, as in trimmed data sets, for the recognition head, which learns
from windows that show one action as well. Data sets are drawn by their share, windows by duration within a set, clips
by set and class, see `training.data.balanced`.

`others: background` says that what the vocabulary has no word for is to be taken for nothing; `others: ignored` leaves
it out of the loss. Test people are not looked at here: that is for `training.shipped.model_card`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from training.checkpoints import read_checkpoint
from training.configuration import ConfigError, RunOptions, configuration, option, plain_values
from training.data.archive import Archive, Clips
from training.data.augmentations import ViewOptions, make_views, make_windows
from training.data.balanced import ActionWindows, CellBalanced, cells_of, label_spaces, of_sets, set_names, short_clips
from training.data.clips import ClipBatch, ClipDataset, ShuffledBatches, take
from training.data.frames import IGNORE, FrameSource, SlidingWindows, WindowBatch, WindowLength
from training.data.vocabulary import IGNORED, OTHER
from training.model.encoder import instance_feature
from training.model.options import ModelOptions
from training.model.partial_labels import cross_entropy_within, supervised_contrastive
from training.model.usdrl import USDRL
from training.optimization import adamw, cosine_schedule
from training.runs import Record, command, make_trainer, say, step_generator, train
from training.tasks.encoders import EncoderConfig, make_model, open_archive
from training.tasks.frame_module import moving_average, plain_windows

OTHERS = ("background", "ignored")
LEAST_SHARE = 0.5
"""A window shows one action if it alone fills this share of it."""

ROBOT_VIEW = ViewOptions(
    crop=(1.0, 1.0),
    rotate_by="window",
    corruption=0.0,
    shear=0.15,
    yaw_deg=15.0,
    tilt_deg=15.0,
    mirror=0.3,
    size=0.1,
    noise_m=0.03,
    sparse=0.3,
    unseen=0.2,
    poorer=0.15,
)
CLIP_VIEW = replace(ROBOT_VIEW, crop=(0.6, 1.0), crop_frames=8)


@configuration
class RobotConfig(EncoderConfig):
    """One run; the keys of its YAML file."""

    checkpoint: str = option("", "to begin with: an encoder, or a run of this task; none: random weights")
    parts: tuple[str, ...] = option(("train",), "parts of the split to train on")
    share: dict[str, float] = option({}, "data set: its share of the windows, relative to its duration", low=0.0)
    without: tuple[str, ...] = option((), "data sets that are left out, to be tested on")
    others: str = option("background", "actions without a word are background, or ignored in the loss", choices=OTHERS)
    partly_labelled: tuple[str, ...] = option(
        (), "data sets whose background is background only against the actions that they label"
    )
    on_actions: float = option(
        0.0, "share of the windows that end in an action drawn evenly, or soon after it", low=0.0, high=1.0
    )
    contrastive: float = option(0.0, "weight of the supervised contrastive loss of the embedding", low=0.0)
    rest_s: float = option(
        0.0, "seconds of background that are put between repeats of an action without a pause", low=0.0
    )
    background_weight: float = option(1.0, "of background frames in the loss of detection", above=0.0)
    window_s: float = option(5.0, "seconds of a window", above=0.0)
    slower: float = option(1.4, "largest factor by which actions are slower than recorded", low=1.0)
    faster: float = option(1.4, "largest factor by which actions are faster than recorded", low=1.0)
    view: ViewOptions = option(ROBOT_VIEW, "how windows vary (nothing is cropped)")
    clip_view: ViewOptions = option(CLIP_VIEW, "how clips vary")
    windows: int = option(48, "windows a step, over all devices", low=2)
    clips: int = option(32, "clips a step, over all devices", low=1)
    clip_weight: float = option(0.5, "of the loss of recognition, beside that of detection", low=0.0)
    steps_per_epoch: int = option(100, "steps that make an epoch", low=1)
    epochs: int = option(60, "of steps_per_epoch each", low=1)
    learning_rate: float = option(1e-3, "largest of AdamW, with a warm-up and cosine decay", above=0.0)
    encoder_rate: float = option(1.0, "the encoder's learning rate as a share of the heads'", low=0.0)
    warmup: float = option(0.05, "share of the steps over which the learning rate rises", low=0.0, high=1.0)
    weight_decay: float = option(0.05, "of weight matrices", low=0.0)
    label_smoothing: float = option(0.05, "share of a label that is spread over all classes", low=0.0, below=1.0)
    drop_path: float = option(0.1, "share of samples for which a residual branch is left out", low=0.0, below=1.0)
    averaging: float = option(
        0.998, "decay of the weights' moving average a step, which is what is kept; 0: none", low=0.0, below=1.0
    )
    workers: int = option(0, "processes that read windows and clips", low=0)


class RobotModule(lightning.LightningModule):
    """The network under both losses. Its weights are under `model.`, as in every checkpoint."""

    spaces: Tensor

    def __init__(self, model: dict[str, Any], training: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.register_buffer("spaces", torch.ones(1, len(model["actions"]) + 1, dtype=torch.bool), persistent=False)
        self.model = USDRL(ModelOptions.from_dict(model))
        self.options = training
        self.view, self.clip_view = ViewOptions(**training["view"]), ViewOptions(**training["clip_view"])
        self.words = len(self.model.options.actions)

    def frame_labels(self, labels: Tensor) -> Tensor:
        """Classes of the archive (N, 64) to those of the network: 0 is background, `IGNORE` is left out."""
        other = 0 if self.options["others"] == "background" else IGNORE
        labels = torch.where(labels == self.words + 1, other, labels)
        return torch.where(labels > self.words, IGNORE, labels)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        generator = step_generator(self, self.options["seed"])
        windows: WindowBatch = batch["windows"]
        clips: ClipBatch = batch["clips"]
        frames = self.frame_labels(windows.labels)
        shown = torch.cat([action_of(frames, windows.labels), clips.label])
        with torch.autocast(self.device.type, enabled=False):  # half precision is too coarse for metres
            views = make_windows(windows.clips, windows.positions, self.view, generator)
            skeletons = torch.cat([views, make_views(clips, self.clip_view, 1, generator)[0]])
        temporal, spatial = self.model.tokens(skeletons)
        count, smoothing = len(frames), self.options["label_smoothing"]
        detection = self.model.detection(self.model.frame_features(temporal[:count], spatial[:count]))
        recognition = self.model.recognition(instance_feature(temporal, spatial))
        found = self._detection_loss(detection, frames, windows.labels, windows.recording)
        recognised = functional.cross_entropy(recognition, shown, ignore_index=IGNORE, label_smoothing=smoothing)
        loss = found + self.options["clip_weight"] * recognised
        if weight := self.options.get("contrastive", 0.0):
            features = instance_feature(temporal, spatial)
            loss = loss + weight * supervised_contrastive(features, shown, ignore=IGNORE)
        self._log("train", detection, frames, recognition[count:], clips.label, found, recognised)
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=count)
        return loss

    def _detection_loss(self, logits: Tensor, frames: Tensor, labels: Tensor, recording: Tensor) -> Tensor:
        """Of logits (N, 64, K+1); what a set does not label is no background against what it does not know."""
        spaces = self.spaces[recording.clamp(max=len(self.spaces) - 1)]
        # What is done without a word is known to be none of the actions, whatever the set labels.
        unlabelled = ((labels == 0)[..., None] & ~spaces[:, None]).flatten(0, 1)
        return cross_entropy_within(
            logits.flatten(0, 1),
            frames.flatten(),
            ~unlabelled,
            ignore=IGNORE,
            label_smoothing=self.options["label_smoothing"],
            background_weight=self.options.get("background_weight", 1.0),
        )

    def validation_step(self, batch: WindowBatch, _: int) -> None:
        frames = self.frame_labels(batch.labels)
        shown = action_of(frames, batch.labels)
        detection, recognition, _ = self.model(plain_windows(batch, self.view))
        known = shown != IGNORE
        found = functional.cross_entropy(detection.flatten(0, 1), frames.flatten(), ignore_index=IGNORE)
        recognised = functional.cross_entropy(recognition[known], shown[known]) if known.any() else found.new_zeros(())
        self._log("val", detection, frames, recognition[known], shown[known], found, recognised)

    def _log(
        self, part: str, detection: Tensor, frames: Tensor, recognition: Tensor, shown: Tensor, *losses: Tensor
    ) -> None:
        labelled = frames != IGNORE
        figures = {
            f"{part}_frame_accuracy": (detection.argmax(-1) == frames)[labelled],
            f"{part}_action_accuracy": recognition.argmax(-1) == shown,
        }
        for name, right in figures.items():
            if len(right):
                self.log(name, right.float().mean(), on_epoch=True, on_step=False, batch_size=len(right))
        for name, value in zip(("detection", "recognition"), losses, strict=True):
            self.log(f"{part}_{name}_loss", value.detach(), on_epoch=True, on_step=False, batch_size=len(frames))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = self.options
        rate = options["learning_rate"]
        heads = torch.nn.ModuleList([self.model.detection, self.model.recognition])
        optimizer = adamw(
            [(self.model.encoder, rate * options["encoder_rate"]), (heads, rate)], options["weight_decay"]
        )
        return cosine_schedule(self.trainer, optimizer, options["epochs"], options["warmup"])


def action_of(frames: Tensor, labels: Tensor) -> Tensor:
    """The one action (N,) that windows show, 0-based, or `IGNORE`: it alone fills `LEAST_SHARE` of the window.

    Args:
        frames: (N, 64) classes of the network.
        labels: (N, 64) classes of the archive, in which what is done without a word counts as another action.
    """
    first = frames.clamp(min=0).max(1).values
    alone = ((labels == first[:, None]) | (labels <= 0)).all(1)
    filled = (frames == first[:, None]).float().mean(1) >= LEAST_SHARE
    return torch.where(alone & filled & (first > 0), first - 1, IGNORE)


class RobotData(lightning.LightningDataModule):
    """Windows and clips to train on, and slid windows of the people to validate on, where they are not trained on."""

    def __init__(self, config: RobotConfig, archive: Archive, people: int) -> None:
        super().__init__()
        self._config = config
        split = config.split or archive.protocols[0]
        chosen = archive.labelled_only(np.concatenate([archive.split(split, part) for part in config.parts]))
        chosen = of_sets(archive, chosen, config.without)
        self.spaces = label_spaces(archive, len(words_of(archive)))
        self.spaces[~np.isin(set_names(archive), config.partly_labelled)] = True
        length = WindowLength(config.window_s)
        source = FrameSource(archive, chosen, length, people, rest_s=config.rest_s)
        sets = [name.partition("/")[0] for name in archive.names[chosen]]
        if unknown := sorted(set(config.share) - set(sets)):
            raise ConfigError(f"share: {', '.join(unknown)}: there are {', '.join(sorted(set(sets)))}")
        self._windows = ActionWindows(
            source,
            config.windows * config.steps_per_epoch,
            len(words_of(archive)),
            config.on_actions,
            slower=config.slower,
            faster=config.faster,
            seed=config.seed,
            share=[config.share.get(name, 1.0) for name in sets],
        )
        clips = short_clips(archive, known_clips(archive, chosen))
        self._cells = cells_of(archive, clips)
        self._clips = ClipDataset([(archive, clips)], people)
        self._judged = None
        if "validation" not in config.parts and (archive.split(split, "validation")).size:
            judged = of_sets(archive, archive.split(split, "validation"), config.without)
            held_out = FrameSource(archive, judged, length, people)
            self._judged = SlidingWindows(held_out, 0.5 * config.window_s)

    def train_dataloader(self) -> dict[str, DataLoader[Any]]:
        assert self.trainer is not None
        config, trainer = self._config, self.trainer
        processes: dict[str, int] = {"rank": trainer.global_rank, "processes": trainer.world_size}
        windows = ShuffledBatches(len(self._windows), config.windows, config.seed, **processes)
        clips = CellBalanced(self._cells, config.clips, config.steps_per_epoch, config.seed, **processes)
        for each in (windows, clips, self._windows):
            each.epoch = trainer.current_epoch
        shared: dict[str, Any] = {
            "collate_fn": take,
            "num_workers": config.workers,
            "pin_memory": torch.cuda.is_available(),
        }
        return {
            "windows": DataLoader(self._windows, batch_sampler=windows, **shared),
            "clips": DataLoader(self._clips, batch_sampler=clips, **shared),
        }

    def val_dataloader(self) -> list[DataLoader[WindowBatch]]:
        return [] if self._judged is None else [DataLoader(self._judged, 64, shuffle=False, collate_fn=take)]


def known_clips(archive: Archive, recordings: np.ndarray) -> Clips:
    """The actions of some recordings of a session archive that its vocabulary has a word for."""
    clips = archive.clips(recordings)
    return clips.select(clips.label < len(words_of(archive)))


def words_of(archive: Archive) -> tuple[str, ...]:
    """The vocabulary's actions of an archive that `training.shipped.sessions` wrote.

    Raises:
        ConfigError: It is another archive.
    """
    if archive.actions[-2:] != (OTHER, IGNORED):
        raise ConfigError(
            f"{archive.directory} holds no sessions: write some with `python -m training.shipped.sessions`"
        )
    return archive.actions[:-2]


def train_robot(config: RobotConfig, run: RunOptions) -> Record:
    """Train as configured; returns what `result.json` says: metrics of the last epoch.

    Raises:
        ValueError: An archive, a split, a checkpoint or an option is not what it should be.
    """
    started = time.monotonic()
    lightning.seed_everything(config.seed, verbose=False)
    archive = open_archive(config)
    begin = make_model(config, config.checkpoint, archive, config.drop_path)
    options = ModelOptions.from_dict(begin.options.as_dict() | {"actions": list(words_of(archive))})
    data = RobotData(config, archive, options.people)
    module = RobotModule(options.as_dict(), plain_values(config))
    module.spaces = torch.from_numpy(data.spaces)
    module.model.encoder.load_state_dict(begin.encoder.state_dict())
    if config.checkpoint and (before := read_checkpoint(Path(config.checkpoint))).options.actions == options.actions:
        module.model.load_state_dict(before.network().state_dict())  # with the heads that it has
    validated = bool(data.val_dataloader())
    trainer = make_trainer(
        run,
        config.epochs,
        callbacks=[moving_average(config.averaging)] if config.averaging else [],
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
        check_val_every_n_epoch=max(config.epochs // 10, 1),
        limit_val_batches=1.0 if validated else 0,
    )
    train(trainer, module, data, run)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    record = Record.of("robot", config.name, config, figures, started)
    if trainer.is_global_zero:
        record.save(run.output)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("robot", RobotConfig, __doc__, train_robot, _report, arguments)


def _report(config: RobotConfig, run: RunOptions, record: Record) -> None:
    for part in ("train", "val"):
        if f"{part}_frame_accuracy" in record.metrics:
            frames, actions = (record.metrics[f"{part}_{kind}_accuracy"] for kind in ("frame", "action"))
            say(f"{part}: {frames:.1%} of frames, {actions:.1%} of actions")
    say(f"wrote {run.output / 'last.ckpt'}")


if __name__ == "__main__":
    sys.exit(main())
