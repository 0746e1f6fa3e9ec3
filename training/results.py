"""Tables and pictures from logged runs: `python -m training.results runs/study` writes docs/results.md.

Reads the `result.json` of every run below the directory. A run called SET/ROW/COLUMN/SEED becomes one value of a table;
several seeds become mean and standard deviation. Each set's table is followed by what made it: epochs, seeds, time.
The records themselves are copied beside the page, so that it can be made again without the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.data.sets import SETS, load_set
from training.runs import RESULT, Record

COLUMNS = {
    "linear": "linear",
    "retrieval": "1-NN",
    "one_shot": "one-shot",
    "labels_10": "10 % labels",
    "fine_tuned": "all labels",
}
ROWS = {
    "random": "random encoder, J",
    "random_unified": "random encoder, J+M+B",
    "random_unified_256": "random encoder, J+M+B, H=256",
    "scratch": "supervised from scratch, J",
    "scratch_unified": "supervised from scratch, J+M+B",
    "scratch_unified_256": "supervised from scratch, J+M+B, H=256",
    "joint": "USDRL joint",
    "unified": "USDRL unified J+M+B",
    "unified_256": "USDRL unified J+M+B, H=256",
    "3s": "3s-USDRL (J, B, M)",
    "transfer": "USDRL joint from kinder_gator + msrc12",
}
"""Of H=128, where a row does not say otherwise."""
RANDOM = {"joint": "random", "unified": "random_unified", "unified_256": "random_unified_256"}
SCRATCH = {"joint": "scratch", "unified": "scratch_unified", "unified_256": "scratch_unified_256"}


@dataclass(frozen=True)
class Run:
    """One record and its place: set, row, column and seed, from the run's name."""

    set: str
    row: str
    column: str
    seed: str
    record: Record

    def value(self, metric: str = "top1") -> float:
        """A figure; "also/SPLIT/top1" is that of an additional test split."""
        found = self.record.metrics
        for part in metric.split("/"):
            found = found[part]
        return float(found)  # type: ignore[arg-type]


RECIPE = "the recipe"
"""The row of an ablation that the others are compared with."""
DETAILS = ("confusion", "classes", "val_curve")
"""What of a record's metrics is not copied: it is long, and in no table."""


def read_runs(directory: Path) -> list[Run]:
    """All runs below a directory (or in a `records.json` of this module), in order of name.

    Raises:
        ValueError: There is none, or a record is damaged.
    """
    if directory.is_file():
        records = [Record(**content) for content in json.loads(directory.read_text(encoding="utf-8"))]
    else:
        records = [Record.load(path) for path in sorted(directory.rglob(RESULT))]
    if not records:
        raise ValueError(f"{directory} holds no {RESULT}: make the runs with `python -m training.study`")
    runs = []
    for record in records:
        name, row, column, seed = [*record.name.split("/"), "", "", ""][:4]
        runs.append(Run(name, row, column, seed, record))
    return runs


def spread(values: Sequence[float]) -> str:
    """Shares as a percentage, with the deviation where there are several: "61.2 +- 1.5"."""
    mean = 100.0 * statistics.fmean(values)
    return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} ± {100.0 * statistics.stdev(values):.1f}"


def accuracy(runs: Sequence[Run], metric: str) -> str:
    """The runs' accuracy, and the deviation over seeds, or over the draws within one run."""
    values, draws = [run.value(metric) for run in runs], metric.removesuffix("top1") + "top1_std"
    try:
        return spread(values) if len(runs) > 1 else f"{spread(values)} ± {100.0 * runs[0].value(draws):.1f}"
    except KeyError:
        return spread(values)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def set_table(runs: Sequence[Run], metric: str = "top1") -> list[str]:
    """The recognition table of one set: rows of `ROWS` by columns of `COLUMNS`, and what each row cost."""
    cells: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.row, run.column].append(run)
    lines = []
    for row, title in ROWS.items():
        own = {column: cells[row, column] for column in COLUMNS if (row, column) in cells}
        if own:
            values = [accuracy(own[column], metric) if column in own else "-" for column in COLUMNS]
            lines.append([title, *values, cost(run for each in own.values() for run in each)])
    return table(["top-1, %", *COLUMNS.values(), "epochs, seeds, time"], lines)


