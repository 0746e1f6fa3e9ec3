"""How the settings of events trade recall for false events, on people held out of training: a table to choose from.

    python -m training.shipped.thresholds model.onnx --archive archives/hri_2

The model's outputs are computed once; each setting, and each way to fuse the heads, then decodes them as the recognizer
does (`training.shipped.replaying`). Test people are never looked at.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from training.configuration import ConfigError
from training.data.archive import Archive
from training.shipped.detection import Detected, recordings_of, truths_of
from training.shipped.fusion import Fusion
from training.shipped.replaying import Played, events_of, infer
from training.tasks.robot import words_of
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import ModelError, ModelInfo
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings


def measure(played: list[Played], info: ModelInfo, settings: list[Settings], fusion: Fusion) -> list[dict[str, Any]]:
    """The figures of all recordings under each choice of settings."""
    events: list[list[Any]] = [[] for _ in settings]
    truths, seconds = [], 0.0
    for one in track(played, f"fusion {fusion.share:g}, {fusion.odds:g}", transient=True):
        for detected, new in zip(events, events_of(one, info, settings, fusion), strict=True):
            detected += new
        truths += truths_of(one.recording)
        seconds += float(np.ptp(one.recording.stamps))
    return [Detected(detected, truths, seconds).figures() for detected in events]


def grid(**values: list[float]) -> Iterator[Settings]:
    """All combinations that are allowed."""
    for combination in itertools.product(*values.values()):
        chosen: dict[str, Any] = dict(zip(values, combination, strict=True))
        if chosen["end_threshold"] <= chosen["start_threshold"]:
            yield Settings(**chosen)


def chosen_recordings(
    archive: Archive, prefixes: list[str], actions: tuple[str, ...], minutes: float
) -> list[Recording]:
    """The validation recordings that begin with each prefix, of so many minutes each at most; 0: all.

    Raises:
        ConfigError: There is none.
    """
    found = []
    for prefix in prefixes:
        seconds = 0.0
        for recording in recordings_of(archive, "validation", prefix, actions):
            if minutes and seconds > 60.0 * minutes:
                break
            found.append(recording)
            seconds += float(np.ptp(recording.stamps))
    if not found:
        raise ConfigError(f"no validation recording begins with {', '.join(prefixes)}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.thresholds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="an .onnx file whose training left out the validation people")
    parser.add_argument("--archive", type=Path, default=Path("archives/hri_2"), help="sessions (default: %(default)s)")
    parser.add_argument(
        "--of", nargs="+", default=[""], help="only recordings that begin so, such as utkinect_action3d"
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="of each of these at most; 0: all (%(default)s)")
    parser.add_argument("--start", nargs="+", type=float, default=[0.3, 0.4, 0.5, 0.6, 0.7], help="start_threshold")
    parser.add_argument("--end", nargs="+", type=float, default=[0.15], help="end_threshold")
    parser.add_argument("--confirm", nargs="+", type=float, default=[0.2, 0.35, 0.5], help="confirm_s")
    parser.add_argument("--patience", nargs="+", type=float, default=[0.7], help="patience_s")
    parser.add_argument(
        "--fusion", nargs=2, type=float, action="append", default=[], metavar=("SHARE", "ODDS"),
        help="of the recognition head in the posterior, see training.shipped.fusion; may be given several times",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    fusions = [Fusion(*pair) for pair in options.fusion] or [Fusion()]
    try:
        archive = Archive(options.archive)
        settings = list(
            grid(
                start_threshold=options.start,
                end_threshold=options.end,
                confirm_s=options.confirm,
                patience_s=options.patience,
            )
        )
        with load_engine(options.model, engine="onnxruntime", precision="fp32") as engine:
            if words_of(archive) != engine.info.actions:
                raise ConfigError(f"{options.model} knows other actions than {options.archive}")
            recordings = chosen_recordings(archive, options.of, engine.info.actions, options.minutes)
            rate = Settings().rate
            played = [infer(engine, recording, rate) for recording in track(recordings, "playing", transient=True)]
            info = engine.info
    except (ModelError, ValueError) as error:
        print(f"training.shipped.thresholds: {error}", file=sys.stderr)
        return 1
    for fusion in fusions:
        Console(width=120).print(_table(settings, measure(played, info, settings, fusion), fusion))
    return 0


def _table(settings: list[Settings], results: list[dict[str, Any]], fusion: Fusion) -> Table:
    table = Table(
        title=f"fusion {fusion.share:g} {fusion.odds:g}: thresholds, seconds, "
        "mAP_action at overlap 0.5 and 0.3, counts, seconds, a minute",
        pad_edge=False,
    )
    for name in ("start", "end", "conf.", "pat.", "mAP.5", "mAP.3", "found", "of", "delay", "false"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = sorted(zip(settings, results, strict=True), key=lambda row: -row[1]["map_action"]["0.5"])
    for chosen, result in rows:
        values = [chosen.start_threshold, chosen.end_threshold, chosen.confirm_s, chosen.patience_s]
        values += [result["map_action"]["0.5"], result["map_action"]["0.3"], result["found"], result["actions"]]
        values += [result["delay_median_s"] or float("nan"), result["false_events_per_minute"] or 0.0]
        table.add_row(*(f"{value:.3g}" for value in values))
    return table


if __name__ == "__main__":
    sys.exit(main())
