"""What the tool prints: the figures in words, a line for each action, a comparison of two models."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from usdrl_ros.evaluation.comparison import TwoModels
from usdrl_ros.evaluation.metrics.assessment import Assessment
from usdrl_ros.evaluation.metrics.detection import THETAS
from usdrl_ros.evaluation.metrics.values import FIGURES, Estimate
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
    mean = assessment.figures["mAP_action@0.5"]
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
    """The overall figures in words, each with its confidence interval; `actions` are the model's."""
    figures = assessment.figures

    def by_overlap(name: str) -> str:
        return "  ".join(f"{theta}: {number(figures[f'{name}@{theta}'].value)}" for theta in THETAS)

    def told(name: str, unit: str = "") -> str:
        return f"{number(figures[name].value, unit)} {interval(figures[name], unit)}".rstrip()

    segmental = "  ".join(f"{share}: {told(f'segmental_F1@{share}')}" for share in (10, 25, 50))
    rows = {
        "mAP_action by overlap": by_overlap("mAP_action"),
        "mAP_video by overlap": by_overlap("mAP_video"),
        "F1 by overlap": by_overlap("F1"),
        "mAP_action@0.5": told("mAP_action@0.5"),
        "segmental F1": segmental,
        "edit, frame accuracy": f"{told('edit')}, {told('frame_accuracy')}",
        "found": told("found"),
        "false events": f"{told('false_events_per_minute', '/min')} a minute",
        "onset to STARTED": f"{told('delay_median_s', 's')} median, {told('delay_p90_s', 's')} 90th percentile",
        "onset, offset error": f"{told('onset_error_s', 's')}, {told('offset_error_s', 's')} median",
        "calibration error": told("calibration_error"),
    }
    if len(assessment.outcomes) < 2:
        rows["intervals"] = "none: they need two recordings or more"
    if assessment.unknown:
        rows["the model does not know"] = f"{unknown_line(assessment.unknown, actions)}: counted in no figure"
    width = max(map(len, rows))
    return [f"{name:{width}}  {text}" for name, text in rows.items()]


def comparison_table(two: TwoModels) -> Table:
    """Figure by figure: both values, their difference with its interval, and who is better beyond chance."""
    table = Table(title=f"{two.first} against {two.second}, {len(two.recordings)} recordings")
    for name in ("figure", two.first, two.second, "difference", "95 % interval", "better beyond chance"):
        table.add_column(name, justify="left" if name in ("figure", "better beyond chance") else "right")
    for each in two.differences:
        figure = FIGURES[each.figure]
        difference = each.difference
        signed = "-" if difference.value is None else f"{difference.value:+.{2 if figure.unit else 3}f}"
        better = {"first": two.first, "second": two.second, "": ""}[each.better]
        table.add_row(
            each.figure,
            number(each.first.value, figure.unit),
            number(each.second.value, figure.unit),
            signed,
            interval(difference, figure.unit),
            better,
            style="bold" if each.better else None,
        )
    return table
