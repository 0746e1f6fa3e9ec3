"""What a person looks at: a table, a picture of who did what when, and the JSON that keeps every figure and event."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from usdrl_ros import __version__
from usdrl_ros.evaluation.metrics import Comparison, Interval, Summary
from usdrl_ros.inference.engine import ModelInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from usdrl_ros.evaluation.run import BagRun

_COLOURS = (
    "#4e79a7",
    "#f28e2b",
    "#59a14f",
    "#e15759",
    "#76b7b2",
    "#b07aa1",
    "#edc948",
    "#9c755f",
    "#ff9da7",
    "#5f6b7a",
    "#86bc25",
    "#d37295",
    "#1f9ed1",
    "#a0520f",
    "#8c6bb1",
    "#2f7f5f",
)
_BAR = 0.8  # of a row's height
_ROW_INCHES = 0.62


def summary_table(summary: Summary) -> Table:
    """A line for each action, and the sum; average precision at overlap 0.5."""
    table = Table(title="Actions, true against recognised", footer_style="bold")
    counts = summary.actions.values()
    mean = summary.mean_average_precision_by_action["0.5"]
    table.add_column("action", footer="all")
    for name in ("true", "found", "missed", "false"):
        table.add_column(name, justify="right", footer=str(sum(getattr(action, name) for action in counts)))
    table.add_column("AP@0.5", justify="right", footer=f"{mean:.3f}")
    table.show_footer = True
    for name, action in summary.actions.items():
        table.add_row(
            name,
            str(action.true),
            str(action.found),
            str(action.missed),
            str(action.false),
            f"{action.average_precision:.3f}",
        )
    return table


def summary_lines(summary: Summary) -> list[str]:
    """The overall figures in words."""

    def by_overlap(values: Mapping[str, float]) -> str:
        return "  ".join(f"{theta}: {value:.3f}" for theta, value in values.items())

    delay = "nothing was found" if summary.delay_median_s is None else f"{summary.delay_median_s:.2f} s"
    false = summary.false_events_per_minute
    return [
        f"mAP_action by overlap   {by_overlap(summary.mean_average_precision_by_action)}",
        f"mAP_video by overlap    {by_overlap(summary.mean_average_precision_by_recording)}",
        f"delay, onset to STARTED {delay} (median)",
        f"false events            {'no time recorded' if false is None else f'{false:.2f} a minute'}",
    ]


def json_document(
    model: ModelInfo, runs: Sequence[BagRun], summary: Summary | None, failed: Mapping[str, str]
) -> dict[str, Any]:
    """Every figure and every event, ready for `json.dump`; figures are None without a summary.

    Seconds of `events` and `truth` count from the bag's `origin_ns`. An event's `verdict` is "found" (it is paired with
    a truth, `delay` tells how late it was announced), "false", "piece" (it overlaps a truth that has a better event),
    or None in a bag without truth.
    """
    comparison = summary.comparison if summary else Comparison()
    false = set(comparison.false)
    delays = {event: event.announced - truth.start for truth, event in comparison.found if event.announced is not None}
    paired = {event for _, event in comparison.found}

    def verdict(event: Interval, run: BagRun) -> str | None:
        if run.truth is None:
            return None
        return "found" if event in paired else "false" if event in false else "piece"

    def event_entry(event: Interval, run: BagRun) -> dict[str, Any]:
        return {
            "event_id": event.event_id,
            "person_id": event.person_id,
            "action": event.action,
            "confidence": event.score,
            "start": event.start,
            "end": event.end,
            "started": event.announced,
            "delay": delays.get(event),
            "verdict": verdict(event, run),
        }

    def truth_entry(truth: Interval) -> dict[str, Any]:
        return {"person_id": truth.person_id, "action": truth.action, "start": truth.start, "end": truth.end}

    def counts(run: BagRun) -> dict[str, Any]:
        return {
            "origin_ns": run.origin_ns,
            "bag_seconds": run.bag_s,
            "processing_seconds": run.processing_s,
            "problems": dict(run.problems),
        }

    return {
        "model": model.name,
        "versions": versions(),
        "mAP_action": dict(summary.mean_average_precision_by_action) if summary else None,
        "mAP_video": dict(summary.mean_average_precision_by_recording) if summary else None,
        "delay_median_s": summary.delay_median_s if summary else None,
        "false_events_per_minute": summary.false_events_per_minute if summary else None,
        "actions": {
            name: {
                "true": action.true,
                "found": action.found,
                "missed": action.missed,
                "false": action.false,
                "AP_0.5": action.average_precision,
            }
            for name, action in (summary.actions.items() if summary else ())
        },
        "bag_seconds": sum(run.bag_s for run in runs),
        "processing_seconds": sum(run.processing_s for run in runs),
        "problems": dict(sum((run.problems for run in runs), Counter())),
        "bags": {run.name: counts(run) for run in runs},
        "failed": dict(failed),
        "events": {run.name: [event_entry(event, run) for event in run.event_intervals] for run in runs},
        "truth": {
            run.name: None if run.truth is None else [truth_entry(truth) for truth in run.truth_intervals]
            for run in runs
        },
    }


def versions() -> dict[str, str]:
    """Of this package, Python, and what the figures could depend on."""
    found = {"usdrl_ros": __version__, "python": platform.python_version()}
    for package in ("numpy", "onnxruntime", "rosbags"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def save_timeline(path: Path | str, truths: Sequence[Interval], events: Sequence[Interval], *, title: str = "") -> None:
    """Draw one recording as a PNG: for each person the true actions above, the recognised events below.

    The paler an event, the less confident; a triangle marks when it was announced. Actions of one person that overlap
    share the height of their row.

    Args:
        path: The picture; its directory must be there.
        truths: The true actions; without any, only events are drawn.
        events: The recognised ones.
        title: Written above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # heavy: only when a picture is wanted
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    people = sorted({interval.person_id for interval in (*truths, *events)}) or [""]
    actions = sorted({interval.action for interval in (*truths, *events)})
    colours = {action: _COLOURS[index % len(_COLOURS)] for index, action in enumerate(actions)}
    kinds = [("truth", truths), ("events", events)] if truths else [("events", events)]
    end = max((interval.end for interval in (*truths, *events)), default=1.0)
    start = min((0.0, *(interval.start for interval in (*truths, *events))))
    end = max([end, *(event.announced for event in events if event.announced is not None)])
    seconds = max(end - start, 1e-3)

    width = min(max(0.26 * seconds, 11.0), 40.0)
    legend_columns = max(1, int(width / 1.7))
    legend_rows = len(actions) // legend_columns + 1
    height = 1.25 + _ROW_INCHES * len(people) * len(kinds) + 0.2 * len(people) + 0.27 * legend_rows
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(start - 0.01 * seconds, end + 0.01 * seconds)

    ticks: list[tuple[float, str]] = []
    top = 0.0
    for index, person in enumerate(people):
        if index % 2 == 0:
            axes.axhspan(top - 0.15, top + len(kinds) + 0.15, color="#f4f5f7", zorder=0)
        for kind, intervals in kinds:
            name = f"{person}  {kind}" if person else kind
            ticks.append((top + 0.5, name))
            row = [interval for interval in intervals if interval.person_id == person]
            _draw_row(axes, row, top, colours, 0.85 * width / seconds, faded=kind == "events")
            top += 1.0
        top += 0.3
    axes.set_ylim(top - 0.15, -0.15)
    axes.set_yticks([position for position, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors="#444444")
    axes.set_xlabel("seconds")
    axes.grid(axis="x", color="#d9dce1", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    handles: list[Any] = [Patch(color=colours[action], label=action) for action in actions]
    if any(event.announced is not None for event in events):
        handles.append(Line2D([], [], linestyle="", marker="v", color="#222222", label="announced"))
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower left",
            ncols=min(legend_columns, len(handles)),
            frameon=False,
            fontsize=9,
        )
    figure.savefig(path)


def _draw_row(
    axes: Axes,
    intervals: Sequence[Interval],
    top: float,
    colours: Mapping[str, str],
    inches_per_s: float,
    *,
    faded: bool,
) -> None:
    lanes = _lanes(intervals)
    size = _BAR / (max(lanes, default=0) + 1)
    for interval, lane in zip(intervals, lanes, strict=True):
        bottom = top + (1 - _BAR) / 2 + lane * size
        alpha = 0.25 + 0.75 * min(max(interval.score, 0.0), 1.0) if faded else 1.0
        length = interval.end - interval.start
        axes.broken_barh(
            [(interval.start, length)],
            (bottom + 0.02, size - 0.04),
            facecolor=(colours[interval.action], alpha),
            edgecolor=colours[interval.action],
            linewidth=0.8,
            zorder=2,
        )
        if interval.announced is not None:
            axes.plot(interval.announced, bottom + 0.02, marker="v", markersize=4.5, color="#222222", zorder=4)
        label, points = _label(interval.action, length * inches_per_s, size * _ROW_INCHES)
        axes.text(
            interval.start + length / 2,
            bottom + size / 2,
            label,
            ha="center",
            va="center",
            fontsize=points,
            linespacing=1.0,
            color=_ink(colours[interval.action], alpha),
            zorder=5,
        )


def _label(action: str, width: float, height: float) -> tuple[str, float]:
    """How to write an action into so many inches: (text, points); in several lines if need be, or not at all."""
    broken = action.replace("_", " ").replace(" ", "\n")
    for text in (action, broken):
        lines = text.split("\n")
        for points in (8.5, 7.0):
            inch = points / 72
            if max(map(len, lines)) * 0.62 * inch + 0.06 <= width and len(lines) * 1.15 * inch <= height:
                return text, points
    return "", 7.0


def _ink(colour: str, alpha: float) -> str:
    """Black or white, whichever is read better on a colour that lets so much of a white page through."""
    red, green, blue = (1 - alpha + alpha * int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.6 else "white"


def _lanes(intervals: Sequence[Interval]) -> list[int]:
    """A lane for each interval, so that those in one lane do not overlap; as few lanes as can be."""
    lanes = [0] * len(intervals)
    ends: list[float] = []
    for index in sorted(range(len(intervals)), key=lambda i: intervals[i].start):
        start, end = intervals[index].start, intervals[index].end
        lane = next((lane for lane, busy in enumerate(ends) if busy <= start), len(ends))
        if lane == len(ends):
            ends.append(end)
        ends[lane] = end
        lanes[index] = lane
    return lanes
