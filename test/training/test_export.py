"""The exported model file against PyTorch, at any batch, through the engine and the recognizer; every kind of file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from torch import Tensor  # noqa: E402

from training import export as export_module  # noqa: E402
from training.checkpoints import HEADS, load_checkpoint  # noqa: E402
from training.export import Outputs, export, main, training_data  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.model.usdrl import USDRL  # noqa: E402
from usdrl_ros.inference import build as build_module  # noqa: E402
from usdrl_ros.inference.build import Built  # noqa: E402
from usdrl_ros.inference.factory import load_engine  # noqa: E402
from usdrl_ros.inference.model_file import ModelError, ModelInfo  # noqa: E402
from usdrl_ros.skeleton.normalize import NORMALIZATION  # noqa: E402

pytestmark = pytest.mark.slow

OPTIONS = ModelOptions(("wave", "clap", "sit_down"), width=16, layers=1)
TRAINING = {"name": "tiny", "window_s": 4.0, "data": "utkinect_action3d"}


def save(path: Path, options: ModelOptions, trained: Sequence[str], training: dict[str, Any]) -> Path:
    """A checkpoint in which only some heads were trained."""
    torch.manual_seed(0)
    model = USDRL(options)
    parts = [model.encoder] + [getattr(model, head) for head in trained]
    with torch.no_grad():
        for parameter in (parameter for part in parts for parameter in part.parameters()):
            parameter += 0.1 * torch.randn_like(parameter)  # as after training: not near zero
    state = {f"model.{key}": value for key, value in model.state_dict().items()} | {"metric.total": torch.zeros(1)}
    torch.save({"state_dict": state, "hyper_parameters": {"model": options.as_dict(), "training": training}}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoint") / "last.ckpt", OPTIONS, HEADS, TRAINING)


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "new" / "tiny.onnx"
    assert main(["--checkpoint", str(checkpoint), "--output", str(path)]) == 0
    return path


def run(path: Path, skeletons: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs of a model file, without our engine."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"skeletons": skeletons}), strict=True))


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def close(found: np.ndarray, expected: Tensor) -> None:
    np.testing.assert_allclose(found, expected.detach(), rtol=0.0, atol=1e-5 * float(expected.detach().abs().max()))


def test_the_model_file_describes_itself(exported: Path) -> None:
    with load_engine(exported) as engine:
        assert engine.info == ModelInfo(
            "tiny",
            OPTIONS.actions,
            4.0,
            NORMALIZATION,
            "utkinect_action3d",
        )
    assert [path.name for path in exported.parent.iterdir()] == ["tiny.onnx"]  # one file, nothing half-written


@pytest.mark.parametrize("count", [1, 2, 5, 17])
def test_outputs_are_those_of_pytorch(exported: Path, checkpoint: Path, count: int) -> None:
    model, training = load_checkpoint(checkpoint)
    assert training == TRAINING
    skeletons = np.random.default_rng(count).normal(0, 0.5, (count, 3, 64, 25, 2)).astype(np.float32)
    skeletons[..., 1] = 0.0
    with torch.no_grad():
        expected = model(torch.from_numpy(skeletons))
    with load_engine(exported) as engine:
        found = engine.infer(skeletons)
    for name, value in zip(("detection", "recognition", "embedding"), expected, strict=True):
        close(getattr(found, name), value)


def test_people_in_a_batch_do_not_touch_each_other(exported: Path) -> None:
    skeletons = np.random.default_rng(1).normal(0, 0.5, (4, 3, 64, 25, 2)).astype(np.float32)
    with load_engine(exported) as engine:
        together = engine.infer(skeletons)
        for i in range(4):
            alone = engine.infer(skeletons[i : i + 1])
            np.testing.assert_allclose(alone.detection[0], together.detection[i], atol=1e-4)
            np.testing.assert_allclose(alone.embedding[0], together.embedding[i], atol=1e-4)


def test_products_of_weights_are_not_left_to_the_robot(exported: Path) -> None:
    """Attention multiplies projections beforehand; in the file that is done: no product without data."""
    graph = onnx.load(exported).graph
    constants = {tensor.name for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert products
    for node in products:
        assert not set(node.input) <= constants, node.name


def test_the_graph_is_of_operations_that_every_engine_knows(exported: Path) -> None:
    """TensorRT from 8.6 on parses these (8.5 all but LayerNormalization); what copies tensors about is rare."""
    model = onnx.load(exported)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert not model.functions
    operations = [node.op_type for node in model.graph.node]
    assert set(operations) <= {
        "Add", "Concat", "Div", "Erf", "Gemm", "LayerNormalization", "MatMul", "Max", "Mul", "ReduceMax", "Relu",
        "Reshape", "Softmax", "Split", "Transpose",
    }  # fmt: skip
    # Of the input alone, and of keys; those that turn weights have been done.
    assert operations.count("Transpose") == 3 + 2 * OPTIONS.layers
    assert operations.count("LayerNormalization") == 2 * (len(OPTIONS.modalities) + 4 * OPTIONS.layers)


def test_a_place_for_one_person_gives_what_zeros_in_the_other_give(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "one.onnx"
    assert main(["--checkpoint", str(checkpoint), "--output", str(output), "--people", "1"]) == 0
    skeletons = np.random.default_rng(0).normal(0, 0.5, (3, 3, 64, 25, 1)).astype(np.float32)
    both = np.concatenate([skeletons, np.zeros_like(skeletons)], -1)
    with torch.no_grad():
        expected = load_checkpoint(checkpoint)[0](torch.from_numpy(both))
    with load_engine(output) as engine:
        assert engine.info.people == 1
        found = engine.infer(skeletons)
    for name, value in zip(("detection", "recognition", "embedding"), expected, strict=True):
        close(getattr(found, name), value)


def test_more_places_than_were_trained_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "three.onnx"
    assert main(["--checkpoint", str(checkpoint), "--output", str(output), "--people", "3"]) == 1
    assert capsys.readouterr().err.startswith("training.export: people is 3; the model was trained with 2")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_engine_build_is_reported_and_keeps_the_file(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []

    def build(path: Path) -> Built:
        built.append(path)
        if len(built) > 1:
            raise ModelError("there is no NVIDIA GPU")
        return Built(path.with_suffix(".plan"), 5_000_000, 1.0, None)

    monkeypatch.setattr(build_module, "build", build)
    output = tmp_path / "built.onnx"
    arguments = ["--checkpoint", str(checkpoint), "--output", str(output), "--build"]
    assert main(arguments) == 0
    assert f"engine {tmp_path / 'built.plan'}: 5.0 MB" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "the file is written, but its engine is not built: there is no NVIDIA GPU" in capsys.readouterr().err
    assert built == [output, output]
    load_engine(output).close()


def test_detection_alone_runs_on_the_robot_and_gives_recognition(tmp_path: Path) -> None:
    """As of training.tasks.detect; for one person, causal, of other windows."""
    options = replace(OPTIONS, modalities=("joint",), frames=16, people=1, attention="causal")
    training = {
        "name": "mine",
        "data": "my_bags",
        "split": "rooms",
        "window_s": 2.5,
        "heads": 1,
        "checkpoint": "p.ckpt",
    }
    path, output = save(tmp_path / "last.ckpt", options, ["detection"], training), tmp_path / "mine.onnx"
    assert main(["--checkpoint", str(path), "--output", str(output), "--name", "kitchen"]) == 0
    skeletons = np.random.default_rng(0).normal(0, 0.5, (3, 3, 16, 25, 1)).astype(np.float32)
    detection, _, embedding = load_checkpoint(path)[0](torch.from_numpy(skeletons))
    with load_engine(output) as engine:
        data = "my_bags (rooms); begun with p.ckpt"
        expected_info = ModelInfo("kitchen", OPTIONS.actions, 2.5, NORMALIZATION, data, frames=16, people=1)
        assert engine.info == expected_info
        found = engine.infer(skeletons)
    close(found.detection, detection)
    close(found.embedding, embedding)
    shown = detection.softmax(-1)[..., 1:].mean(1)
    recognition = torch.from_numpy(found.recognition).softmax(-1)
    torch.testing.assert_close(recognition, (shown / shown.sum(-1, keepdim=True)).detach(), atol=1e-5, rtol=1e-4)


def test_recognition_alone_gives_what_it_was_trained_for(tmp_path: Path) -> None:
    """As of training.tasks.recognize; of 17 joints, with the plain encoder."""
    options = replace(OPTIONS, modalities=("bone",), architecture="sttr", frames=16, joints=17, people=1)
    path = save(tmp_path / "last.ckpt", options, ["recognition"], {"name": "clips", "data": "uav_human", "heads": 2})
    output = tmp_path / "clips.onnx"
    assert main(["--checkpoint", str(path), "--output", str(output)]) == 0
    skeletons = np.random.default_rng(0).normal(0, 0.5, (3, 3, 16, 17, 1)).astype(np.float32)
    _, recognition, embedding = load_checkpoint(path)[0](torch.from_numpy(skeletons))
    found = run(output, skeletons)
    assert list(found) == ["recognition", "embedding"]
    close(found["recognition"], recognition)
    close(found["embedding"], embedding)
    assert metadata(output) == {
        "usdrl.format": "1",
        "usdrl.name": "clips",
        "usdrl.actions": '["wave", "clap", "sit_down"]',
        "usdrl.window_s": "0.0",
        "usdrl.normalization": "none",
        "usdrl.training_data": "uav_human",
        "usdrl.frames": "16",
        "usdrl.joints": "17",
        "usdrl.people": "1",
    }
    with pytest.raises(
        ModelError, match=r"clips\.onnx recognises trimmed clips only, and events need the head 'detection'"
    ):
        load_engine(output)


def test_the_authors_checkpoint_gives_their_feature(shared_data: Path, tmp_path: Path) -> None:
    with np.load(shared_data / "reference" / "official_dste_hidden64.npz") as arrays:
        reference = dict(arrays)
    state = {
        key.replace("weight/", "module.", 1): torch.from_numpy(value)
        for key, value in reference.items()
        if key.startswith("weight/")
    }
    path, output = tmp_path / "epoch450.pth.tar", tmp_path / "theirs.onnx"
    torch.save({"epoch": 450, "state_dict": state}, path)
    assert main(["--checkpoint", str(path), "--output", str(output), "--modality", "bone"]) == 0
    found = run(output, reference["io/input"])
    assert list(found) == ["embedding"]
    tokens = [reference[f"io/bone.{stream}_tokens"].max(1) for stream in ("temporal", "spatial")]
    np.testing.assert_allclose(found["embedding"], np.concatenate(tokens, -1), atol=1e-5)
    written = metadata(output)
    assert (written["usdrl.name"], written["usdrl.actions"]) == ("epoch450", "[]")
    with pytest.raises(ModelError, match=r"theirs.onnx is an encoder without heads, .*training.tasks.detect"):
        load_engine(output)


def test_an_export_that_differs_is_not_put_in_place(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Path
) -> None:
    """The graph is not made anew here: what is under test is what happens when it differs."""

    class Program:
        model_proto = onnx.load(exported)

    monkeypatch.setattr(export_module.torch.onnx, "export", lambda *_, **__: Program)
    other = Outputs(USDRL(OPTIONS).eval(), HEADS)
    info = ModelInfo("tiny", OPTIONS.actions, 4.0, NORMALIZATION, "")
    with pytest.raises(ValueError, match=r"outputs differ from PyTorch's by .*; allowed is 0.0001"):
        export(other, info, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    assert export(Outputs(load_checkpoint(checkpoint)[0], HEADS), info, tmp_path / "x.onnx") < 1e-4


def test_a_checkpoint_that_cannot_be_exported_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = tmp_path / "last.ckpt", tmp_path / "x.onnx"
    path.write_bytes(b"text")
    assert main(["--checkpoint", str(path), "--output", str(output)]) == 1
    assert capsys.readouterr().err.startswith(f"training.export: {path} is no checkpoint: it is a text file")
    save(path, OPTIONS, ["detection"], {"name": "x", "window_s": None})
    assert main(["--checkpoint", str(path), "--output", str(output)]) == 1
    assert capsys.readouterr().err == (
        f"training.export: {path} does not say how many seconds a window is: 'window_s' is None\n"
    )
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"data": {"ntu_60": "cross_subject", "sbu": "all"}, "people": 2}, "ntu_60 (cross_subject), sbu (all)"),
        ({"data": "sbu", "split": "", "checkpoint": ""}, "sbu"),
        ({"data": "sbu", "split": "fold_1", "checkpoint": "a/b.ckpt"}, "sbu (fold_1); begun with a/b.ckpt"),
    ],
)
def test_training_in_words(training: dict[str, Any], words: str) -> None:
    assert training_data(training) == words
