"""Training the whole network to recognise clips: AdamW, warm-up and cosine decay, label smoothing, random views."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from training.data.augmentations import ViewOptions, centre_crop, make_views
from training.data.clips import ClipBatch, ClipDataset, ShuffledBatches, batches, in_order
from training.data.held import Held
from training.model.encoder import instance_feature
from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from training.optimization import adamw, cosine_schedule
from training.runs import fit_batch, step_generator
from training.tasks.features import BATCH, observe


class FineTuningModule(lightning.LightningModule):
    """The network with its recognition head. `training` holds plain values of `RecognizeConfig`."""

    def __init__(self, model: dict[str, Any], training: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = USDRL(ModelOptions.from_dict(model))
        self.model.detection.requires_grad_(False)
        self.options = training
        self.view = ViewOptions(**training["view"])

    def logits(self, skeletons: Tensor) -> Tensor:
        """Skeletons (N, 3, T, V, M) to (N, K)."""
        return self.model.recognition(instance_feature(*self.model.tokens(skeletons)))

    def training_step(self, batch: ClipBatch, _: int) -> Tensor:
        generator = step_generator(self, self.options["seed"])
        clips = observe(batch, self.options["observed"], generator)
        logits = self.logits(make_views(clips, self.view, 1, generator)[0])
        loss = functional.cross_entropy(logits, batch.label, label_smoothing=self.options["label_smoothing"])
        self._log("train", loss, logits, batch)
        self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(batch))
        return loss

    def validation_step(self, batch: ClipBatch, _: int) -> None:
        logits = self.logits(centre_crop(batch, self.options["crop"], rotate_by=self.view.rotate_by))
        self._log("val", functional.cross_entropy(logits, batch.label), logits, batch)

    def _log(self, part: str, loss: Tensor, logits: Tensor, batch: ClipBatch) -> None:
        accuracy = (logits.argmax(-1) == batch.label).float().mean()
        values = {f"{part}_loss": loss.detach(), f"{part}_accuracy": accuracy}
        self.log_dict(values, on_epoch=True, on_step=False, batch_size=len(batch), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = self.options
        rate = options["learning_rate"]
        parts = [(self.model.encoder, rate * options["encoder_rate"]), (self.model.recognition, rate)]
        optimizer = adamw(parts, options["weight_decay"])
        if options["drops"]:
            return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, options["drops"])]
        return cosine_schedule(self.trainer, optimizer, options["epochs"], options["warmup"])


class FineTuningData(lightning.LightningDataModule):
    """Clips to train on, in an order that the seed and the epoch decide, and clips to validate on, if any."""

    def __init__(
        self, train: ClipDataset, validation: ClipDataset | None, batch_size: int, seed: int, workers: int = 0
    ) -> None:
        super().__init__()
        self._train, self._validation = train, validation
        self._seed, self._workers = seed, workers
        self._batch_size = fit_batch(len(train), batch_size, "clips")
        self.held = Held(train)

    def on_after_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        return self.held.complete(batch) if not len(batch.joints) else batch

    def train_dataloader(self) -> DataLoader[ClipBatch]:
        assert self.trainer is not None
        self.held.place(self.trainer.strategy.root_device)
        sampler = ShuffledBatches(
            len(self._train),
            self._batch_size,
            self._seed,
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
        )
        sampler.set_epoch(self.trainer.current_epoch)
        return batches(self._train, sampler, self._workers)

    def val_dataloader(self) -> DataLoader[ClipBatch] | list[Any]:
        return [] if self._validation is None else in_order(self._validation, BATCH)
