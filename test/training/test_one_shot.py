"""One-shot recognition against a loop, its draws, novel classes, given exemplars, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from moving_arms import ACTIONS, write_archive  # noqa: E402

from training.configuration import ConfigError, RunOptions  # noqa: E402
from training.data.archive import Archive  # noqa: E402
from training.data.clips import ClipDataset  # noqa: E402
from training.data.errors import DatasetError  # noqa: E402
from training.tasks.encoders import make_model  # noqa: E402
from training.tasks.features import embed  # noqa: E402
from training.tasks.one_shot import OneShotConfig, draw_exemplars, main, one_shot  # noqa: E402
from training.tasks.parts import take_parts  # noqa: E402


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archives")
    write_archive(root / "arms")
    return root


def config(archives: Path, **keys: Any) -> OneShotConfig:
    given: dict[str, Any] = {"name": "o", "data": "arms", "archives": str(archives), "width": 16}
    return OneShotConfig(**given | keys)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_exemplars_are_one_a_class_and_another_for_each_draw() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 2, 5], 30))
    draws = [draw_exemplars(labels, 1, draw) for draw in range(200)]
    assert all(labels[chosen].tolist() == [0, 2, 5] for chosen in draws)
    assert np.array_equal(draws[3], draw_exemplars(labels, 1, 3))
    # Of 30 clips, 200 draws miss a given one with probability (29/30)^200 = 0.001.
    assert len({chosen[0] for chosen in draws}) >= 28


def test_a_run_against_a_loop(archives: Path, tmp_path: Path) -> None:
    chosen = config(archives, draws=3, seed=4, also_tested=("smaller",))
    metrics = one_shot(chosen, RunOptions(tmp_path)).metrics
    archive = Archive(archives / "arms")
    model = make_model(chosen, "", archive)
    parts = take_parts(archive, "")
    train, test = (embed(model, ClipDataset([(archive, c)], 1))[0].numpy() for c in (parts.train, parts.test))
    accuracy, of_p4 = [], []
    for draw in range(3):
        exemplars = draw_exemplars(parts.train.label, 4, draw)
        right = []
        for feature, truth in zip(test, parts.test.label, strict=True):
            best = max(exemplars, key=lambda index: cosine(feature, train[index]))
            right.append(parts.train.label[best] == truth)
        accuracy.append(np.mean(right))
        of_p4.append(np.mean(np.array(right)[archive.persons[parts.test.recording] == "p4"]))
    assert metrics["top1_draws"] == pytest.approx(accuracy)
    assert metrics["top1"] == pytest.approx(np.mean(accuracy))
    assert metrics["top1_std"] == pytest.approx(np.std(accuracy, ddof=1))
    assert metrics["also"]["smaller"]["top1"] == pytest.approx(np.mean(of_p4))
    assert metrics["n_test"] == 24


def test_novel_classes_alone(archives: Path, tmp_path: Path) -> None:
    metrics = one_shot(config(archives, novel_classes=ACTIONS[:2]), RunOptions(tmp_path)).metrics
    assert set(metrics["classes"]) == set(ACTIONS[:2])
    assert (metrics["n_test"], metrics["n_classes"]) == (16, 2)
    assert len(metrics["top1_draws"]) == 20


def test_given_exemplars_are_tested_on_every_other_clip_of_their_classes(archives: Path, tmp_path: Path) -> None:
    names = (f"p3_{ACTIONS[0]}_1", f"p1_{ACTIONS[2]}_0")
    metrics = one_shot(config(archives, exemplars=names), RunOptions(tmp_path)).metrics
    assert (metrics["n_test"], metrics["n_classes"], metrics["top1_std"]) == (2 * 16 - 2, 2, 0.0)
    archive = Archive(archives / "arms")
    features, labels = embed(make_model(config(archives), "", archive), ClipDataset([(archive, archive.clips())], 1))
    exemplars = [int(np.flatnonzero(archive.names == name)[0]) for name in names]
    right = [
        labels[max(exemplars, key=lambda index: cosine(features[clip].numpy(), features[index].numpy()))]
        == labels[clip]
        for clip in range(48)
        if labels[clip] != 1 and clip not in exemplars
    ]
    assert metrics["top1"] == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"draws": 0}, ConfigError, "draws is 0"),
        ({"novel_classes": ("fly",)}, ConfigError, "no action fly"),
        ({"exemplars": ("p9",)}, DatasetError, "no recording p9"),
        ({"exemplars": (f"p1_{ACTIONS[0]}_0", f"p1_{ACTIONS[0]}_1")}, ConfigError, "2 clips of 1 actions"),
        ({"exemplars": ("p1",), "novel_classes": ("fly",)}, ConfigError, "leave novel_classes"),
    ],
)
def test_values_out_of_range_are_refused(
    archives: Path, tmp_path: Path, keys: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        one_shot(config(archives, **keys), RunOptions(tmp_path))


def test_the_command_line(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"name: o\ndata: arms\narchives: {archives}\nwidth: 16\ndraws: 2\n", encoding="utf-8")
    assert main([str(file), "--output", str(tmp_path / "run")]) == 0
    assert "of 24 clips, 3 classes" in capsys.readouterr().out
    assert main([str(file), "--output", str(tmp_path / "run"), "--data", "legs"]) == 1
    assert "legs holds no archive" in capsys.readouterr().err
