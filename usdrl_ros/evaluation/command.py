"""Recognise the actions in bags, and compare them with the truth: `ros2 run usdrl_ros evaluate BAG ...`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from usdrl_ros.bags.labels import LabelError
from usdrl_ros.evaluation.arguments import make_parser, read_options
from usdrl_ros.evaluation.bag_run import BagRun
from usdrl_ros.evaluation.batch import run_bags
from usdrl_ros.evaluation.comparison import compare_models
from usdrl_ros.evaluation.document import DocumentError, json_document, read_document
from usdrl_ros.evaluation.metrics.assessment import Assessment, assess
from usdrl_ros.evaluation.options import EvaluationOptions, OptionError
from usdrl_ros.evaluation.report.gallery import Subject
from usdrl_ros.evaluation.report.report import write_report
from usdrl_ros.evaluation.report.timeline import save_timelines
from usdrl_ros.evaluation.requirements import Requirement, read_requirements
from usdrl_ros.evaluation.tables import comparison_table, print_run, summary_lines, summary_table
from usdrl_ros.evaluation.timing import times_real_time
from usdrl_ros.files import WriteError, write_json
from usdrl_ros.inference.model_file import ModelError, ModelInfo
from usdrl_ros.parallel import ParallelError

FAULTY, WRONG_OPTIONS, NOT_KEPT, INTERRUPTED = 1, 2, 3, 130
"""Exit codes."""

RunBag = Callable[[str, EvaluationOptions, Callable[[int, int], None]], "BagRun | str"]
"""Runs one bag through the live nodes; gives the run, or why there is none."""


def main(arguments: Sequence[str] | None = None, *, run_live: RunBag | None = None) -> int:
    """Run the tool; returns its exit code.

    Args:
        arguments: Of the command line.
        run_live: What --live runs bags with; None where there is no ROS.
    """
    parsed = make_parser().parse_args(arguments)
    try:
        options = read_options(parsed)
        if parsed.compare:
            first, second = parsed.compare
            return _compare(first, second, options)
        if options.live and run_live is None:
            raise OptionError(
                "--live needs ROS 2 and the built package: run it as 'ros2 run usdrl_ros evaluate --live'"
            )
        return _evaluate(options, read_requirements(options.requirements), run_live)
    except (OptionError, LabelError) as error:
        _say(str(error))
        return WRONG_OPTIONS
    except (ModelError, DocumentError, WriteError, ParallelError) as error:
        _say(str(error))
        return FAULTY
    except OSError as error:
        _say(f"{error.filename or 'a temporary file'}: {error.strerror}")
        return FAULTY
    except KeyboardInterrupt:
        return INTERRUPTED


def _evaluate(options: EvaluationOptions, requirements: Sequence[Requirement], run_live: RunBag | None) -> int:
    model = options.model_info()
    began = time.perf_counter()
    runs, failed = _collect(_live_results(options, run_live) if run_live and options.live else _results(options))
    wall_s = time.perf_counter() - began
    with_truth = [run for run in runs if run.truth_intervals is not None] if options.expect_truth else []
    assessment = assess([run.outcome(model.actions) for run in with_truth]) if with_truth else None
    console = Console()
    _print(console, runs, assessment, model, wall_s)
    _write(options, Subject(model, options.settings, runs, assessment, failed, wall_s, options.processes), console)
    return _exit_code(runs, failed, assessment, requirements, options)


def _collect(results: Iterable[tuple[str, BagRun | str]]) -> tuple[list[BagRun], dict[str, str]]:
    """The runs, and why there is none by the bags' paths; the latter are reported at once."""
    runs: list[BagRun] = []
    failed: dict[str, str] = {}
    for path, result in results:
        if isinstance(result, BagRun):
            runs.append(result)
        else:
            failed[path] = result
            _say(result)
    return runs, failed


def _results(options: EvaluationOptions) -> Iterator[tuple[str, BagRun | str]]:
    """Each bag's run by the library, with a bar for each that is being run."""
    names = [Path(path).name for path in options.bags]
    with _progress() as bar:
        tasks: dict[int, TaskID] = {}

        def advance(number: int, read: int, total: int) -> None:
            if number not in tasks:
                tasks[number] = bar.add_task(escape(names[number]))
            bar.update(tasks[number], completed=read, total=total, visible=read < total)

        everything = bar.add_task("bags", total=len(names), visible=len(names) > 1)
        for path, result in run_bags(options, progress=advance):
            bar.advance(everything)
            yield path, result


def _live_results(options: EvaluationOptions, run_live: RunBag) -> Iterator[tuple[str, BagRun | str]]:
    """Each bag's run by the live nodes, one after another."""
    with _progress() as bar:
        for path in options.bags:
            task = bar.add_task(f"{escape(Path(path).name)}, live")

            def advance(read: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=read, total=total)

            yield path, run_live(path, options, advance)
            bar.remove_task(task)


def _print(
    console: Console, runs: Sequence[BagRun], assessment: Assessment | None, model: ModelInfo, wall_s: float
) -> None:
    for run in runs:
        print_run(console, run)
    if assessment is not None:
        console.print(summary_table(assessment))
        for line in summary_lines(assessment, model.actions):
            console.print(escape(line), highlight=False, soft_wrap=True)
    if (speed := times_real_time(runs, wall_s)) is not None and runs:
        console.print(f"{sum(run.bag_s for run in runs):.0f} s of recording in {wall_s:.1f} s: {speed:.1f} x real time")


def _write(options: EvaluationOptions, subject: Subject, console: Console) -> None:
    """Write what the options ask for; each file is whole or as it was."""
    if options.json is not None:
        write_json(options.json, json_document(subject.model, subject.runs, subject.assessment, subject.failed))
    if options.timelines is not None:
        recordings = [(run.name, run.truth_intervals or [], run.event_intervals) for run in subject.runs]
        save_timelines(options.timelines, recordings, subject.model.actions)
    if options.report is not None:
        with _progress() as bar:
            task = bar.add_task("report")
            html = write_report(
                options.report,
                subject,
                limit=options.strips,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        console.print(f"report: {html}", highlight=False, soft_wrap=True)


def _exit_code(
    runs: Sequence[BagRun],
    failed: dict[str, str],
    assessment: Assessment | None,
    requirements: Sequence[Requirement],
    options: EvaluationOptions,
) -> int:
    """Report faults; return the exit code."""
    faults = [fault for run in runs for fault in run.faults]
    if options.expect_truth:
        faults += [
            f"{run.name}: no truth: neither its topic nor labels; its events are in no metric (--no-truth: so intended)"
            for run in runs
            if run.truth_intervals is None
        ]
    metrics = assessment.metrics if assessment else {}
    unmet = [line for each in requirements if (line := each.fault(metrics)) is not None]
    for line in (*faults, *unmet):
        _say(line)
    return NOT_KEPT if unmet else FAULTY if failed or faults else 0


def _compare(first: Path, second: Path, options: EvaluationOptions) -> int:
    two = compare_models(read_document(first), read_document(second))
    console = Console()
    console.print(comparison_table(two))
    if two.left_out:
        console.print(escape(f"only in one of them, left out: {', '.join(two.left_out)}"), soft_wrap=True)
    if len(two.recordings) < 2:
        console.print("One recording does not show what is chance: give two or more.")
    if options.json is not None:
        write_json(options.json, two.to_json())
    return 0


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _say(line: str) -> None:
    print("".join(c if c.isprintable() else "\ufffd" for c in line), file=sys.stderr)
