"""The exported model file against PyTorch, at any batch, through the engine and the recognizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

from training import export as export_module  # noqa: E402
from training.checkpoints import load_checkpoint  # noqa: E402
from training.export import export, main  # noqa: E402
from training.model.usdrl import USDRL, ModelOptions  # noqa: E402
from usdrl_ros.inference.engine import ModelInfo, load_engine  # noqa: E402
from usdrl_ros.skeleton.normalize import NORMALIZATION  # noqa: E402

OPTIONS = ModelOptions(("wave", "clap", "sit_down"), width=16, layers=1)
TRAINING = {"name": "tiny", "window_s": 4.0, "people": ["s01", "s03"], "actor_takes": 7}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = USDRL(OPTIONS)
    with torch.no_grad():
        for parameter in model.parameters():  # as after training: not near zero
            parameter += 0.1 * torch.randn_like(parameter)
    state = {f"model.{key}": value for key, value in model.state_dict().items()} | {"metric.total": torch.zeros(1)}
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": {"model": OPTIONS.as_dict(), "training": TRAINING}}, path)
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "new" / "tiny.onnx"
    assert main([str(checkpoint), "--output", str(path)]) == 0
    return path


def test_the_file_says_what_it_is(exported: Path) -> None:
    with load_engine(exported) as engine:
        assert engine.info == ModelInfo(
            "tiny",
            OPTIONS.actions,
            4.0,
            NORMALIZATION,
            "UTKinect-Action3D, people s01 s03; 7 takes of the kinematic actor",
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
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-4 * float(value.abs().max()), err_msg=name)


def test_people_in_a_batch_do_not_touch_each_other(exported: Path) -> None:
    skeletons = np.random.default_rng(1).normal(0, 0.5, (4, 3, 64, 25, 2)).astype(np.float32)
    with load_engine(exported) as engine:
        together = engine.infer(skeletons)
        for i in range(4):
            alone = engine.infer(skeletons[i : i + 1])
            np.testing.assert_allclose(alone.detection[0], together.detection[i], atol=1e-4)
            np.testing.assert_allclose(alone.embedding[0], together.embedding[i], atol=1e-4)


def test_an_export_that_differs_is_not_put_in_place(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Path
) -> None:
    """The graph is not made anew here: what is under test is what happens when it differs."""
    import onnx

    class Program:
        model_proto = onnx.load(exported)

    monkeypatch.setattr(export_module.torch.onnx, "export", lambda *_, **__: Program)
    other = USDRL(OPTIONS).eval()
    info = ModelInfo("tiny", OPTIONS.actions, 4.0, NORMALIZATION, "")
    with pytest.raises(ValueError, match=r"outputs differ from PyTorch's by .*; allowed is 0.0001"):
        export(other, info, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    assert export(load_checkpoint(checkpoint)[0], info, tmp_path / "x.onnx") < 1e-4


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot load the checkpoint .*last.ckpt"),
        (b"text", "cannot load the checkpoint .*last.ckpt"),
        (b"", "cannot load the checkpoint .*last.ckpt"),
        ({"state_dict": {}}, "last.ckpt is no checkpoint of training.fit"),
        (
            {"hyper_parameters": {"model": {"actions": ["a"], "width": 16}, "training": {}}, "state_dict": {}},
            "is no checkpoint of training.fit",
        ),
        ([1], "is no checkpoint of training.fit"),
    ],
)
def test_what_is_no_checkpoint_is_told(
    tmp_path: Path, content: object, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert main([str(path), "--output", str(tmp_path / "x.onnx")]) == 1
    assert capsys.readouterr().err.startswith("training.export: ")
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(ValueError, match=fault):
        load_checkpoint(path)