def cost(runs: Iterable[Run]) -> str:
    """What trained runs cost: "30 epochs, 3 seeds, 4 min" by column."""
    by_column: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_column[run.column].append(run)
    parts = []
    for column in ("labels_10", "fine_tuned", "detection"):
        if own := by_column.get(column):
            seconds = sum(run.record.seconds for run in own)
            config = own[0].record.config
            averaged = config.get("runs") or config.get("scores")
            of = f"{len(averaged)} runs averaged" if averaged else f"{config['epochs']} epochs"
            seeds = len({run.seed for run in own})
            parts.append(f"{of} x {seeds} seed{'s' * (seeds > 1)}, {duration(seconds)}")
    return "; ".join(parts) or "encoder frozen"


def duration(seconds: float) -> str:
    """Seconds in words that are short: "45 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def pretraining_table(runs: Sequence[Run]) -> list[str]:
    """How each encoder was pretrained."""
    lines = []
    for run in runs:
        config, metrics = run.record.config, run.record.metrics
        data = ", ".join(f"{name} ({split})" for name, split in config["data"].items())
        what = f"{config['architecture'].upper()} H={config['width']}, {'+'.join(config['modalities'])}"
        how = f"{config['views']} views, batch {config['batch_size']}, {config['epochs']} epochs, seed {config['seed']}"
        lines.append([run.row, what, data, str(metrics["clips"]), how, duration(run.record.seconds)])
    return table(["encoder", "model", "training parts of", "clips", "recipe", "time"], lines)


def margins(runs: Sequence[Run], column: str, floor: dict[str, str]) -> list[str]:
    """By how many points each pretrained encoder is above its floor (a random or an untrained one), set by set."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        if run.column == column:
            values[run.set, run.row].append(run.value())
    lines = []
    for name in sorted({run.set for run in runs if run.column == column}):
        cells = []
        for row, below in floor.items():
            if (name, row) in values and (name, below) in values:
                own, other = statistics.fmean(values[name, row]), statistics.fmean(values[name, below])
                cells.append(f"{100 * own:.1f} - {100 * other:.1f} = **{100 * (own - other):+.1f}**")
            else:
                cells.append("-")
        lines.append([title_of(name), *cells])
    return table(["", *(ROWS[row] for row in floor)], lines)


def detection_table(runs: Sequence[Run]) -> list[str]:
    """Detection and segmentation of untrimmed recordings, side by side."""
    cells = {(run.row, run.column): run for run in runs}
    columns: dict[str, tuple[str, str]] = {
        "mAP_a@0.5, authors": ("detection", "authors_map_action_0.5"),
        "mAP_v@0.5, authors": ("detection", "authors_map_video_0.5"),
        "mAP_a@0.5, events": ("detection", "events_map_action_0.5"),
        "mAP_v@0.5, events": ("detection", "events_map_video_0.5"),
        "frame accuracy": ("segmentation", "frame_accuracy"),
        "edit": ("segmentation", "edit"),
        "F1@10": ("segmentation", "f1_0.1"),
        "F1@25": ("segmentation", "f1_0.25"),
        "F1@50": ("segmentation", "f1_0.5"),
    }
    lines = []
    for row, title in ROWS.items():
        if (row, "detection") in cells:
            values = [
                f"{100 * cells[row, column].value(metric):.1f}" if (row, column) in cells else "-"
                for column, metric in columns.values()
            ]
            lines.append([title, *values, cost([cells[row, "detection"]])])
    return table(["%", *columns, "epochs, seeds, time"], lines)


def ablation_table(runs: Sequence[Run]) -> list[str]:
    """What each part of the recipe is worth: validation accuracy of a linear probe, and against the first run's."""
    values = {run.row: run.value("val_top1") for run in runs if run.column == "linear"}
    seconds = {run.row: run.record.seconds for run in runs if run.column == "pretrain"}
    whole = values.get(RECIPE)
    lines = [
        [row, f"{100 * value:.1f}", f"{100 * (value - whole):+.1f}" if whole else "-", duration(seconds.get(row, 0.0))]
        for row, value in sorted(values.items(), key=lambda item: (item[0] != RECIPE, -item[1]))
    ]
    return table(["pretraining", "linear, validation people, %", "against the recipe", "time"], lines)


