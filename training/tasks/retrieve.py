"""Retrieve clips of the same action: nearest neighbours (cosine) of test clips among training clips, without training.

    python -m training.tasks.retrieve training/configs/retrieve_small.yaml --checkpoints '[runs/pretrained/last.ckpt]'

The feature is the instance feature of the centre crop. Several checkpoints ("3s": joint, bone, motion) are used
together: their similarities are averaged.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from training.configuration import ConfigError, RunOptions, configuration, option
from training.runs import Record, command, say
from training.tasks.encoders import open_archive
from training.tasks.features import FeatureConfig, device_of, directions
from training.tasks.parts import smaller_tests, take_parts
from training.tasks.scores import all_measures

QUERIES = 1024


@configuration
class RetrieveConfig(FeatureConfig):
    """One retrieval run; the keys of its YAML file."""

    neighbours: int = option(1, "training clips that vote on a test clip's action", low=1)


def nearest(gallery: Tensor, labels: Tensor, queries: Tensor, neighbours: int = 1) -> Tensor:
    """The action of each query by a vote of its nearest neighbours.

    Args:
        gallery: (G, D), compared by dot products.
        labels: (G,) actions.
        queries: (Q, D).
        neighbours: How many vote, each with one voice; of actions with as many voices the more similar one is taken.

    Returns:
        (Q,) actions.

    Raises:
        ConfigError: The gallery has fewer clips than that.
    """
    if neighbours > len(gallery):
        raise ConfigError(f"neighbours is {neighbours}, but there are {len(gallery)} training clips")
    found = []
    for block in queries.split(QUERIES):
        similarity, index = (block @ gallery.T).topk(neighbours)
        voices = functional.one_hot(labels[index]).to(similarity)
        # The mean similarity, brought to 0 ... 0.5, decides between equal counts alone.
        closeness = (voices * similarity[..., None]).sum(1) / voices.sum(1).clamp(min=1.0)
        found.append((voices.sum(1) + 0.25 * (closeness + 1.0) * (voices.sum(1) > 0)).argmax(-1))
    return torch.cat(found)


def retrieve(config: RetrieveConfig, run: RunOptions) -> Record:
    """Measure as configured; writes `result.json` and returns what it says.

    Raises:
        ValueError: An archive, a split, a checkpoint or an option is not what it should be.
    """
    started = time.monotonic()
    archive = open_archive(config)
    parts = take_parts(archive, config.split)
    smaller = smaller_tests(archive, parts.test, config.also_tested)
    gallery, queries = directions(config, archive, (parts.train, parts.test), device_of(run))
    predicted = nearest(gallery, torch.from_numpy(parts.train.label), queries, config.neighbours)
    metrics = all_measures(predicted.numpy(), parts.test.label, archive.actions, smaller)
    record = Record.of("retrieve", config.name, config, metrics | {"n_train": len(parts.train)}, started)
    record.save(run.output)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("retrieve", RetrieveConfig, __doc__, retrieve, _report, arguments)


def _report(config: RetrieveConfig, run: RunOptions, record: Record) -> None:
    top1, macro_f1 = record.metrics["top1"], record.metrics["macro_f1"]
    say(f"top-1 {top1:.1%} of {record.metrics['n_test']} clips, macro F1 {macro_f1:.3f}: {run.output}")


if __name__ == "__main__":
    sys.exit(main())
