"""What each part of a recipe is worth on sets that training left out, one part changed at a time.

    python -m training.shipped.ablation training/configs/hri_2_ablation.yaml --checkpoint runs/hri_1/last.ckpt

The file names a recipe, the sets that every row leaves out, and for each row what is changed: keys of the recipe, or
`rest` of the event decoder, which needs no training of its own. Each row is trained and measured
(`training.shipped.leave_one_out`) on the left-out sets' people that are not tested on, and on validation people of
known sets. Nothing is chosen on test people. Rows whose figures are there already are not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.configuration import ConfigError, RunOptions, build, configuration, load, option
from training.shipped.leave_one_out import CONFIG, measure, train_without, write_model
from training.shipped.sessions import SessionsConfig
from training.shipped.unknown import auroc
from training.tasks.robot import RobotConfig
from usdrl_ros.configuration import read_yaml
from usdrl_ros.files import write_json
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import ModelError

START = "start"
"""The row of what training begins with."""
FIGURES = ("top1", "found_at_one_false_a_minute", "map_ranked")


@configuration
class Row:
    """One line of the table."""

    name: str = option("", "of its directory")
    says: str = option("", "in the table")
    of: str = option("", "the row whose model it measures again; none: it is trained")
    recipe: dict[str, Any] = option({}, "keys of the recipe that are changed; mappings are merged")
    rest: tuple[float, ...] = option(
        (), "rest_threshold and rest_s of the event decoder; none: it does not look for rest"
    )


@configuration
class AblationConfig:
    """The file."""

    name: str = option("ablation", "of the directory of its runs")
    recipe: str = option("training/configs/hri_2_small.yaml", "of `training.tasks.robot`")
    left_out: tuple[str, ...] = option((), "data sets that no row trains on")
    known: tuple[str, ...] = option((), "data sets whose validation people are looked at")
    unknown: tuple[str, ...] = option((), "left-out sets with labels outside the vocabulary, for the AUROC")
    seeds: tuple[int, ...] = option((0,), "each row is trained once with each; figures are their means")
    minutes: float = option(3.0, "of a set's sessions at most", above=0.0)
    clips: int = option(100, "of a set at most", low=1)
    rate: float = option(5.0, "steps a second", above=0.0)
    rows: tuple[Row, ...] = option((), "of the table")


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with some of its keys changed; mappings are merged, all else is replaced."""
    found = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def mean_figures(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each of `FIGURES` over data sets."""
    return {
        key: float(
            np.mean([one[key] for one in sets.values() if one[key] is not None and (one["actions"] or key == "top1")])
        )
        for key in FIGURES
    }


def make_row(
    config: AblationConfig, row: Row, seed: int, begin: str, archives: str, precision: str, output: Path
) -> dict[str, Any]:
    """Train a row's recipe where it is not trained, and measure it.

    Raises:
        ValueError: The recipe, an archive or the checkpoint is not what it should be.
    """
    model = output / f"{row.of or row.name}_{seed}" / "model.onnx"
    if not model.is_file() and (row.of or row.name) == START:
        model.parent.mkdir(parents=True, exist_ok=True)
        write_model(Path(begin), model)
    elif not model.is_file():
        if row.of:
            raise ConfigError(f"row '{row.name}' measures '{row.of}', which comes later or not at all")
        instead = {"without": list(config.left_out), "archives": archives, "checkpoint": begin, "seed": seed}
        recipe = build(RobotConfig, merged(read_yaml(Path(config.recipe)), row.recipe) | instead, config.recipe)
        trainer = {"enable_progress_bar": False, "precision": precision, "limit_val_batches": 0}
        train_without(recipe, RunOptions(model.parent, trainer=trainer))
    sessions = load(SessionsConfig, CONFIG, {"archives": archives})
    options: dict[str, Any] = {"minutes": config.minutes, "clips": config.clips, "rate": config.rate}
    options["rest"] = (row.rest[0], row.rest[1]) if row.rest else None
    with load_engine(model, engine="onnxruntime") as engine:
        parts = {"left_out": (config.left_out, "choose"), "known": (config.known, "validation")}
        figures: dict[str, Any] = {
            kind: {name: measure(engine, sessions, name, part=part, **options)[0] for name in names}
            for kind, (names, part) in parts.items()
        }
        if config.unknown:
            figures["unknown"] = auroc(engine, sessions, config.unknown, "choose", 10 * config.clips)
    return figures


def table(rows: Sequence[Row], results: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """The means over sets and seeds as a Markdown table, in %; of several seeds, how far apart they are.

    Args:
        rows: The lines.
        results: Row's name -> its figures with each seed.
    """
    heads = [f"{kind}: {what}" for kind in ("left out", "known") for what in ("top-1", "found at one false/min", "mAP")]
    lines = ["| row | " + " | ".join([*heads, "unknown, AUROC"]) + " |", "|---" * 8 + "|"]
    for row in rows:
        if row.name not in results:
            continue
        values = [
            [100.0 * mean_figures(one[kind])[key] for one in results[row.name]]
            for kind in ("left_out", "known")
            for key in FIGURES
        ]
        values.append([100.0 * one["unknown"]["both"] for one in results[row.name] if "unknown" in one])
        lines.append(f"| {row.says} | " + " | ".join(_with_spread(each) for each in values) + " |")
    return "\n".join(lines) + "\n"


def _with_spread(values: Sequence[float]) -> str:
    """The mean, and half of the distance between the largest and the smallest where there are several."""
    if not values:
        return "-"
    spread = f" ± {np.ptp(values) / 2:.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, help="YAML file, for instance training/configs/hri_2_ablation.yaml")
    parser.add_argument("--checkpoint", required=True, help="what every row begins with")
    parser.add_argument("--archives", default="archives", help="where archives are (%(default)s)")
    parser.add_argument("--rows", nargs="+", default=[], help="these alone; none: all")
    parser.add_argument("--precision", default="bf16-mixed", help="of lightning.Trainer (%(default)s)")
    parser.add_argument("--output", type=Path, help="directory of all rows (default: runs/NAME)")
    options = parser.parse_args(arguments)
    try:
        config = load(AblationConfig, options.config)
        output = options.output or Path("runs") / config.name
        if unknown := sorted(set(options.rows) - {row.name for row in config.rows}):
            raise ConfigError(f"there is no row {', '.join(unknown)}")
        for seed in config.seeds:
            for row in config.rows:
                file = output / f"{row.name}_{seed}" / "figures.json"
                if (not options.rows or row.name in options.rows) and not file.is_file():
                    figures = make_row(
                        config, row, seed, options.checkpoint, options.archives, options.precision, output
                    )
                    file.parent.mkdir(parents=True, exist_ok=True)
                    write_json(file, figures)
    except (ModelError, ValueError) as error:
        print(f"training.shipped.ablation: {error}", file=sys.stderr)
        return 1
    results = {}
    for row in config.rows:
        files = sorted(output.glob(f"{row.name}_[0-9]*/figures.json"))
        if files:
            results[row.name] = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    write_json(output / "ablation.json", results)
    print(table(config.rows, results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
