"""The TensorRT engine's own logic, on strict stand-ins of GPU and TensorRT; test_tensorrt_gpu.py has the real ones."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from tensorrt_fake import FakeGpu, fake_tensorrt, plan_of
from test_engine import INFO, WEIGHTS, write_model

from usdrl_ros.inference import build as build_module
from usdrl_ros.inference import cuda, tensorrt
from usdrl_ros.inference.contract import EngineError
from usdrl_ros.inference.cuda import Device
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import read_model_file
from usdrl_ros.inference.tensorrt import PlanError, TensorRtEngine, batch_size
from usdrl_ros.inference.tensorrt_builder import BuildSettings
from usdrl_ros.inference.tensorrt_library import Library, _logger
from usdrl_ros.inference.tensorrt_phases import GPU_PHASES, HOST_PHASES

VERSIONS = ("8.5.2", "8.6.1", "10.3.0", "11.2.0")


def windows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, 3, 64, 25, 2)).astype(np.float32)


def expect(found: Any, skeletons: np.ndarray) -> None:
    """The tiny model's outputs in closed form."""
    frames = skeletons.mean((3, 4)).transpose(0, 2, 1)
    np.testing.assert_allclose(found.detection, frames @ WEIGHTS["detection"], atol=1e-5)
    np.testing.assert_allclose(found.recognition, frames.mean(1) @ WEIGHTS["recognition"], atol=1e-5)
    np.testing.assert_allclose(found.embedding, frames.mean(1) @ WEIGHTS["embedding"], atol=1e-5)


