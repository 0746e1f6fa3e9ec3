"""Training that goes wrong says so: by an error, an exit code, and with the last good checkpoint in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

import moving_arms  # noqa: E402
import untrimmed  # noqa: E402

from training.runs import write_checkpoint  # noqa: E402
from training.tasks import detect, pretrain, recognize  # noqa: E402

pytestmark = pytest.mark.slow

QUIET = ["--trainer.enable_progress_bar", "no", "--trainer.enable_model_summary", "no", "--trainer.accelerator", "cpu"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archives")
    moving_arms.write_archive(root / "arms")
    untrimmed.write_archive(root / "untrimmed")
    return root


def run(main: Any, directory: Path, archives: Path, *words: str, **keys: object) -> int:
    config = directory / "config.yaml"
    config.write_text(json.dumps({"name": "run", "archives": str(archives), **keys}))
    return main([str(config), "--output", str(directory / "run"), *QUIET, *words])


PRETRAIN: dict[str, object] = {"data": {"arms": "cross_subject"}, "width": 16, "layers": 1, "people": 1, "drops": []}
DETECT: dict[str, object] = {
    "data": "untrimmed", "width": 16, "layers": 1, "windows_per_epoch": 16, "batch_size": 8, "epochs": 1
}  # fmt: skip
TUNE: dict[str, object] = {"data": "arms", "mode": "fine_tuned", "width": 16, "layers": 1, "epochs": 2, "batch_size": 8}


@pytest.mark.parametrize(
    ("main", "keys"),
    [
        (pretrain.main, PRETRAIN | {"epochs": 3, "batch_size": 8, "learning_rate": 1e30}),
        (detect.main, DETECT | {"epochs": 3, "learning_rate": 1e30}),
        (recognize.main, TUNE | {"learning_rate": 1e30}),
        (recognize.main, {"data": "arms", "width": 16, "layers": 1, "epochs": 40, "learning_rate": 1e38}),
    ],
)
def test_diverging_training_ends_with_an_error(
    main: Any, keys: dict[str, Any], tmp_path: Path, archives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, tmp_path, archives, **keys) == 1
    error = capsys.readouterr().err
    assert "learning_rate" in error
    assert "the loss is" in error or "are not finite" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("epochs", [0, -1])
def test_epochs_that_do_nothing_or_never_end_are_refused(
    epochs: int, tmp_path: Path, archives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(detect.main, tmp_path, archives, **DETECT | {"epochs": epochs}) == 1
    assert f"epochs is {epochs}, must be a whole number at least 1" in capsys.readouterr().err


def test_a_small_pretraining_set_is_reported_and_gets_smaller_batches(
    tmp_path: Path, archives: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pretrain.main, tmp_path, archives, "--profile", **PRETRAIN | {"epochs": 2, "batch_size": 384}) == 0
    out = capsys.readouterr().out
    assert "batch_size is 384, more than the 24 clips: 8 are used, 3 steps an epoch" in out
    assert "profile: 1 steps of" in out
    profile = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert profile["steps"] == 1
    assert 0.0 < profile["busy_share"] <= 1.0
    steps = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert steps == 6


def test_the_framework_does_not_advertise(tmp_path: Path, archives: Path) -> None:
    import subprocess
    import sys

    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"name": "run", "archives": str(archives)} | DETECT))
    words = [str(config), "--output", str(tmp_path / "run"), *QUIET]
    ended = subprocess.run([sys.executable, "-m", "training.tasks.detect", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    output = (ended.stdout + ended.stderr).lower()
    for word in ("tip", "litlogger", "litmodels", "gpu available", "tpu", "num_workers"):
        assert word not in output, output


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint({"step": 1}, path)

    def full(content: object, file: Path) -> None:
        file.write_bytes(b"half of it")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"last.ckpt: cannot be written .*; is the disk full\?"):
        write_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]
