"""Engines against PyTorch eager: the time of an inference, and whether lower precision changes what is recognised."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.timing import Times, take_turns
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import ENGINES, load_engine
from usdrl_ros.inference.model_file import ModelError

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Row:
    """One way of running one network on a batch.

    Args:
        width: H.
        batch: Windows.
        way: What runs it.
        times: Of one inference.
        faster: Times faster than each of PyTorch's ways, by name.
        floor_ms: Least time that the machine needs for it; None: not known, or not valid. See `reason`.
        reason: What sets that floor, or why it is not valid.
    """

    width: int
    batch: int
    way: str
    times: Times
    faster: dict[str, float]
    floor_ms: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def open_all(
    model: Path, threads: int, wanted: Sequence[str], stack: ExitStack, log: Callable[[str], None], max_batch: int = 16
) -> tuple[dict[str, Engine], dict[str, str]]:
    """Every engine in every precision that runs here, by "engine precision", and why others do not."""
    found: dict[str, Engine] = {}
    skipped: dict[str, str] = {}
    for name in ENGINES[1:]:
        for precision in PRECISIONS:
            way = f"{name} {precision}"
            if wanted and name not in wanted and way not in wanted:
                continue
            log(f"loading {way}")
            try:
                found[way] = stack.enter_context(
                    load_engine(model, engine=name, threads=threads, precision=precision, max_batch=max_batch, log=log)
                )
            except ModelError as error:
                skipped[way] = " ".join(str(error).split())
    return found, skipped


def compare(
    width: int, batch: int, engines: dict[str, Engine], torch_ways: dict[str, Callable[[], object]], seconds: float
) -> list[Row]:
    """Time all ways in turns; floors are added by `with_floors`.

    Args:
        width, batch: As in `Row`.
        engines: By what they are called.
        torch_ways: PyTorch's ways on the same batch.
        seconds: For each way.
    """
    x = windows(batch)
    ways: dict[str, Callable[[], object]] = {name: partial(engine.infer, x) for name, engine in engines.items()}
    times = take_turns({**torch_ways, **ways}, seconds)
    rows = []
    for way, each in times.items():
        faster = {name: times[name].p50_ms / each.p50_ms for name in torch_ways}
        rows.append(Row(width, batch, way, each, faster))
    return rows


def with_floors(rows: Sequence[Row], floor: Callable[[Row], tuple[float | None, str]], steady: bool) -> list[Row]:
    """Add the floors to rows.

    A floor is valid only if the machine was steady while its rate was measured, and if nothing ran below it: a rate
    that was measured beside other programs gives floors that are too high.

    Args:
        floor: The least ms that the machine needs for a row (None: not known), and what sets that.
        steady: Whether the rates behind the floors can be trusted.
    """
    found = []
    for row in rows:
        least, reason = floor(row)
        if least is not None and not steady:
            least, reason = None, "not valid: the machine was busy while its rate was measured"
        elif least is not None and least > row.times.p50_ms:
            least, reason = None, f"not valid: {least:.2f} ms is above what was measured"
        found.append(replace(row, floor_ms=least, reason=reason))
    return found


def windows(batch: int, people: int = 2) -> np.ndarray:
    """Random windows (batch, 3, 64, 25, people) of one person each."""
    x = np.random.default_rng(0).normal(0.0, 0.5, (batch, 3, 64, 25, people)).astype(np.float32)
    x[..., 1:] = 0.0
    return x


@dataclass(frozen=True)
class Agreement:
    """How an engine's answers compare with those of ONNX Runtime in float32.

    Args:
        windows: How many were compared.
        recognition: Share of windows whose first action is the same.
        detection: Share of frames whose first class is the same.
        difference: Largest difference of a detection logit.
    """

    windows: int
    recognition: float
    detection: float
    difference: float


def agreement(engine: Engine, reference: Engine, skeletons: np.ndarray, batch: int = 16) -> Agreement:
    """Compare on windows (N, 3, 64, 25, M)."""
    same, same_frames, largest = 0, 0, 0.0
    for first in range(0, len(skeletons), batch):
        found, expected = (each.infer(skeletons[first : first + batch]) for each in (engine, reference))
        same += int((found.recognition.argmax(-1) == expected.recognition.argmax(-1)).sum())
        same_frames += int((found.detection.argmax(-1) == expected.detection.argmax(-1)).sum())
        largest = max(largest, float(np.abs(found.detection - expected.detection).max()))
    count = len(skeletons)
    return Agreement(count, same / count, same_frames / (count * skeletons.shape[2]), largest)


def gpu_bandwidth(size: int = 2**28, runs: int = 20) -> tuple[str, float]:
    """The GPU's name, and bytes a second that it reads or writes, measured by copies within its memory.

    Raises:
        ModelError: There is no GPU that can be used.
    """
    from usdrl_ros.inference.cuda import open_device

    device = open_device()
    with device.current():
        source, target = device.allocate(size), device.allocate(size)
        device.driver.memcpy_dtod(target, source, size)
        device.driver.Context.synchronize()
        began = time.perf_counter()
        for _ in range(runs):
            device.driver.memcpy_dtod(target, source, size)
        device.driver.Context.synchronize()
        seconds = time.perf_counter() - began
        source.free()
        target.free()
    return device.name, 2 * size * runs / seconds
