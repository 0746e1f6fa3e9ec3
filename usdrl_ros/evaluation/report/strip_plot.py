"""A strip drawn: the person as they moved; below, on the same clock, truth, events and the model's probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from usdrl_ros.bags.tables import short
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.report.canvas import BAD, FADED, GRID, INK, new_figure, tidy
from usdrl_ros.evaluation.strips import Strip
from usdrl_ros.skeleton.layouts import NTU_25, SPINE_BASE, load_layout
from usdrl_ros.skeleton.normalize import normalize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, SKELETON_HEIGHT, CURVE_HEIGHT = 13.0, 1.65, 1.25
_LEFT, _RIGHT = 0.75, 0.15  # inches beside the axes
_INCHES_PER_METRE = 0.72
_SPACING = 0.78  # inches between two skeletons, at least
_TURN = np.deg2rad(25.0)
"""A person is seen a little from the side, so that a hand before the body is seen."""
_LEFT_SIDE, _RIGHT_SIDE, _MIDDLE = "#c8742a", "#2f6db5", "#444b54"


def draw_strip(strip: Strip, colours: Mapping[str, str], start_threshold: float) -> Figure:
    """The plot of a strip; `start_threshold` is drawn: a line above which a probability is evidence."""
    height = SKELETON_HEIGHT + CURVE_HEIGHT
    figure = new_figure(WIDTH, height)
    figure.set_layout_engine("none")
    inside = WIDTH - _LEFT - _RIGHT
    body = figure.add_axes((_LEFT / WIDTH, CURVE_HEIGHT / height, inside / WIDTH, SKELETON_HEIGHT / height))
    curve = figure.add_axes((_LEFT / WIDTH, 0.32 / height, inside / WIDTH, (CURVE_HEIGHT - 0.34) / height))
    seconds = strip.end - strip.begin
    for axes in (body, curve):
        axes.axvspan(
            (strip.subject.start - strip.begin) / seconds if axes is body else strip.subject.start,
            (strip.subject.end - strip.begin) / seconds if axes is body else strip.subject.end,
            color="#fdf1ef" if strip.kind == "missed" else "#fff6e6",
            zorder=0,
        )
    _draw_people(body, strip, inside)
    _draw_curve(curve, strip, colours, start_threshold)
    return figure


def _draw_people(axes: Axes, strip: Strip, width: float) -> None:
    """Skeletons at their times, in inches; the first frame says which way the person faces."""
    axes.set_xlim(0, 1)
    axes.set_ylim(0, SKELETON_HEIGHT)
    axes.axis("off")
    seen = np.isfinite(strip.joints).all(-1).any(-1)
    if not seen.any():
        axes.text(0.5, SKELETON_HEIGHT / 2, "no skeletons of this person here", ha="center", color=FADED)
        return
    times, joints = strip.times[seen], strip.joints[seen]
    upright = joints @ normalize.rotation(joints).T
    turn = np.array([[np.cos(_TURN), np.sin(_TURN)], [-np.sin(_TURN), np.cos(_TURN)]])
    flat = np.concatenate([(upright[..., :2] @ turn.T)[..., :1], upright[..., 2:]], -1)  # seen from before: x and up
    feet, head = np.nanquantile(flat[..., 1], [0.005, 0.995])
    scale = min(_INCHES_PER_METRE, (SKELETON_HEIGHT - 0.2) / max(head - feet, 0.5))
    many = max(1, int(width / _SPACING))
    wanted = strip.begin + (np.arange(many) + 0.5) / many * (strip.end - strip.begin)
    chosen = sorted({int(np.abs(times - moment).argmin()) for moment in wanted})
    for index in chosen:
        pose = flat[index]
        across = pose[SPINE_BASE, 0] if np.isfinite(pose[SPINE_BASE, 0]) else np.nanmean(pose[:, 0])
        centre = (times[index] - strip.begin) / (strip.end - strip.begin)
        points = np.stack(
            [centre + (pose[:, 0] - across) * scale / width, 0.1 + (pose[:, 1] - feet) * scale], -1
        )  # the width of the axes is 1
        for colour, bones in _bones().items():
            line = np.full((3 * len(bones), 2), np.nan)
            line[0::3], line[1::3] = points[[a for a, _ in bones]], points[[b for _, b in bones]]
            axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=1.5, solid_capstyle="round", zorder=3)
        head_at = points[NTU_25.index("Head")]
        axes.plot(*head_at, marker="o", markersize=5.5, color=_MIDDLE, zorder=4)


def _bones() -> dict[str, list[tuple[int, int]]]:
    """The bones of NTU-25 by colour: the person's left, right, and middle."""
    bones: dict[str, list[tuple[int, int]]] = {_MIDDLE: [], _LEFT_SIDE: [], _RIGHT_SIDE: []}
    for first, second in load_layout("ntu_25").bones:
        names = NTU_25[first] + NTU_25[second]
        bones[_LEFT_SIDE if "Left" in names else _RIGHT_SIDE if "Right" in names else _MIDDLE].append((first, second))
    return bones


