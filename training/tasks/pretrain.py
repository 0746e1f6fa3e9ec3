"""Pretrain an encoder without labels: MPCT with MG-FD (USDRL, arXiv 2412.09220 and 2508.12586).

    python -m training.tasks.pretrain training/configs/pretrain_small.yaml --output runs/pretrained

Several views of each clip pass the encoder and are to agree, with decorrelated features. One modality trains the
published single model; several train one unified model (UmURL, Sun et al., ACM MM 2023): each modality alone and all of
them fused pass the same streams, the views of each agree (intra-modal), and each agrees with the fused one
(inter-modal).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader

from training.configuration import RunOptions, configuration, option, plain_values
from training.data.archive import Archive, Clips
from training.data.augmentations import ViewOptions, make_views
from training.data.clips import ClipBatch, ClipDataset, ShuffledBatches, batches
from training.data.held import Held
from training.model.encoder import ATTENTION, instance_feature
from training.model.losses import DOMAINS, LossWeights, feature_decorrelation, gather, modality_consistency
from training.model.modalities import MODALITIES, modality
from training.model.options import ARCHITECTURES, ModelOptions
from training.model.projectors import Projectors
from training.model.usdrl import USDRL
from training.optimization import cosine_schedule
from training.runs import Record, command, fit_batch, make_trainer, say, step_generator, train

FUSED = "fused"


@configuration
class PretrainConfig:
    """One pretraining run; the keys of its YAML file."""

    name: str = option(help="name of the run")
    data: dict[str, str] = option(help="archive: split whose training part is used, or 'all'")
    archives: str = option("archives", "directory that holds the archives")
    without_people: dict[str, tuple[str, ...]] = option({}, "archive: people to leave out (to validate on)")
    window_s: dict[str, float] = option(
        {}, "archive: cut whole recordings into windows of seconds, not by label", above=0.0
    )
    modalities: tuple[str, ...] = option(("joint",), "one, or several for a unified model", choices=MODALITIES)
    architecture: str = option("dste", "dste or sttr", choices=ARCHITECTURES)
    width: int = option(1024, "H", low=1)
    heads: int = option(1, "attention heads", low=1)
    layers: int = option(2, "layers a stream", low=1)
    people: int = option(2, "M", low=1)
    attention: str = option("full", "of the temporal stream: full or causal", choices=ATTENTION)
    drop_path: float = option(0.1, "share of samples for which a residual branch is left out", low=0.0, below=1.0)
    views: int = option(4, "views of each clip, at least 2", low=2)
    modalities_a_step: int = option(
        0, "of a unified model: how many, drawn anew, pass alone beside the fused; 0: all", low=0
    )
    view: ViewOptions = option(ViewOptions(), "how the views vary")
    loss: LossWeights = option(LossWeights(), "weights of the loss terms")
    batch_size: int = option(384, "clips a step, over all devices", low=1)
    epochs: int = option(451, "passes over the clips", low=1)
    learning_rate: float = option(5e-4, "of Adam", above=0.0)
    drops: tuple[int, ...] = option(
        (351,), "epochs after which the learning rate is a tenth; none: cosine decay", low=1
    )
    warmup: float = option(
        0.0, "share of the steps over which the learning rate rises (with cosine decay)", low=0.0, high=1.0
    )
    weight_decay: float = option(1e-5, "of Adam, coupled as published", low=0.0)
    workers: int = option(0, "processes that read clips", low=0)
    seed: int = option(0, "of everything random", low=0)

    def model(self, joints: int) -> ModelOptions:
        """The network that is pretrained."""
        return ModelOptions(
            modalities=self.modalities,
            architecture=self.architecture,
            width=self.width,
            heads=self.heads,
            layers=self.layers,
            joints=joints,
            people=self.people,
            attention=self.attention,
            drop_path=self.drop_path,
        )


class PretrainModule(lightning.LightningModule):
    """The encoder and its projectors under MPCT. Weights of the network are under `model.`, as in every checkpoint."""

    def __init__(self, model: dict[str, Any], training: dict[str, Any]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = USDRL(ModelOptions.from_dict(model))
        for head in (self.model.detection, self.model.recognition):
            head.requires_grad_(False)
        self.projectors = Projectors(self.model.options.width)
        self.options = training
        self.view, self.weights = ViewOptions(**training["view"]), LossWeights(**training["loss"])

    def project(self, views: Tensor) -> dict[str, list[dict[str, Tensor]]]:
        """Views (n, N, 3, T, V, M) to projections: for each modality, and `FUSED` of several, n by domain (N, D)."""
        count, clips = views.shape[:2]
        flat = views.flatten(0, 1)
        encoder = self.model.encoder
        embedded = {name: encoder.embed({name: modality(flat, name)}) for name in encoder.modalities}
        if len(embedded) > 1:
            temporal, spatial = zip(*embedded.values(), strict=True)
            fused = torch.stack(temporal).mean(0), torch.stack(spatial).mean(0)
            embedded = {name: embedded[name] for name in self._drawn_modalities()} | {FUSED: fused}
        y_t, y_s = encoder.streams(*(torch.cat(tokens) for tokens in zip(*embedded.values(), strict=True)))
        # Each view of each modality is a batch of its own for the projectors' BatchNorm, as published: that of all
        # processes.
        features = instance_feature(y_t, y_s).split(clips)
        projected = [dict(zip(DOMAINS, self.projectors(gather(feature)), strict=True)) for feature in features]
        return {name: projected[i * count : (i + 1) * count] for i, name in enumerate(embedded)}

    def _drawn_modalities(self) -> list[str]:
        """Those that pass the streams alone in this step, the same in all processes."""
        names = list(self.model.encoder.modalities)
        if not 0 < self.options["modalities_a_step"] < len(names):
            return names
        drawn = np.random.default_rng((self.options["seed"], self.global_step)).permutation(len(names))
        return [names[i] for i in sorted(drawn[: self.options["modalities_a_step"]])]

    def loss(self, views: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of views (n, N, 3, T, V, M), and its terms."""
        projected = self.project(views)
        weights = self.weights
        found = [feature_decorrelation(own, weights) for own in projected.values()]
        terms = {name: torch.stack([each[name] for each in found]).mean() for name in found[0]}
        total = (
            weights.consistency * terms["consistency"]
            + weights.variance * terms["variance"]
            + weights.correlation * terms["correlation"]
        )
        if FUSED in projected and weights.modalities:
            fused = projected[FUSED]
            between = [modality_consistency(own, fused, weights) for name, own in projected.items() if name != FUSED]
            terms["modalities"] = torch.stack(between).mean()
            total = total + weights.modalities * terms["modalities"]
        return total, terms

    def training_step(self, batch: ClipBatch, _: int) -> Tensor:
        generator = step_generator(self, self.options["seed"])
        views = make_views(batch, self.view, self.options["views"], generator)
        total, terms = self.loss(views)
        each_epoch: dict[str, Any] = {"on_epoch": True, "on_step": False, "batch_size": len(batch), "sync_dist": True}
        self.log_dict({f"train_{name}_loss": value for name, value in terms.items()}, **each_epoch)
        self.log("train_loss", total, **each_epoch)
        self.log("loss", total, prog_bar=True, logger=False, batch_size=len(batch))
        return total

    def configure_optimizers(self) -> OptimizerLRScheduler:
        options = self.options
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(
            parameters, options["learning_rate"], weight_decay=options["weight_decay"], fused=self.device.type == "cuda"
        )
        if options["drops"]:
            return [optimizer], [torch.optim.lr_scheduler.MultiStepLR(optimizer, list(options["drops"]))]
        return cosine_schedule(self.trainer, optimizer, options["epochs"], options["warmup"])


