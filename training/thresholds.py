"""How the settings of events trade recall for false events, on people held out of training: a table to choose from.

The model's outputs are computed once; each setting is then run through the recognizer itself, so that what is measured
is what runs on the robot. Test people are refused.
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

from training.data import utkinect
from training.data.acted import VALIDATION_SEED, act
from training.data.sets import read_all
from usdrl_ros.evaluation.bag_writer import seconds_to_ns
from usdrl_ros.evaluation.metrics import Interval, Summary, intervals_of_events, summarize
from usdrl_ros.inference.engine import Engine, ModelError, Predictions, load_engine
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.person import Person

_START_NS = 1_000_000_000


class RememberingEngine:
    """Runs another engine once and then repeats its outputs, as long as it is asked in the same order."""

    def __init__(self, engine: Engine) -> None:
        self.info = engine.info
        self._engine = engine
        self._outputs: list[Predictions] = []
        self._next = 0

    def rewind(self) -> None:
        """Begin again with the first output."""
        self._next = 0

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """The output of the engine for these windows, or the one that it gave at this place before."""
        if self._next == len(self._outputs):
            self._outputs.append(self._engine.infer(skeletons))
        self._next += 1
        return self._outputs[self._next - 1]


def run(recording: Recording, engine: RememberingEngine, settings: Settings) -> list[Interval]:
    """The events of a recording, in its seconds."""
    engine.rewind()
    recognizer = Recognizer(engine, settings)  # type: ignore[arg-type]
    events = []
    for index, seconds in enumerate(recording.stamps):
        people = [Person(name, recording.layout, joints[index]) for name, joints in recording.joints.items()]
        recognizer.observe(_START_NS + seconds_to_ns(seconds), people)
        while step := recognizer.step():
            events += step.events
    return intervals_of_events(recording.name, events + recognizer.finish(), _START_NS)


def grid(**values: list[float]) -> Iterator[Settings]:
    """All combinations that are allowed."""
    for combination in itertools.product(*values.values()):
        chosen: dict[str, Any] = dict(zip(values, combination, strict=True))
        if chosen["end_threshold"] <= chosen["start_threshold"]:
            yield Settings(**chosen)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.thresholds", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path, help="an .onnx file whose training left out the people")
    parser.add_argument("--root", type=Path, required=True, help="directory of UTKinect-Action3D")
    parser.add_argument("--people", nargs="+", required=True, help="held-out training people")
    parser.add_argument("--acted", type=int, default=0, help="takes of the actor as well; default: %(default)s")
    parser.add_argument("--start", nargs="+", type=float, default=[0.3, 0.4, 0.5, 0.6, 0.7], help="start_threshold")
    parser.add_argument("--end", nargs="+", type=float, default=[0.1, 0.2, 0.3, 0.4], help="end_threshold")
    parser.add_argument("--confirm", nargs="+", type=float, default=[0.1, 0.3, 0.5], help="confirm_s")
    parser.add_argument("--patience", nargs="+", type=float, default=[0.3, 0.5, 0.8], help="patience_s")
    options = parser.parse_args(arguments)
    if tested := set(options.people) & set(utkinect.TEST_PEOPLE):
        parser.error(f"{', '.join(sorted(tested))}: people of the test split are not to choose settings on")
    try:
        recordings = [r for r in read_all(utkinect.NAME, options.root) if r.person in options.people]
        with load_engine(options.model) as engine:
            recordings += act(options.acted, VALIDATION_SEED, engine.info.actions)
            engines = [RememberingEngine(engine) for _ in recordings]
            settings = list(
                grid(
                    start_threshold=options.start,
                    end_threshold=options.end,
                    confirm_s=options.confirm,
                    patience_s=options.patience,
                )
            )
            results = [_measure(recordings, engines, chosen) for chosen in track(settings, description="settings")]
    except (ModelError, ValueError) as error:
        print(f"training.thresholds: {error}", file=sys.stderr)
        return 1
    Console().print(_table(settings, results))
    return 0


def _measure(recordings: list[Recording], engines: list[RememberingEngine], settings: Settings) -> Summary:
    events, truths, duration_s = [], [], 0.0
    for recording, engine in zip(recordings, engines, strict=True):
        events += run(recording, engine, settings)
        truths += [
            Interval(recording.name, s.action, s.start, s.end, person_id=s.person_id) for s in recording.segments
        ]
        duration_s += float(recording.stamps[-1] - recording.stamps[0])
    return summarize(events, truths, duration_s)


def _table(settings: list[Settings], results: list[Summary]) -> Table:
    table = Table(
        title="thresholds, seconds, mAP_action at overlap 0.5 and 0.3, counts, seconds, a minute", pad_edge=False
    )
    names = ("start", "end", "conf.", "pat.", "mAP.5", "mAP.3", "found", "miss", "delay", "false")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    rows = sorted(zip(settings, results, strict=True), key=lambda row: -row[1].mean_average_precision_by_action["0.5"])
    for chosen, result in rows:
        precision, compared = result.mean_average_precision_by_action, result.comparison
        values = [chosen.start_threshold, chosen.end_threshold, chosen.confirm_s, chosen.patience_s]
        values += [precision["0.5"], precision["0.3"], len(compared.found), len(compared.missed)]
        values += [result.delay_median_s or float("nan"), result.false_events_per_minute or 0.0]
        table.add_row(*(f"{value:.3g}" for value in values))
    return table


if __name__ == "__main__":
    sys.exit(main())
