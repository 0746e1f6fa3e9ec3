"""The metrics of the shipped model as Markdown tables, and a plot of what it confuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

LEAST_CLIPS = 10
"""Of fewer test clips of an action, the recall says little."""


def markdown(result: dict[str, Any]) -> str:
    """All tables, in the order of the model card."""
    parts = [
        _recognition(result["recognition"]),
        _detection(result),
        _robustness(result.get("robustness", {})),
        _actor(result["actor"]),
        _actions(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def save_confusion(path: Path, counts: np.ndarray, actions: tuple[str, ...]) -> None:
    """Draw which actions are taken for which: a row for each true action, shares of its clips."""
    there = np.flatnonzero(counts.sum(1) + counts.sum(0))
    shares = counts[np.ix_(there, there)] / np.maximum(counts[there].sum(1, keepdims=True), 1)
    names = [actions[i] for i in there]
    figure, axes = plt.subplots(figsize=(0.3 * len(names) + 2.5, 0.3 * len(names) + 2.0), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(
        range(len(names)), [f"{n} ({int(counts[i].sum())})" for n, i in zip(names, there, strict=True)], fontsize=8
    )
    for row, column in zip(*np.nonzero(shares >= 0.05), strict=True):
        share = shares[row, column]
        axes.text(
            column, row, f"{share:.0%}"[:-1], ha="center", va="center", fontsize=6, color="w" if share > 0.5 else "k"
        )
    axes.set_xlabel("recognised as")
    axes.set_ylabel("true action (test clips)")
    axes.set_title("What is taken for what, % of an action's test clips")
    figure.colorbar(image, shrink=0.5)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100.0 * value:.1f}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _recognition(found: dict[str, Any]) -> str:
    rows = [[f"**all**, {found['clips']}", _percent(found["top1"]), _percent(found["macro_f1"])]]
    for name, one in found["by_set"].items():
        rows.append([f"{name}, {one['clips']}", _percent(one["top1"]), _percent(one["macro_f1"])])
    text = "Trimmed clips of people it never saw, %\n\n" + _table(["clips", "top-1", "macro F1"], rows)
    return text + f"\n\nExpected calibration error of the clips' confidences: {found['calibration_error']:.3f}."


def _detection(result: dict[str, Any]) -> str:
    ranked, default = [], []
    for name, found in result["detection"].items():
        all_events, authors, delay = found["ranked"], result["authors"][name], found["delay_median_s"]
        recordings = f"{name}, {found['minutes']:.0f} min"
        precisions = [
            _percent(all_events[kind][theta]) for kind in ("map_action", "map_video") for theta in ("0.5", "0.3")
        ]
        ranked.append([recordings, *precisions, _percent(authors["0.5"]), _percent(authors["0.3"])])
        default.append(
            [
                recordings,
                f"{found['found']} of {found['actions']}",
                "-" if delay is None else f"{delay:.2f}",
                f"{found['false_events_per_minute']:.2f}",
                _percent(found["map_action"]["0.5"]),
                _percent(found["map_action"]["0.3"]),
            ]
        )
    first = ["online at 10 Hz", "mAP_a@0.5", "mAP_a@0.3", "mAP_v@0.5", "mAP_v@0.3", "authors' rule, mAP_a@0.5", "@0.3"]
    second = ["online at 10 Hz", "found", "delay s", "false/min", "mAP_a@0.5", "mAP_a@0.3"]
    return "\n\n".join(
        [
            "Untrimmed recordings of people it never saw: all events at slight evidence, ranked by confidence",
            _table(first, ranked),
            "The same under the default settings, as events are reported",
            _table(second, default),
        ]
    )


def _robustness(conditions: dict[str, Any]) -> str:
    if not conditions:
        return ""

    def values(found: dict[str, Any]) -> list[float | None]:
        if "ranked" not in found:  # judged on clips alone
            return [found["top1"], None, None]
        return [found["top1"], found["ranked"]["map_action"]["0.5"], found["map_action"]["0.5"]]

    clean = values(conditions["clean"])
    rows = []
    for name, found in conditions.items():
        row = [name]
        for value, of_clean in zip(values(found), clean, strict=True):
            if name == "clean" or value is None or of_clean is None:
                row.append(_percent(value))
            else:
                row.append(f"{_percent(value)} ({100 * (value - of_clean):+.1f})")
        rows.append(row)
    header = ["condition", "clips, top-1", "UTKinect takes, mAP_a@0.5, ranked", "mAP_a@0.5, default settings"]
    if all(found.get("ranked") is None for found in conditions.values()):
        header, rows = header[:2], [row[:2] for row in rows]
    return "As robots see (in brackets: against clean, points)\n\n" + _table(header, rows)


def _actor(found: dict[str, Any]) -> str:
    return (
        f"The demo's actor ({found['scenes']} scenes): {found['found']} of {found['actions']} scripted actions found, "
        f"{found['false']} false events; the scene of `make demo`: {found['demo']['found']} of "
        f"{found['demo']['actions']}, {found['demo']['false']} false."
    )


def _actions(result: dict[str, Any]) -> str:
    rows = []
    for action, found in result["recognition"]["by_action"].items():
        few = " (few)" if 0 < found["clips"] < LEAST_CLIPS else ""
        row = [action, f"{found['clips']}{few}", _percent(found["recall"])]
        for detected in result["detection"].values():
            one = detected["by_action"].get(action)
            row += [f"{one['found']} of {one['true']}, {one['false']} false" if one else "-"]
        rows.append(row)
    header = ["action", "test clips", "recall, %", *(f"online: {name}" for name in result["detection"])]
    return "By action\n\n" + _table(header, rows)
