"""Both heads trained together on sessions: labels, batches, whole runs; and their calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from untrimmed import recording  # noqa: E402

from training.checkpoints import load_checkpoint, read_checkpoint  # noqa: E402
from training.configuration import ConfigError, RunOptions  # noqa: E402
from training.data.archive import Archive, ArchiveWriter  # noqa: E402
from training.data.frames import IGNORE  # noqa: E402
from training.data.vocabulary import IGNORED, OTHER  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.model.usdrl import USDRL  # noqa: E402
from training.shipped.calibrate import calibrate, fit_temperature, scale  # noqa: E402
from training.tasks.robot import (  # noqa: E402
    RobotConfig,
    RobotModule,
    action_of,
    known_clips,
    main,
    train_robot,
    words_of,
)
from usdrl_ros.recording import Segment  # noqa: E402

TRAINER = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
WORDS = ("raise", "bend")


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """Sessions of four people: two train, one validates, one is tested; all with `other` and `ignored`."""
    with ArchiveWriter(tmp_path / "mine", name="mine", actions=(*WORDS, OTHER, IGNORED)) as writer:
        for index, part in enumerate(("train", "train", "validation", "test")):
            made = recording(f"arms/p{index}/0_0", f"arms/p{index}", index)
            segments = (Segment(0.2, 0.9, OTHER), Segment(1.0, 1.6, IGNORED), *made.segments)
            writer.add(replace(made, segments=segments), {"mine": part})
    return tmp_path


def config(archives: Path, **changes: Any) -> RobotConfig:
    """A tiny run."""
    values: dict[str, Any] = {"width": 16, "layers": 1, "windows": 4, "clips": 4, "steps_per_epoch": 2, "epochs": 1}
    return RobotConfig(**({"name": "tiny", "data": "mine", "archives": str(archives)} | values | changes))


def module(others: str) -> RobotModule:
    options = ModelOptions(actions=WORDS, modalities=("joint",), width=16, layers=1, people=1)
    training = {"view": {}, "clip_view": {}, "others": others, "label_smoothing": 0.0, "clip_weight": 1.0, "seed": 0}
    return RobotModule(options.as_dict(), training)


def test_unmapped_labels_are_background_or_ignored_and_unknown_ones_ignored() -> None:
    labels = torch.tensor([[0, 1, 2, 3, 4, IGNORE]])
    assert module("background").frame_labels(labels).tolist() == [[0, 1, 2, 0, IGNORE, IGNORE]]
    assert module("ignored").frame_labels(labels).tolist() == [[0, 1, 2, IGNORE, IGNORE, IGNORE]]


def test_a_window_shows_one_action_if_it_alone_fills_half_of_it() -> None:
    def window(*runs: tuple[int, int]) -> list[int]:
        return [label for label, count in runs for _ in range(count)]

    labels = torch.tensor(
        [
            window((0, 30), (2, 34)),
            window((0, 33), (2, 31)),
            window((1, 20), (2, 44)),
            window((3, 4), (1, 60)),
            window((IGNORE, 20), (1, 44)),
            window((0, 64)),
        ]
    )
    frames = module("background").frame_labels(labels)
    assert action_of(frames, labels).tolist() == [1, IGNORE, IGNORE, IGNORE, 0, IGNORE]


def test_a_run_trains_both_heads(archives: Path, tmp_path: Path) -> None:
    record = train_robot(config(archives), RunOptions(tmp_path / "run", trainer=TRAINER))
    assert {"train_frame_accuracy", "val_frame_accuracy", "val_action_accuracy"} <= set(record.metrics)
    found = read_checkpoint(tmp_path / "run" / "last.ckpt")
    assert set(found.trained_heads) == {"detection", "recognition"}
    assert found.options.actions == WORDS
    assert found.training["window_s"] == 5.0
    again = train_robot(config(archives), RunOptions(tmp_path / "again", trainer=TRAINER))
    assert again.metrics == record.metrics, "a seed gives a run"


def test_a_checkpoint_of_the_same_actions_keeps_its_heads(archives: Path, tmp_path: Path) -> None:
    train_robot(config(archives), RunOptions(tmp_path / "run", trainer=TRAINER))
    last = str(tmp_path / "run" / "last.ckpt")
    still = config(archives, width=0, layers=0, checkpoint=last, learning_rate=1e-30, weight_decay=0.0)
    train_robot(still, RunOptions(tmp_path / "more", trainer=TRAINER))
    before, after = (load_checkpoint(tmp_path / name / "last.ckpt")[0].state_dict() for name in ("run", "more"))
    for key, value in before.items():
        torch.testing.assert_close(after[key], value)


def test_unfit_archives_and_options_are_refused(archives: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(ConfigError, match="must be one of background, ignored"):
        config(archives, others="kept")
    with pytest.raises(ConfigError, match="share: legs"):
        train_robot(config(archives, share={"legs": 2.0}), RunOptions(tmp_path / "run", trainer=TRAINER))
    with ArchiveWriter(archives / "plain", name="plain", actions=WORDS) as writer:
        writer.add(recording("p", "p", 0), {"all": "train"})
    with pytest.raises(ConfigError, match=r"training\.shipped\.sessions"):
        words_of(Archive(archives / "plain"))
    path = tmp_path / "c.yaml"
    path.write_text("name: x\ndata: nowhere\n")
    assert main([str(path), "--archives", str(archives), "--output", str(tmp_path / "o")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_clips_are_those_with_a_word(archives: Path) -> None:
    archive = Archive(archives / "mine")
    chosen = archive.split("mine", "train")
    assert set(archive.clips(chosen).label.tolist()) == {0, 1, 2, 3}
    assert set(known_clips(archive, chosen).label.tolist()) == {0, 1}


def test_a_known_temperature_is_found_and_makes_confidences_true() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 2.0, (20_000, 4))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((len(logits), 1)) > shares.cumsum(1)).sum(1)
    found = fit_temperature(3.0 * logits, labels)
    assert found.temperature == pytest.approx(3.0, rel=0.03)
    assert found.before > 0.1
    assert found.after < 0.01


def test_a_temperature_folded_into_a_head_divides_its_logits() -> None:
    model = USDRL(ModelOptions(actions=WORDS, width=16, layers=1, people=1)).eval()
    skeletons = torch.randn(2, 3, 64, 25, 1)
    with torch.no_grad():
        detection, recognition, embedding = model(skeletons)
        scale(model, {"detection": 2.0, "recognition": 0.5})
        scaled = model(skeletons)
    for found, expected in zip(scaled, (detection / 2.0, recognition / 0.5, embedding), strict=True):
        torch.testing.assert_close(found, expected)


def test_calibration_writes_a_checkpoint_and_refuses_people_that_were_trained_on(
    archives: Path, tmp_path: Path
) -> None:
    train_robot(config(archives), RunOptions(tmp_path / "run", trainer=TRAINER))
    last = tmp_path / "run" / "last.ckpt"
    fitted = calibrate(last, archives, tmp_path / "calibrated")
    before, after = read_checkpoint(last), read_checkpoint(tmp_path / "calibrated" / "last.ckpt")
    torch.testing.assert_close(
        after.state["detection.weight"] * fitted["detection"].temperature, before.state["detection.weight"]
    )
    assert json.loads((tmp_path / "calibrated" / "calibration.json").read_text())["recognition"]["after"] >= 0.0
    assert set(calibrate(last, archives, tmp_path / "named", heads=("recognition",))) == {"recognition"}
    named = read_checkpoint(tmp_path / "named" / "last.ckpt")
    torch.testing.assert_close(named.state["detection.weight"], before.state["detection.weight"])
    torch.testing.assert_close(named.state["recognition.weight"], after.state["recognition.weight"])
    with pytest.raises(ConfigError, match="trained on 'train'"):
        calibrate(last, archives, tmp_path / "other", part="train")
