"""Models beside each other on validation people: which checkpoint, and which share between two, is to be shipped.

    python -m training.shipped.compare hri-2 runs/hri_2_more/last.ckpt
    python -m training.shipped.compare hri-2 runs/hri_2_more/last.ckpt --shares 0.6 0.8

With `--shares`, the first two checkpoints are compared with weights between them (`training.shipped.interpolate`). For
each: trimmed clips of the nine sets of hri-1 and of the newer ones, the former with the right arm unseen as well; and
online, the best event settings of a grid that give one false event a minute at most, and the ranking of all events.
Test people are never looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from training.checkpoints import read_checkpoint
from training.configuration import ConfigError, load
from training.data.archive import Archive
from training.data.vocabulary import load_vocabulary
from training.shipped.clips import clips_of, recognize
from training.shipped.conditions import CONDITIONS
from training.shipped.detection import RANKED
from training.shipped.fusion import Fusion
from training.shipped.interpolate import main as interpolate
from training.shipped.leave_one_out import CONFIG, FALSE_A_MINUTE, write_model
from training.shipped.model_card import KNOWN, UNTRIMMED
from training.shipped.replaying import infer
from training.shipped.sessions import SessionsConfig
from training.shipped.thresholds import chosen_recordings, grid, measure
from training.tasks.robot import words_of
from usdrl_ros.files import write_json
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.settings import Settings

GRID = {
    "start_threshold": [0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85],
    "end_threshold": [0.15],
    "confirm_s": [0.2, 0.35, 0.5],
    "patience_s": [0.7],
}
ARM = "right arm unseen"


def online(engine: Engine, archive: Archive, sets: Sequence[str], minutes: float) -> dict[str, Any]:
    """The best settings that give one false event a minute at most, and the average precision of all events.

    Args:
        engine: The model.
        archive: Of sessions.
        sets: Whose validation people are played.
        minutes: Of each set at most.
    """
    recordings = chosen_recordings(archive, [f"{name}/" for name in sets], engine.info.actions, minutes)
    played = [infer(engine, one, Settings().rate) for one in track(recordings, "playing", transient=True)]
    settings = list(grid(**GRID))
    *points, ranked = measure(played, engine.info, [*settings, RANKED], Fusion())
    allowed = [
        (figures["found"], -(figures["delay_median_s"] or 0.0), one, figures)
        for one, figures in zip(settings, points, strict=True)
        if figures["false_events_per_minute"] <= FALSE_A_MINUTE
    ]
    result: dict[str, Any] = {"actions": ranked["actions"], "map_ranked": ranked["map_action"]["0.5"]}
    if not allowed:
        return result | {"found": 0}
    _, _, chosen, figures = max(allowed, key=lambda each: each[:2])
    return result | {
        "start_threshold": chosen.start_threshold,
        "confirm_s": chosen.confirm_s,
        "found": figures["found"],
        "delay_s": figures["delay_median_s"],
        "false_a_minute": figures["false_events_per_minute"],
        "map_at_these": figures["map_action"]["0.5"],
    }


def compare(engine: Engine, config: SessionsConfig, sets: Sequence[str], minutes: float) -> dict[str, Any]:
    """All figures of one model on the validation people.

    Raises:
        ValueError: An archive is missing, or knows other actions than the model.
    """
    archive = Archive(Path(config.archives) / config.name)
    actions = engine.info.actions
    if words_of(archive) != actions:
        raise ConfigError(f"model '{engine.info.name}' knows other actions than {archive.directory}")
    clips = clips_of(config, load_vocabulary(config.vocabulary), "validation")
    old, new = ([clip for clip in clips if (clip.data_set in KNOWN) == known] for known in (True, False))

    def top1(of: list[Any], condition: str = "clean") -> dict[str, float]:
        found = recognize(engine, of, CONDITIONS[condition])
        return {"clips": len(of), "top1": float((found.probabilities.argmax(1) == found.labels).mean())}

    return {
        "nine_sets": top1(old),
        "new_sets": top1(new),
        ARM: top1(old, ARM),
        **{name: online(engine, archive, [name], minutes) for name in UNTRIMMED},
        "online": online(engine, archive, sets, minutes),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table, a line a model."""
    lines = [
        f"| model | nine sets, top-1 % | newer sets | nine sets, {ARM} | start, confirm_s | found of all | "
        "false/min | delay s | ranked mAP_a@0.5 | of UTKinect | of Kinder-Gator |",
        "|---" * 11 + "|",
    ]
    for name, one in results.items():
        found = one["online"]
        parts = [f"{100 * one[key]['top1']:.1f}" for key in ("nine_sets", "new_sets", ARM)]
        if "start_threshold" in found:
            parts.append(f"{found['start_threshold']:g}, {found['confirm_s']:g}")
            parts.append(f"{found['found']} of {found['actions']}")
            parts += [f"{found['false_a_minute']:.2f}", f"{found['delay_s'] or float('nan'):.2f}"]
        else:
            parts += ["-"] * 4
        parts += [f"{100 * each['map_ranked']:.1f}" for each in (found, *(one[key] for key in UNTRIMMED))]
        lines.append(f"| {name} | " + " | ".join(parts) + " |")
    return "\n".join(lines) + "\n"


def models(checkpoints: Sequence[Path], shares: Sequence[float], directory: Path) -> Iterator[tuple[str, Path]]:
    """Name and model file of each checkpoint, and of each share between the first two."""
    files = [(str(path), path) for path in checkpoints]
    for share in shares:
        between = directory / f"{share:g}"
        arguments = [*map(str, checkpoints[:2]), "--share", f"{share:g}", "--output", str(between)]
        if interpolate(arguments):
            raise ConfigError("there is nothing between these checkpoints")
        files.append((f"{share:g} of the second", between / "last.ckpt"))
    for number, (name, path) in enumerate(files):
        if path.suffix == ".onnx":
            yield name, path
        else:
            yield name, write_model(read_checkpoint(path).path, directory / f"{number}.onnx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", help="model files, checkpoints, names of shipped checkpoints")
    parser.add_argument("--shares", type=float, nargs="+", default=[], help="of the second checkpoint, 0 to 1")
    parser.add_argument("--archives", default="archives", help="where archives are (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the sessions (%(default)s)")
    parser.add_argument(
        "--of", nargs="+", default=["utkinect_action3d", "kinder_gator", "utd_mhad", "nw_ucla"],
        help="whose sessions are played (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=5.0, help="of each of these at most (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/compare.json"), help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    results = {}
    try:
        if options.shares and len(options.models) < 2:
            raise ConfigError("--shares needs two checkpoints")
        config = load(SessionsConfig, options.config, {"archives": options.archives})
        with tempfile.TemporaryDirectory() as directory:
            for name, model in models(options.models, options.shares, Path(directory)):
                with load_engine(model, engine="onnxruntime", precision="fp32") as engine:
                    results[name] = compare(engine, config, options.of, options.minutes)
                print(json.dumps({name: results[name]}), file=sys.stderr, flush=True)
    except (ModelError, ValueError) as error:
        print(f"training.shipped.compare: {error}", file=sys.stderr)
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, results)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