class PretrainData(lightning.LightningDataModule):
    """The clips of a run, in batches."""

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self._config = config
        self.dataset = ClipDataset([clips_of(config, name) for name in config.data], config.people)
        self.held = Held(self.dataset)
        self.batch_size = fit_batch(len(self.dataset), config.batch_size, "clips")

    def on_after_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        return self.held.complete(batch)

    def train_dataloader(self) -> DataLoader[ClipBatch]:
        assert self.trainer is not None
        self.held.place(self.trainer.strategy.root_device)
        sampler = ShuffledBatches(
            len(self.dataset),
            self.batch_size,
            self._config.seed,
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
        )
        sampler.set_epoch(self.trainer.current_epoch)
        return batches(self.dataset, sampler, self._config.workers)


def clips_of(config: PretrainConfig, name: str) -> tuple[Archive, Clips]:
    """The clips that a run takes from one of its archives."""
    archive = Archive(f"{config.archives}/{name}")
    archive.check()
    protocol = config.data[name]
    chosen = np.arange(len(archive)) if protocol == "all" else archive.split(protocol)
    if name in config.without_people:
        left_out = archive.of_people(config.without_people[name])
        chosen = chosen[~left_out[chosen]]
    if name in config.window_s:
        return archive, archive.windows(chosen, config.window_s[name])
    return archive, archive.clips(chosen)


def pretrain(config: PretrainConfig, run: RunOptions) -> Record:
    """Train as configured; returns what `result.json` says.

    Raises:
        ValueError: An archive, a split or an option is not what it should be.
    """
    started = time.monotonic()
    lightning.seed_everything(config.seed, verbose=False)
    data = PretrainData(config)
    module = PretrainModule(config.model(data.dataset.joints).as_dict(), plain_values(config))
    trainer = make_trainer(run, config.epochs, reload_dataloaders_every_n_epochs=1)
    train(trainer, module, data, run)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train")}
    record = Record.of("pretrain", config.name, config, metrics | {"clips": len(data.dataset)}, started)
    if trainer.is_global_zero:
        record.save(run.output)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("pretrain", PretrainConfig, __doc__, pretrain, _report, arguments)


def _report(config: PretrainConfig, run: RunOptions, record: Record) -> None:
    say(f"wrote {run.output / 'last.ckpt'}: {record.metrics['clips']} clips, {record.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
