"""The network of detection and segmentation in training: cross-entropy a frame of random windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional

from training.data.augmentations import NO_VARIATION, ViewOptions, make_windows
from training.data.frames import IGNORE, WindowBatch
from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from training.optimization import adamw, cosine_schedule
from training.runs import step_generator


class FramewiseModule(lightning.LightningModule):
    """A network under cross-entropy a frame. Its weights are under `model.`, as in every checkpoint."""

    def __init__(self, model: dict[str, Any], training: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = USDRL(ModelOptions.from_dict(model))
        self.model.recognition.requires_grad_(False)
        self.model.encoder.requires_grad_(not training["frozen"])
        self.options, self.view = training, ViewOptions(**training["view"])

    def train(self, mode: bool = True) -> FramewiseModule:
        """Training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.options["frozen"]:
            self.model.encoder.eval()
        return self

    def loss(self, views: Tensor, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """The loss and the frame accuracy of views (N, 3, 64, V, M) with labels (N, 64)."""
        logits, labels = frame_logits(self.model, views).flatten(0, 1), labels.flatten()
        loss = functional.cross_entropy(logits, labels, ignore_index=IGNORE, label_smoothing=smoothing)
        return loss, (logits.argmax(-1) == labels)[labels != IGNORE].float().mean()

    def training_step(self, batch: WindowBatch, _: int) -> Tensor:
        generator = step_generator(self, self.options["seed"])
        views = make_windows(batch.clips, batch.positions, self.view, generator)
        loss, accuracy = self.loss(views, batch.labels, self.options["label_smoothing"])
        self.log_dict(
            {"train_loss": loss, "train_frame_accuracy": accuracy},
            on_epoch=True,
            on_step=False,
            batch_size=len(batch),
        )
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(batch))
        return loss

    def validation_step(self, batch: WindowBatch, _: int) -> None:
        loss, accuracy = self.loss(plain_windows(batch, self.view), batch.labels)
        labelled = int((batch.labels != IGNORE).sum())
        self.log_dict(
            {"val_loss": loss, "val_frame_accuracy": accuracy}, prog_bar=True, batch_size=labelled, sync_dist=True
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = self.options
        rate = options["learning_rate"]
        parts = [(self.model.encoder, rate * options["encoder_rate"]), (self.model.detection, rate)]
        return cosine_schedule(
            self.trainer, adamw(parts, options["weight_decay"]), options["epochs"], options["warmup"]
        )


def moving_average(decay: float) -> WeightAveraging:
    """Keeps the exponential moving average of the weights, with a decay a step.

    The decay is lower at first, (1 + n) / (10 + n) after n steps, so that a short run is not held at its first weights.
    """

    def average(kept: Tensor, new: Tensor, steps: Tensor | int) -> Tensor:
        steps = torch.as_tensor(steps, dtype=torch.float32, device=kept.device)
        return torch.lerp(kept, new, 1.0 - ((1.0 + steps) / (10.0 + steps)).clamp(max=decay))

    return WeightAveraging(avg_fn=average)


def frame_logits(model: USDRL, skeletons: Tensor) -> Tensor:
    """Detection logits (N, T, K+1) of skeletons (N, 3, T, V, M)."""
    return model.detection(model.frame_features(*model.tokens(skeletons)))


def plain_windows(batch: WindowBatch, view: ViewOptions) -> Tensor:
    """Windows as they are, (N, 3, 64, V, M), turned upright as in training."""
    unvaried = replace(NO_VARIATION, rotate_by=view.rotate_by)
    return make_windows(batch.clips, batch.positions, unvaried, torch.Generator(batch.positions.device))
