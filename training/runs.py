"""What all training runs share: Lightning's trainer, logs and checkpoints, the record of a run, and fixed seeds.

A run's directory holds `last.ckpt` (resumable), `metrics.csv`, `curves.png` and `result.json`: what was run, on which
machine, for how long, and its metrics. `training.results` makes its tables from such records. Each file is written
beside its place and moved there when it is complete.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from training.checkpoints import read_plain
from training.configuration import ConfigError, RunOptions, parse
from training.curves import save_curves
from training.data.clips import fitted_batch
from training.finite import FiniteLoss, check_weights
from training.profiling import Profile
from usdrl_ros.files import atomic_file, write_json

LAST = "last.ckpt"
RESULT = "result.json"


@dataclass(frozen=True)
class Record:
    """The content of `result.json`.

    Args:
        task: For instance "pretrain" or "recognize".
        name: Of the run.
        config: Its configuration as plain values.
        metrics: By name; shares are 0 ... 1.
        seconds: How long it took.
        machine: What it ran on, in words.
        torch: Version of PyTorch.
        date: When it ended, UTC.
    """

    task: str
    name: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    seconds: float
    machine: str
    torch: str
    date: str

    @classmethod
    def of(cls, task: str, name: str, config: Any, metrics: dict[str, Any], started: float) -> Record:
        """The record of a run of a configuration (a dataclass) that began at `time.monotonic() == started`."""
        return cls(
            task=task,
            name=name,
            config=json.loads(json.dumps(asdict(config), default=str)),
            metrics=metrics,
            seconds=round(time.monotonic() - started, 1),
            machine=machine(),
            torch=torch.__version__,
            date=time.strftime("%Y-%m-%d", time.gmtime()),
        )

    def save(self, directory: Path) -> Path:
        """Write `result.json`, whole or not at all."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / RESULT
        write_json(path, asdict(self))
        return path

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a `result.json`.

        Raises:
            ValueError: It is missing, or no such record.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no record of a run: {error}") from error


def machine() -> str:
    """The processor or GPU that runs, for instance "2 x Intel(R) Xeon(R) Processor" or "1 x NVIDIA H100"."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} x {model}"


def seed_step(seed: int, step: int, rank: int = 0) -> int:
    """Seed torch for one training step, so that a resumed run draws what it would have; returns the step's seed."""
    value = (seed * 1_000_003 + step * 65_537 + rank) % (2**31)
    torch.manual_seed(value)
    return value


def step_generator(module: lightning.LightningModule, seed: int) -> torch.Generator:
    """A generator on the module's device for one training step, which see `seed_step`."""
    value = seed_step(seed, module.global_step, module.global_rank)
    return torch.Generator(module.device).manual_seed(value)


@rank_zero_only
def say(text: str) -> None:
    """Print in the first of several processes."""
    print(text, flush=True)


def fit_batch(count: int, batch_size: int, what: str) -> int:
    """The size of a batch for `count` samples, see `fitted_batch`; reported where it is another than asked for."""
    fitted = fitted_batch(count, batch_size)
    if fitted != batch_size:
        steps = count // fitted
        say(f"batch_size is {batch_size}, more than the {count} {what}: {fitted} are used, {steps} steps an epoch")
    return fitted


Config = TypeVar("Config")


