"""Averaging runs: the mean of probabilities, and only of the same clips."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

from training.runs import Record
from training.tasks.ensemble import average, main
from training.tasks.scores import Scores

ACTIONS = ("wave", "clap", "sit")
NAMES = np.array([f"clip{i}@0" for i in range(40)])


def write_run(directory: Path, seed: int, labels: np.ndarray) -> Scores:
    """A made-up recognition run."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(40, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    scores = Scores(probabilities.astype(np.float32), labels, NAMES, ACTIONS, {"clean": np.arange(40) >= 10})
    scores.save(directory)
    Record("recognize", f"run{seed}", {}, scores.measures(), 3.0, "machine", "2.0", "2026-01-01").save(directory)
    return scores


@pytest.fixture
def runs(tmp_path: Path) -> tuple[list[Path], list[Scores]]:
    labels = np.random.default_rng(9).integers(3, size=40)
    directories = [tmp_path / str(seed) for seed in range(3)]
    return directories, [write_run(directory, seed, labels) for seed, directory in enumerate(directories)]


def test_scores_are_read_as_they_were_written(runs: tuple[list[Path], list[Scores]]) -> None:
    found, expected = Scores.load(runs[0][0]), runs[1][0]
    assert found.actions == expected.actions
    for name in ("probabilities", "labels", "names"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert np.array_equal(found.smaller["clean"], expected.smaller["clean"])


def test_the_average_is_the_mean(
    runs: tuple[list[Path], list[Scores]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directories, scores = runs
    first, second, third = (each.probabilities for each in scores)
    expected = (first + second + third) / 3
    output = tmp_path / "together"
    assert main([*map(str, directories), "--output", str(output)]) == 0
    np.testing.assert_allclose(Scores.load(output).probabilities, expected, atol=1e-6)
    metrics = Record.load(output / "result.json").metrics
    right = expected.argmax(1) == scores[0].labels
    assert metrics["top1"] == pytest.approx(right.mean())
    assert metrics["also"]["clean"]["top1"] == pytest.approx(right[10:].mean())
    assert [run["name"] for run in metrics["runs"]] == ["run0", "run1", "run2"]
    assert [run["top1"] for run in metrics["runs"]] == [each.measures()["top1"] for each in scores]
    assert "of 40 clips" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "message"),
    [("names", "the clips of"), ("labels", "the labels of"), ("actions", "the actions of")],
)
def test_other_clips_are_refused(runs: tuple[list[Path], list[Scores]], what: str, message: str) -> None:
    directories, scores = runs
    dataclasses.replace(scores[2], **{what: getattr(scores[2], what)[::-1]}).save(directories[2])
    with pytest.raises(ValueError, match=f"{message} {directories[2]}"):
        average(directories)


def test_a_directory_without_scores_is_refused(
    runs: tuple[list[Path], list[Scores]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pretrained").mkdir()
    assert main([str(runs[0][0]), str(tmp_path / "pretrained"), "--output", str(tmp_path / "together")]) == 1
    assert str(tmp_path / "pretrained" / "scores.npz") in capsys.readouterr().err
    assert not (tmp_path / "together").exists()
