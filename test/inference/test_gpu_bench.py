"""The GPU benchmark, on the stand-ins of GPU and TensorRT, and its script on a machine without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("torch", reason="torch is not installed")

import torch
from test_tensorrt_engine import Bench

from bench import engines, gpu, networks
from usdrl_ros.inference.contract import EngineError
from usdrl_ros.inference.tensorrt_phases import GPU_PHASES, HOST_PHASES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path, monkeypatch, "10.3.0")
    monkeypatch.setattr(gpu, "open_device", lambda: made.device)
    monkeypatch.setattr(gpu, "load_library", lambda: made.library)
    return made


def test_phases_come_with_both_ways_of_waiting(bench: Bench) -> None:
    rows, found = gpu.phases(bench.model, bench.cache, 0.05, 0.0)
    assert [row.way for row in rows] == [f"TensorRT 10.3.0 fp16, Fake GPU, {wait}" for wait in ("spin", "block")]
    assert all(0 < row.p50_ms <= row.p99_ms for row in rows)
    assert set(found) == {*HOST_PHASES, *GPU_PHASES, "step"}
    assert bench.builds == 1  # both waits run one engine
    assert bench.is_clean()


def test_one_engine_serves_all_batches_in_use(bench: Bench) -> None:
    rows = gpu.batches(bench.model, [1, 4], "fp32", bench.cache, 0.05, 0.0)
    assert [(row.network, row.batch) for row in rows] == [("tiny", 1), ("tiny", 4)]
    assert bench.builds == 1


def test_a_width_is_measured_beside_pytorch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    network = networks.Network(bench.model, 1_000_000, 0, {"eager": torch.nn.Identity()})

    def fail(*arguments: object) -> None:
        raise RuntimeError("torch.compile fails here: no compiler")

    monkeypatch.setattr(networks.Network, "compiled", fail)
    monkeypatch.setattr(engines, "gpu_bandwidth", lambda: ("Fake GPU", 1e9))
    rows = gpu.width(network, 16, bench.cache, 0.05, 0.0, torch_device="cpu")
    assert [row.way for row in rows] == ["TensorRT 10.3.0 fp16, Fake GPU", "eager"]
    assert rows[0].note == "floor 2.000 ms: 2 MB of weights read once"
    assert rows[1].note == f"{rows[1].p50_ms / rows[0].p50_ms:.1f} x TensorRT"


def test_results_are_kept_and_printed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "new" / "results.jsonl"
    arguments = ["--model", str(bench.model), "--results", str(results), "--seconds", "0.05", "--batches", "1", "2"]
    for part in ("phases", "batches", "table"):
        assert gpu.main([part, *arguments]) == 0
    said = capsys.readouterr().out
    assert "copy to pinned memory" in said
    assert len(results.read_text().splitlines()) == 4
    assert sum("│ tiny" in line for line in said.splitlines()) == 4

    def absent() -> None:
        raise EngineError("there is no NVIDIA GPU")

    monkeypatch.setattr(gpu, "open_device", absent)
    assert gpu.main(["check"]) == 3
    assert "lacks GPU: there is no NVIDIA GPU\n" in capsys.readouterr().out


@pytest.mark.slow
def test_the_script_names_what_a_machine_without_a_gpu_lacks() -> None:
    try:
        gpu.open_device()
        pytest.skip("there is a GPU here: the script would take minutes")
    except EngineError:
        pass
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([ROOT / "bench" / "on_gpu.sh"], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("lacks GPU: there is no NVIDIA GPU, or no driver for it")
    assert all(line.startswith("lacks ") for line in lines[:-1])
    assert lines[-1] == "nothing was measured: this machine lacks the above"
