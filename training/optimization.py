"""Optimisers and learning rates that the tasks share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

LOWEST = 0.04
"""Where a rise begins, as a share of the largest rate."""


def rate_share(done: float, rising: float) -> float:
    """The learning rate as a share of its largest after a share `done` of all steps: a linear rise, then half a cosine.

    Not `OneCycleLR`, which divides by zero where the rise is one step long.
    """
    if done < rising:
        return max(done / rising, LOWEST)
    return 0.5 * (1.0 + math.cos(math.pi * min((done - rising) / max(1.0 - rising, 1e-9), 1.0)))


def cosine_schedule(
    trainer: lightning.Trainer, optimizer: torch.optim.Optimizer, epochs: int, warmup: float
) -> OptimizerLRScheduler:
    """What `configure_optimizers` returns for rates that rise over a share `warmup` of the steps, then fall to 0.

    The steps are those of the run's `epochs`, not of the trainer's: a run that is stopped early by
    `--trainer.max_epochs` and resumed has the schedule of one that was not.
    """
    trainer.fit_loop.setup_data()
    steps = epochs * math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_share(step / steps, warmup))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def adamw(parts: Sequence[tuple[nn.Module, float]], weight_decay: float) -> torch.optim.AdamW:
    """AdamW over modules, each with a learning rate; weight matrices alone decay, biases and scales do not."""
    groups = []
    for module, rate in parts:
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for matrices, decay in ((True, weight_decay), (False, 0.0)):
            if parameters := [parameter for parameter in trained if (parameter.ndim >= 2) == matrices]:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups)
