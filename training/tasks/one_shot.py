"""Recognise actions of which one example was seen: test clips take the action of the nearest exemplar (cosine).

    python -m training.tasks.one_shot training/configs/one_shot_small.yaml --checkpoints '[runs/pretrained/last.ckpt]'

By default an exemplar of each class is drawn from the training part, several times over, and the accuracy's mean and
deviation over the draws are reported. `novel_classes` keeps to some classes (those that an encoder never saw). With
`exemplars`, recordings by name, nothing is drawn and every other clip of their classes is a test clip, whatever the
split: the one-shot protocol of NTU RGB+D 120 (Liu et al., TPAMI 2020), which names its 20 exemplars.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.configuration import ConfigError, RunOptions, configuration, option
from training.data.archive import Archive, Clips
from training.data.errors import DatasetError
from training.runs import Record, command, say
from training.tasks.encoders import open_archive
from training.tasks.features import FeatureConfig, device_of, directions
from training.tasks.parts import smaller_tests, take_parts
from training.tasks.scores import measures


@configuration
class OneShotConfig(FeatureConfig):
    """One run of one-shot recognition; the keys of its YAML file."""

    draws: int = option(20, "how often exemplars are drawn", low=1)
    novel_classes: tuple[str, ...] = option((), "actions to distinguish; none: all")
    exemplars: tuple[str, ...] = option((), "recordings, one an action, instead of drawn ones")

    def __post_init__(self) -> None:
        if self.exemplars and (self.novel_classes or self.also_tested):
            raise ConfigError("exemplars say what the classes and the tests are: leave novel_classes, also_tested out")


def draw_exemplars(labels: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """(K,) indices of one clip of each class that is there, in the order of the classes; another for each draw."""
    random = np.random.default_rng((seed, draw))
    return np.array([random.choice(np.flatnonzero(labels == label)) for label in np.unique(labels)])


def nearest_exemplar(exemplars: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Labels (Q,) of queries (Q, D): of exemplars (K, D) with labels (K,), that of the largest dot product."""
    return labels[(queries @ exemplars.T).argmax(-1)]


def one_shot(config: OneShotConfig, run: RunOptions) -> Record:
    """Measure as configured; writes `result.json` and returns what it says.

    Its metrics: top1 and macro_f1 are means over the draws, top1_std is the deviation (of a sample; 0 for one draw).

    Raises:
        ValueError: An archive, a split, a class, an exemplar, a checkpoint or an option is not what it should be.
    """
    started = time.monotonic()
    archive = open_archive(config)
    pool, test = _given(config, archive) if config.exemplars else _drawn(config, archive)
    smaller = smaller_tests(archive, test, config.also_tested)
    gallery, queries = (each.numpy() for each in directions(config, archive, (pool, test), device_of(run)))
    results = []
    for draw in range(1 if config.exemplars else config.draws):
        chosen = draw_exemplars(pool.label, config.seed, draw)
        results.append(nearest_exemplar(gallery[chosen], pool.label[chosen], queries))
    metrics = _summary(results, test.label, archive.actions)
    if smaller:
        metrics["also"] = {
            name: _summary([found[mask] for found in results], test.label[mask], archive.actions)
            for name, mask in smaller.items()
        }
    record = Record.of("one_shot", config.name, config, metrics, started)
    record.save(run.output)
    return record


def _summary(results: list[np.ndarray], labels: np.ndarray, actions: tuple[str, ...]) -> dict[str, Any]:
    found = [measures(predicted, labels, actions) for predicted in results]
    top1 = [each["top1"] for each in found]
    return {
        "top1": float(np.mean(top1)),
        "top1_std": float(np.std(top1, ddof=1)) if len(top1) > 1 else 0.0,
        "top1_draws": top1,
        "macro_f1": float(np.mean([each["macro_f1"] for each in found])),
        "classes": {name: float(np.mean([each["classes"][name] for each in found])) for name in found[0]["classes"]},
        "n_classes": len(found[0]["classes"]),
        "n_test": len(labels),
    }


def _drawn(config: OneShotConfig, archive: Archive) -> tuple[Clips, Clips]:
    """Training clips to draw from, and test clips, of the classes that are wanted."""
    if unknown := sorted(set(config.novel_classes) - set(archive.actions)):
        raise ConfigError(f"novel_classes: {archive.name} has no action {', '.join(unknown)}")
    parts = take_parts(archive, config.split)
    wanted = [archive.actions.index(name) for name in config.novel_classes or archive.actions]
    pool, test = (clips.select(np.isin(clips.label, wanted)) for clips in (parts.train, parts.test))
    if missing := sorted(set(test.label.tolist()) - set(pool.label.tolist())):
        names = ", ".join(archive.actions[label] for label in missing)
        raise DatasetError(f"the training part of {archive.directory} has no clip of {names} to be an exemplar")
    if not len(test):
        raise DatasetError(f"the test part of {archive.directory} has no clip of {', '.join(config.novel_classes)}")
    return pool, test


def _given(config: OneShotConfig, archive: Archive) -> tuple[Clips, Clips]:
    """The exemplars, and all other clips of their classes."""
    if missing := sorted(set(config.exemplars) - set(archive.names.tolist())):
        raise DatasetError(f"exemplars: {archive.directory} has no recording {', '.join(missing)}")
    clips = archive.clips()
    is_exemplar = np.isin(archive.names[clips.recording], config.exemplars)
    pool = clips.select(is_exemplar)
    if len(np.unique(pool.label)) < len(pool):
        raise ConfigError(f"exemplars: {len(pool)} clips of {len(np.unique(pool.label))} actions; give one an action")
    test = clips.select(~is_exemplar & np.isin(clips.label, pool.label))
    if not len(test):
        raise DatasetError(f"{archive.directory} has no other clip of the exemplars' actions")
    return pool, test


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command("one_shot", OneShotConfig, __doc__, one_shot, _report, arguments)


def _report(config: OneShotConfig, run: RunOptions, record: Record) -> None:
    spread = f"{record.metrics['top1']:.1%} +- {record.metrics['top1_std']:.1%}"
    counts = f"{record.metrics['n_test']} clips, {record.metrics['n_classes']} classes"
    say(f"top-1 {spread} of {counts}: {run.output}")


if __name__ == "__main__":
    sys.exit(main())
