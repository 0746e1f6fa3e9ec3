"""What the tool prints: bags, the metrics in words, a line for each action, a comparison of two models."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usdrl_ros.bags.tables import short
from usdrl_ros.evaluation.bag_run import BagRun
from usdrl_ros.evaluation.comparison import TwoModels
from usdrl_ros.evaluation.metrics.assessment import Assessment
from usdrl_ros.evaluation.metrics.detection import THETAS
from usdrl_ros.evaluation.metrics.values import METRICS, Estimate
from usdrl_ros.evaluation.truth import unknown_line


def number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """A value with its unit; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.{2 if unit else digits}f}{f' {unit}' if unit == 's' else ''}"


def interval(estimate: Estimate, unit: str = "") -> str:
    """A confidence interval in brackets; nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low, unit).removesuffix(' s')}, {number(estimate.high, unit)}]"


def summary_table(assessment: Assessment) -> Table:
    """A line for each action, and the sum; average precision at overlap 0.5."""
    table = Table(title="Actions, true against recognised", footer_style="bold", show_footer=True)
    total = assessment.total
    mean = assessment.metrics["mAP_action@0.5"]
    table.add_column("action", footer="all")
    for name in ("true", "found", "missed", "false"):
        table.add_column(name, justify="right", footer=str(getattr(total, name)))
    table.add_column("delay", justify="right", footer=number(total.delay_median_s, "s"))
    table.add_column("AP@0.5", justify="right", footer=number(mean.value))
    for action, (row, precision) in assessment.actions.items():
        counts = [str(getattr(row, name)) for name in ("true", "found", "missed", "false")]
        table.add_row(action, *counts, number(row.delay_median_s, "s"), number(precision.value))
    return table


def summary_lines(assessment: Assessment, actions: Sequence[str]) -> list[str]:
    """The overall metrics in words, each with its confidence interval; `actions` are the model's."""
    metrics = assessment.metrics

    def by_overlap(name: str) -> str:
        return "  ".join(f"{theta}: {number(metrics[f'{name}@{theta}'].value)}" for theta in THETAS)

    def shown(name: str, unit: str = "") -> str:
        return f"{number(metrics[name].value, unit)} {interval(metrics[name], unit)}".rstrip()

    segmental = "  ".join(f"{share}: {shown(f'segmental_F1@{share}')}" for share in (10, 25, 50))
    rows = {
        "mAP_action by overlap": by_overlap("mAP_action"),
        "mAP_video by overlap": by_overlap("mAP_video"),
        "F1 by overlap": by_overlap("F1"),
        "mAP_action@0.5": shown("mAP_action@0.5"),
        "segmental F1": segmental,
        "edit, frame accuracy": f"{shown('edit')}, {shown('frame_accuracy')}",
        "found": shown("found"),
        "false events": f"{shown('false_events_per_minute', '/min')} a minute",
        "onset to STARTED": f"{shown('delay_median_s', 's')} median, {shown('delay_p90_s', 's')} 90th percentile",
        "onset, offset error": f"{shown('onset_error_s', 's')}, {shown('offset_error_s', 's')} median",
        "calibration error": shown("calibration_error"),
    }
    if len(assessment.outcomes) < 2:
        rows["intervals"] = "none: they need two recordings or more"
    if assessment.unknown:
        rows["the model does not know"] = f"{unknown_line(assessment.unknown, actions)}: counted in no metric"
    width = max(map(len, rows))
    return [f"{name:{width}}  {text}" for name, text in rows.items()]


def comparison_table(two: TwoModels) -> Table:
    """Metric by metric: both values, their difference with its interval, and who is better beyond chance.

    It fits 80 columns, and reads as well in a log: the models are called A and B, and a legend says who they are.
    """
    table = Table(
        title=f"A: {two.first}\nB: {two.second}\n{len(two.recordings)} recordings; the difference is B minus A",
        title_justify="left",
        title_style="",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for name in ("metric", "A", "B", "difference", "95 % interval", "better"):
        table.add_column(name, justify="left" if name in ("metric", "better") else "right", no_wrap=True)
    for each in two.differences:
        metric = METRICS[each.metric]
        difference = each.difference
        signed = "-" if difference.value is None else f"{difference.value:+.{2 if metric.unit else 3}f}"
        table.add_row(
            each.metric,
            number(each.first.value, metric.unit),
            number(each.second.value, metric.unit),
            signed,
            interval(difference, metric.unit),
            {"first": "A", "second": "B", "": ""}[each.better],
            style="bold" if each.better else None,
        )
    return table


def print_run(console: Console, run: BagRun) -> None:
    """Print a bag's counts and problems; without a truth its events, too."""

    def line(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    events, truths = run.event_intervals, run.truth_intervals
    truth = "no truth" if truths is None else f"{len(truths)} true actions"
    line(
        f"[bold]{escape(run.name)}[/bold]: {len(events)} events, {truth}, {run.bag_s:.1f} s of bag in "
        f"{run.processing_s:.1f} s"
    )
    for event in events if truths is None else ():
        line(
            f"  {event.start:8.2f} s to {event.end:8.2f} s  {escape(short(event.person_id))}  "
            f"{escape(short(event.action))}  {event.score:.2f}"
        )
    for cause, count in sorted(run.problems.items()):
        line(f"  {count} x {cause}, first: {escape(short(run.first_problems[cause].message, 400))}")
