"""Loading and running model files: tiny ones made here, whose outputs are known in closed form, and broken ones."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from usdrl_ros.inference import contract
from usdrl_ros.inference import factory as engine_module
from usdrl_ros.inference.contract import Engine, EngineError, Options, Predictions
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError, ModelInfo, read_model_file
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.skeleton.normalize import NORMALIZATION

INFO = ModelInfo("tiny", ("wave", "sit_down"), 5.0, NORMALIZATION, "nothing")
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.normal(size=(3, n)) for name, n in (("detection", 3), ("recognition", 2), ("embedding", 8))}


def write_model(
    path: Path,
    *,
    metadata: dict[str, str] | None = None,
    shape: tuple[Any, ...] = ("N", 3, 64, 25, 2),
    input_name: str = "skeletons",
    drop: str = "",
    double: bool = False,
    weights: dict[str, np.ndarray] = WEIGHTS,
) -> Path:
    """Outputs: coordinates averaged over joints and people (and over frames), times a matrix each."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.DOUBLE if double else onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", [input_name], ["means"], axes=[3, 4], keepdims=0),
        helper.make_node("Transpose", ["means"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["frames"], ["clip"], axes=[1], keepdims=0),
    ]
    constants, outputs = [], []
    for name, weight in weights.items():
        if name == drop:
            continue
        constants.append(helper.make_tensor(f"w_{name}", kind, weight.shape, weight.flatten().tolist()))
        nodes.append(helper.make_node("MatMul", ["frames" if name == "detection" else "clip", f"w_{name}"], [name]))
        sizes = [shape[0], shape[2], weight.shape[1]] if name == "detection" else [shape[0], weight.shape[1]]
        outputs.append(helper.make_tensor_value_info(name, kind, sizes))
    inputs = [helper.make_tensor_value_info(input_name, kind, shape)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, INFO.to_metadata() if metadata is None else metadata)
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.onnx")


def need(engine: str) -> None:
    """Skip if an engine is not installed."""
    if engine == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "openvino"])
@pytest.mark.parametrize("count", [1, 5])
def test_runs_a_batch(model: Path, engine: str, count: int) -> None:
    need(engine)
    skeletons = np.random.default_rng(1).normal(0, 1, (count, 3, 64, 25, 2)).astype(np.float32)
    with load_engine(str(model), engine=engine, threads=2) as loaded:
        assert loaded.info == INFO
        found = loaded.infer(skeletons)
        loaded.infer(np.zeros_like(skeletons))  # what was given out stays as it was
    frames = skeletons.mean((3, 4)).transpose(0, 2, 1)
    np.testing.assert_allclose(found.detection, frames @ WEIGHTS["detection"], atol=1e-5)
    np.testing.assert_allclose(found.recognition, frames.mean(1) @ WEIGHTS["recognition"], atol=1e-5)
    np.testing.assert_allclose(found.embedding, frames.mean(1) @ WEIGHTS["embedding"], atol=1e-5)
    assert found.detection.dtype == np.float32


def test_metadata_round_trips() -> None:
    info = ModelInfo("ü 1", ("a, b", 'c"d'), 0.1 + 0.2, "norm", "UTKinect: s01")
    assert ModelInfo.from_metadata(info.to_metadata(), Path("x")) == info


OPTIONAL = {"usdrl.training_data", "usdrl.frames", "usdrl.joints", "usdrl.people"}


@pytest.mark.parametrize("missing", [key for key in INFO.to_metadata() if key not in OPTIONAL])
def test_missing_metadata_is_named(tmp_path: Path, missing: str) -> None:
    metadata = INFO.to_metadata()
    del metadata[missing]
    path = write_model(tmp_path / "m.onnx", metadata=metadata)
    with pytest.raises(ModelError, match=f"m.onnx lacks the metadata {missing}: .*training.export"):
        load_engine(path)


def test_files_without_sizes_get_the_published_ones(tmp_path: Path) -> None:
    metadata = {key: value for key, value in INFO.to_metadata().items() if key not in OPTIONAL}
    with load_engine(write_model(tmp_path / "m.onnx", metadata=metadata)) as engine:
        assert (engine.info.frames, engine.info.joints, engine.info.people) == (64, 25, 2)


