"""Run a plan of many runs, one after another: `python -m training.study PLAN.yaml --output runs/study`.

A plan is a YAML file with `defaults` (task: keys of its configuration) and `runs`, each with

    name:   of the run and its directory; {key} is filled in from `each`
    task:   pretrain, recognize, retrieve, one_shot, early, detect, segment or ensemble
    each:   key: values, all combinations of which are run (optional); where the values are a mapping, its keys are the
            choices, and what each maps to joins the configuration
    config: keys of the task's configuration, over the defaults; {key} likewise, {runs} is the output directory

Runs that have a `result.json` are left out: an interrupted study goes on where it was, and interrupted training goes
on from its last checkpoint. On a machine of several cores, start it several times: each process takes other runs.
`python -m training.results` makes the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from training.configuration import ConfigError, RunOptions, build
from training.runs import LAST, RESULT, Record
from usdrl_ros.configuration import read_yaml

LOCKS = ".locks"
TASKS = {
    "pretrain": "PretrainConfig",
    "recognize": "RecognizeConfig",
    "retrieve": "RetrieveConfig",
    "one_shot": "OneShotConfig",
    "early": "EarlyConfig",
    "detect": "DetectConfig",
    "segment": "SegmentConfig",
    "ensemble": "EnsembleConfig",
}
"""Task, a module of `training.tasks` with a function of its name, and the class of its configuration."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan."""

    name: str
    task: str
    config: dict[str, Any]


def read_plan(path: Path, runs: Path) -> list[PlannedRun]:
    """All runs of a plan in their order.

    Raises:
        ConfigError: The file is missing or wrong, a task is unknown, or two runs have one name.
    """
    try:
        content = read_yaml(path)
        planned = [run for entry in content["runs"] for run in _expand(entry, content.get("defaults", {}), runs)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no plan of runs: {error!r}") from error
    if unknown := sorted({run.task for run in planned} - set(TASKS)):
        raise ConfigError(f"{path}: unknown task {', '.join(unknown)}; known are {', '.join(TASKS)}")
    names = [run.name for run in planned]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{path}: several runs are called {', '.join(doubled)}")
    return planned


def _expand(entry: dict[str, Any], defaults: dict[str, Any], runs: Path) -> Iterator[PlannedRun]:
    each = entry.get("each", {})
    for values in itertools.product(*each.values()):
        chosen = dict(zip(each, values, strict=True))
        config = defaults.get(entry["task"], {}) | entry.get("config", {})
        for key, choice in chosen.items():
            if isinstance(each[key], dict):
                config |= each[key][choice] or {}
        name = entry["name"].format(**chosen)
        yield PlannedRun(name, entry["task"], _fill(config, chosen | {"runs": str(runs)}) | {"name": name})


def _fill(value: Any, chosen: dict[str, Any]) -> Any:
    """Put the chosen values into a text; a text that is one `{key}` alone becomes the value itself."""
    if isinstance(value, dict):
        return {_fill(key, chosen): _fill(item, chosen) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, chosen) for item in value]
    if isinstance(value, str) and value[:1] == "{" and value[-1:] == "}" and value[1:-1] in chosen:
        return chosen[value[1:-1]]
    return value.format(**chosen) if isinstance(value, str) else value


def run_plan(planned: Sequence[PlannedRun], runs: Path, trainer: dict[str, Any] | None = None) -> list[str]:
    """Run what has no result yet and can begin; returns what failed, in words.

    Several processes may work on one study: each run is held by a lock of the file system, and one that needs what
    another process is making waits for it.
    """
    console, failed = Console(stderr=True), {}
    while waiting := [run for run in planned if not (runs / run.name / RESULT).is_file() and run.name not in failed]:
        began = False
        for run in waiting:
            with _held(runs, run.name) as mine:
                if not mine or (runs / run.name / RESULT).is_file() or _lacks(run, runs):
                    continue
                began = True
                number = planned.index(run) + 1
                console.print(f"[{number}/{len(planned)}] {time.strftime('%H:%M:%S')} {run.name}", markup=False)
                try:
                    record = _start(run, runs, trainer or {})
                except ValueError as error:
                    failed[run.name] = f"{run.name}: {error}"
                    console.print(f"  failed: {error}", markup=False, style="red")
                    continue
                shown = {key: round(value, 4) for key, value in record.metrics.items() if isinstance(value, float)}
                console.print(
                    f"  {run.name}: {record.seconds:.0f} s {shown}", markup=False, highlight=False, soft_wrap=True
                )
                break  # what comes first in the plan is done first
        if not began:
            if not any(_is_held(runs, run.name) for run in waiting):
                failed |= {run.name: f"{run.name}: there is no {', '.join(_lacks(run, runs))}" for run in waiting}
            time.sleep(1.0)
    return list(failed.values())


def _start(run: PlannedRun, runs: Path, trainer: dict[str, Any]) -> Record:
    module = importlib.import_module(f"training.tasks.{run.task}")
    config = build(getattr(module, TASKS[run.task]), run.config, run.name)
    output = runs / run.name
    return getattr(module, run.task)(config, RunOptions(output, (output / LAST).is_file(), trainer))


def _lacks(run: PlannedRun, runs: Path) -> list[str]:
    """What a run takes from other runs of the study that have no result yet."""
    needed = {Path(text) for text in _texts(run.config) if Path(text).is_relative_to(runs)}
    return sorted(str(path) for path in needed if not ((path.parent if path.suffix else path) / RESULT).is_file())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict | list | tuple):
            yield from _texts(item)


@contextlib.contextmanager
def _held(runs: Path, name: str) -> Iterator[bool]:
    """Hold a run's lock, which ends with the process at the latest; false where another process holds it."""
    path = runs / LOCKS / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _is_held(runs: Path, name: str) -> bool:
    with _held(runs, name) as mine:
        return not mine


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="YAML file, for instance training/configs/study.yaml")
    parser.add_argument("--output", type=Path, default=Path("runs/study"), help="directory of all its runs")
    parser.add_argument("--only", default="", metavar="TEXT", help="only runs whose name holds this")
    parser.add_argument("--list", action="store_true", help="list the runs and what is done")
    parser.add_argument("--quiet", action="store_true", help="no progress bar within a run")
    options = parser.parse_args(arguments)
    try:
        planned = [run for run in read_plan(options.plan, options.output.resolve()) if options.only in run.name]
    except ValueError as error:
        print(f"training.study: {error}", file=sys.stderr)
        return 1
    if options.list:
        for run in planned:
            print(f"{'done' if (options.output / run.name / RESULT).is_file() else '    '} {run.task:10} {run.name}")
        return 0
    quiet = {"enable_progress_bar": False, "enable_model_summary": False} if options.quiet else {}
    failed = run_plan(planned, options.output.resolve(), quiet)
    for line in failed:
        print(f"training.study: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