def _draw_curve(axes: Axes, strip: Strip, colours: Mapping[str, str], start_threshold: float) -> None:
    tidy(axes)
    axes.set_xlim(strip.begin, strip.end)
    axes.set_ylim(0, 1.62)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.axhline(start_threshold, xmin=0, color=GRID, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for rank, (action, values) in enumerate(strip.scores.items()):
        if not len(values):
            continue
        colour = colours.get(action, FADED)
        axes.plot(strip.score_times, values, color=colour, linewidth=2.2 if rank == 0 else 1.2, zorder=3 - rank)
        peak = int(values.argmax())
        if values[peak] > 0.08:
            side = "left" if peak < len(values) * 0.85 else "right"
            axes.annotate(
                short(action, 24),
                (strip.score_times[peak], values[peak]),
                xytext=(3 if side == "left" else -3, 1),
                textcoords="offset points",
                fontsize=8,
                ha=side,
                va="center" if values[peak] > 0.9 else "bottom",
                color=colour,
                zorder=6,
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
            )
    _draw_bars(axes, strip, strip.truths, "truth", 1.36, colours)
    _draw_bars(axes, strip, strip.events, "events", 1.10, colours)
    axes.set_xlabel("")
    step = next(step for step in (0.5, 1, 2, 5) if (strip.end - strip.begin) / step <= 14)
    ticks = np.arange(np.ceil(strip.begin / step), np.floor(strip.end / step) + 1) * step
    axes.set_xticks(ticks, [f"{tick:g} s" for tick in ticks])


def _draw_bars(
    axes: Axes, strip: Strip, intervals: Sequence[Interval], name: str, bottom: float, colours: Mapping[str, str]
) -> None:
    beside = axes.get_yaxis_transform()
    axes.text(-0.008, bottom + 0.1, name, transform=beside, ha="right", va="center", fontsize=8, color=FADED)
    for interval in intervals:
        subject = interval is strip.subject or interval == strip.subject
        colour = colours.get(interval.action, FADED)
        begin, end = max(interval.start, strip.begin), min(interval.end, strip.end)
        axes.broken_barh(
            [(begin, end - begin)],
            (bottom, 0.22),
            facecolor=(colour, 0.3),
            edgecolor=BAD if subject else colour,
            linewidth=1.6 if subject else 0.8,
            linestyle=(0, (3, 1.5)) if subject else "-",
        )
        if end - begin > 0.062 * len(interval.action) * (strip.end - strip.begin) / WIDTH * 1.1:
            axes.text(
                (begin + end) / 2,
                bottom + 0.1,
                short(interval.action, 24),
                ha="center",
                va="center",
                fontsize=7.5,
                color=INK,
            )
