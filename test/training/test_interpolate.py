"""Weights between two checkpoints of one network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from test_folded import OPTIONS, trained  # noqa: E402

from training.checkpoints import CheckpointError, read_checkpoint  # noqa: E402
from training.configuration import RunOptions  # noqa: E402
from training.shipped.interpolate import between, main  # noqa: E402
from training.tasks.recognize import save_checkpoint  # noqa: E402


def test_weights_are_a_share_of_both() -> None:
    one, other = {"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([3.0, 6.0])}
    assert between(one, other, 0.25)["a"].tolist() == [1.5, 3.0]
    assert between(one, other, 0.0)["a"].tolist() == [1.0, 2.0]
    with pytest.raises(CheckpointError, match="'b' differs"):
        between(one, other | {"b": torch.zeros(1)}, 0.5)
    with pytest.raises(CheckpointError, match="'a' differs"):
        between(one, {"a": torch.zeros(3)}, 0.5)


def test_the_result_is_a_checkpoint_that_says_what_the_later_one_says(tmp_path: Path) -> None:
    options = replace(OPTIONS, people=1)
    for seed, name in enumerate(("earlier", "later")):
        (tmp_path / name).mkdir()
        save_checkpoint(trained(options, seed), {"name": name, "window_s": 5.0}, RunOptions(tmp_path / name))
    files = [str(tmp_path / name / "last.ckpt") for name in ("earlier", "later")]
    assert main([*files, "--share", "0.8", "--output", str(tmp_path / "between")]) == 0
    earlier, later, found = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("earlier", "later", "between"))
    assert found.training["name"] == "later"
    key = "encoder.spatial.position"
    torch.testing.assert_close(found.state[key], 0.2 * earlier.state[key] + 0.8 * later.state[key])


def test_other_networks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, width in (("earlier", 32), ("later", 16)):
        (tmp_path / name).mkdir()
        save_checkpoint(trained(replace(OPTIONS, width=width)), {"name": name}, RunOptions(tmp_path / name))
    files = [str(tmp_path / name / "last.ckpt") for name in ("earlier", "later")]
    assert main([*files, "--share", "0.8", "--output", str(tmp_path / "between")]) == 1
    assert "not of one network" in capsys.readouterr().err
