"""Who did what when, and what was recognised: each person's true actions above the events, to scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usdrl_ros.bags.label_files import bag_name
from usdrl_ros.bags.tables import short
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.report.canvas import (
    BAD,
    BAND,
    GRID,
    INK,
    UNKNOWN,
    clock,
    colours_of,
    file_name,
    new_figure,
    save_png,
)
from usdrl_ros.files import atomic_directory, atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_S = 30.0
"""Seconds of a line of a page."""
PAGE_LINES = 24
_PAGE_INCHES = 11.0
_BAR = 0.8  # of a row's height
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
    rows = _rows(truths, events, bool(truths))
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
    axes.set_xlim(start - 0.01 * seconds, end + 0.01 * seconds)
    _draw_rows(axes, rows, colours, 0.85 * width / seconds, _ROW_INCHES)
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
            lines.append((begin, _rows(true, found, True)))
        number += 1
    for first in range(0, len(lines), PAGE_LINES):
        yield _page(lines[first : first + PAGE_LINES], colours, verdicts)


@dataclass(frozen=True)
class _Row:
    person_id: str
    kind: str
    intervals: list[Interval]


def _rows(truths: Sequence[Interval], events: Sequence[Interval], with_truth: bool) -> list[_Row]:
    people = sorted({interval.person_id for interval in (*truths, *events)}) or [""]
    kinds = [("truth", truths), ("events", events)] if with_truth else [("events", events)]
    return [
        _Row(person_id, kind, [interval for interval in intervals if interval.person_id == person_id])
        for person_id in people
        for kind, intervals in kinds
    ]


def _page(
    lines: Sequence[tuple[float, list[_Row]]], colours: Mapping[str, str], verdicts: Mapping[Interval, str]
) -> tuple[Figure, dict[str, str]]:
    heights = [_PAGE_ROW_INCHES * len(rows) + 0.45 for _, rows in lines]
    figure = new_figure(_PAGE_INCHES, sum(heights) + 0.1)
    all_axes = figure.subplots(len(lines), 1, squeeze=False, height_ratios=heights)[:, 0]
    titles: dict[str, str] = {}
    for axes, (begin, rows) in zip(all_axes, lines, strict=True):
        axes.set_xlim(begin, begin + LINE_S)
        inches_per_s = 0.9 * _PAGE_INCHES / LINE_S
        _draw_rows(axes, rows, colours, inches_per_s, _PAGE_ROW_INCHES, verdicts=verdicts, titles=titles)
        ticks = [begin + 5 * tick for tick in range(round(LINE_S / 5) + 1)]
        axes.set_xticks(ticks, [clock(tick) for tick in ticks])
        axes.tick_params(axis="both", labelsize=8)
    return figure, titles


def _draw_rows(
    axes: Axes,
    rows: Sequence[_Row],
    colours: Mapping[str, str],
    inches_per_s: float,
    row_inches: float,
    *,
    verdicts: Mapping[Interval, str] | None = None,
    titles: dict[str, str] | None = None,
) -> None:
    ticks: list[tuple[float, str]] = []
    top = 0.0
    bands = 0
    for index, row in enumerate(rows):
        newcomer = index == 0 or rows[index - 1].person_id != row.person_id
        if newcomer:
            top += 0.3 if index else 0.0
            same = sum(other.person_id == row.person_id for other in rows)
            if bands % 2 == 0:
                axes.axhspan(top - 0.15, top + same + 0.15, color=BAND, zorder=0)
            bands += 1
        ticks.append((top + 0.5, f"{short(row.person_id, 24)}  {row.kind}" if row.person_id else row.kind))
        _draw_row(axes, row, top, colours, inches_per_s, row_inches, verdicts or {}, titles)
        top += 1.0
    axes.set_ylim(top + 0.15, -0.15)
    axes.set_yticks([position for position, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors="#444444")
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)


def _draw_row(
    axes: Axes,
    row: _Row,
    top: float,
    colours: Mapping[str, str],
    inches_per_s: float,
    row_inches: float,
    verdicts: Mapping[Interval, str],
    titles: dict[str, str] | None,
) -> None:
    faded = row.kind == "events"
    left, right = axes.get_xlim()
    places = _lanes(row.intervals)
    for interval, (lane, lanes) in zip(row.intervals, places, strict=True):
        size = _BAR / lanes
        bottom = top + (1 - _BAR) / 2 + lane * size
        alpha = 0.25 + 0.75 * min(max(interval.score, 0.0), 1.0) if faded else 1.0
        verdict = verdicts.get(interval, "right" if faded else "found")
        bad = verdict in ("missed", "false")
        alpha = alpha if faded or not bad else 0.25
        colour = colours[interval.action]
        bar = axes.broken_barh(
            [(interval.start, interval.end - interval.start)],
            (bottom + 0.02, size - 0.04),
            facecolor=(colour, alpha),
            edgecolor=BAD if bad else colour,
            linewidth=1.8 if bad else 0.8,
            linestyle=(0, (3, 1.5)) if bad else "-",
            zorder=3 if bad else 2,
        )
        if titles is not None:
            gid = f"bar_{len(titles)}"
            bar.set_gid(gid)
            titles[gid] = _title(interval, row.kind, verdict)
        _draw_announcement(axes, interval, bottom, size)
        others = [other for other, place in zip(row.intervals, places, strict=True) if place[0] == lane or lanes == 1]
        free_to = min([right, *(other.start for other in others if other.start >= interval.end)])
        if interval.announced is not None and interval.announced > interval.end:
            free_to = interval.end  # the line to the triangle is there
        shown_from, shown_to = max(interval.start, left), min(interval.end, right)
        label, points, beside = _label(
            short(interval.action, 24),
            (shown_to - shown_from) * inches_per_s,
            size * row_inches,
            (free_to - shown_to) * inches_per_s,
        )
        axes.text(
            shown_to + 0.04 / inches_per_s if beside else (shown_from + shown_to) / 2,
            bottom + size / 2,
            label,
            ha="left" if beside else "center",
            va="center",
            fontsize=points,
            linespacing=1.0,
            color=INK if beside else _ink(colour, alpha),
            zorder=5,
            clip_on=True,
        )


def _draw_announcement(axes: Axes, interval: Interval, bottom: float, size: float) -> None:
    """A triangle at the stamp of STARTED; where that is after the end, a dotted line joins it to its bar."""
    left, right = axes.get_xlim()
    announced = interval.announced
    if announced is None:
        return
    if announced > interval.end and interval.end < right and announced > left:
        middle = bottom + size / 2
        axes.plot([interval.end, announced], [middle, middle], color=INK, linewidth=0.9, linestyle=":", zorder=3)
        axes.plot([announced] * 2, [bottom + 0.02, middle], color=INK, linewidth=0.9, linestyle=":", zorder=3)
    if left <= announced <= right:
        axes.plot(announced, bottom + 0.02, marker="v", markersize=4.5, color=INK, zorder=4)


def _title(interval: Interval, kind: str, verdict: str) -> str:
    parts = [f"{interval.action}, {interval.start:.2f} to {interval.end:.2f} s", verdict]
    if kind == "events":
        parts.append(f"confidence {interval.score:.2f}")
        if interval.announced is not None:
            late = " (after its end)" if interval.announced > interval.end else ""
            parts.append(f"announced at {interval.announced:.2f} s{late}")
    return ", ".join(parts)


def _label(action: str, width: float, height: float, beside: float) -> tuple[str, float, bool]:
    """How to write an action at a bar: (text, points, whether to its right).

    Inside the bar in one or several lines, else to its right where that is free, else cut, down to one letter.

    Args:
        action: Its name.
        width, height: Of the bar, inches.
        beside: Inches that are free to its right.
    """
    broken = action.replace("_", " ").replace(" ", "\n")
    for text in (action, broken):
        lines = text.split("\n")
        for points in (8.5, 7.0):
            inch = points / 72
            if _text_inches(lines, points) + 0.06 <= width and len(lines) * 1.15 * inch <= height:
                return text, points, False
    if _text_inches([action], 7.0) + 0.08 <= beside:
        return action, 7.0, True
    letters = max(1, int((width - 0.02) / _text_inches(["x"], 6.5)))
    return action[:letters] if letters < len(action) else action, 6.5, False


def _text_inches(lines: Sequence[str], points: float) -> float:
    """About how wide text is."""
    return max(map(len, lines)) * 0.62 * points / 72


def _ink(colour: str, alpha: float) -> str:
    """Black or white, whichever is read better on a colour that lets so much of a white page through."""
    red, green, blue = (1 - alpha + alpha * int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.6 else "white"


def _lanes(intervals: Sequence[Interval]) -> list[tuple[int, int]]:
    """The lane of each interval, and how many there are where it is, so that those in one lane do not overlap."""
    lanes: dict[int, int] = {}
    places: dict[int, tuple[int, int]] = {}

    def settle() -> None:
        places.update({index: (lane, max(lanes.values()) + 1) for index, lane in lanes.items()})
        lanes.clear()

    ends: list[float] = []
    for index in sorted(range(len(intervals)), key=lambda i: intervals[i].start):
        start, end = intervals[index].start, intervals[index].end
        if ends and max(ends) <= start:  # nothing before reaches this far
            settle()
            ends = []
        lane = next((lane for lane, busy in enumerate(ends) if busy <= start), len(ends))
        if lane == len(ends):
            ends.append(end)
        ends[lane] = end
        lanes[index] = lane
    if lanes:
        settle()
    return [places[index] for index in range(len(intervals))]
