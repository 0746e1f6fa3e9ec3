"""Building TensorRT engines: for real with TensorRT-RTX, whose builder needs no GPU, and as older versions want it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorrt_fake import FakeGpu

from usdrl_ros.inference import build as build_module
from usdrl_ros.inference import tensorrt_library
from usdrl_ros.inference.build import build, main
from usdrl_ros.inference.contract import EngineError, Predictions, largest_difference
from usdrl_ros.inference.cuda import Device
from usdrl_ros.inference.engine_cache import EngineKey, read_plan
from usdrl_ros.inference.model_file import ModelError, ModelFile, ModelInfo, default_model, read_model_file
from usdrl_ros.inference.onnx_graph import FLOAT, FLOAT16, Graph
from usdrl_ros.inference.tensorrt import PlanError, TensorRtEngine
from usdrl_ros.inference.tensorrt_builder import BuildSettings, _content, _parse, _profile, build_plan
from usdrl_ros.inference.tensorrt_library import Library, load_library
from usdrl_ros.skeleton.normalize import NORMALIZATION

pytestmark = pytest.mark.slow

CAPABILITY = "8.9"


@pytest.fixture(scope="module")
def rtx() -> Library:
    """TensorRT-RTX; the builder of TensorRT itself needs a GPU (test_tensorrt_gpu.py)."""
    try:
        library = load_library()
    except EngineError as error:
        pytest.skip(str(error))
    if not library.rtx:
        pytest.skip(f"{library.name} builds with a GPU only")
    return library


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the published width, exported as users export theirs."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    from training.export import Outputs, export
    from training.model.options import ModelOptions
    from training.model.usdrl import USDRL

    torch.manual_seed(0)
    actions = ("wave", "clap", "sit_down")
    path = tmp_path_factory.mktemp("wide") / "wide.onnx"
    network = USDRL(ModelOptions(actions, ("joint",), width=1024, layers=1))
    export(Outputs(network, ("detection", "recognition")), ModelInfo("wide", actions, 4.0, NORMALIZATION, "-"), path)
    return path


@pytest.fixture(params=["shipped", "wide"])
def file(request: pytest.FixtureRequest) -> ModelFile:
    path = default_model() if request.param == "shipped" else request.getfixturevalue("wide")
    return read_model_file(path)


def quiet(line: str) -> None:
    pass


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_tensorrt_reads_tensors_types_and_batches(rtx: Library, file: ModelFile, precision: str) -> None:
    trt = rtx.module
    network, _parser = _parse(rtx, file, _content(rtx, file, precision))
    definition, classes = network.definition, len(file.info.actions)
    found = {
        tensor.name: (tuple(tensor.shape), tensor.dtype)
        for tensor in (
            *(definition.get_input(i) for i in range(definition.num_inputs)),
            *(definition.get_output(i) for i in range(definition.num_outputs)),
        )
    }
    width = found["embedding"][0][1]
    assert found == {
        "skeletons": ((-1, *file.info.window_shape), trt.float32),
        "detection": ((-1, file.info.frames, classes + 1), trt.float32),
        "recognition": ((-1, classes), trt.float32),
        "embedding": ((-1, width), trt.float32),
    }
    assert width == 2048 if file.info.name == "wide" else width % 2 == 0
    multiplied = {
        definition.get_layer(i).get_output(0).dtype
        for i in range(definition.num_layers)
        if definition.get_layer(i).type == trt.LayerType.MATRIX_MULTIPLY
    }
    assert multiplied == {trt.float16 if precision == "fp16" else trt.float32}
    profile = _profile(network.builder, file, 12)
    smallest, common, largest = (tuple(shape) for shape in profile.get_shape("skeletons"))
    assert (smallest[0], common[0], largest[0]) == (1, 3, 12)
    assert smallest[1:] == common[1:] == largest[1:] == file.info.window_shape


def test_an_engine_for_a_named_gpu_is_built_and_found_again(rtx: Library, file: ModelFile, tmp_path: Path) -> None:
    lines: list[str] = []
    options: dict[str, Any] = {"compute_capability": CAPABILITY, "cache": tmp_path, "max_batch": 8, "log": lines.append}
    built = build(file.path, **options)
    assert built.seconds > 0
    assert built.error is None
    assert built.path.parent == tmp_path
    assert f"compute capability {CAPABILITY}: fp16, batches of 1 to 8" in lines[0]
    key = EngineKey(file.sha256(), rtx.name, f"compute capability {CAPABILITY}", "fp16")
    assert built.path.name == key.file_name(file.path.stem)
    plan = read_plan(built.path, key, 8)
    assert len(plan) == built.size
    # Half a float32 model, and what TensorRT adds: its kernels.
    weights = file.path.stat().st_size / 2
    assert weights * 0.8 < len(plan) < weights + 20e6
    assert not [line for line in lines if "again" in line]
    again = build(file.path, **options)
    assert (again.path, again.size, again.seconds) == (built.path, built.size, 0.0)


def test_an_operator_that_tensorrt_does_not_know_is_named(rtx: Library, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    model = onnx.load(default_model())
    last = next(node for node in model.graph.node if "recognition" in node.output)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Teleport", ["before"], ["recognition"], name="beam", domain="star"))
    model.opset_import.append(onnx.helper.make_opsetid("star", 1))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(EngineError, match=r"cannot read model .*m.onnx: .*(Teleport|beam)"):
        build(tmp_path / "m.onnx", compute_capability=CAPABILITY, cache=tmp_path, precision="fp32", log=quiet)
    assert not list(tmp_path.glob("*.engine"))


@pytest.mark.parametrize("plan", [b"", b"This is no engine.\n" * 100, bytes(range(256)) * 40])
def test_the_real_tensorrt_refuses_rubbish(rtx: Library, plan: bytes) -> None:
    options: dict[str, Any] = {"max_batch": 4, "precision": "fp16", "log": quiet}
    gpu = FakeGpu()  # the engine asks for a context; TensorRT itself refuses before it needs one
    with pytest.raises(PlanError, match=r"TensorRT-RTX .* cannot load the engine: .{20}"):
        TensorRtEngine(rtx, plan, read_model_file(default_model()), Device(gpu.driver), **options)
    assert not gpu.memory
    assert not gpu.stack


def test_an_unknown_compute_capability_is_refused(rtx: Library, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"does not know the compute capability 3.5, only 7.5, 8.0, .*8.9"):
        build(default_model(), compute_capability="3.5", cache=tmp_path, log=quiet)


def test_without_a_gpu_the_error_says_how_to_build_for_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent() -> Any:
        raise EngineError("there is no NVIDIA GPU")

    monkeypatch.setattr(build_module, "open_device", absent)
    monkeypatch.setattr(build_module, "load_library", lambda: SimpleNamespace(name="T"))
    with pytest.raises(EngineError, match="no NVIDIA GPU; without a GPU, name the compute capability"):
        build(default_model(), cache=tmp_path, log=quiet)


# Versions that are not installed here: their calls are recorded by a stand-in


class Recorder:
    """A TensorRT of a version whose builder notes what it is asked for."""

    def __init__(self, version: str) -> None:
        self.asked: dict[str, Any] = {"flags": set(), "cleared": set(), "preview": set()}
        major = int(version.split(".")[0])
        info = read_model_file(default_model()).info
        asked = self.asked

        def tensor(name: str) -> Any:
            return SimpleNamespace(name=name, dtype="float32")

        definition = SimpleNamespace(
            num_inputs=1,
            num_outputs=3,
            get_input=lambda i: tensor("skeletons"),
            get_output=lambda i: tensor(("detection", "recognition", "embedding")[i]),
        )

        class Builder:
            def __init__(self, logger: Any) -> None:
                pass

            def create_network(self, flags: int) -> Any:
                asked["network"] = flags
                return definition

            def create_optimization_profile(self) -> Any:
                return SimpleNamespace(set_shape=lambda *shapes: asked.update(profile=shapes))

            def create_builder_config(self) -> Any:
                asked["builds"] = asked.get("builds", 0) + 1
                newer = {} if version.startswith("8.5") else {"builder_optimization_level": 3}
                asked["config"] = SimpleNamespace(
                    **newer,
                    create_timing_cache=lambda kept: None if kept == b"rubbish" else SimpleNamespace(kept=kept),
                    set_timing_cache=lambda timings, ignore: asked.update(timings=timings.kept) or True,
                    get_timing_cache=lambda: SimpleNamespace(serialize=lambda: asked["timings"] + b"+"),
                    set_memory_pool_limit=lambda pool, size: asked.update({pool: size}),
                    set_flag=asked["flags"].add,
                    clear_flag=asked["cleared"].add,
                    set_preview_feature=lambda feature, on: asked["preview"].add(feature),
                    add_optimization_profile=lambda profile: 0,
                )
                return asked["config"]

            def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
                asked.setdefault("levels", []).append(getattr(config, "builder_optimization_level", None))
                monitor = getattr(config, "progress_monitor", None)
                return (
                    b"plan" if monitor is None or all(monitor.step_complete("tactics", i) for i in range(9)) else None
                )

        class Parser:
            num_errors = 0

            def __init__(self, network: Any, logger: Any) -> None:
                pass

            def parse(self, content: bytes) -> bool:
                asked["content"] = content
                return True

        kinds: dict[str, int] = {"EXPLICIT_BATCH": 0} if major < 11 else {}
        if major in (9, 10):
            kinds["STRONGLY_TYPED"] = 1
        self.window = info.window_shape
        monitor = (
            {} if major < 10 else {"IProgressMonitor": type("IProgressMonitor", (), {"__init__": lambda self: None})}
        )
        self.library = Library(
            SimpleNamespace(
                **monitor,
                __version__=version,
                float32="float32",
                Builder=Builder,
                OnnxParser=Parser,
                NetworkDefinitionCreationFlag=SimpleNamespace(**kinds),
                BuilderFlag=SimpleNamespace(TF32="TF32", **({"FP16": "FP16"} if major < 11 else {})),
                MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
                PreviewFeature=SimpleNamespace(PROFILE_SHARING_0806="sharing"),
            ),
            False,
            SimpleNamespace(errors=[]),
        )

    def build(self, precision: str) -> Graph:
        """Build the shipped model; returns the graph that TensorRT was given."""
        file = read_model_file(default_model())
        plan = build_plan(self.library, file, BuildSettings(precision, 8, 64), quiet)
        assert plan == b"plan"
        assert self.asked["workspace"] == 64 << 20
        assert self.asked["profile"] == ("skeletons", *((size, *self.window) for size in (1, 2, 8)))
        return Graph(self.asked["content"])


def weight_types(graph: Graph) -> set[int]:
    return {constant.element for constant in graph.constants.values() if len(constant.data) > 1000}


@pytest.mark.parametrize("version", ["8.5.2.2", "8.6.1", "10.3.0", "10.13.3", "11.2.0.1"])
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_each_version_gets_its_flags(version: str, precision: str) -> None:
    recorder = Recorder(version)
    graph = recorder.build(precision)
    asked, old = recorder.asked, version.startswith("8.")
    assert (
        asked["network"] == {"8": 1, "10": 2, "11": 0}[version.split(".")[0]]
    )  # explicit batch, strongly typed, always
    assert asked["flags"] == ({"FP16"} if old and precision == "fp16" else set())
    assert asked["cleared"] == ({"TF32"} if precision == "fp32" else set())
    assert asked["preview"] == ({"sharing"} if version.startswith("8.6") else set())
    assert weight_types(graph) == {FLOAT16 if precision == "fp16" and not old else FLOAT}
    assert graph.opset == (17 if old else Graph(default_model().read_bytes()).opset)
    operators = {node.operator for node in graph.nodes}
    assert ("LayerNormalization" in operators) == (not version.startswith("8.5"))


def recorded_build(recorder: Recorder, **settings: Any) -> list[str]:
    """Build the shipped model; returns what is logged."""
    lines: list[str] = []
    file = read_model_file(default_model())
    assert build_plan(recorder.library, file, BuildSettings("fp32", 8, **settings), lines.append) == b"plan"
    return lines


@pytest.mark.parametrize(
    ("version", "limit", "levels", "line"),
    [
        ("8.5.2", 60.0, [None], "TensorRT 8.5.2 cannot stop a build after 60 s, so it searches less from the start"),
        ("8.6.1", 60.0, [1], "TensorRT 8.6.1 cannot stop a build after 60 s, so it searches less from the start"),
        ("8.6.1", 0.0, [3], ""),
        ("10.3.0", 1e-9, [3, 1], "the search for the fastest kernels was stopped after 0 s; a shorter one follows"),
        ("10.3.0", 60.0, [3], ""),
        ("11.2.0", 0.0, [3], ""),
    ],
)
def test_a_time_limit_shortens_the_search(version: str, limit: float, levels: list[int | None], line: str) -> None:
    recorder = Recorder(version)
    lines = recorded_build(recorder, time_limit_s=limit)
    assert recorder.asked["levels"] == levels
    assert lines == ([line] if line else [])


def test_kernel_timings_are_kept_beside_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gpu.timings"
    for expected in (b"+", b"++"):
        recorder = Recorder("10.3.0")
        assert recorded_build(recorder, timing_cache=path) == []
        assert path.read_bytes() == expected
    path.write_bytes(b"rubbish")
    assert recorded_build(recorder, timing_cache=path) == [
        f"kernels are timed again: the timings in {path} cannot be used"
    ]
    assert path.read_bytes() == b"+"
    path.chmod(0o666)
    (line,) = recorded_build(recorder, timing_cache=path)
    assert line.startswith(f"kernels are timed again: other users may write to {path} (mode 0666)")
    assert path.read_bytes() == b"+"
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").touch()
    lines = recorded_build(recorder, timing_cache=tmp_path / "file" / "gpu.timings")
    assert lines[-1].startswith("kernels will be timed again by the next build: ")


def test_a_real_build_stops_at_its_limit(rtx: Library) -> None:
    """TensorRT-RTX reports few steps; one of them after the limit stops the build, and a quick one follows."""
    lines: list[str] = []
    settings = BuildSettings("fp16", 4, time_limit_s=1e-9, compute_capability=CAPABILITY)
    assert len(build_plan(rtx, read_model_file(default_model()), settings, lines.append)) > 1e6
    logged = [line for line in lines if not line.startswith("building for ")]  # on a slow machine
    assert logged == ["the search for the fastest kernels was stopped after 0 s; a shorter one follows"]


# What is compared, and the command line


class Scaled:
    """Engine whose outputs are all ones, times a factor."""

    def __init__(self, factor: float) -> None:
        self.info = read_model_file(default_model()).info
        self.name = "scaled"
        self._factor = factor

    def infer(self, skeletons: np.ndarray) -> Predictions:
        ones = np.ones((len(skeletons), 4)) * self._factor
        return Predictions(ones, 2 * ones, ones)


@pytest.mark.parametrize(("factor", "error"), [(1.0, 0.0), (1.25, 0.25), (0.5, 0.5)])
def test_the_largest_difference_is_relative(factor: float, error: float) -> None:
    assert largest_difference(Scaled(factor), Scaled(1.0), [1, 3]) == pytest.approx(error)  # type: ignore[arg-type]


def test_a_difference_that_is_not_a_number_is_returned() -> None:
    assert np.isnan(largest_difference(Scaled(float("nan")), Scaled(1.0), [1]))  # type: ignore[arg-type]


def test_the_command_line_builds_and_prints_the_path(
    rtx: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        build_module, "build_plan", lambda library, file, settings, log: b"plan %d" % settings.workspace_mib
    )
    arguments = ["--compute-capability", CAPABILITY, "--cache", str(tmp_path), "--workspace", "77", "--max-people", "3"]
    assert main(arguments) == 0
    (path,) = tmp_path.iterdir()
    assert capsys.readouterr().out.splitlines()[-1] == f"{path}: 0 MB, built in 0 s"
    assert path.read_bytes().endswith(b"plan 77")
    assert main([*arguments, "--precision", "fp16"]) == 0
    assert "was there already" in capsys.readouterr().out
    launched = ["--ros-args", "-r", "__node:=build_engine"]
    assert main([*arguments, *launched]) == 0
    assert main([*launched, "--", *arguments, "--rebuild"]) == 0
    assert "built in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["--max-people", "0"], ["--workspace", "-1"], ["--time-limit", "-1"], ["--precision", "bf16"], ["a", "b"]],
)
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m usdrl_ros.inference.build" in capsys.readouterr().err


def test_a_missing_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.onnx")]) == 1
    assert "build_engine: model" in capsys.readouterr().err
    with pytest.raises(ModelError, match="is not there"):
        build(tmp_path / "absent.onnx", log=quiet)


def test_without_tensorrt_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_library.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="not installed: on a Jetson it comes with JetPack, elsewhere pip install"):
        load_library()


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        (SimpleNamespace(__version__="11.0.0"), "tensorrt cannot be imported: it is a stub without libraries"),
        (
            SimpleNamespace(__version__="8.4.1.5", Builder=1, ILogger=type("ILogger", (), {})),
            "TensorRT 8.4.1.5 is too old, 8.5 is the first that works",
        ),
        (OSError("libnvinfer.so.10: cannot open"), "tensorrt cannot be imported: libnvinfer.so.10: cannot open"),
    ],
)
def test_a_broken_or_old_tensorrt_is_reported(monkeypatch: pytest.MonkeyPatch, module: Any, fault: str) -> None:
    def find(name: str) -> Any:
        return object() if name == "tensorrt" else None

    def load(name: str) -> Any:
        if isinstance(module, Exception):
            raise module
        return module

    monkeypatch.setattr(tensorrt_library.importlib.util, "find_spec", find)
    monkeypatch.setattr(tensorrt_library.importlib, "import_module", load)
    with pytest.raises(EngineError, match=fault):
        load_library()