def test_sizes_come_from_the_metadata(tmp_path: Path) -> None:
    info = replace(INFO, frames=32, people=1)
    path = write_model(tmp_path / "m.onnx", metadata=info.to_metadata(), shape=("N", 3, 32, 25, 1))
    with load_engine(path) as engine:
        assert engine.info == info
        assert engine.infer(np.zeros((2, 3, 32, 25, 1), np.float32)).detection.shape == (2, 32, 3)


@pytest.mark.parametrize(
    ("outputs", "actions", "fault"),
    [
        (("embedding",), (), "is an encoder without heads"),
        (("recognition", "embedding"), INFO.actions, "recognises trimmed clips only"),
    ],
)
def test_a_file_without_detection_says_what_to_train(
    tmp_path: Path, outputs: tuple[str, ...], actions: tuple[str, ...], fault: str
) -> None:
    metadata = replace(INFO, actions=actions, window_s=0.0).to_metadata()
    weights = {name: WEIGHTS[name] for name in outputs}
    path = write_model(tmp_path / "m.onnx", metadata=metadata, weights=weights)
    with pytest.raises(ModelError, match=f"m.onnx {fault}, and events need .*'detection': .*training.tasks.detect"):
        load_engine(path)


def test_a_model_without_metadata_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "bare.onnx", metadata={})
    with pytest.raises(ModelError, match=r"bare\.onnx lacks the metadata usdrl.format, .*usdrl.normalization"):
        load_engine(path)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("format", "2", "format 2, this version reads 1"),
        ("actions", "wave", "cannot be read"),
        ("actions", "3", "cannot be read"),
        ("actions", "[" * 100_000, "cannot be read: maximum recursion depth"),
        ("actions", '{"a": 1, "b": 2}', "cannot be read: usdrl.actions is no list"),
        ("actions", "[1, 2]", "the action 1 is no printable text"),
        ("actions", '["wave", "a\\u0000b"]', "is no printable text"),
        ("actions", '["wave", "\\ud800"]', "is no printable text"),
        ("actions", json.dumps(["wave", "x" * 201]), "is no printable text of 1 to 200 characters"),
        ("actions", "[]", "distinct actions"),
        ("actions", json.dumps(["wave", "wave"]), "distinct actions"),
        ("actions", json.dumps(["a", "b", "c"]), r"'detection' has shape .*expected \(N, 64, 4\), N dynamic"),
        ("window_s", "long", "cannot be read"),
        ("window_s", "nan", "a window of 0.1 to 60 s, has .* nan s"),
        ("window_s", "0", "a window of 0.1 to 60 s"),
        ("window_s", "61", "a window of 0.1 to 60 s"),
        ("people", "two", "cannot be read"),
        ("people", "1", r"input 'skeletons' has shape .*expected \(N, 3, 64, 25, 1\)"),
        ("joints", "17", "takes skeletons of 17 joints, skeletons here have the 25 of Kinect v2"),
    ],
)
def test_wrong_metadata_is_refused(tmp_path: Path, key: str, value: str, fault: str) -> None:
    path = write_model(tmp_path / "m.onnx", metadata=INFO.to_metadata() | {f"usdrl.{key}": value})
    with pytest.raises(ModelError, match=f"m.onnx.*{fault}"):
        load_engine(path)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"shape": ("N", 3, 32, 25, 2)}, r"input 'skeletons' has shape .*expected \(N, 3, 64, 25, 2\)"),
        ({"shape": ("N", 3, 64, 17, 2)}, r"input 'skeletons' has shape"),
        ({"shape": (1, 3, 64, 25, 2)}, r"input 'skeletons' has shape \(1, 3, .*N dynamic"),
        ({"input_name": "x"}, "no input 'skeletons', only x"),
        ({"drop": "recognition"}, "no output 'recognition', only detection, embedding"),
        ({"drop": "embedding"}, "no output 'embedding'"),
        ({"weights": WEIGHTS | {"recognition": np.ones((3, 3))}}, r"'recognition' has shape .*expected \(N, 2\)"),
        ({"weights": WEIGHTS | {"detection": np.ones((3, 2))}}, r"'detection' has shape .*expected \(N, 64, 3\)"),
        ({"double": True}, r"input 'skeletons' is float64, expected float32"),
    ],
)
def test_tensors_that_break_the_contract_are_refused(tmp_path: Path, options: dict[str, Any], fault: str) -> None:
    path = write_model(tmp_path / "m.onnx", **options)
    with pytest.raises(ModelError, match=f"m.onnx.*{fault}"):
        load_engine(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent.onnx is not there; give the path"):
        load_engine(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="is not there"):
        load_engine(tmp_path)


@pytest.mark.parametrize("content", [b"", b"This is no model.\n", bytes(range(256)) * 40])
def test_files_that_are_not_onnx_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"wrong.onnx (cannot be loaded, it is no ONNX file or is cut off|lacks)"):
        load_engine(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(model: Path, share: float) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"tiny\.onnx"):
        load_engine(model)


