"""How the settings of events trade recall for false events, on people held out of training: a table to choose from.

    python -m training.shipped.thresholds model.onnx --archive archives/hri_2

The model's outputs are computed once; each setting is then run through the recognizer itself, so that what is measured
is what runs on the robot. Test people are never looked at.
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
from training.shipped.detection import Detected, RememberingEngine, play, recordings_of, truths_of
from training.tasks.robot import words_of
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import ModelError
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings


def measure(recordings: list[Recording], engines: list[RememberingEngine], settings: Settings) -> dict[str, Any]:
    """The figures of all recordings under one choice of settings."""
    events, truths, duration_s = [], [], 0.0
    for recording, engine in zip(recordings, engines, strict=True):
        engine.rewind()
        events += play(engine, recording, settings)  # type: ignore[arg-type]
        truths += truths_of(recording)
        duration_s += float(np.ptp(recording.stamps))
    return Detected(events, truths, duration_s).figures()


def grid(**values: list[float]) -> Iterator[Settings]:
    """All combinations that are allowed."""
    for combination in itertools.product(*values.values()):
        chosen: dict[str, Any] = dict(zip(values, combination, strict=True))
        if chosen["end_threshold"] <= chosen["start_threshold"]:
            yield Settings(**chosen)


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
    parser.add_argument("--start", nargs="+", type=float, default=[0.3, 0.4, 0.5, 0.6], help="start_threshold")
    parser.add_argument("--end", nargs="+", type=float, default=[0.15, 0.2], help="end_threshold")
    parser.add_argument("--confirm", nargs="+", type=float, default=[0.3, 0.4, 0.5, 0.7], help="confirm_s")
    parser.add_argument("--patience", nargs="+", type=float, default=[0.7, 1.0], help="patience_s")
    options = parser.parse_args(arguments)
    try:
        archive = Archive(options.archive)
        with load_engine(options.model) as engine:
            if words_of(archive) != engine.info.actions:
                raise ConfigError(f"{options.model} knows other actions than {options.archive}")
            found = [recordings_of(archive, "validation", prefix, engine.info.actions) for prefix in options.of]
            recordings = list(itertools.chain.from_iterable(found))
            if not recordings:
                raise ConfigError(f"no validation recording begins with {', '.join(options.of)}")
            engines = [RememberingEngine(engine) for _ in recordings]
            settings = list(
                grid(
                    start_threshold=options.start,
                    end_threshold=options.end,
                    confirm_s=options.confirm,
                    patience_s=options.patience,
                )
            )
            results = [measure(recordings, engines, chosen) for chosen in track(settings, description="settings")]
    except (ModelError, ValueError) as error:
        print(f"training.shipped.thresholds: {error}", file=sys.stderr)
        return 1
    Console().print(_table(settings, results))
    return 0


def _table(settings: list[Settings], results: list[dict[str, Any]]) -> Table:
    table = Table(
        title="thresholds, seconds, mAP_action at overlap 0.5 and 0.3, counts, seconds, a minute", pad_edge=False
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
