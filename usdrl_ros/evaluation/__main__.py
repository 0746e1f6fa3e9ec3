"""Recognise the actions in bags, and compare them with the truth that the bags hold."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from usdrl_ros.evaluation.bags import SKELETONS, TRUTH, BagError
from usdrl_ros.evaluation.metrics import Summary, summarize
from usdrl_ros.evaluation.report import json_document, save_timeline, summary_lines, summary_table
from usdrl_ros.evaluation.run import BagRun, run_bag
from usdrl_ros.inference.engine import Engine, ModelError, default_model, load_engine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code: 0, or 1 where a bag or the model could not be used."""
    options = _parse(arguments)
    for place in (options.json, options.timelines):
        if place is not None and not place.parent.is_dir():
            return _fail(f"{place}: the directory {place.parent} is not there; make it first")
    try:
        with load_engine(options.model) as engine:
            return _evaluate(engine, options)
    except ModelError as error:
        return _fail(str(error))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m usdrl_ros.evaluation", description=__doc__)
    parser.add_argument("bags", metavar="BAG", nargs="+", help="a rosbag2 directory, or one .mcap or .db3 file")
    parser.add_argument("--model", metavar="M", default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--topic", default=SKELETONS, help="topic of the skeletons; default: %(default)s")
    parser.add_argument("--truth", metavar="TOPIC", help=f"topic of the true actions; default: {TRUTH}, if it is there")
    parser.add_argument("--json", metavar="OUT", type=Path, help="write all figures and events to this file")
    parser.add_argument("--timelines", metavar="DIR", type=Path, help="draw a picture of each bag into this directory")
    return parser.parse_args(arguments)


def _evaluate(engine: Engine, options: argparse.Namespace) -> int:
    runs, failed = _run_bags(engine, options)
    with_truth = [run for run in runs if run.truth is not None]
    summary = _summarize(with_truth) if with_truth else None
    console = Console()
    for run in runs:
        _print_run(console, run)
    if summary is not None:
        console.print(summary_table(summary))
        for line in summary_lines(summary):
            console.print(line, highlight=False, soft_wrap=True)
        unknown = sorted({name for name, action in summary.actions.items() if action.true} - set(engine.info.actions))
        if unknown:
            console.print(f"the model does not know     {escape(', '.join(unknown))}", highlight=False, soft_wrap=True)
    try:
        if options.json is not None:
            text = json.dumps(json_document(engine.info, runs, summary, failed), indent=1, allow_nan=False)
            options.json.write_text(text + "\n", encoding="utf-8")
        if options.timelines is not None:
            options.timelines.mkdir(exist_ok=True)
            for index, run in enumerate(runs):
                name = f"{index:03d}_{Path(run.name).stem}.png" if len(runs) > 1 else f"{Path(run.name).stem}.png"
                save_timeline(options.timelines / name, run.truth_intervals, run.event_intervals, title=run.name)
    except OSError as error:
        return _fail(f"{error.filename}: cannot be written: {error.strerror}")
    return 1 if failed else 0


def _run_bags(engine: Engine, options: argparse.Namespace) -> tuple[list[BagRun], dict[str, str]]:
    """Run each bag; those that cannot be read are told at once and do not stop the others."""
    runs: list[BagRun] = []
    failed: dict[str, str] = {}
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        for path in options.bags:
            task = bar.add_task(escape(Path(path).name))
            try:
                run = run_bag(
                    path,
                    engine,
                    skeletons=options.topic,
                    truth=options.truth,
                    progress=partial(_advance, bar, task),
                )
            except BagError as error:
                failed[path] = str(error)
                _fail(str(error))
            else:
                runs.append(run)
            bar.remove_task(task)
    return runs, failed


def _advance(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _summarize(runs: Sequence[BagRun]) -> Summary:
    events = [event for run in runs for event in run.event_intervals]
    truths = [truth for run in runs for truth in run.truth_intervals]
    return summarize(events, truths, sum(run.bag_s for run in runs))


def _print_run(console: Console, run: BagRun) -> None:
    events = run.event_intervals
    truth = "no truth" if run.truth is None else f"{len(run.truth_intervals)} true actions"
    speed = f"{run.bag_s:.1f} s of bag in {run.processing_s:.1f} s"
    name = f"[bold]{escape(run.name)}[/bold]"
    console.print(f"{name}: {len(events)} events, {truth}, {speed}", highlight=False, soft_wrap=True)
    if run.truth is None:
        for event in events:
            console.print(
                f"  {event.start:8.2f} s to {event.end:8.2f} s  {escape(event.person_id)}  {escape(event.action)}  "
                f"{event.score:.2f}",
                highlight=False,
                soft_wrap=True,
            )
    for cause, count in sorted(run.problems.items()):
        message = run.first_problems[cause].message
        console.print(f"  {count} x {cause}, first: {escape(message)}", highlight=False, soft_wrap=True)


def _fail(line: str) -> int:
    print(line, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
