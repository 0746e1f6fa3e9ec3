"""Average the class probabilities of recognition runs on the same clips ("3s": joint, bone and motion; seeds; ...).

    python -m training.tasks.ensemble runs/joint runs/bone runs/motion --output runs/3s

What is written is what a recognition run writes: `scores.npz` and `result.json`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.configuration import RunOptions, configuration, option
from training.runs import RESULT, Record
from training.tasks.scores import Scores


@configuration
class EnsembleConfig:
    """Which runs are averaged."""

    name: str = option(help="name of the result")
    runs: tuple[str, ...] = option(help="directories of the runs")


def average(runs: Sequence[Path]) -> Scores:
    """The mean of the probabilities of runs.

    Raises:
        ValueError: A run has no scores, or its clips, their labels or the actions are not those of the first one.
    """
    first, *others = (Scores.load(run) for run in runs)
    for run, other in zip(runs[1:], others, strict=True):
        for what in ("actions", "names", "labels"):
            if not np.array_equal(getattr(first, what), getattr(other, what)):
                raise ValueError(
                    f"the {'clips' if what == 'names' else what} of {run} ({len(other.names)} clips, "
                    f"{len(other.actions)} actions) are not those of {runs[0]} ({len(first.names)} clips, "
                    f"{len(first.actions)} actions): average runs on the same archive and split"
                )
    return replace(first, probabilities=np.mean([scores.probabilities for scores in (first, *others)], 0))


def ensemble(config: EnsembleConfig, run: RunOptions) -> Record:
    """Average as configured; writes `scores.npz` and `result.json`, which it returns.

    Its metrics are those of recognition, and under "runs" the top1 and the seconds of each run.

    Raises:
        ValueError: See `average`, or a run has no `result.json`.
    """
    started = time.monotonic()
    runs = [Path(run) for run in config.runs]
    scores = average(runs)
    records = [Record.load(run / RESULT) for run in runs]
    alone = [{"name": each.name, "top1": each.metrics["top1"], "seconds": each.seconds} for each in records]
    record = Record.of("ensemble", config.name, config, scores.measures() | {"runs": alone}, started)
    scores.save(run.output)
    record.save(run.output)
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.tasks.ensemble", description=__doc__)
    parser.add_argument("runs", nargs="+", help="directories of recognition runs")
    parser.add_argument("--output", type=Path, required=True, help="directory to write to")
    parser.add_argument("--name", help="of the result (default: the directory's)")
    options = parser.parse_args(arguments)
    try:
        config = EnsembleConfig(options.name or options.output.name, tuple(options.runs))
        metrics = ensemble(config, RunOptions(options.output)).metrics
    except ValueError as error:
        print(f"training.tasks.ensemble: {error}", file=sys.stderr)
        return 1
    alone = ", ".join(f"{run['top1']:.1%}" for run in metrics["runs"])
    print(f"top-1 {metrics['top1']:.1%} of {metrics['n_test']} clips (alone {alone}): {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
