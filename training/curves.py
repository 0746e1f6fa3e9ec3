"""The learning curves of a run as a picture, from the metrics that Lightning logged."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """(epoch, value) of each metric in a `metrics.csv` of Lightning."""
    metrics: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name not in ("epoch", "step") and value:
                    metrics[name].append((int(row["epoch"]), float(value)))
    return dict(metrics)


def save_curves(metrics_csv: Path, picture: Path) -> None:
    """Draw losses on the left and accuracies on the right, training dashed and validation solid."""
    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = dict(zip(("loss", "accuracy"), figure.subplots(1, 2), strict=True))
    for name, values in sorted(read_metrics(metrics_csv).items()):
        kind = name.rsplit("_", 1)[-1]
        if kind in axes:
            axes[kind].plot(*zip(*values, strict=True), "--" if name.startswith("train") else "-", label=name)
    for kind, plot in axes.items():
        plot.set(xlabel="epoch", ylabel=kind)
        plot.grid(alpha=0.3)
        if plot.lines:
            plot.legend(frameon=False, fontsize=8)
    figure.savefig(picture)
