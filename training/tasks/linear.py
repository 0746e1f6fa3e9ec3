"""A linear classifier on features that do not change: SGD with momentum, as the authors' linear protocol has it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.curves import save_curves
from training.finite import TrainingError
from training.tasks.features import progress


@dataclass(frozen=True)
class LinearOptions:
    """How the classifier is trained; the defaults are published (authors' code).

    Args:
        epochs: Passes over the features.
        batch_size: Features a step.
        learning_rate: At first.
        momentum: Of SGD.
        weight_decay: Of SGD.
        drops: Epochs after which the learning rate is a tenth; none: cosine decay to 0.
        label_smoothing: Share of the target that is spread over all classes.
        standardize: Train on features of mean 0 and deviation 1 (over the training clips, each dimension). The result
            is a linear classifier of the features themselves all the same.
        seed: Of the first weights and the order.
    """

    epochs: int = 150
    batch_size: int = 512
    learning_rate: float = 0.006
    momentum: float = 0.9
    weight_decay: float = 0.0
    drops: tuple[int, ...] = (120, 140)
    label_smoothing: float = 0.0
    standardize: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """A line of the learning curve; `val_accuracy` is None where it was not measured."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_accuracy: float | None


def fit_linear(
    views: Tensor,
    labels: Tensor,
    classes: int,
    options: LinearOptions,
    validation: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, list[Epoch]]:
    """Train a linear classifier.

    Args:
        views: (n, C, D) features of n views of the clips; epoch e takes view e modulo n. It runs on their device.
        labels: (C,).
        classes: K.
        options: How.
        validation: Features (C', D) and labels (C',) on which every tenth of the epochs is measured.

    Returns:
        Weight (K, D), bias (K,), on the CPU, and the learning curve.

    Raises:
        TrainingError: The loss is not finite.
    """
    device, (_, count, width) = views.device, views.shape
    mean, deviation = views.new_zeros(width), views.new_ones(width)
    if options.standardize:
        mean, deviation = views.mean((0, 1)), views.std((0, 1)).clamp(min=1e-6)
    random = torch.Generator().manual_seed(options.seed)
    layer = nn.Linear(width, classes)
    nn.init.normal_(layer.weight, std=0.01, generator=random)
    nn.init.zeros_(layer.bias)
    layer = layer.to(device)
    optimizer = torch.optim.SGD(
        layer.parameters(), options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
    )
    schedule: torch.optim.lr_scheduler.LRScheduler = (
        torch.optim.lr_scheduler.MultiStepLR(optimizer, list(options.drops))
        if options.drops
        else torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(options.epochs, 1))
    )
    curve = []
    labels = labels.to(device)
    for epoch in progress(range(options.epochs), "training the linear layer"):
        features = views[epoch % len(views)]
        loss_sum, right = torch.zeros((), device=device), torch.zeros((), device=device)
        for chosen in torch.randperm(count, generator=random).to(device).split(options.batch_size):
            logits = layer((features[chosen] - mean) / deviation)
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=options.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(chosen)
            right += (logits.detach().argmax(-1) == labels[chosen]).sum()
        schedule.step()
        accuracy = None
        if validation is not None and is_measured(epoch, options.epochs):
            held_out, truth = (each.to(device) for each in validation)
            with torch.no_grad():
                accuracy = float((layer((held_out - mean) / deviation).argmax(-1) == truth).float().mean())
        if not bool(torch.isfinite(loss_sum)):
            raise TrainingError(f"the loss is {float(loss_sum)} in epoch {epoch}: try a lower learning_rate")
        curve.append(Epoch(epoch, float(loss_sum) / count, float(right) / count, accuracy))
    with torch.no_grad():
        weight = layer.weight / deviation
        bias = layer.bias - weight @ mean
    return weight.detach().cpu(), bias.detach().cpu(), curve


def is_measured(epoch: int, epochs: int) -> bool:
    """Whether validation is due after an epoch (from 0): ten times a run, the last one among them."""
    every = max(epochs // 10, 1)
    return (epoch + 1) % every == 0 or epoch + 1 == epochs


def save_curve(curve: list[Epoch], directory: Path) -> None:
    """Write `metrics.csv`, as Lightning writes it for other tasks, and `curves.png`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "metrics.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "train_loss", "train_accuracy", "val_accuracy"])
        for line in curve:
            measured = "" if line.val_accuracy is None else line.val_accuracy
            writer.writerow([line.epoch, line.epoch, line.train_loss, line.train_accuracy, measured])
    save_curves(path, directory / "curves.png")