class Bench:
    """A GPU, a TensorRT of a version, and a tiny model."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, version: str, rtx: bool = False, **gpu: int) -> None:
        self.gpu = FakeGpu(**gpu)
        self.logs: list[str] = []
        self.model = write_model(directory / "tiny.onnx")
        module = fake_tensorrt(self.gpu, version, rtx=rtx)
        self.library = Library(module, rtx, _logger(module))
        self.device = Device(self.gpu.driver)
        self.cache = directory / "cache"
        self.builds = 0
        patch.setattr(tensorrt, "driver_library", lambda: self.gpu.library)
        patch.setattr(build_module, "open_device", lambda: self.device)
        patch.setattr(build_module, "load_library", lambda: self.library)
        patch.setattr(build_module, "build_plan", self._build)

    def _build(self, library: Library, file: Any, settings: BuildSettings, log: Any) -> bytes:
        self.builds += 1
        return plan_of(file.path, settings.max_batch)

    def open(self, max_batch: int = 4, plan: bytes | None = None, **options: Any) -> TensorRtEngine:
        plan = plan_of(self.model, max_batch) if plan is None else plan
        return TensorRtEngine(
            self.library,
            plan,
            read_model_file(self.model),
            self.device,
            max_batch=max_batch,
            precision="fp16",
            log=self.logs.append,
            **options,
        )

    def load(self, engine: str = "tensorrt", **options: Any) -> Any:
        return load_engine(self.model, engine=engine, cache=self.cache, max_batch=4, log=self.logs.append, **options)

    def is_clean(self) -> bool:
        return not (self.gpu.memory or self.gpu.pinned or self.gpu.graphs or self.gpu.stack)


@pytest.fixture(params=VERSIONS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, request.param)


@pytest.fixture
def newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, VERSIONS[-1])


def test_batches_of_changing_size_are_right(bench: Bench) -> None:
    with bench.open() as engine:
        for step, count in enumerate([1, 3, 1, 4, 2, 3, 1, 1, 4]):
            skeletons = windows(count, step)
            expect(engine.infer(skeletons), skeletons)
    assert bench.is_clean()


def test_predictions_are_not_overwritten_by_later_ones(newest: Bench) -> None:
    with newest.open() as engine:
        first = engine.infer(windows(2, 1))
        kept = first.detection.copy()
        engine.infer(windows(2, 2))
        np.testing.assert_array_equal(first.detection, kept)


def test_more_people_than_the_engine_was_built_for_are_run_in_parts(bench: Bench) -> None:
    with bench.open(max_batch=4) as engine:
        skeletons = windows(11)
        expect(engine.infer(skeletons), skeletons)


@pytest.mark.parametrize(
    ("count", "most", "size"), [(1, 32, 1), (16, 32, 16), (17, 32, 24), (25, 32, 32), (17, 20, 20), (5, 4, 4)]
)
def test_large_batches_are_rounded_up(count: int, most: int, size: int) -> None:
    assert batch_size(min(count, most), most) == size


def test_a_batch_that_is_filled_up_is_right(newest: Bench) -> None:
    with newest.open(max_batch=30) as engine:
        for count in (17, 30, 25):
            skeletons = windows(count, count)
            expect(engine.infer(skeletons), skeletons)


def test_a_step_is_one_graph_launch_once_its_size_is_known(newest: Bench) -> None:
    with newest.open() as engine:
        engine.warm_up()
        launches = newest.gpu.launches
        for count in (1, 2, 3, 4, 2):
            engine.infer(windows(count))
        assert newest.gpu.launches == launches + 5
        assert len(newest.gpu.graphs) == 4
    assert not newest.logs


def test_a_step_copies_once_in_each_direction(newest: Bench) -> None:
    with newest.open() as engine:
        engine.infer(windows(3))
        assert engine.recorded
        (graph,) = {id(work): work for work in newest.gpu.graphs.values()}.values()
        assert len(graph) == 3  # to the GPU, kernels, back


def test_a_blocking_wait_sleeps_on_an_event(newest: Bench) -> None:
    with newest.open(wait="block") as engine:
        expect(engine.infer(windows(2)), windows(2))
        newest.gpu.calls.clear()
        expect(engine.infer(windows(3)), windows(3))
        assert newest.gpu.calls[-1] == "wait 3"  # blocking, without time
    with newest.load(wait="block") as engine:
        newest.gpu.calls.clear()
        expect(engine.infer(windows(3)), windows(3))
        assert newest.gpu.calls == ["wait 3"]
    assert newest.is_clean()


def test_phases_of_a_step_are_measured(bench: Bench) -> None:
    with bench.open() as engine:
        found = engine.measure_phases(windows(3), runs=5)
        assert list(found) == [*HOST_PHASES, "step", *GPU_PHASES]
        assert [found[phase] for phase in GPU_PHASES] == pytest.approx([250.0] * 3)  # the stand-in's clock
        assert found["step"] >= max(found[phase] for phase in HOST_PHASES) > 0
        expect(engine.infer(windows(2)), windows(2))
    with pytest.raises(EngineError, match="is closed"):
        engine.measure_phases(windows(1))
    assert bench.is_clean()


def test_tensorrt_8_5_has_one_context_and_no_graphs_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, "8.5.2")
    with bench.open() as engine:
        engine.warm_up()
        expect(engine.infer(windows(3)), windows(3))
    assert not bench.gpu.launches
    assert "without CUDA graphs, which need TensorRT 8.6" in bench.logs[0]


@pytest.mark.parametrize("function", ["begin", "end", "instantiate"])
def test_if_graphs_cannot_be_recorded_it_runs_without_and_says_so_once(newest: Bench, function: str) -> None:
    newest.gpu.refuse[function] = 900
    with newest.open() as engine:
        for count in (1, 2, 1, 3):
            expect(engine.infer(windows(count, count)), windows(count, count))
        assert not newest.gpu.launches
    assert len(newest.logs) == 1
    assert "runs without CUDA graphs, somewhat slower" in newest.logs[0]
    assert "CUDA_ERROR_900" in newest.logs[0]
    assert newest.is_clean()


def test_an_old_driver_means_no_graphs(newest: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "driver_library", lambda: None)
    with newest.open() as engine:
        expect(engine.infer(windows(2)), windows(2))
    assert "a driver of CUDA 11.4" in newest.logs[0]


def test_tensorrt_rtx_records_graphs_itself_and_keeps_its_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, "1.7.1", rtx=True)
    kernels = tmp_path / "new" / "tiny.kernels"
    for start in ("", "kernels kernels", "kernels ???"):
        with bench.open(kernels=kernels) as engine:
            engine.warm_up()
            for count in (3, 1, 4):
                expect(engine.infer(windows(count, count)), windows(count, count))
        assert bench.gpu.calls[-1] == (start or "deserialize")
        assert kernels.read_bytes() == b"kernels"
        if start:
            kernels.write_bytes(b"???")
    assert not bench.gpu.launches
    assert ["cannot be used and are compiled again" in line for line in bench.logs] == [True]
    assert bench.is_clean()


def test_another_thread_may_run_it_and_a_third_close_it(newest: Bench) -> None:
    engine = newest.open()
    found: list[Any] = []
    worker = threading.Thread(target=lambda: found.append(engine.infer(windows(2))))
    worker.start()
    worker.join()
    expect(found[0], windows(2))
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join()
    assert newest.is_clean()


@pytest.mark.parametrize(
    ("skeletons", "fault"),
    [
        (np.zeros((1, 3, 64, 25, 1), np.float32), r"shape \(1, 3, 64, 25, 1\), model 'tiny' takes \(N, 3, 64, 25, 2\)"),
        (np.zeros((3, 64, 25, 2), np.float32), "shape"),
        (np.zeros((0, 3, 64, 25, 2), np.float32), "N >= 1"),
        (np.zeros((1, 3, 64, 25, 2)), "are float64, expected float32"),
        (np.zeros((1, 3, 64, 25, 2), np.float16), "are float16"),
        ([[0.0]], "are a list"),
    ],
)
def test_wrong_skeletons_are_refused_before_the_gpu(newest: Bench, skeletons: Any, fault: str) -> None:
    with newest.open() as engine:
        newest.gpu.broken = True  # any call to the GPU would raise something else
        with pytest.raises(ValueError, match=fault):
            engine.infer(skeletons)
        newest.gpu.broken = False


def test_any_memory_layout_is_accepted(newest: Bench) -> None:
    skeletons = np.asfortranarray(windows(2))
    with newest.open() as engine:
        expect(engine.infer(skeletons), skeletons)
        expect(engine.infer(windows(4)[::2]), windows(4)[::2])


@pytest.mark.parametrize("plan", [b"", b"rubbish", b"\xff\x00" * 50])
def test_rubbish_is_refused_as_an_engine(newest: Bench, plan: bytes) -> None:
    with pytest.raises(PlanError, match=r"TensorRT 11.2.0 cannot load the engine: .*magicTag"):
        newest.open(plan=plan)
    assert newest.is_clean()


def test_an_engine_for_smaller_batches_or_another_model_is_refused(newest: Bench, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="takes batches of 1 to 2, expected 1 to 4"):
        newest.open(plan=plan_of(newest.model, 2))
    info = replace(INFO, actions=("a", "b", "c"))
    weights = {name: np.ones((3, size)) for name, size in (("detection", 4), ("recognition", 3), ("embedding", 8))}
    other = write_model(tmp_path / "o.onnx", metadata=info.to_metadata(), weights=weights)
    with pytest.raises(
        PlanError, match=r"the engine has the tensors .*\(-1, 64, 4\).*, model 'tiny' has .*\(-1, 64, 3\)"
    ):
        newest.open(plan=plan_of(other, 4))
    assert newest.is_clean()


def test_too_little_memory_is_reported_and_nothing_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Bench(tmp_path, monkeypatch, "10.3.0")
    with full.open():
        needed = sum(map(len, full.gpu.memory.values()))
    for memory in (0, 100_000, needed - 1):
        bench = Bench(tmp_path, monkeypatch, "10.3.0", memory=memory)
        with pytest.raises(EngineError, match=r"too little GPU memory .*out of memory.*max_people"):
            bench.open()
        assert bench.is_clean()
        assert bench.gpu.free == memory


def test_an_engine_that_does_not_fit_is_not_built_again(newest: Bench) -> None:
    newest.load().close()
    newest.gpu.refuse["deserialize"] = 1
    with pytest.raises(EngineError, match="OutOfMemory"):
        newest.load()
    assert newest.builds == 1


def test_the_first_start_builds_compares_and_keeps_the_engine_the_second_loads_it(bench: Bench) -> None:
    for start in range(2):
        with bench.load() as engine:
            expect(engine.infer(windows(3)), windows(3))
            assert engine.name == f"{bench.library.name} fp16, Fake GPU"
        assert bench.builds == 1, start
    text = "\n".join(bench.logs)
    assert "building the TensorRT" in text
    assert "differs from ONNX Runtime by" in text
    assert len(list(bench.cache.iterdir())) == 1
    assert bench.is_clean()


def spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def spoil_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def spoil_all(path: Path) -> None:
    path.write_bytes(b"\x00" * 100)


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_foreign(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"Fake GPU", b"Real GPU", 1))


@pytest.mark.parametrize("spoil", [spoil_cut, spoil_bit, spoil_all, spoil_empty, spoil_foreign])
def test_a_damaged_or_foreign_engine_is_built_again(newest: Bench, spoil: Any) -> None:
    newest.load().close()
    (path,) = newest.cache.iterdir()
    good = path.read_bytes()
    spoil(path)
    with newest.load() as engine:
        expect(engine.infer(windows(1)), windows(1))
    assert newest.builds == 2
    assert any(str(path) in line and line.endswith("; it is built again") for line in newest.logs)
    assert path.read_bytes() == good


@pytest.mark.parametrize("which", ["file", "directory"])
def test_an_engine_that_others_may_write_is_built_again(newest: Bench, which: str) -> None:
    newest.load().close()
    (path,) = newest.cache.iterdir()
    (path if which == "file" else newest.cache).chmod(0o777)
    with newest.load() as engine:
        expect(engine.infer(windows(1)), windows(1))
    assert newest.builds == 2
    assert any("other users may write to" in line and "chmod go-w" in line for line in newest.logs)


def test_an_engine_that_tensorrt_refuses_is_built_again(newest: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "build_plan", lambda *arguments: b"rubbish")
    with pytest.raises(EngineError, match="cannot load the engine"):
        newest.load()
    monkeypatch.setattr(build_module, "build_plan", newest._build)
    newest.cache.mkdir(0o700)
    settings = BuildSettings("fp16", 4)
    builder = build_module._Builder(
        newest.library, read_model_file(newest.model), newest.device, settings, newest.cache, newest.logs.append
    )
    build_module.write_plan(builder.path, builder.key, 4, b"rubbish")
    newest.load().close()
    assert newest.builds == 1
    assert any("magicTag" in line and "built again" in line for line in newest.logs)


def test_another_model_precision_gpu_or_version_is_another_engine(
    newest: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest.load().close()
    newest.load(precision="fp32").close()
    write_model(newest.model, weights={name: 2 * weight for name, weight in WEIGHTS.items()})
    newest.load().close()
    monkeypatch.setattr(newest.library.module, "__version__", "11.3.0")
    newest.load().close()
    monkeypatch.setattr(newest.device, "name", "Other GPU")
    newest.load().close()
    assert newest.builds == len(list(newest.cache.iterdir())) == 5
    newest.load().close()
    assert newest.builds == 5


@pytest.mark.parametrize(("most", "builds"), [(2, 1), (4, 1), (5, 2)])
def test_an_engine_serves_fewer_people_and_is_built_again_for_more(newest: Bench, most: int, builds: int) -> None:
    newest.load().close()
    with load_engine(newest.model, engine="tensorrt", cache=newest.cache, max_batch=most, log=print) as engine:
        expect(engine.infer(windows(7)), windows(7))
    assert newest.builds == builds
    assert len(list(newest.cache.iterdir())) == 1


def test_on_a_full_disk_the_engine_is_used_and_a_line_logged(newest: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with newest.load() as engine:
        expect(engine.infer(windows(1)), windows(1))
    assert any("built again at the next start: " in line and "No space left on device" in line for line in newest.logs)
    assert not list(newest.cache.iterdir())


def test_a_cache_that_cannot_be_written_is_reported(newest: Bench) -> None:
    newest.cache.write_text("a file, not a directory")
    with newest.load() as engine:
        expect(engine.infer(windows(1)), windows(1))
    assert any("built again" in line or "built again at the next start" in line for line in newest.logs)
    builds = newest.builds
    with pytest.raises(EngineError, match=f"directory {newest.cache} cannot be written: "):
        build_module.build(newest.model, cache=newest.cache, max_batch=4, log=newest.logs.append)
    assert newest.builds == builds  # reported before the long work


def test_an_engine_whose_numbers_are_wrong_is_refused_and_not_kept(
    newest: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_model(newest.model.parent / "o.onnx", weights={k: 1.05 * v for k, v in WEIGHTS.items()})
    monkeypatch.setattr(build_module, "build_plan", lambda *arguments: plan_of(other, 4))
    with pytest.raises(
        EngineError, match=r"differs from ONNX Runtime by 5.0e-02 .* allowed is 1e-02: use precision fp32"
    ):
        newest.load()
    assert not newest.cache.exists()
    assert newest.is_clean()


def test_tensorrt_refuses_bf16(newest: Bench) -> None:
    with pytest.raises(EngineError, match="in fp16 or fp32, not bf16"):
        newest.load(precision="bf16")


def test_auto_takes_tensorrt_first(newest: Bench) -> None:
    with newest.load("auto") as engine:
        assert engine.name == "TensorRT 11.2.0 fp16, Fake GPU"
    assert any(
        "engine: TensorRT 11.2.0 fp16, Fake GPU, the best that works here; ready" in line for line in newest.logs
    )


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "reason"), [(1000, "too little GPU memory"), (1 << 32, "cannot run a batch of 1")])
def test_auto_falls_back_to_the_cpu_if_the_gpu_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int, reason: str
) -> None:
    bench = Bench(tmp_path, monkeypatch, "10.3.0", memory=memory)
    bench.gpu.refuse["execute"] = 1
    with bench.load("auto") as engine:
        assert "CPU" in engine.name
        expect(engine.infer(windows(2)), windows(2))
    assert reason in bench.logs[-1]
    assert bench.is_clean()
    with pytest.raises(EngineError, match=reason):
        bench.load("tensorrt")


def test_if_the_gpu_fails_while_the_robot_runs_the_cpu_takes_over(newest: Bench) -> None:
    with newest.load("auto") as engine:
        expect(engine.infer(windows(2)), windows(2))
        newest.gpu.broken = True
        expect(engine.infer(windows(3)), windows(3))
        assert "CPU" in engine.name
        assert any("failed and is replaced: " in line and "illegal memory access" in line for line in newest.logs)
        expect(engine.infer(windows(1)), windows(1))


def test_a_gpu_asked_for_by_name_raises_if_it_fails(newest: Bench) -> None:
    with newest.load("tensorrt") as engine:
        newest.gpu.broken = True
        with pytest.raises(EngineError, match="Fake GPU failed: an illegal memory access"):
            engine.infer(windows(1))


def test_use_after_close_raises(newest: Bench) -> None:
    engine = newest.open()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(windows(1))


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(cuda.ctypes, "CDLL", absent)
    with pytest.raises(EngineError, match=r"no NVIDIA GPU, or no driver for it \(libcuda.so.1"):
        cuda.load_driver()


def test_a_gpu_that_cannot_be_opened_raises() -> None:
    gpu = FakeGpu()

    def broken() -> None:
        raise gpu.driver.LogicError("cuInit failed: no CUDA-capable device is detected")

    gpu.driver.init = broken
    with pytest.raises(EngineError, match="the GPU cannot be used: cuInit failed: no CUDA-capable device"):
        Device(gpu.driver)
