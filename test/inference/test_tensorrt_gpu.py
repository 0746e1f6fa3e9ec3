"""The TensorRT engine on a GPU, for real: numbers, threads, a damaged engine, memory over time.

They need an NVIDIA GPU with its driver, PyCUDA and TensorRT, and say what lacks. USDRL_SOAK_S=600 runs the last one for
ten minutes. Speed is measured by `make bench`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from usdrl_ros.inference.build import TOLERANCES, build
from usdrl_ros.inference.contract import Engine, EngineError, largest_difference
from usdrl_ros.inference.cuda import Device, open_device
from usdrl_ros.inference.engine_cache import cache_directory
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import read_model_file
from usdrl_ros.inference.tensorrt_library import load_library

MAX_BATCH = 8


@pytest.fixture(scope="module")
def device() -> Device:
    try:
        found = open_device()
        load_library()
    except EngineError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="module")
def cache(device: Device) -> Path:
    """The user's cache, so that engines are built once."""
    return cache_directory()


@pytest.fixture(scope="module", params=["fp16", "fp32"])
def engine(request: pytest.FixtureRequest, cache: Path) -> Iterator[Engine]:
    options: dict[str, Any] = {"precision": request.param, "max_batch": MAX_BATCH}
    with load_engine(default_model(), engine="tensorrt", cache=cache, log=print, **options) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def reference() -> Iterator[Engine]:
    with load_engine(default_model(), engine="onnxruntime") as loaded:
        yield loaded


def windows(count: int, seed: int = 0) -> np.ndarray:
    shape = read_model_file(default_model()).info.window_shape
    return np.random.default_rng(seed).normal(0, 0.5, (count, *shape)).astype(np.float32)


def precision(engine: Engine) -> str:
    return "fp16" if "fp16" in engine.name else "fp32"


def test_its_numbers_are_those_of_onnx_runtime(engine: Engine, reference: Engine) -> None:
    batches = [1, 3, 1, MAX_BATCH, 2, MAX_BATCH + 3, 1]  # back and forth between graphs, and in parts
    assert largest_difference(engine, reference, batches) <= TOLERANCES[precision(engine)]


def test_the_best_action_is_the_same(engine: Engine, reference: Engine) -> None:
    skeletons = windows(32, 1)
    found, expected = engine.infer(skeletons), reference.infer(skeletons)
    ordered = np.sort(expected.recognition, -1)
    clear = ordered[:, -1] - ordered[:, -2] > 0.02 * np.abs(expected.recognition).max()
    assert clear.any()
    np.testing.assert_array_equal(found.recognition.argmax(-1)[clear], expected.recognition.argmax(-1)[clear])


def test_the_same_windows_give_the_same_numbers(engine: Engine) -> None:
    first = engine.infer(windows(4))
    engine.infer(windows(2, 9))
    again = engine.infer(windows(4))
    np.testing.assert_array_equal(first.detection, again.detection)


def test_another_thread_may_run_it(engine: Engine, reference: Engine) -> None:
    found: list[float] = []
    worker = threading.Thread(target=lambda: found.append(largest_difference(engine, reference, [1, 5])))
    worker.start()
    worker.join()
    assert found[0] <= TOLERANCES[precision(engine)]


def test_a_step_is_one_graph(engine: Engine) -> None:
    session = engine._session  # type: ignore[attr-defined]
    if session.library.shares_profiles:
        assert session.graphs is not None, "graphs could not be recorded; the log says why"
        assert engine.recorded  # type: ignore[attr-defined]


def test_a_damaged_engine_is_built_anew(device: Device, tmp_path: Path) -> None:
    lines: list[str] = []
    options: dict[str, Any] = {"max_batch": 2, "cache": tmp_path}
    path = build(default_model(), log=lines.append, **options).path
    path.write_bytes(path.read_bytes()[:-100])
    with load_engine(default_model(), engine="tensorrt", log=lines.append, **options) as loaded:
        assert loaded.infer(windows(1)).recognition.shape[0] == 1
    assert any("is cut off" in line and "built again" in line for line in lines)


def test_wrong_skeletons_do_not_reach_the_gpu(engine: Engine) -> None:
    with pytest.raises(ValueError, match="expected float32"):
        engine.infer(windows(1).astype(np.float64))
    assert np.isfinite(engine.infer(windows(1)).recognition).all()


def test_opening_and_closing_gives_all_memory_back(device: Device, cache: Path) -> None:
    def free() -> int:
        with device.current():
            return int(device.driver.mem_get_info()[0])

    def use() -> None:
        with load_engine(default_model(), engine="tensorrt", cache=cache, max_batch=MAX_BATCH) as loaded:
            loaded.infer(windows(3))

    use()  # what CUDA and TensorRT load for the process stays
    before = free()
    for _ in range(5):
        use()
    assert before - free() < 32 << 20


def test_memory_does_not_grow(device: Device, engine: Engine) -> None:
    """Of the process and of the GPU, over USDRL_SOAK_S seconds (5) of changing batches."""
    resource = pytest.importorskip("resource", reason="no such module on this system")

    def used() -> tuple[int, int]:
        with device.current():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, -int(device.driver.mem_get_info()[0])

    sizes = np.random.default_rng(0).integers(1, MAX_BATCH + 1, 1000)
    for size in sizes[:200]:
        engine.infer(windows(int(size)))
    host, gpu = used()
    end, steps = time.monotonic() + float(os.environ.get("USDRL_SOAK_S", "5")), 0
    while time.monotonic() < end:
        engine.infer(windows(int(sizes[steps % len(sizes)])))
        steps += 1
    host_after, gpu_after = used()
    assert steps > 10
    assert host_after - host < 16 << 10  # kB
    assert gpu_after - gpu < 16 << 20
