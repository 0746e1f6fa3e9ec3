"""A bag is read as a stream: what it takes in memory does not grow with its length."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.bags.writer import write_recording
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.inference.contract import Predictions
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.recording import Recording
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.normalize import NORMALIZATION

pytestmark = pytest.mark.slow

FEW_STEPS = Settings(rate=0.5, lost_after_s=3.0)
"""Steps take time, and what they keep is the same at any rate."""


class QuietEngine:
    """Never sees anything."""

    info = ModelInfo("quiet", ("wave",), 2.0, NORMALIZATION, "none")

    def infer(self, skeletons: np.ndarray) -> Predictions:
        many = len(skeletons)
        detection = np.zeros((many, 64, 2), np.float32)
        detection[..., 0] = 9
        return Predictions(detection, np.zeros((many, 1), np.float32), np.zeros((many, 2), np.float32))

    def close(self) -> None: ...


def write(path: Path, seconds: int, storage: str) -> Path:
    stamps = np.arange(seconds * 8) / 8
    joints = np.random.default_rng(0).normal(size=(len(stamps), 25, 3))
    write_recording(Recording("long", "ntu_25", stamps, {"alice": joints}), path, storage=storage)
    return path


def peak_of(bag: Path) -> int:
    options = EvaluationOptions(settings=FEW_STEPS, report=bag.parent / "report")  # a report wants a journal
    tracemalloc.start()
    try:
        run = run_bag(bag, QuietEngine(), options, ongoing=False)
        return tracemalloc.get_traced_memory()[1] if run.events == [] else 0
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, storage: str) -> None:
    """The ring buffers and the first chunk of a bag are full after minutes; from then on nothing grows."""
    short, long = (write(tmp_path / str(seconds), seconds, storage) for seconds in (400, 900))
    run_bag(write(tmp_path / "first", 20, storage), QuietEngine())  # what is loaded and cached once
    before, after = peak_of(short), peak_of(long)
    size = sum(file.stat().st_size for file in long.iterdir())
    assert size > 2.5e6
    assert after - before < 0.1 * size