def early_figure(runs: Sequence[Run], picture: Path) -> list[str]:
    """Accuracy over the observed share: a picture, and the same as a table."""
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    lines, header = [], [""]
    for run in runs:
        observed, top1 = run.record.metrics["observed"], run.record.metrics["top1"]
        label = run.column.removeprefix("early_").replace("_", " ")
        plot.plot([100 * share for share in observed], [100 * value for value in top1], "o-", label=label)
        lines.append([label, *(f"{100 * value:.1f}" for value in top1)])
        header = ["top-1, %, by observed share", *(f"{100 * share:.0f} %" for share in observed)]
    plot.set(xlabel="observed share of the clip, %", ylabel="top-1, %", ylim=(0, 100))
    plot.grid(alpha=0.3)
    plot.legend(frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture)
    return table(header, lines)


def title_of(name: str) -> str:
    """A set as papers call it; one's own by its name."""
    return load_set(name).TITLE if name in SETS else name


def page(runs: Sequence[Run], output: Path) -> str:
    """The whole page; pictures go beside `output`."""
    by_set: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_set[run.set].append(run)
    pretraining = by_set.pop("pretrain", [])
    ablation = by_set.pop("ablation", [])
    recognition = [r for own in by_set.values() for r in own if r.column in COLUMNS]
    machines = sorted({run.record.machine for run in runs})
    dates = sorted({run.record.date for run in runs})
    lines = [
        "# Results",
        "",
        "Made by `python -m training.results` from logged runs; those are made by",
        "`python -m training.study training/configs/study.yaml` (H=128) and `study_256.yaml` (H=256).",
        "Top-1 accuracy on people (or views) of the test part, which no run saw before its end. `±` is the deviation",
        "over seeds (one-shot: over 20 draws of the exemplars).",
        "What they say, and where they fall short, is in [findings.md](findings.md).",
        "",
        f"Machine: {'; '.join(machines)}. Runs of {dates[0]} to {dates[-1]}; {len(runs)} runs, "
        f"{duration(sum(run.record.seconds for run in runs))} in all.",
        "",
        "## Pretraining",
        "",
        *pretraining_table(pretraining),
    ]

    def section(title: str, body: list[str]) -> None:
        lines.extend(["", f"## {title}", "", *body])

    for name, own in by_set.items():
        if found := [run for run in own if run.column in COLUMNS]:
            example = next((run.record for run in found if "n_test" in run.record.metrics), None)
            counts = f"{example.metrics['n_test']} test clips." if example else ""
            section(title_of(name), [counts, "", *set_table(found)])
            if clean := [run for run in found if "cross_view_clean" in run.record.metrics.get("also", {})]:
                text = "Of these, the test clips that are not copies of training clips (eight of the ten actions):"
                lines.extend(["", text, "", *set_table(clean, "also/cross_view_clean/top1")])
    section("Pretrained against a random encoder: linear probe, points", margins(recognition, "linear", RANDOM))
    section("Pretrained against from scratch: 10 % of the labels, points", margins(recognition, "labels_10", SCRATCH))
    for name, own in by_set.items():
        if found := [run for run in own if run.column in ("detection", "segmentation")]:
            section(f"{title_of(name)}: detection and segmentation of whole recordings", detection_table(found))
        if found := [run for run in own if run.column.startswith("early")]:
            body = early_figure(found, output.parent / "results" / f"early_{name}.png")
            image = f"![accuracy over the observed share](results/early_{name}.png)"
            section(f"{title_of(name)}: early prediction", [*body, "", image])
    if ablation:
        section("What each part of pretraining is worth", ablation_table(ablation))
    return "\n".join(lines) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _short(item) for key, item in value.items() if key not in DETAILS or not isinstance(item, dict | list)
        }
    return value


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    records = Path("docs/results/records.json")
    parser.add_argument(
        "runs", type=Path, nargs="*", default=[records], help=f"directories of runs, or records (default: {records})"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/results.md"), help="page to write")
    options = parser.parse_args(arguments)
    try:
        runs = sorted((run for given in options.runs for run in read_runs(given)), key=lambda run: run.record.name)
        kept = options.output.parent / "results" / "records.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        if options.runs != [kept]:
            content = ",\n".join(json.dumps(_short(asdict(run.record))) for run in runs)
            for given in options.runs:
                content = content.replace(f"{given.resolve()}/", "")  # where they ran is nobody's concern
            kept.write_text(f"[\n{content}\n]\n", encoding="utf-8")
        options.output.write_text(page(runs, options.output), encoding="utf-8")
    except ValueError as error:
        print(f"training.results: {error}", file=sys.stderr)
        return 1
    print(f"wrote {options.output} from {len(runs)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
