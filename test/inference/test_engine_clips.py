"""Precisions and engines on real windows: a held-out take of UTKinect-Action3D, as the recognizer makes them of a bag.

`pytest -s test/test_engine_clips.py` prints the figures; USDRL_ALL_TAKES=1 takes all held-out takes.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
utkinect = pytest.importorskip("training.data.utkinect", reason="the needs of training are not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from training.data.sets import read_all  # noqa: E402
from usdrl_ros.actions.classifier import softmax  # noqa: E402
from usdrl_ros.bags.writer import write_recording  # noqa: E402
from usdrl_ros.evaluation.run import run_bag  # noqa: E402
from usdrl_ros.inference.contract import Engine, EngineError, Predictions  # noqa: E402
from usdrl_ros.inference.factory import default_model, load_engine  # noqa: E402
from usdrl_ros.inference.onnx_rewrite import to_float16  # noqa: E402

EVERY = 10
"""Of the recognizer's batches, one in so many is kept: windows of neighbouring steps hardly differ."""


class Keeper:
    """An engine that keeps some of the windows that it is given."""

    def __init__(self, engine: Engine) -> None:
        self.info, self.name = engine.info, "keeper"
        self.windows: list[np.ndarray] = []
        self._engine, self._calls = engine, 0

    def infer(self, skeletons: np.ndarray) -> Predictions:
        if self._calls % EVERY == 0:
            self.windows.append(skeletons.copy())
        self._calls += 1
        return self._engine.infer(skeletons)


@pytest.fixture(scope="module")
def reference() -> Engine:
    return load_engine(default_model(), engine="onnxruntime")


@pytest.fixture(scope="module")
def windows(reference: Engine, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    root = tmp_path_factory.mktemp("utkinect")
    with tarfile.open(shared_data / "utkinect_action3d.tar.xz") as archive:
        archive.extractall(root, filter="data")
    takes = [r for r in read_all(utkinect.NAME, root / "utkinect_action3d") if r.person in utkinect.TEST_PEOPLE]
    keeper = Keeper(reference)
    for take in takes if os.environ.get("USDRL_ALL_TAKES") else takes[-1:]:
        write_recording(take, root / take.name)
        run_bag(root / take.name, keeper)  # type: ignore[arg-type]
    return np.concatenate(keeper.windows)


def compare(name: str, infer: Callable[[np.ndarray], Predictions], reference: Engine, windows: np.ndarray) -> tuple:
    """Largest relative difference of the logits, and the share of frames and of windows with another best action.

    Of these, last, by how much of a probability the reference was surer of its own than of that.
    """
    parts = [windows[i : i + 8] for i in range(0, len(windows), 8)]
    found, expected = [infer(part) for part in parts], [reference.infer(part) for part in parts]
    errors, shares, leads = [], [], []
    for output in ("detection", "recognition"):
        got, value = (np.concatenate([getattr(p, output) for p in ps]) for ps in (found, expected))
        errors.append(float(np.abs(got - value).max() / np.abs(value).max()))
        other = got.argmax(-1) != value.argmax(-1)
        shares.append(float(other.mean()))
        sure = softmax(value)[other]
        rows = np.arange(len(sure))
        leads.append(float((sure.max(-1) - sure[rows, got[other].argmax(-1)]).max(initial=0.0)))
        print(f"{name}, {output}: difference {errors[-1]:.1e}, another best action in {other.sum()} of {other.size}")
    return max(errors), *shares, max(leads)


def engine_of(name: str, precision: str) -> Engine:
    if name == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    try:
        return load_engine(default_model(), engine=name, precision=precision)
    except EngineError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_float16_file_gives_the_same_actions(reference: Engine, windows: np.ndarray) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Else ONNX Runtime leaves out roundings to float16 that a GPU does.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        to_float16(default_model().read_bytes()), options, providers=["CPUExecutionProvider"]
    )
    names = ["detection", "recognition", "embedding"]

    def infer(skeletons: np.ndarray) -> Predictions:
        return Predictions(*session.run(names, {"skeletons": skeletons}))

    error, frames, clips, _ = compare("float16 file", infer, reference, windows)
    assert error < 1e-2
    assert frames < 1e-3
    assert clips == 0


def test_openvino_gives_the_same_actions(reference: Engine, windows: np.ndarray) -> None:
    with engine_of("openvino", "fp32") as engine:
        error, frames, clips, _ = compare(engine.name, engine.infer, reference, windows)
    assert error < 1e-4
    assert frames < 1e-3
    assert clips == 0


def test_openvino_in_bfloat16_gives_nearly_the_same_actions(reference: Engine, windows: np.ndarray) -> None:
    with engine_of("openvino", "bf16") as engine:
        error, frames, clips, lead = compare(engine.name, engine.infer, reference, windows)
    assert error < 5e-2
    assert frames < 1e-2
    assert clips < 0.05  # of 60 windows
    assert lead < 0.1  # where it differs, it was a toss-up


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_tensorrt_gives_the_same_actions(reference: Engine, windows: np.ndarray, precision: str) -> None:
    with engine_of("tensorrt", precision) as engine:
        error, frames, clips, _ = compare(engine.name, engine.infer, reference, windows)
    assert error < (1e-2 if precision == "fp16" else 1e-4)
    assert frames < 1e-3
    assert clips == 0