def test_an_unknown_engine_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="unknown engine 'cuda'; known are auto, tensorrt, openvino, onnxruntime"):
        load_engine(model, engine="cuda")


def test_unknown_options_are_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="unknown precision 'int8'; known are auto, fp32, fp16, bf16"):
        load_engine(model, precision="int8")
    with pytest.raises(ModelError, match="must be 1 or more, are 0 and 16"):
        load_engine(model, threads=0)
    with pytest.raises(ModelError, match="unknown wait 'sleep'; known are spin, block"):
        load_engine(model, wait="sleep")


def test_auto_skips_engines_without_the_precision(model: Path) -> None:
    with pytest.raises(EngineError, match="on the CPU in fp32 only, not bf16"):
        load_engine(model, engine="onnxruntime", precision="bf16")
    lines: list[str] = []
    with load_engine(model, precision="fp32", log=lines.append) as loaded:
        assert "fp32" in loaded.name
    assert lines[-1].startswith(f"engine: {loaded_name(lines)}, the best that works here (not tensorrt: ")


def loaded_name(lines: list[str]) -> str:
    return lines[-1].removeprefix("engine: ").split(", the best")[0]


ENGINE_NAMES = ("onnxruntime", "openvino")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize(
    ("skeletons", "fault"),
    [
        (
            np.zeros((1, 3, 64, 25, 1), np.float32),
            r"\(1, 3, 64, 25, 1\), model 'tiny' takes \(N, 3, 64, 25, 2\), N >= 1",
        ),
        (np.zeros((3, 64, 25, 2), np.float32), r"the shape \(3, 64, 25, 2\)"),
        (np.zeros((0, 3, 64, 25, 2), np.float32), "N >= 1"),
        (np.zeros((1, 3, 64, 25, 2)), "float64, expected float32: convert them"),
        ([1.0], "are a list, expected an array"),
    ],
)
def test_wrong_skeletons_are_refused(model: Path, engine: str, skeletons: Any, fault: str) -> None:
    need(engine)
    with load_engine(model, engine=engine) as loaded, pytest.raises(ValueError, match=fault):
        loaded.infer(skeletons)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", *ENGINE_NAMES])
def test_a_closed_engine_refuses_to_run(model: Path, engine: str) -> None:
    need(engine)
    loaded = load_engine(model, engine=engine)
    loaded.close()
    loaded.close()
    with pytest.raises(EngineError, match="is closed"):
        loaded.infer(np.zeros((1, 3, 64, 25, 2), np.float32))