def command(
    task: str,
    kind: type[Config],
    document: str | None,
    run_task: Callable[[Config, RunOptions], Record],
    report: Callable[[Config, RunOptions, Record], None],
    arguments: Sequence[str] | None,
) -> int:
    """The command line of a task; returns the exit code.

    Args:
        task: Its module in `training.tasks`.
        kind: Its configuration.
        document: Its description for `--help`.
        run_task: Runs it.
        report: Prints what came out.
        arguments: The command line; None: that of the process.
    """
    try:
        config, run = parse(kind, f"python -m training.tasks.{task}", document or "", arguments)
        record = run_task(config, run)
    except (ValueError, OSError, MisconfigurationException) as error:
        print(f"training.tasks.{task}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    report(config, run, record)
    return 0


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place and moves them there: a full disk leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(checkpoint, Path(path))


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OSError: It cannot be written; the checkpoint before is unchanged.
    """
    try:
        with atomic_file(path) as beside:
            torch.save(content, beside)
    except RuntimeError as error:  # PyTorch's writer reports a full disk so
        reason = " ".join(str(error).split())[:160]
        raise OSError(f"{path}: cannot be written ({reason}); is the disk full? The old file is unchanged") from error


def make_trainer(
    run: RunOptions, epochs: int, *, callbacks: Sequence[Callback] = (), **options: Any
) -> lightning.Trainer:
    """A trainer that logs to `metrics.csv` and keeps `last.ckpt`; the run's own trainer options go before `options`.

    `--trainer.logger tensorboard` logs for TensorBoard besides.
    """
    table = CSVLogger(run.output.parent, name=run.output.name, version="")
    given: dict[str, Any] = {
        "max_epochs": epochs,
        "logger": table,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "use_distributed_sampler": False,
    }
    given |= options | run.trainer
    _quieten()
    if given["logger"] == "tensorboard":
        from lightning.pytorch.loggers import TensorBoardLogger

        try:
            given["logger"] = [table, TensorBoardLogger(run.output, name="", version="tensorboard")]
        except ModuleNotFoundError as error:
            raise ConfigError("--trainer.logger tensorboard needs TensorBoard: pip install tensorboard") from error
    checkpoint = ModelCheckpoint(
        run.output,
        filename=Path(LAST).stem,
        save_top_k=1,
        every_n_epochs=max(epochs // 50, 1),
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    bar: list[Callback] = [RichProgressBar(refresh_rate=1)] if given.get("enable_progress_bar", True) else []
    profile: list[Callback] = [Profile(run.output)] if run.profile else []
    given.setdefault("plugins", [WholeCheckpoints()])
    try:
        return lightning.Trainer(callbacks=[FiniteLoss(), *profile, *bar, *callbacks, checkpoint], **given)
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"lightning.Trainer refuses its options: {' '.join(str(error).split())}") from error


def _quieten() -> None:
    """No advice and no advertisement of the framework among the output of a run; its warnings stay."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (".*does not have many workers.*", ".*The number of training batches.*", ".*isinstance.treespec.*"):
        warnings.filterwarnings("ignore", text)


def train(
    trainer: lightning.Trainer, module: lightning.LightningModule, data: lightning.LightningDataModule, run: RunOptions
) -> None:
    """Fit, keep the last state, and draw the learning curves.

    Raises:
        ConfigError: The run to resume was started with another configuration.
        TrainingError: The loss or the weights are not finite.
    """
    resumed, metrics = run.output / LAST, run.output / "metrics.csv"
    if run.compile:
        compile_network(module)
    if run.resume:
        _check_configuration(module, resumed)
    if run.resume and trainer.is_global_zero and metrics.is_file():
        _continue_log(trainer, metrics, resumed)
    trainer.fit(module, data, ckpt_path=str(resumed) if run.resume else None, weights_only=True)
    check_weights(module)
    trainer.save_checkpoint(resumed, weights_only=False)
    if trainer.is_global_zero and metrics.is_file():
        save_curves(metrics, run.output / "curves.png")


def compile_network(module: lightning.LightningModule) -> None:
    """Let `torch.compile` make the embedding and the streams of the encoder; names of weights stay.

    The first steps then take a minute or more. It pays on a GPU, and in long runs.
    """
    network: Any = module.model
    encoder = network.encoder
    for part in ("embed", "streams"):
        setattr(encoder, part, torch.compile(getattr(encoder, part), dynamic=False))


def _check_configuration(module: lightning.LightningModule, checkpoint: Path) -> None:
    """Refuse to resume a run with another configuration: it would be neither the old one nor the new one."""
    began = read_plain(checkpoint)["hyper_parameters"]
    for part in ("model", "training"):
        before, now = began[part], module.hparams[part]
        for key in sorted(set(before) | set(now)):
            if before.get(key) != now.get(key):
                raise ConfigError(
                    f"{checkpoint} was started with {key}: {before.get(key)}, the configuration has {now.get(key)}: "
                    "use the old value, or start a new run in another directory"
                )


def _continue_log(trainer: lightning.Trainer, metrics: Path, checkpoint: Path) -> None:
    """Keep what was logged up to a checkpoint; Lightning's logger begins by deleting it."""
    steps = read_plain(checkpoint)["global_step"]
    with metrics.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or ()), [row for row in reader if int(row["step"]) < steps]
    for logger in trainer.loggers:
        if isinstance(logger, CSVLogger):
            logger.experiment.metrics_keys = names
            with metrics.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(rows)
