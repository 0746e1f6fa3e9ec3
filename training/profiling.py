"""Where the time of training goes: `--profile` reports the share of it in which the device is busy.

A step is: wait for the loader, move the batch, compute. On a GPU, CUDA events around the computation give the time in
which the device was at work; on a CPU it is the time in `training_step`, `backward` and the optimiser.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from usdrl_ros.files import write_json

PROFILE = "profile.json"
SKIPPED = 5
"""Steps at the start that are not measured: libraries are loaded, kernels chosen, networks compiled."""


@dataclass(frozen=True)
class Shares:
    """What was measured.

    Args:
        steps: How many.
        step_ms: Mean time of a step.
        waiting_ms: Of it, the wait for the loader and the move of the batch to the device.
        busy_share: Share of the time in which the device computes.
        device: In words.
    """

    steps: int
    step_ms: float
    waiting_ms: float
    busy_share: float
    device: str


class Profile(Callback):
    """Measures each step of training, and writes `profile.json` when it ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._steps, self._waiting, self._computing = 0, 0.0, 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._began = self._ended = 0.0

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._steps >= SKIPPED and self._ended:
            self._waiting += now - self._ended
        self._began = now
        if module.device.type == "cuda" and self._steps >= SKIPPED:
            pair = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            pair[0].record()
            self._events.append(pair)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if module.device.type == "cuda" and self._events:
            self._events[-1][1].record()
        self._ended = time.perf_counter()
        if self._steps >= SKIPPED:
            self._computing += self._ended - self._began
        self._steps += 1

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._ended = 0.0  # validation and checkpoints are not part of a step

    def on_fit_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        measured = self._steps - SKIPPED
        if measured < 1:
            rank_zero_only(print)(f"profile: fewer than {SKIPPED + 1} steps, nothing was measured")
            return
        busy = self._computing
        if self._events:
            torch.cuda.synchronize()
            busy = sum(begin.elapsed_time(end) for begin, end in self._events) / 1e3
        total = self._waiting + self._computing
        device = torch.cuda.get_device_name() if module.device.type == "cuda" else "CPU"
        shares = Shares(
            measured, 1e3 * total / measured, 1e3 * self._waiting / measured, min(busy / total, 1.0), device
        )
        self._report(shares)

    @rank_zero_only
    def _report(self, shares: Shares) -> None:
        write_json(self._directory / PROFILE, asdict(shares))
        print(
            f"profile: {shares.steps} steps of {shares.step_ms:.1f} ms on {shares.device}: "
            f"{shares.busy_share:.0%} busy, {shares.waiting_ms:.1f} ms of a step waiting for data"
        )
