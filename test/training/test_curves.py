"""Learning curves: what is read of a log, and which curves share a panel."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="curves need matplotlib")

from training.curves import panels, read_metrics, save_curves

LOG = """epoch,step,train_loss,val_loss,train_variance_loss,lr
0,9,2.5,,3.0,0.1
0,9,,2.75,,
1,19,1.5,,2.0,0.2
1,19,,1.25,,
"""


def test_each_metric_is_read_with_its_epochs(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(LOG, encoding="utf-8")
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert metrics == {
        "train_loss": [(0, 2.5), (1, 1.5)],
        "val_loss": [(0, 2.75), (1, 1.25)],
        "train_variance_loss": [(0, 3.0), (1, 2.0)],
        "lr": [(0, 0.1), (1, 0.2)],
    }


def test_training_and_validation_share_a_panel() -> None:
    names = ("train_loss", "val_loss", "train_variance_loss", "lr")
    found = panels({name: [] for name in names})
    assert found == {"loss": ["train_loss", "val_loss"], "variance_loss": ["train_variance_loss"], "lr": ["lr"]}


def test_the_picture_grows_with_the_panels(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image", reason="curves need matplotlib")
    log = tmp_path / "metrics.csv"
    log.write_text(LOG, encoding="utf-8")
    save_curves(log, tmp_path / "three.png")
    log.write_text("epoch,step,loss\n0,1,1.0\n1,2,0.5\n", encoding="utf-8")
    save_curves(log, tmp_path / "one.png")
    three, one = (image.imread(tmp_path / f"{name}.png") for name in ("three", "one"))
    assert three.shape[1] == 3 * one.shape[1]
    assert (one[..., :3].std(-1) > 0.05).any()  # a coloured line