def test_windows_are_checked_once_by_auto(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    check = contract.check_skeletons
    monkeypatch.setattr(contract, "check_skeletons", lambda x, info: (checked.append(len(x)), check(x, info))[1])
    with load_engine(model, precision="fp32") as loaded:
        checked.clear()
        loaded.infer(np.zeros((3, 3, 64, 25, 2), np.float32))
    assert checked == [3]


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_any_memory_layout_is_accepted(model: Path, engine: str) -> None:
    need(engine)
    skeletons = np.random.default_rng(1).normal(0, 1, (4, 3, 64, 25, 2)).astype(np.float32)
    with load_engine(model, engine=engine) as loaded:
        expected = loaded.infer(skeletons).embedding
        np.testing.assert_allclose(loaded.infer(np.asfortranarray(skeletons)).embedding, expected, atol=1e-6)
        np.testing.assert_allclose(loaded.infer(skeletons[::2]).embedding, expected[::2], atol=1e-6)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_the_chosen_engine_and_the_reason_are_logged(model: Path, engine: str) -> None:
    need(engine)
    lines: list[str] = []
    with load_engine(model, engine=engine, threads=2, log=lines.append) as loaded:
        assert "2 threads" in loaded.name
        assert "CPU" in loaded.name
    assert lines[-1].startswith(f"engine: {loaded.name}, as asked for; ready after ")


def fail_to_open(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make engines refuse every model."""
    opener = engine_module._opener

    def refuse(file: Any, options: Any) -> Any:
        raise EngineError("out of order")

    monkeypatch.setattr(engine_module, "_opener", lambda name: refuse if name in names else opener(name))


def test_auto_tries_the_engines_in_order_and_logs_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    fail_to_open(monkeypatch, "tensorrt", "openvino")
    with load_engine(model, log=lines.append) as loaded:
        assert loaded.name.startswith("ONNX Runtime")
    assert "(not tensorrt: out of order; not openvino: out of order)" in lines[-1]
    with pytest.raises(EngineError, match=r"^out of order$"):
        load_engine(model, engine="openvino")
    fail_to_open(monkeypatch, "tensorrt", "openvino", "onnxruntime")
    with pytest.raises(EngineError, match=r"no engine can run model .*tiny.onnx here; .*; onnxruntime: out of order"):
        load_engine(model)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_missing_engine_names_its_package(model: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    module = {"openvino": "openvino", "onnxruntime": "onnx_runtime"}[engine]
    monkeypatch.setitem(sys.modules, engine, None)
    monkeypatch.delitem(sys.modules, f"usdrl_ros.inference.{module}", raising=False)
    with pytest.raises(EngineError, match=f"is not installed: .*pip install {engine}"):
        load_engine(model, engine=engine)
    monkeypatch.delitem(sys.modules, f"usdrl_ros.inference.{module}", raising=False)


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = WEIGHTS | {"embedding": np.full((3, 8), np.nan)}
    with pytest.raises(EngineError, match="gives 'embedding' that is not finite: try precision fp32"):
        load_engine(write_model(tmp_path / "m.onnx", weights=weights), engine="onnxruntime")


@pytest.mark.slow
def test_openvino_gives_what_onnx_runtime_gives() -> None:
    need("openvino")
    rng = np.random.default_rng(3)
    reference = load_engine(default_model(), engine="onnxruntime")
    with reference, load_engine(default_model(), engine="openvino", precision="fp32") as loaded:
        for count in (1, 3, 2, 8):
            skeletons = rng.normal(0, 0.4, (count, *loaded.info.window_shape)).astype(np.float32)
            found, expected = loaded.infer(skeletons), reference.infer(skeletons)
            for name in ("detection", "recognition", "embedding"):
                value = getattr(expected, name)
                np.testing.assert_allclose(getattr(found, name), value, atol=1e-4 * float(np.abs(value).max()))


def test_openvino_runs_one_window_as_in_a_batch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("openvino")
    from usdrl_ros.inference import openvino as module

    skeletons = np.random.default_rng(3).normal(0, 0.4, (2, 3, 64, 25, 2)).astype(np.float32)
    for most, compiled in ((module.SINGLE_BYTES, True), (10, False)):
        monkeypatch.setattr(module, "SINGLE_BYTES", most)
        with load_engine(model, engine="openvino", precision="fp32") as loaded:
            assert (loaded._single is not None) == compiled  # type: ignore[attr-defined]
            together = loaded.infer(skeletons)
            for i in range(2):
                alone = loaded.infer(skeletons[i : i + 1])
                np.testing.assert_allclose(alone.detection[0], together.detection[i], atol=1e-6)


def test_openvino_in_bfloat16_gives_nearly_that() -> None:
    need("openvino")
    try:
        loaded = load_engine(default_model(), engine="openvino", precision="bf16")
    except EngineError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(3)
    with loaded, load_engine(default_model(), engine="onnxruntime") as reference:
        assert "bf16" in loaded.name
        skeletons = rng.normal(0, 0.4, (3, *loaded.info.window_shape)).astype(np.float32)
        found, expected = loaded.infer(skeletons), reference.infer(skeletons)
        difference = np.abs(found.detection - expected.detection).max() / np.abs(expected.detection).max()
        assert 1e-5 < difference < 2e-2  # not 0: it is bfloat16 indeed


class Trial(Engine):
    """An engine that takes some time, by a clock of the test, and whose outputs are off by some share of the largest.

    Every other run takes twice as long, as beside other programs.
    """

    now = 0.0

    def __init__(self, seconds: float, error: float) -> None:
        super().__init__(INFO, f"{seconds} s")
        self.seconds, self.error, self.closed, self.runs = seconds, error, False, 0

    def _run(self, skeletons: np.ndarray) -> Predictions:
        self.runs += 1
        Trial.now += self.seconds * len(skeletons) * (1 + self.runs % 2)
        ones = np.ones((len(skeletons), 4)) + self.error
        return Predictions(ones, ones, ones)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("seconds", "error", "chosen", "line"),
    [
        (0.002, 0.01, "bf16", "precision bf16 is used; measured a window: fp32 "),
        (0.0048, 0.01, "fp32", "precision fp32 is used; measured a window: fp32 "),  # hardly faster: not worth it
        (0.010, 0.01, "fp32", "precision fp32 is used; measured a window: fp32 "),
        (0.0001, 0.01, "bf16", "precision bf16 is used; measured a window: fp32 5.00 ms, bf16 0.10 ms"),
        (0.002, 0.06, "fp32", "precision bf16 is not used: outputs differ from float32 by 6.0e-02"),
        (0.002, float("nan"), "fp32", "precision bf16 is not used: outputs differ from float32 by nan"),
    ],
)
def test_auto_takes_the_precision_that_is_measured_faster_and_agrees(
    model: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, error: float, chosen: str, line: str
) -> None:
    need("openvino")
    from usdrl_ros.inference import openvino as module

    engines = {"fp32": Trial(0.005, 0.0), "bf16": Trial(seconds, error)}
    core = SimpleNamespace(get_property=lambda device, name: ["FP32", "BF16", "INT8"])
    monkeypatch.setattr(module.openvino, "Core", lambda: core)
    monkeypatch.setattr(module, "OpenVinoEngine", lambda core, file, *, threads, precision="fp32": engines[precision])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: Trial.now))
    lines: list[str] = []
    found = module.open_openvino(read_model_file(model), Options(1, "auto", 4, "spin", None, lines.append))
    assert found is engines[chosen]
    assert lines[-1].startswith(line)


def test_auto_stays_with_float32_where_nothing_else_is_offered_or_works(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("openvino")
    from usdrl_ros.inference import openvino as module

    only = Trial(0.0, 0.0)

    def load(core: Any, file: Any, *, threads: int, precision: str = "fp32") -> Trial:
        if precision != "fp32":
            raise EngineError("out of order")
        return only

    monkeypatch.setattr(module, "OpenVinoEngine", load)
    for offered, expected in ((["FP32"], []), (["FP32", "FP16"], ["precision fp16 is not used: out of order"])):
        core = SimpleNamespace(get_property=lambda device, name, offered=offered: offered)
        monkeypatch.setattr(module.openvino, "Core", lambda core=core: core)
        lines: list[str] = []
        found = module.open_openvino(read_model_file(model), Options(1, "auto", 4, "spin", None, lines.append))
        assert found is only
        assert lines == expected


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_memory_does_not_grow_over_changing_batches(model: Path, engine: str) -> None:
    need(engine)
    resource = pytest.importorskip("resource", reason="no such module on this system")
    sizes = np.random.default_rng(0).integers(1, 17, 800)
    with load_engine(model, engine=engine) as loaded:
        for step, size in enumerate(sizes):
            loaded.infer(np.zeros((size, *loaded.info.window_shape), np.float32))
            if step == 200:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10  # kB


def test_the_recognizer_refuses_another_normalization(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", metadata=INFO.to_metadata() | {"usdrl.normalization": "hips"})
    with load_engine(path) as engine, pytest.raises(ModelError, match=f"'tiny' needs .*'hips', .*'{NORMALIZATION}'"):
        Recognizer(engine)


@pytest.mark.slow
def test_the_shipped_model_keeps_the_contract() -> None:
    if not default_model().is_file():
        pytest.skip("no model is shipped yet")
    with load_engine(default_model()) as engine:
        assert engine.info.normalization == NORMALIZATION
        rng = np.random.default_rng(2)
        skeletons = rng.normal(0, 0.4, (4, *engine.info.window_shape)).astype(np.float32)
        together = engine.infer(skeletons)
        classes = len(engine.info.actions)
        assert together.detection.shape == (4, 64, classes + 1)
        assert together.recognition.shape == (4, classes)
        for i in range(4):
            alone = engine.infer(skeletons[i : i + 1])
            np.testing.assert_allclose(alone.detection[0], together.detection[i], atol=1e-4)
            np.testing.assert_allclose(alone.recognition[0], together.recognition[i], atol=1e-4)
    assert default_model().stat().st_size <= 20e6
