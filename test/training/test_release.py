"""The shipped files: an ONNX file and a checkpoint in half precision that any task may begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from test_folded import OPTIONS, same, skeletons, trained  # noqa: E402

from training import checkpoints  # noqa: E402
from training.checkpoints import read_checkpoint  # noqa: E402
from training.configuration import RunOptions, load  # noqa: E402
from training.shipped.release import CONFIG, data_in_words, main  # noqa: E402
from training.shipped.sessions import SessionsConfig  # noqa: E402
from training.tasks.recognize import save_checkpoint  # noqa: E402
from usdrl_ros.inference.model_file import default_model, read_model_file  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The directory of a released little model."""
    model = trained(replace(OPTIONS, people=1))
    training = {"name": "run", "data": "/home/somebody/archives", "window_s": 5.0, "checkpoint": "/home/somebody/x"}
    save_checkpoint(model, training, RunOptions(tmp_path))
    assert main([str(tmp_path / "last.ckpt"), "--output", str(tmp_path), "--name", "hri-x"]) == 0
    return tmp_path


def test_both_files_say_what_they_are_and_nothing_of_where_they_were_made(released: Path) -> None:
    info = read_model_file(released / "hri_x.onnx").info
    found = read_checkpoint(released / "hri_x.ckpt")
    assert (info.name, found.training["name"]) == ("hri-x", "hri-x")
    assert info.actions == found.options.actions == OPTIONS.actions
    assert info.window_s == found.training["window_s"] == 5.0
    assert info.training_data == found.training["data"] == data_in_words(load(SessionsConfig, CONFIG))
    for name in ("hri_x.onnx", "hri_x.ckpt"):
        content = (released / name).read_bytes()
        assert b"somebody" not in content
        assert str(Path(checkpoints.__file__).parent).encode() not in content


def test_the_checkpoint_holds_half_precision_and_gives_nearly_the_same(released: Path) -> None:
    whole, half = (read_checkpoint(released / name) for name in ("last.ckpt", "hri_x.ckpt"))
    assert all(value.dtype == torch.float16 for value in half.state.values())
    assert half.trained_heads == ("detection", "recognition")
    x = skeletons(whole.options, 2)
    with torch.no_grad():
        same(half.network()(x), whole.network()(x), 5e-3)
    assert (released / "hri_x.ckpt").stat().st_size < 0.6 * (released / "last.ckpt").stat().st_size


def test_a_name_stands_for_the_shipped_checkpoint(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED", released)
    assert read_checkpoint(Path("hri-x")).training["name"] == "hri-x"


def test_the_shipped_model_has_a_checkpoint_of_its_name() -> None:
    assert read_checkpoint(Path("hri-2")).options.actions == read_model_file(default_model()).info.actions


def test_what_cannot_be_released_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nothing.ckpt"), "--output", str(tmp_path)]) == 1
    assert "nothing.ckpt" in capsys.readouterr().err
