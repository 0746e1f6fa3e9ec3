"""The whole step of the recognizer for several people, and which part of it is not the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.timing import Times
from usdrl_ros.demo.actor import play, random_script
from usdrl_ros.inference.contract import Engine, Predictions
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.person import Frame, Person

RATE_HZ = 30.0
_ACTORS = 4
_APART_S = 3.7
"""Seconds by which people who act the same script are apart, so that no two do the same at a time."""


class Stopwatch(Engine):
    """An engine that keeps the time of each inference, and the windows if wanted."""

    def __init__(self, engine: Engine, keep: bool = False) -> None:
        super().__init__(engine.info, engine.name)
        self._engine, self._keep = engine, keep
        self.seconds = 0.0
        self.windows: list[np.ndarray] = []

    def _run(self, skeletons: np.ndarray) -> Predictions:
        if self._keep:
            self.windows.append(skeletons.copy())
        began = time.perf_counter()
        try:
            return self._engine.infer(skeletons)
        finally:
            self.seconds += time.perf_counter() - began

    def close(self) -> None:
        """Do nothing: the engine belongs to the caller."""


@dataclass(frozen=True)
class Row:
    """What a step costs.

    Args:
        people: How many.
        step: From the message that makes a step due, to its events: one `observe` and one `step`.
        engine: The inference in it.
        rest: All that is not the engine.
        observe: Of it: taking one message.
    """

    people: int
    step: Times
    engine: Times
    rest: Times
    observe: Times

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def scene(people: int, seconds: float, drop: float = 0.02) -> Iterator[tuple[int, list[Person]]]:
    """Messages (stamp ns, people) of a played scene: one message every 1/30 s, some joints unseen at times."""
    recordings = [
        play(random_script(seed, 8), seed=seed, rate_hz=RATE_HZ, drop=drop) for seed in range(min(people, _ACTORS))
    ]
    joints = [recording.joints["person_1"] for recording in recordings]
    for frame in range(round(seconds * RATE_HZ)):
        here = []
        for number in range(people):
            own = joints[number % _ACTORS]
            late = round(number // _ACTORS * _APART_S * RATE_HZ)
            here.append(Person(f"person_{number}", "ntu_25", own[(frame + late) % len(own)]))
        yield round((1.0 + frame / RATE_HZ) * 1e9), here


def measure(engine: Engine, people: int, seconds: float) -> Row:
    """Time the steps of a scene of so many seconds, the first windows left out, while they fill."""
    stopwatch = Stopwatch(engine)
    recognizer = Recognizer(stopwatch, Settings())
    steps, engines, rests, observes = [], [], [], []
    for stamp_ns, here in scene(people, seconds):
        began = time.perf_counter()
        recognizer.observe(Frame(stamp_ns, "camera", here))
        observed = time.perf_counter()
        if not recognizer.due:
            continue
        before = stopwatch.seconds
        recognizer.step()
        ended = time.perf_counter()
        if stamp_ns * 1e-9 < 2.0 + engine.info.window_s:
            continue
        steps.append(ended - began)
        engines.append(stopwatch.seconds - before)
        rests.append(steps[-1] - engines[-1])
        observes.append(observed - began)
    return Row(people, *(Times.of(each) for each in (steps, engines, rests, observes)))


def measure_at_pace(engine: Engine, people: int, seconds: float) -> Times:
    """Time the inference alone at a node's pace, 10 Hz: a processor that has rested is slower at first."""
    windows = played_windows(engine, people, 10.0)[:people]
    taken = []
    for _ in range(round(seconds * 10)):
        time.sleep(0.1)
        began = time.perf_counter()
        engine.infer(windows)
        taken.append(time.perf_counter() - began)
    return Times.of(taken)


def played_windows(engine: Engine, people: int = 4, seconds: float = 30.0) -> np.ndarray:
    """The windows that an engine is given in a played scene, (N, 3, 64, 25, M)."""
    return _windows(engine, scene(people, seconds))


def recorded_windows(engine: Engine, bags: Sequence[Path]) -> np.ndarray:
    """The windows that an engine is given when bags of skeletons are played to it, (N, 3, 64, 25, M)."""
    from usdrl_ros.bags.reader import SKELETONS, read_messages
    from usdrl_ros.sources.reader import SourceReader, load_source

    found = []
    for bag in bags:
        reader = SourceReader(load_source("skeletons"))
        frames = (reader.read(message) for _, _, message in read_messages(bag, [SKELETONS]))
        found.append(_windows(engine, ((frame.stamp_ns, list(frame.people)) for frame in frames)))
    return np.concatenate(found)


def _windows(engine: Engine, messages: Iterator[tuple[int, list[Person]]]) -> np.ndarray:
    stopwatch = Stopwatch(engine, keep=True)
    recognizer = Recognizer(stopwatch, Settings(rate=2.0))
    for stamp_ns, here in messages:
        recognizer.observe(Frame(stamp_ns, "", here))
        while recognizer.step() is not None:
            pass
    return np.concatenate(stopwatch.windows)
