"""What detection and segmentation share: a network that labels every frame of windows, and its scores of recordings.

The detection head is trained with the encoder, or alone where the encoder is frozen, by cross-entropy a frame.
Windows slid over a whole recording are merged to one posterior: the mean over the windows that show a frame.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.progress import track
from torch.utils.data import DataLoader

from training.configuration import ConfigError, RunOptions, configuration, option, plain_values
from training.data.archive import Archive
from training.data.augmentations import NO_VARIATION, ViewOptions
from training.data.clips import ShuffledBatches, take
from training.data.errors import DatasetError
from training.data.frames import FrameSource, RandomWindows, SlidingWindows, WindowBatch, WindowLength, merge
from training.data.held import Held
from training.model.usdrl import USDRL
from training.runs import Record, fit_batch, make_trainer, train
from training.tasks.encoders import EncoderConfig, make_model, open_archive
from training.tasks.features import device_of
from training.tasks.frame_module import FramewiseModule, frame_logits, moving_average, plain_windows
from training.tasks.frame_scores import FrameScores, average_scores, save_scores
from usdrl_ros.evaluation.metrics.detection import Interval

Measures = Callable[[Sequence[FrameScores], Sequence[str]], dict[str, Any]]

BATCH = 128
"""Windows that are scored at once."""

SHEARED = replace(NO_VARIATION, rotate_by="window", shear=0.15)
"""Windows turned upright as on the robot, with a small shear."""


@configuration
class FramewiseConfig(EncoderConfig):
    """The keys that detection and segmentation share."""

    checkpoint: str = option("", "whose encoder to begin with; none: random weights")
    frozen: bool = option(False, "train the linear head alone")
    scores: tuple[str, ...] = option((), "directories of runs whose scores are averaged, instead of training")
    validation_people: tuple[str, ...] = option((), "people of the training part to validate on instead")
    test: bool = option(True, "judge the test part at the end")
    window_s: float = option(5.0, "seconds of a window", above=0.0)
    window_frames: int = option(0, "recorded frames of a window instead of seconds; published: 64", low=0)
    hop: float = option(0.1, "from one window of a test to the next, as a share of the window", above=0.0)
    windows_per_epoch: int = option(1024, "random windows that make an epoch", low=1)
    slower: float = option(1.0, "largest factor by which actions are slower than recorded", low=1.0)
    faster: float = option(1.0, "largest factor by which actions are faster than recorded", low=1.0)
    view: ViewOptions = option(SHEARED, "how windows vary (nothing is cropped)")
    batch_size: int = option(64, "windows a step, over all devices", low=1)
    epochs: int = option(40, "of windows_per_epoch each", low=1)
    learning_rate: float = option(1e-3, "largest of AdamW, with a warm-up and cosine decay", above=0.0)
    encoder_rate: float = option(1.0, "the encoder's learning rate as a share of the head's", low=0.0)
    warmup: float = option(0.1, "share of the steps over which the learning rate rises", low=0.0, high=1.0)
    weight_decay: float = option(0.05, "of weight matrices", low=0.0)
    label_smoothing: float = option(0.0, "share of a label that is spread over all classes", low=0.0, below=1.0)
    drop_path: float = option(0.1, "share of samples for which a residual branch is left out", low=0.0, below=1.0)
    averaging: float = option(
        0.99, "decay of the weights' moving average a step, which is what is kept; 0: none", low=0.0, below=1.0
    )
    workers: int = option(0, "processes that read windows", low=0)

    @property
    def length(self) -> WindowLength:
        """How long a window is."""
        return WindowLength(self.window_frames, True) if self.window_frames else WindowLength(self.window_s)


class FramewiseData(lightning.LightningDataModule):
    """Random windows to train on, and slid ones of the people to validate on."""

    def __init__(self, config: FramewiseConfig, archive: Archive, people: int) -> None:
        super().__init__()
        self._config = config
        parts = recordings_of(config, archive)
        source = FrameSource(archive, parts["train"], config.length, people)
        self.window_s = source.window_s
        self.held = Held(source)
        self._batch_size = fit_batch(config.windows_per_epoch, config.batch_size, "windows of an epoch")
        self._windows = RandomWindows(
            source,
            config.windows_per_epoch,
            slower=config.slower,
            faster=config.faster,
            seed=config.seed,
        )
        self.judged = {
            part: SlidingWindows(FrameSource(archive, parts[part], config.length, people), _hop(config))
            for part in ("validation", "test")
            if len(parts[part]) and (part == "validation" or config.test)
        }

    def on_after_batch_transfer(self, batch: WindowBatch, dataloader_idx: int) -> WindowBatch:
        return self.held.complete(batch) if not len(batch.clips.joints) else batch

    def train_dataloader(self) -> DataLoader[WindowBatch]:
        assert self.trainer is not None
        config = self._config
        self.held.place(self.trainer.strategy.root_device)
        sampler = ShuffledBatches(
            len(self._windows),
            self._batch_size,
            config.seed,
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
        )
        sampler.set_epoch(self.trainer.current_epoch)
        self._windows.epoch = self.trainer.current_epoch
        return DataLoader(
            self._windows,
            batch_sampler=sampler,
            collate_fn=take,
            num_workers=config.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[WindowBatch]:
        return _in_order(self.judged["validation"])


def recordings_of(config: FramewiseConfig, archive: Archive) -> dict[str, np.ndarray]:
    """Indices of the labelled recordings that a run trains on, validates on and tests on.

    Raises:
        DatasetError: There is no such split or person, or nobody is left to train on.
    """
    training, test = (archive.labelled_only(archive.split(config.split or None, part)) for part in ("train", "test"))
    for part, found in (("training", training), ("test", test)):
        if not len(found):
            raise DatasetError(f"no recording of the {part} part of {archive.directory} has labels")
    held_out = np.zeros(len(training), bool)
    if config.validation_people:
        held_out = archive.of_people(config.validation_people)[training]
        if absent := sorted(set(config.validation_people) - set(archive.persons[training].tolist())):
            raise DatasetError(f"validation_people {', '.join(absent)}: not in the training part of {archive.name}")
        if held_out.all():
            raise DatasetError(f"validation_people are all of the training part of {archive.name}: nobody is left")
    return {"train": training[~held_out], "validation": training[held_out], "test": test}


def scores_of(config: FramewiseConfig, run: RunOptions) -> tuple[dict[str, list[FrameScores]], tuple[str, ...]]:
    """Train as configured, or average what was trained before: scores by part ("validation", "test"), and the actions.

    Writes them to the run's directory as `scores_PART.npz`.

    Raises:
        ValueError: An archive, a split, a checkpoint, a file or an option is not what it should be.
    """
    if config.scores:
        scores, actions = _average(config)
    elif config.test or config.validation_people:
        scores, actions = _train(config, run)
    else:
        raise ConfigError("there is nothing to judge: say test: true, or give validation_people")
    for part, found in scores.items():
        rank_zero_only(save_scores)(_scores_file(run.output, part), found, actions)
    return scores, actions


def _average(config: FramewiseConfig) -> tuple[dict[str, list[FrameScores]], tuple[str, ...]]:
    needed, directories = "test" if config.test else "validation", [Path(directory) for directory in config.scores]
    scores = {}
    for part in ("validation", "test") if config.test else ("validation",):
        paths = [_scores_file(directory, part) for directory in directories]
        if part == needed or all(path.is_file() for path in paths):
            scores[part], actions = average_scores(paths)
    return scores, actions


def _train(config: FramewiseConfig, run: RunOptions) -> tuple[dict[str, list[FrameScores]], tuple[str, ...]]:
    lightning.seed_everything(config.seed, verbose=False)
    archive = open_archive(config)
    begin = make_model(config, config.checkpoint, archive, config.drop_path)
    data = FramewiseData(config, archive, begin.options.people)
    # An exported model has windows of seconds, however they were measured here.
    training = plain_values(config) | {"window_s": data.window_s}
    module = FramewiseModule(begin.options.as_dict(), json.loads(json.dumps(training)))
    module.model.load_state_dict(begin.state_dict())
    trainer = make_trainer(
        run,
        config.epochs,
        callbacks=[moving_average(config.averaging)] if config.averaging else [],
        gradient_clip_val=1.0,
        reload_dataloaders_every_n_epochs=1,
        check_val_every_n_epoch=max(config.epochs // 20, 1),
        limit_val_batches=1.0 if config.validation_people else 0,
    )
    train(trainer, module, data, run)
    model = module.model.to(device_of(run)).eval()
    return {part: score(model, windows, module.view) for part, windows in data.judged.items()}, archive.actions


def score(model: USDRL, windows: SlidingWindows, view: ViewOptions) -> list[FrameScores]:
    """The merged posterior of each recording of windows, by a network in evaluation mode on its device."""
    source = windows.source
    device = next(model.parameters()).device
    found: dict[int, list[np.ndarray]] = {recording: [] for recording in source.recordings}
    done = 0
    for batch in track(_in_order(windows), "scoring", total=-(-len(windows) // BATCH), transient=True):
        with torch.no_grad():
            logits = frame_logits(model, plain_windows(batch.to(device), view))
        for probabilities in logits.softmax(-1).cpu().numpy():
            found[windows.windows[done].recording].append(probabilities)
            done += 1
    by_recording = {r: [window for window in windows.windows if window.recording == r] for r in source.recordings}
    return [
        FrameScores(
            name=source.name_of(recording),
            stamps=source.stamps[recording],
            probabilities=merge(by_recording[recording], np.stack(scores), len(source.stamps[recording])),
            labels=source.labels[recording],
            truths=tuple(
                Interval(source.name_of(recording), segment.action, segment.start, segment.end)
                for segment in source.segments_of(recording)
            ),
        )
        for recording, scores in found.items()
    ]


def smaller_tests(config: FramewiseConfig) -> dict[str, set[str]]:
    """The names of the test recordings of each split of `also_tested`.

    Raises:
        ValueError: There is no such split, or its test part is not within the run's.
    """
    if not config.also_tested:
        return {}
    archive = open_archive(config)
    tests = {split: archive.split(split, "test") for split in config.also_tested}
    whole = archive.split(config.split or None, "test")
    for split, test in tests.items():
        if outside := len(np.setdiff1d(test, whole)):
            raise ConfigError(f"also_tested '{split}': {outside} of its test recordings are not in the test part")
    return {split: set(archive.names[test].tolist()) for split, test in tests.items()}


def judge(config: FramewiseConfig, run: RunOptions, task: str, measures: Measures) -> Record:
    """Train (or average runs) and measure: the test part, under "also" smaller ones, and "validation".

    Args:
        config: What to train on what.
        run: Where to write.
        task: Name of the task.
        measures: Gives the metrics of some recordings' scores and the actions.

    Raises:
        ValueError: An archive, a split, a checkpoint, a file or an option is not what it should be.
    """
    started = time.monotonic()
    smaller = smaller_tests(config)
    scores, actions = scores_of(config, run)
    metrics: dict[str, Any] = {}
    if "test" in scores:
        metrics |= measures(scores["test"], actions)
    if smaller and "test" in scores:
        metrics["also"] = {
            split: measures([score for score in scores["test"] if score.name in names], actions)
            for split, names in smaller.items()
        }
    if "validation" in scores:
        metrics["validation"] = measures(scores["validation"], actions)
    record = Record.of(task, config.name, config, metrics, started)
    rank_zero_only(record.save)(run.output)
    return record


def _hop(config: FramewiseConfig) -> float:
    hop = config.hop * config.length.span
    return max(round(hop), 1) if config.length.by_frames else hop


def _scores_file(directory: Path, part: str) -> Path:
    return directory / f"scores_{part}.npz"


def _in_order(windows: SlidingWindows) -> DataLoader[WindowBatch]:
    return DataLoader(windows, BATCH, shuffle=False, collate_fn=take)
