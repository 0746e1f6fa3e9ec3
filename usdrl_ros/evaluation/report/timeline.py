"""Who did what when, and what was recognised: each person's true actions above the events, to scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usdrl_ros.bags.label_files import bag_name
from usdrl_ros.bags.tables import short
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.report.canvas import (
    INK,
    UNKNOWN,
    clock,
    colours_of,
    file_name,
    new_figure,
    save_png,
)
from usdrl_ros.evaluation.report.timeline_rows import Row, draw_rows, label_inches, make_rows
from usdrl_ros.files import atomic_directory, atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE_S = 30.0
"""Seconds of a line of a page."""
PAGE_LINES = 24
_PAGE_INCHES = 11.0
_ROW_INCHES = 0.62
_PAGE_ROW_INCHES = 0.36


def save_timeline(
    path: Path | str,
    truths: Sequence[Interval],
    events: Sequence[Interval],
    *,
    title: str = "",
    actions: Iterable[str] = (),
) -> None:
    """Draw one recording as a PNG, all in one line.

    The paler an event, the less confident; a triangle marks when it was announced. Actions of one person that overlap
    share the height of their row.

    Args:
        path: The PNG; its directory must be there.
        truths: The true actions; without any, only events are drawn.
        events: The recognised ones.
        title: Written above.
        actions: Of the model: an action has the colour that it has in the model's report; others are grey.

    Raises:
        WriteError: The file cannot be written.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    occurring = sorted({interval.action for interval in (*truths, *events)})
    known = colours_of(actions or occurring)
    colours = {action: known.get(action, UNKNOWN) for action in occurring}
    rows = make_rows(truths, events, bool(truths))
    end = max((interval.end for interval in (*truths, *events)), default=1.0)
    start = min((0.0, *(interval.start for interval in (*truths, *events))))
    end = max([end, *(event.announced for event in events if event.announced is not None)])
    seconds = max(end - start, 1e-3)

    width = min(max(0.26 * seconds, 11.0), 40.0)
    legend_columns = max(1, int(width / 1.7))
    legend_rows = len(colours) // legend_columns + 1
    people = len({row.person_id for row in rows})
    height = 1.25 + _ROW_INCHES * len(rows) + 0.2 * people + 0.27 * legend_rows
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    room = label_inches(max(colours, key=len, default=""))  # the last bar may have its label beside it
    axes.set_xlim(start - 0.01 * seconds, end + max(0.01, min(room / (0.85 * width), 0.15)) * seconds)
    draw_rows(axes, rows, colours, 0.85 * width / seconds, _ROW_INCHES)
    axes.set_xlabel("seconds")
    axes.set_title(short(title, 120), loc="left", fontsize=11, fontweight="bold")
    handles: list[Any] = [Patch(color=colour, label=short(action, 24)) for action, colour in colours.items()]
    if any(event.announced is not None for event in events):
        handles.append(Line2D([], [], linestyle="", marker="v", color=INK, label="announced"))
    if handles:
        columns = min(legend_columns, len(handles))
        figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False, fontsize=9)
    with atomic_file(path) as beside:
        save_png(figure, beside)


def save_timelines(
    directory: Path,
    recordings: Sequence[tuple[str, Sequence[Interval], Sequence[Interval]]],
    actions: Sequence[str] = (),
) -> None:
    """Draw recordings, (name, truths, events) each, into a directory: all of them, or none; `actions` are the model's.

    Raises:
        WriteError: Something cannot be written.
    """
    with atomic_directory(directory) as workspace:
        for index, (name, truths, events) in enumerate(recordings):
            number = f"{index:03d}_" if len(recordings) > 1 else ""
            save_timeline(
                workspace / f"{number}{file_name(bag_name(name))}.png", truths, events, title=name, actions=actions
            )


def timeline_pages(
    truths: Sequence[Interval],
    events: Sequence[Interval],
    duration_s: float,
    colours: Mapping[str, str],
    verdicts: Mapping[Interval, str],
) -> Iterator[tuple[Figure, dict[str, str]]]:
    """Draw one recording in lines of half a minute, as music is written; lines in which nothing is are left out.

    Args:
        truths, events: Of the recording.
        duration_s: Its length, seconds.
        colours: Of each action.
        verdicts: What an interval is that is not right; "missed" and "false" have a red frame.

    Yields:
        A page of `PAGE_LINES` lines at most, and the text of each bar, by its gid.
    """
    intervals = [*truths, *events]
    last = max([duration_s, *(interval.end for interval in intervals)])
    lines = []
    number = 0
    while number * LINE_S < last:
        begin, end = number * LINE_S, (number + 1) * LINE_S
        true, found = (
            [interval for interval in kind if interval.start < end and interval.end > begin]
            for kind in (truths, events)
        )
        if true or found:
            lines.append((begin, make_rows(true, found, True)))
        number += 1
    for first in range(0, len(lines), PAGE_LINES):
        yield _page(lines[first : first + PAGE_LINES], colours, verdicts)


def _page(
    lines: Sequence[tuple[float, list[Row]]], colours: Mapping[str, str], verdicts: Mapping[Interval, str]
) -> tuple[Figure, dict[str, str]]:
    heights = [_PAGE_ROW_INCHES * len(rows) + 0.45 for _, rows in lines]
    figure = new_figure(_PAGE_INCHES, sum(heights) + 0.1)
    all_axes = figure.subplots(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0]
    titles: dict[str, str] = {}
    for axes, (begin, rows) in zip(all_axes, lines, strict=True):
        axes.set_xlim(begin, begin + LINE_S)
        inches_per_s = 0.9 * _PAGE_INCHES / LINE_S
        draw_rows(axes, rows, colours, inches_per_s, _PAGE_ROW_INCHES, verdicts=verdicts, titles=titles)
        ticks = [begin + 5 * tick for tick in range(round(LINE_S / 5) + 1)]
        axes.set_xticks(ticks, [clock(tick) for tick in ticks])
        axes.tick_params(axis="both", labelsize=8)
    return figure, titles
