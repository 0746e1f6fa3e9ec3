"""Training that diverges is stopped: a loss, or a weight, that is not finite is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

EVERY = 20
"""Steps between two looks at the loss on a GPU, where each look waits for the device."""


class TrainingError(ValueError):
    """Training has failed; the message says where, and what to try."""


class FiniteLoss(Callback):
    """Stops training by a `TrainingError` when the loss is NaN or infinite, before a checkpoint is written."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):
            return
        total = loss.detach().float()
        self._sum = total if self._sum is None else self._sum + total
        if loss.device.type == "cpu" or batch_idx % EVERY == 0:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._check(trainer)

    def _check(self, trainer: lightning.Trainer) -> None:
        if self._sum is not None and not bool(torch.isfinite(self._sum)):
            raise TrainingError(
                f"the loss is {float(self._sum)} in epoch {trainer.current_epoch}, step {trainer.global_step}: "
                "training has diverged, and the last checkpoint is from before. Try a lower learning_rate, a longer "
                "warmup, or --trainer.precision 32-true, and check the archive"
            )
        self._sum = None


def check_weights(module: torch.nn.Module) -> None:
    """Check what was trained.

    Raises:
        TrainingError: A weight is NaN or infinite.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise TrainingError(f"after training, weights of {name} are not finite: try a lower learning_rate")
