"""Instance features of clips by a frozen encoder, and the device to compute them on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from training.configuration import RunOptions, configuration, option
from training.data.archive import Archive, Clips
from training.data.augmentations import ROTATE_BY, ViewOptions, centre_crop, make_views
from training.data.clips import ClipBatch, ClipDataset, in_order
from training.model.encoder import instance_feature
from training.model.usdrl import USDRL
from training.runs import seed_step
from training.tasks.encoders import EncoderConfig, make_model

BATCH = 256
Item = TypeVar("Item")


def progress(items: Iterable[Item], text: str) -> Iterable[Item]:
    """The items, with a progress bar while they last where the output is a terminal."""
    return track(items, text, transient=True, disable=not Console().is_terminal)


def device_of(run: RunOptions) -> torch.device:
    """The GPU if there is one, unless the run asks for `--trainer.accelerator cpu`."""
    wanted = torch.cuda.is_available() and run.trainer.get("accelerator", "auto") != "cpu"
    return torch.device("cuda" if wanted else "cpu")


@torch.no_grad()
def embed(
    model: USDRL,
    dataset: ClipDataset,
    device: torch.device | str = "cpu",
    *,
    crop: float = 1.0,
    observed: float = 1.0,
    rotate_by: str = "clip",
    text: str = "embedding",
) -> tuple[Tensor, Tensor]:
    """Features of the middle of each clip, the network in evaluation mode.

    Args:
        model: Moved to the device; left there, in evaluation mode.
        dataset: C clips.
        device: Where to compute.
        crop: Share of the clip, its middle.
        observed: Share of the clip, from its start, that is seen at all (early prediction).
        rotate_by: What turns a view upright, see `ViewOptions`.
        text: For the progress bar.

    Returns:
        Features (C, 2H) and labels (C,), on the CPU, in the order of the data set.
    """
    model = model.to(device).eval()
    features, labels = [], []
    for batch in progress(in_order(dataset, BATCH), text):
        skeletons = centre_crop(batch.to(device), crop, rotate_by=rotate_by, observed=observed)
        features.append(instance_feature(*model.tokens(skeletons)).float().cpu())
        labels.append(batch.label)
    return torch.cat(features), torch.cat(labels)


@torch.no_grad()
def embed_views(
    model: USDRL,
    dataset: ClipDataset,
    device: torch.device | str,
    view: ViewOptions,
    count: int,
    seed: int,
    observed: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Features of random views of each clip, (count, C, 2H) on the CPU, drawn with the seed."""
    model = model.to(device).eval()
    generator = torch.Generator(device)
    rounds = []
    for number in range(count):
        generator.manual_seed(seed_step(seed, number))
        features = []
        for batch in progress(in_order(dataset, BATCH), f"embedding, view {number + 1} of {count}"):
            clips = observe(batch.to(device), observed, generator)
            features.append(instance_feature(*model.tokens(make_views(clips, view, 1, generator)[0])).float().cpu())
        rounds.append(torch.cat(features))
    return torch.stack(rounds)


def observe(batch: ClipBatch, share: tuple[float, float], generator: torch.Generator) -> ClipBatch:
    """Clips of which only the first part is seen: a random share of each, between two."""
    low, high = share
    if low >= 1.0:
        return batch
    drawn = low + (high - low) * torch.rand(len(batch), generator=generator, device=batch.length.device)
    return replace(batch, length=torch.floor(batch.length * drawn).clamp(min=1.0).to(batch.length))


@configuration
class FeatureConfig(EncoderConfig):
    """The keys of tasks that compare features of encoders as they are."""

    checkpoints: tuple[str, ...] = option((), "encoders, whose cosine similarities are averaged; none: a random one")
    crop: float = option(1.0, "share of a clip, its middle, that is shown", above=0.0, high=1.0)
    rotate_by: str = option(
        "clip", "what turns a clip upright: its first frame, or that of the window shown", choices=ROTATE_BY
    )


def directions(config: FeatureConfig, archive: Archive, parts: Sequence[Clips], device: torch.device) -> list[Tensor]:
    """Unit vectors (C, D) of each part's clips; their dot products are cosine similarities, averaged over encoders."""
    found: list[list[Tensor]] = [[] for _ in parts]
    for checkpoint in config.checkpoints or ("",):
        model = make_model(config, checkpoint, archive)
        for own, clips in zip(found, parts, strict=True):
            dataset = ClipDataset([(archive, clips)], model.options.people)
            features = embed(model, dataset, device, crop=config.crop, rotate_by=config.rotate_by)[0]
            own.append(functional.normalize(features, dim=-1) / math.sqrt(len(config.checkpoints) or 1))
    return [torch.cat(own, -1) for own in found]
