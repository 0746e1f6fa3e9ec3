"""The learning curves of a run as a picture, from the metrics that Lightning logged."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PARTS = ("train", "val")
COLUMNS = 3


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of each metric in a `metrics.csv` of Lightning."""
    metrics: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name not in ("epoch", "step") and value:
                    metrics[name].append((int(row["epoch"]), float(value)))
    return dict(metrics)


def panels(metrics: dict[str, list[tuple[int, float]]]) -> dict[str, list[str]]:
    """Which metrics share a panel: those of one measure, whatever part of the data it is of."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(metrics):
        part, _, rest = name.partition("_")
        found[rest if part in PARTS and rest else name].append(name)
    return dict(found)


def save_curves(metrics_csv: Path, picture: Path) -> None:
    """Draw a panel a metric, each with its own scale: training dashed, validation solid."""
    metrics = read_metrics(metrics_csv)
    grouped = panels(metrics)
    columns = min(max(len(grouped), 1), COLUMNS)
    rows = max(-(-len(grouped) // columns), 1)
    figure = Figure(figsize=(4 * columns, 3 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, (title, names) in zip(axes, grouped.items(), strict=False):
        for name in names:
            style = "--" if name.startswith("train") else "-"
            axis.plot(*zip(*metrics[name], strict=True), style, label=name.partition("_")[0])
        axis.set(xlabel="epoch", title=title.replace("_", " "))
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(frameon=False, fontsize=8)
    for axis in axes[len(grouped) :]:
        axis.set_axis_off()
    figure.savefig(picture)
