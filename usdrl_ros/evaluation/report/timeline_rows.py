"""The rows of a timeline: bars of true actions and of events, their labels, and when events were announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usdrl_ros.bags.tables import short
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.report.canvas import BAD, BAND, GRID, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 0.8  # of a row's height


@dataclass(frozen=True)
class Row:
    """The true actions, or the events, of one person."""

    person_id: str
    kind: str
    intervals: list[Interval]


def make_rows(truths: Sequence[Interval], events: Sequence[Interval], with_truth: bool) -> list[Row]:
    """A row for each person's true actions, where there are some, and one for the events."""
    people = sorted({interval.person_id for interval in (*truths, *events)}) or [""]
    kinds = [("truth", truths), ("events", events)] if with_truth else [("events", events)]
    return [
        Row(person_id, kind, [interval for interval in intervals if interval.person_id == person_id])
        for person_id in people
        for kind, intervals in kinds
    ]


def draw_rows(
    axes: Axes,
    rows: Sequence[Row],
    colours: Mapping[str, str],
    inches_per_s: float,
    row_inches: float,
    *,
    verdicts: Mapping[Interval, str] | None = None,
    titles: dict[str, str] | None = None,
) -> None:
    """Draw rows from the top of the axes down.

    Args:
        axes: Their x limits say what is shown, seconds.
        rows: Of people, those of one person together.
        colours: Of each action.
        inches_per_s, row_inches: How large a second and a row are.
        verdicts: What an interval is that is not right.
        titles: Takes the text of each bar, by its gid.
    """
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
    row: Row,
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
        label, points, place = _label(
            short(interval.action, 24),
            (shown_to - shown_from) * inches_per_s,
            size * row_inches,
            (free_to - shown_to) * inches_per_s,
        )
        beside = place == "beside"
        axes.text(
            shown_to + 0.04 / inches_per_s if beside else (shown_from + shown_to) / 2,
            bottom + size / 2,
            label,
            ha="left" if beside else "center",
            va="center",
            fontsize=points,
            linespacing=1.0,
            rotation=90.0 if place == "upright" else 0.0,
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


def _label(action: str, width: float, height: float, beside: float) -> tuple[str, float, str]:
    """How to write an action at a bar: (text, points, "inside", "beside" or "upright").

    Inside the bar in one or several lines, else to its right where that is free, else upright in the bar, cut with a
    full stop where even that is too short.

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
                return text, points, "inside"
    if label_inches(action) <= beside:
        return action, 7.0, "beside"
    letters = max(1, int((height - 0.02) / _text_inches(["x"], 6.5)))
    return action if letters >= len(action) else f"{action[: letters - 1]}.", 6.5, "upright"


def label_inches(action: str) -> float:
    """The width of an action's label beside its bar."""
    return _text_inches([short(action, 24)], 7.0) + 0.08


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
