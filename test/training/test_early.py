"""Early prediction: the curve against a second way to cut clips, averaged models, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from moving_arms import ACTIONS, write_archive, write_checkpoint  # noqa: E402

from training.checkpoints import load_checkpoint  # noqa: E402
from training.configuration import ConfigError, RunOptions  # noqa: E402
from training.data.archive import Archive  # noqa: E402
from training.data.augmentations import centre_crop  # noqa: E402
from training.data.clips import ClipDataset  # noqa: E402
from training.data.errors import DatasetError  # noqa: E402
from training.tasks.early import EarlyConfig, early, main  # noqa: E402
from training.tasks.features import observe  # noqa: E402
from training.tasks.parts import take_parts  # noqa: E402
from training.tasks.recognize import RecognizeConfig, recognize  # noqa: E402


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archives")
    write_archive(root / "arms")
    return root


@pytest.fixture(scope="module")
def causal(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A linear probe of a causal random encoder, trained on first parts of clips."""
    keys: dict[str, Any] = {
        "attention": "causal",
        "observed": (0.1, 1.0),
        "crops": 3,
        "standardize": True,
        "learning_rate": 0.05,
    }
    output = tmp_path_factory.mktemp("causal")
    recognize(
        RecognizeConfig(name="c", data="arms", archives=str(archives), width=16, epochs=30, **keys), RunOptions(output)
    )
    return str(output / "last.ckpt")


def config(archives: Path, *checkpoints: str, **keys: Any) -> EarlyConfig:
    return EarlyConfig(**{"name": "e", "data": "arms", "archives": str(archives), "checkpoints": checkpoints} | keys)


def probabilities(checkpoint: str, archive: Archive, share: float) -> np.ndarray:
    """Of the test clips, cut as arrays before anything else is done with them."""
    clips = take_parts(archive, "").test
    cut = dataclasses.replace(clips, length=np.maximum(np.floor(clips.length * share), 1).astype(int))
    batch = ClipDataset([(archive, cut)], 1).__getitems__(range(len(clips)))
    with torch.no_grad():
        return load_checkpoint(Path(checkpoint))[0](centre_crop(batch))[1].softmax(-1).numpy()


def test_the_curve_of_clips_that_are_cut(archives: Path, tmp_path: Path, causal: str) -> None:
    other = write_checkpoint(tmp_path / "other", actions=ACTIONS, seed=3)
    shares = (0.05, 0.3, 0.5, 1.0)
    metrics = early(config(archives, causal, other, shares=shares), RunOptions(tmp_path / "run")).metrics
    archive = Archive(archives / "arms")
    truth = take_parts(archive, "").test.label
    expected = [
        np.mean((probabilities(causal, archive, s) + probabilities(other, archive, s)).argmax(1) == truth)
        for s in shares
    ]
    assert metrics["top1"] == pytest.approx(expected)
    assert metrics["mean_top1"] == pytest.approx(np.mean(expected))
    assert metrics["observed"] == list(shares)
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_accuracy_rises_with_the_observed_share(archives: Path, tmp_path: Path, causal: str) -> None:
    metrics = early(config(archives, causal), RunOptions(tmp_path)).metrics
    assert len(metrics["top1"]) == 10
    assert metrics["top1"][-1] > 0.8 > metrics["top1"][0]


def test_observed_shares_are_drawn_between_two(archives: Path) -> None:
    archive = Archive(archives / "arms")
    batch = ClipDataset([(archive, archive.clips())], 1).__getitems__(20 * list(range(48)))
    seen = observe(batch, (0.2, 0.6), torch.Generator().manual_seed(0))
    share = (seen.length / batch.length).numpy()
    frame = 1.0 / batch.length.numpy()
    assert np.all(share > 0.2 - frame)
    assert np.all(share <= 0.6)
    assert np.mean(share + frame / 2) == pytest.approx(0.4, abs=0.01)
    assert observe(batch, (1.0, 1.0), torch.Generator()) is batch


def test_checkpoints_that_cannot_recognise_are_refused(archives: Path, tmp_path: Path) -> None:
    headless = write_checkpoint(tmp_path / "headless")
    with pytest.raises(ConfigError, match="has no trained recognition head"):
        early(config(archives, headless), RunOptions(tmp_path))
    others = write_checkpoint(tmp_path / "others", actions=("fly", "swim"))
    with pytest.raises(ConfigError, match=r"is for other actions; .* has 3 actions"):
        early(config(archives, others), RunOptions(tmp_path))


def test_no_test_on_clips_of_the_training(archives: Path, tmp_path: Path, causal: str) -> None:
    with pytest.raises(ConfigError, match="was trained on the split 'cross_subject' of arms"):
        early(config(archives, causal, split="smaller"), RunOptions(tmp_path))


@pytest.mark.parametrize("keys", [{"shares": ()}, {"shares": (0.0, 1.0)}, {"checkpoints": ()}])
def test_values_out_of_range_are_refused(archives: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(keys))):
        config(archives, "x", **keys)


def test_no_such_split(archives: Path, tmp_path: Path, causal: str) -> None:
    with pytest.raises(DatasetError, match="no split 'cross_planet'"):
        early(config(archives, causal, split="cross_planet"), RunOptions(tmp_path))


def test_the_command_line(archives: Path, tmp_path: Path, causal: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"name: e\ndata: arms\narchives: {archives}\ncheckpoints: [{causal}]\n", encoding="utf-8")
    assert main([str(file), "--output", str(tmp_path / "run"), "--shares", "[0.5, 1.0]"]) == 0
    assert " 50% observed: top-1" in capsys.readouterr().out
    assert main([str(file), "--checkpoints", "[nothing.ckpt]"]) == 1
    assert "nothing.ckpt" in capsys.readouterr().err
