"""Recognise the actions in bags, and compare them with the truth: `ros2 run usdrl_ros evaluate BAG ...`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from usdrl_ros.bags.labels import LabelError
from usdrl_ros.evaluation.batch import Plan, run_bags
from usdrl_ros.evaluation.comparison import compare_models
from usdrl_ros.evaluation.document import DocumentError, json_document, read_document
from usdrl_ros.evaluation.metrics.assessment import Assessment, assess
from usdrl_ros.evaluation.options import OptionError, check, jobs_of, make_parser, make_plan, read_requirements
from usdrl_ros.evaluation.report.gallery import Subject
from usdrl_ros.evaluation.report.report import write_report
from usdrl_ros.evaluation.report.timeline import save_timeline
from usdrl_ros.evaluation.requirements import Requirement
from usdrl_ros.evaluation.run import BagRun
from usdrl_ros.evaluation.tables import comparison_table, summary_lines, summary_table
from usdrl_ros.evaluation.timing import times_real_time
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.model_file import ModelError

FAULTY, WRONG_OPTIONS, NOT_KEPT = 1, 2, 3
"""Exit codes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        check(options)
        if options.compare:
            return _compare(options)
        plan, requirements = make_plan(options), read_requirements(options)
        with plan.load_engine() as engine:
            return _evaluate(engine, plan, requirements, options)
    except (OptionError, LabelError) as error:
        _say(str(error))
        return WRONG_OPTIONS
    except (ModelError, DocumentError) as error:
        _say(str(error))
        return FAULTY
    except OSError as error:
        _say(f"{error.filename}: cannot be written: {error.strerror}")
        return FAULTY
    except KeyboardInterrupt:
        return 130


def _evaluate(engine: Engine, plan: Plan, requirements: Sequence[Requirement], options: argparse.Namespace) -> int:
    began = time.perf_counter()
    runs, failed = _run_live(options, plan) if options.live else _run_bags(engine, plan, options)
    wall_s = time.perf_counter() - began
    actions = engine.info.actions
    with_truth = [] if options.no_truth else [run for run in runs if run.truth_intervals is not None]
    assessment = assess([run.outcome(actions) for run in with_truth]) if with_truth else None
    console = Console()
    for run in runs:
        _print_run(console, run)
    if assessment is not None:
        console.print(summary_table(assessment))
        for line in summary_lines(assessment, actions):
            console.print(escape(line), highlight=False, soft_wrap=True)
    if (speed := times_real_time(runs, wall_s)) is not None and runs:
        console.print(f"{sum(run.bag_s for run in runs):.0f} s of recording in {wall_s:.1f} s: {speed:.1f} x real time")

    if options.json is not None:
        text = json.dumps(json_document(engine.info, runs, assessment, failed), indent=1, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.timelines is not None:
        options.timelines.mkdir(exist_ok=True)
        for index, run in enumerate(runs):
            name = f"{index:03d}_{Path(run.name).stem}.png" if len(runs) > 1 else f"{Path(run.name).stem}.png"
            save_timeline(options.timelines / name, run.truth_intervals or (), run.event_intervals, title=run.name)
    if options.report is not None:
        _write_report(engine, plan, runs, assessment, failed, wall_s, options, console)
    return _exit_code(runs, failed, assessment, requirements, options)


def _run_bags(engine: Engine, plan: Plan, options: argparse.Namespace) -> tuple[list[BagRun], dict[str, str]]:
    """Run each bag; those that cannot be read are told at once and do not stop the others."""
    done: dict[str, BagRun] = {}
    failed: dict[str, str] = {}
    with _progress() as bar:
        tasks: dict[int, TaskID] = {}

        def advance(number: int, read: int, total: int) -> None:
            if number not in tasks:
                tasks[number] = bar.add_task(escape(Path(options.bags[number]).name))
            bar.update(tasks[number], completed=read, total=total, visible=read < total)

        for path, result in run_bags(options.bags, engine, plan, jobs=jobs_of(options), progress=advance):
            if isinstance(result, BagRun):
                done[path] = result
            else:
                failed[path] = result
                _say(result)
    return [done[path] for path in dict.fromkeys(options.bags) if path in done], failed


def _run_live(options: argparse.Namespace, plan: Plan) -> tuple[list[BagRun], dict[str, str]]:
    """Play each bag through the live nodes, one after another."""
    try:
        from usdrl_ros.nodes.live_evaluation import run_bag_live
    except ImportError as error:
        raise OptionError(f"--live needs ROS 2 and the built package ({error}): source its setup first") from error
    runs: list[BagRun] = []
    failed: dict[str, str] = {}
    with _progress() as bar:
        for path in dict.fromkeys(options.bags):
            task = bar.add_task(f"{escape(Path(path).name)}, live")

            def advance(read: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=read, total=total)

            result = run_bag_live(path, plan, options.rate, advance)
            bar.remove_task(task)
            if isinstance(result, BagRun):
                runs.append(result)
            else:
                failed[path] = result
                _say(result)
    return runs, failed


def _write_report(
    engine: Engine,
    plan: Plan,
    runs: Sequence[BagRun],
    assessment: Assessment | None,
    failed: dict[str, str],
    wall_s: float,
    options: argparse.Namespace,
    console: Console,
) -> None:
    jobs = 1 if options.live else jobs_of(options)
    subject = Subject(engine.info, plan.settings, runs, assessment, failed, wall_s, jobs, options.strips)
    with _progress() as bar:
        task = bar.add_task("report")
        path = write_report(options.report, subject, lambda done, total: bar.update(task, completed=done, total=total))
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


def _exit_code(
    runs: Sequence[BagRun],
    failed: dict[str, str],
    assessment: Assessment | None,
    requirements: Sequence[Requirement],
    options: argparse.Namespace,
) -> int:
    """Tell what is not right, and how that ends."""
    faults = [fault for run in runs for fault in run.faults]
    if not options.no_truth:
        faults += [
            f"{run.name}: no truth: neither its topic nor labels; its events are in no figure (--no-truth: so intended)"
            for run in runs
            if run.truth_intervals is None
        ]
    figures = assessment.figures if assessment else {}
    unmet = [line for each in requirements if (line := each.fault(figures)) is not None]
    for line in (*faults, *unmet):
        _say(line)
    return NOT_KEPT if unmet else FAULTY if failed or faults else 0


def _compare(options: argparse.Namespace) -> int:
    first, second = (read_document(path) for path in options.compare)
    two = compare_models(first, second)
    console = Console()
    console.print(comparison_table(two))
    if two.left_out:
        console.print(escape(f"only in one of them, left out: {', '.join(two.left_out)}"), soft_wrap=True)
    if len(two.recordings) < 2:
        console.print("What is chance cannot be told from one recording.")
    if options.json is not None:
        options.json.write_text(json.dumps(two.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return 0


def _print_run(console: Console, run: BagRun) -> None:
    events, truths = run.event_intervals, run.truth_intervals
    truth = "no truth" if truths is None else f"{len(truths)} true actions"
    speed = f"{run.bag_s:.1f} s of bag in {run.processing_s:.1f} s"
    name = f"[bold]{escape(run.name)}[/bold]"
    console.print(f"{name}: {len(events)} events, {truth}, {speed}", highlight=False, soft_wrap=True)
    if truths is None:
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


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
