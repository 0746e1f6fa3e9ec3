"""The plots of the report; each goes into the page (SVG) and beside it (PNG)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from usdrl_ros.evaluation.metrics.breakdown import MISSED, precision_recall
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.metrics.values import Estimate
from usdrl_ros.evaluation.report.canvas import ACCENT, BAD, FADED, GOOD, GRID, INK, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

_MOST_COLUMNS = 6


def precision_recall_plot(
    events: Sequence[Interval], truths: Sequence[Interval], values: Mapping[str, Estimate], colours: Mapping[str, str]
) -> Figure:
    """Precision over recall of each action that is true somewhere, at tIoU 0.3 (thin) and 0.5 (thick)."""
    actions = sorted({truth.action for truth in truths}) or [""]
    rows = -(-len(actions) // _MOST_COLUMNS)
    columns = max(-(-len(actions) // rows), 4)
    figure = new_figure(13.0, 2.05 * rows + 0.1)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for index, axes in enumerate(grid.flat):
        if index >= len(actions):
            axes.axis("off")
            continue
        action = actions[index]
        found, true = ([interval for interval in kind if interval.action == action] for kind in (events, truths))
        tidy(axes, grid="both")
        for theta, width in ((0.3, 1.0), (0.5, 2.2)):
            curve = precision_recall(found, true, theta)
            if len(curve):
                axes.step(
                    np.r_[0.0, curve[:, 0]],
                    np.r_[curve[0, 1], curve[:, 1]],
                    color=colours.get(action, ACCENT),
                    linewidth=width,
                    where="pre",
                    clip_on=False,
                )
        axes.set(xlim=(0, 1.0), ylim=(0, 1.05), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        value = values[action].value if action in values else None
        axes.set_title(action, loc="left", fontsize=9.5, color=INK)
        axes.set_title("" if value is None else f"{value:.2f}", loc="right", fontsize=9.5, color=FADED)
        if index % columns == 0:
            axes.set_ylabel("precision", fontsize=8.5, color=FADED)
        if index + columns >= len(actions):
            axes.set_xlabel("recall", fontsize=8.5, color=FADED)
            axes.tick_params(labelbottom=True)
    return figure


def confusion_plot(counts: Counter[tuple[str, str]], false: Counter[str]) -> Figure:
    """True actions in rows, recognised ones in columns; beside and below: what was missed, and false events."""
    actions = sorted({name for pair in counts for name in pair if name} | set(false))
    size = len(actions)
    cell = 0.44 if size <= 16 else 0.28
    figure = new_figure(cell * (size + 1) + 2.2, cell * (size + 1) + 1.6)
    axes = figure.add_subplot()
    columns = [*actions, MISSED]
    table = np.array([[counts[true, found] for found in columns] for true in actions], float).reshape(size, size + 1)
    table = np.vstack([table, [*(false[action] for action in actions), 0]])
    total = np.maximum(table.sum(1, keepdims=True), 1)
    for row in range(size + 1):
        for column in range(size + 1):
            count = table[row, column]
            if row == size and column == size:
                continue
            share = count / total[row, 0] if row < size else count / max(table[size].max(), 1)
            good = row == column and row < size
            shade = 0.0 if not count else 0.12 + 0.88 * share
            axes.add_patch(_cell(column, row, GOOD if good else BAD, shade))
            if count:
                ink = "white" if shade > 0.55 else INK
                size_pt = 9 if size <= 16 else 6.5
                axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=size_pt, color=ink)
    axes.set(xlim=(-0.5, size + 0.5), ylim=(size + 0.5, -0.5), aspect="equal")
    font = 9 if size <= 16 else 7.5
    axes.set_xticks(
        range(size + 1), [*actions, "missed"], rotation=45, ha="left", rotation_mode="anchor", fontsize=font
    )
    axes.set_yticks(range(size + 1), [*actions, "nothing true"], fontsize=font)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_ylabel("true action", color=FADED, fontsize=9)
    axes.set_xlabel("recognised as", color=FADED, fontsize=9)
    axes.xaxis.set_label_position("top")
    return figure


def _cell(column: int, row: int, colour: str, shade: float) -> FancyBboxPatch:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (column - 0.45, row - 0.45),
        0.9,
        0.9,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=(colour, shade) if shade else "#f6f7f9",
        edgecolor="none",
    )


def histogram(values: Sequence[float], label: str, *, marks: Mapping[str, float | None], unit: str = "s") -> Figure:
    """How values in seconds are spread, with marked ones such as the median; the outermost bins hold what is beyond."""
    figure = new_figure(5.9, 2.4)
    axes = figure.add_subplot()
    tidy(axes, grid="y")
    scale = 1000.0 if unit == "ms" else 1.0
    shown = np.array(values, float) * scale
    if len(shown):
        low, high = np.quantile(shown, [0.0, 1.0]) if len(shown) < 100 else np.quantile(shown, [0.002, 0.995])
        low = min(low, 0.0)
        high = max(high, low + 1e-3)
        bins = min(30, 6 + len(shown) // 4)
        axes.hist(np.clip(shown, low, high), bins=bins, range=(low, high), color=ACCENT, alpha=0.85, rwidth=0.92)
    for place, (name, value) in enumerate(marks.items()):
        if value is None:
            continue
        axes.axvline(value * scale, color=INK, linewidth=1.2, linestyle="-" if place == 0 else (0, (3, 2)))
        axes.annotate(
            f"{name} {value * scale:.{1 if unit == 'ms' else 2}f} {unit}",
            (value * scale, 1.0 - 0.13 * place),
            xycoords=axes.get_xaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=8.5,
            va="top",
            color=INK,
        )
    axes.set_xlabel(label, fontsize=8.5, color=FADED)
    axes.set_ylabel("events" if unit == "s" else "steps", fontsize=8.5, color=FADED)
    axes.locator_params(axis="y", integer=True)
    return figure


def reliability_plot(bins: np.ndarray) -> Figure:
    """Of the events of each tenth of confidence, the share that is right; `bins` as of `calibration_bins`, summed."""
    figure = new_figure(5.9, 2.8)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    events, confidence, right = bins
    there = events > 0
    edges = np.arange(len(events)) / len(events)
    tidy(axes, grid="y")
    axes.plot([0, 1], [0, 1], color=GRID, linewidth=1.4, zorder=1)
    share, mean = right[there] / events[there], confidence[there] / events[there]
    axes.bar(edges[there] + 0.05, share, width=0.092, color=ACCENT, alpha=0.35, zorder=2)
    axes.plot(mean, share, marker="o", markersize=5, color=ACCENT, linewidth=1.6, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1.04), yticks=[0, 0.5, 1])
    axes.set_ylabel("share right", fontsize=8.5, color=FADED)
    tidy(below)
    below.bar(edges + 0.05, events, width=0.092, color=FADED, alpha=0.5)
    below.set_ylabel("events", fontsize=8.5, color=FADED)
    below.set_xlabel("confidence", fontsize=8.5, color=FADED)
    below.locator_params(axis="y", integer=True, nbins=2)
    return figure


def overlap_plot(metrics: Mapping[str, Estimate], thetas: Sequence[float]) -> Figure:
    """mAP and F1 over the required overlap, with the confidence interval of mAP_action."""
    figure = new_figure(5.9, 2.8)
    axes = figure.add_subplot()
    tidy(axes, grid="y")
    _line(axes, metrics, "mAP_action", thetas, ACCENT, 2.2, "-")
    _line(axes, metrics, "mAP_video", thetas, GOOD, 1.4, "-")
    _line(axes, metrics, "F1", thetas, FADED, 1.4, (0, (4, 2)))
    axes.set(xlim=(thetas[0], thetas[-1]), ylim=(0, 1.0), xticks=thetas)
    axes.set_xlabel("required overlap, tIoU", fontsize=8.5, color=FADED)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="lower left")
    return figure


def _line(
    axes: Axes,
    metrics: Mapping[str, Estimate],
    name: str,
    thetas: Sequence[float],
    colour: str,
    width: float,
    style: object,
) -> None:
    found = [metrics[f"{name}@{theta}"] for theta in thetas]
    values = [np.nan if estimate.value is None else estimate.value for estimate in found]
    axes.plot(
        thetas,
        values,
        color=colour,
        linewidth=width,
        linestyle=style,  # type: ignore[arg-type]
        marker="o",
        markersize=3.5,
        label=name,
    )
    lows, highs = ([getattr(estimate, side) for estimate in found] for side in ("low", "high"))
    if name == "mAP_action" and None not in lows:
        axes.fill_between(thetas, lows, highs, color=colour, alpha=0.13, linewidth=0)
