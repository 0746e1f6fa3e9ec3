"""Detection and segmentation: from scores of frames to intervals, and whole runs on a tiny archive."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from untrimmed import ACTIONS, write_archive  # noqa: E402

from training.checkpoints import load_checkpoint  # noqa: E402
from training.configuration import ConfigError, RunOptions, load  # noqa: E402
from training.data.archive import Archive  # noqa: E402
from training.data.augmentations import NO_VARIATION  # noqa: E402
from training.data.frames import IGNORE, FrameSource, RandomWindows, WindowLength  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.tasks import detect as detect_module  # noqa: E402
from training.tasks.detect import DetectConfig, detect, main, measures  # noqa: E402
from training.tasks.frame_module import FramewiseModule, moving_average, plain_windows  # noqa: E402
from training.tasks.frame_scores import (  # noqa: E402
    FrameScores,
    average_scores,
    decoded_events,
    load_scores,
    runs_above,
    save_scores,
)
from training.tasks.segment import SegmentConfig, segment, smooth  # noqa: E402
from usdrl_ros.evaluation.metrics.detection import Interval  # noqa: E402
from usdrl_ros.evaluation.metrics.segmentation import edit_score, frame_accuracy, segmental_f1  # noqa: E402
from usdrl_ros.settings import Settings  # noqa: E402

TRAINER = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
UPRIGHT = replace(NO_VARIATION, rotate_by="window")


def scores(stamps: np.ndarray, probabilities: np.ndarray, *truths: Interval) -> FrameScores:
    """Of a recording "r" whose labels are those of its truths."""
    labels = np.zeros(len(stamps), int)
    for truth in truths:
        labels[(truth.start <= stamps) & (stamps < truth.end)] = 1 + ACTIONS.index(truth.action)
    return FrameScores("r", stamps, probabilities, labels, truths)


def certain(stamps: np.ndarray, *truths: Interval) -> FrameScores:
    """A posterior that is sure of the truth."""
    labels = scores(stamps, np.zeros((len(stamps), 3)), *truths).labels
    return scores(stamps, np.eye(3)[labels], *truths)


TRUTHS = (Interval("r", "raise", 2.0, 4.0), Interval("r", "bend", 6.0, 9.0), Interval("r", "raise", 10.0, 11.0))
STAMPS = np.arange(120) / 10


def test_runs_above_the_threshold_by_hand() -> None:
    stamps = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 3.0, 3.1])  # with a pause after 0.4 s
    first = np.array([0.0, 0.3, 0.5, 0.02, 0.03, 0.01, 0.9])
    second = np.array([0.0, 0.1, 0.02, 0.0, 0.0, 0.0, 0.0])
    found = runs_above(scores(stamps, np.stack([1 - first - second, first, second], 1)), ACTIONS, 0.02)
    expected = [  # action, start, end, mean; exactly 0.02 is not above
        ("raise", 0.1, 0.3, 0.4),
        ("raise", 0.4, 0.5, 0.03),
        ("raise", 3.1, 3.2, 0.9),
        ("bend", 0.1, 0.2, 0.1),
    ]
    assert [(i.recording, i.action) for i in found] == [("r", action) for action, *_ in expected]
    np.testing.assert_allclose([(i.start, i.end, i.score) for i in found], [row[1:] for row in expected], atol=1e-9)


def test_certainty_is_detected_perfectly() -> None:
    score = certain(STAMPS, *TRUTHS)
    found = measures(DetectConfig("x", "x"), [score], ACTIONS)
    assert found["frame_accuracy"] == 1.0
    assert (found["authors_detections"], found["events_detections"], found["n_actions"]) == (3, 3, 3)
    for theta in (0.1, 0.5, 0.7):
        for figure in ("map_action", "map_video", "f1"):
            assert found[f"authors_{figure}_{theta}"] == pytest.approx(1.0)
            assert found[f"events_{figure}_{theta}"] == pytest.approx(1.0)
    nothing = replace(score, probabilities=np.eye(3)[np.zeros(120, int)])
    found = measures(DetectConfig("x", "x"), [nothing], ACTIONS)
    assert found["frame_accuracy"] == pytest.approx(0.5)
    assert {found[f"{kind}_map_action_0.1"] for kind in ("authors", "events")} == {0.0}


def test_events_have_their_borders_where_the_posterior_has() -> None:
    events = decoded_events(certain(STAMPS, *TRUTHS), ACTIONS, Settings(patience_s=0.5), 0.05)
    events.sort(key=lambda event: event.start)
    assert [event.action for event in events] == ["raise", "bend", "raise"]
    for event, truth in zip(events, TRUTHS, strict=True):
        assert event.start == pytest.approx(truth.start, abs=0.15)
        assert event.end == pytest.approx(truth.end, abs=0.15)
        assert event.score > 0.9


def test_events_follow_the_settings() -> None:
    """Hysteresis: it takes `start_threshold` to begin, then `end_threshold` is enough; a short dip is bridged."""
    probability = np.full(120, 0.05)
    probability[20:30], probability[30:60], probability[63:70] = 0.8, 0.4, 0.4
    score = scores(STAMPS, np.stack([1 - probability, probability, np.zeros(120)], 1))

    def found(**settings: float) -> list[tuple[float, float]]:
        chosen = Settings(**{"start_threshold": 0.4, **settings})  # type: ignore[arg-type]
        events = decoded_events(score, ACTIONS, chosen, 0.1)
        return [(event.start, event.end) for event in events]

    np.testing.assert_allclose(found(), [(2.0, 7.0)], atol=0.11)
    np.testing.assert_allclose(found(patience_s=0.2), [(2.0, 6.0)], atol=0.11)
    np.testing.assert_allclose(found(start_threshold=0.5, end_threshold=0.5), [(2.0, 3.0)], atol=0.11)
    assert found(start_threshold=0.9) == []
    assert found(confirm_s=0.7) == []  # 0.8 for 1 s, two thirds of what there can be in excess of 0.4


def test_events_end_where_nobody_is_seen() -> None:
    stamps = np.concatenate([np.arange(50), 75.0 + np.arange(50)]) / 10
    score = scores(stamps, np.tile([0.0, 1.0, 0.0], (100, 1)))
    events = decoded_events(score, ACTIONS, Settings(), 0.1)
    np.testing.assert_allclose([(e.start, e.end) for e in events], [(0.0, 4.9), (7.5, 12.4)], atol=1e-6)
    (whole,) = decoded_events(score, ACTIONS, Settings(lost_after_s=3.0), 0.1)
    np.testing.assert_allclose((whole.start, whole.end), (0.0, 12.4), atol=1e-6)


def test_scores_are_kept_and_averaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = []
    for number in range(3):
        probabilities = rng.dirichlet(np.ones(3), 120)
        runs.append(scores(STAMPS, probabilities, *TRUTHS))
        save_scores(tmp_path / f"{number}.npz", [runs[-1], replace(runs[-1], name="none", truths=())], ACTIONS)
    found, actions = load_scores(tmp_path / "1.npz")
    assert actions == ACTIONS
    assert [score.name for score in found] == ["r", "none"]
    assert (found[0].truths, found[1].truths) == (TRUTHS, ())
    np.testing.assert_array_equal(found[0].stamps, STAMPS)
    np.testing.assert_array_equal(found[0].labels, runs[1].labels)
    np.testing.assert_allclose(found[0].probabilities, runs[1].probabilities, atol=1e-7)
    averaged, _ = average_scores([tmp_path / f"{number}.npz" for number in range(3)])
    np.testing.assert_allclose(averaged[0].probabilities, sum(run.probabilities for run in runs) / 3, atol=1e-6)
    save_scores(tmp_path / "other.npz", [runs[0]], ACTIONS)
    with pytest.raises(ValueError, match=r"other\.npz is of other recordings or actions than"):
        average_scores([tmp_path / "0.npz", tmp_path / "other.npz"])
    (tmp_path / "text.npz").write_text("no scores")
    for name in ("text.npz", "missing.npz"):
        with pytest.raises(ValueError, match=rf"{name} holds no frame scores"):
            load_scores(tmp_path / name)


def test_smoothing_is_the_mean_around_each_frame() -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.uniform(0.05, 0.2, 50))
    probabilities = rng.dirichlet(np.ones(3), 50)
    expected = [probabilities[np.abs(stamps - stamp) <= 0.4].mean(0) for stamp in stamps]
    np.testing.assert_allclose(smooth(stamps, probabilities, 0.8), expected, atol=1e-12)
    np.testing.assert_allclose(smooth(stamps, probabilities, 0.0), probabilities, atol=1e-12)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archives")
    write_archive(root / "untrimmed")
    return root


@pytest.fixture(scope="module")
def config(archives: Path) -> DetectConfig:
    return DetectConfig(
        name="tiny",
        data="untrimmed",
        archives=str(archives),
        width=16,
        layers=1,
        window_s=4.0,
        hop=0.5,
        windows_per_epoch=320,
        faster=1.3,
        batch_size=16,
        epochs=2,
        learning_rate=1e-2,
        averaging=0.5,
        validation_people=("p3",),
    )


@pytest.fixture(scope="module")
def trained(config: DetectConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "tiny"
    detect(config, RunOptions(output, trainer=TRAINER))
    return output


def result(output: Path) -> dict[str, Any]:
    return json.loads((output / "result.json").read_text())["metrics"]


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(output / "last.ckpt")[0].state_dict()


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.slow
def test_a_run_writes_its_scores_and_metrics(config: DetectConfig, trained: Path) -> None:
    metrics = result(trained)
    for part, names, figures in (
        ("test", ["p4_0", "p4_1"], metrics),
        ("validation", ["p3_0", "p3_1"], metrics["validation"]),
    ):
        found, actions = load_scores(trained / f"scores_{part}.npz")
        assert [score.name for score in found] == names
        assert actions == ACTIONS
        for score in found:
            np.testing.assert_allclose(score.probabilities.sum(1), 1.0, atol=1e-5)
        for name, value in measures(config, found, actions).items():
            assert figures[name] == pytest.approx(value, abs=1e-6), name
        right = np.concatenate([score.probabilities.argmax(1) == score.labels for score in found])
        assert figures["frame_accuracy"] == pytest.approx(right.mean())
    archive = Archive(f"{config.archives}/{config.data}")
    truths = [truth for score in load_scores(trained / "scores_test.npz")[0] for truth in score.truths]
    segments = archive.segments[np.isin(archive.segments["recording"], [6, 7])]
    assert [(t.action, t.start, t.end) for t in truths] == [
        (ACTIONS[s["action"]], s["start"], s["end"]) for s in segments
    ]
    header = (trained / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train_loss", "val_loss", "train_frame_accuracy", "val_frame_accuracy"} <= set(header)


def test_actions_of_new_people_are_detected(trained: Path) -> None:
    """The archive's actions are easy: few steps are enough to find them all in the recordings of other people."""
    metrics = result(trained)
    for figures in (metrics, metrics["validation"]):
        assert figures["frame_accuracy"] > 0.95
        for kind in ("authors", "events"):
            assert figures[f"{kind}_map_action_0.5"] > 0.9
            assert figures[f"{kind}_map_video_0.5"] > 0.9
        assert figures["events_detections"] == figures["n_actions"]


@pytest.mark.slow
def test_a_run_that_was_cut_off_resumes_to_the_same_result(
    config: DetectConfig, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunOptions(tmp_path / "tiny", trainer=TRAINER)

    def cut_off(module: FramewiseModule) -> None:
        if module.current_epoch == 1:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(FramewiseModule, "on_train_epoch_start", cut_off)
        with pytest.raises(RuntimeError, match="power cut"):
            detect(config, run)
    assert not (run.output / "result.json").exists()
    detect(config, replace(run, resume=True))
    assert_same(weights(run.output), weights(trained))
    assert result(run.output)["frame_accuracy"] == result(trained)["frame_accuracy"]
    detect(config, replace(run, resume=True))  # nothing is left to do
    assert_same(weights(run.output), weights(trained))


def test_a_frozen_encoder_stays_as_its_checkpoint_has_it(config: DetectConfig, trained: Path, tmp_path: Path) -> None:
    probed = replace(
        config, checkpoint=str(trained / "last.ckpt"), frozen=True, epochs=1, windows_per_epoch=32, validation_people=()
    )
    detect(probed, RunOptions(tmp_path / "probed", trainer=TRAINER))
    before, after = weights(trained), weights(tmp_path / "probed")
    for key in before:
        if key.startswith("encoder"):
            assert torch.equal(before[key], after[key]), key
    assert not torch.equal(before["detection.weight"], after["detection.weight"])
    module = FramewiseModule(ModelOptions(ACTIONS, ("joint",), width=16).as_dict(), {"frozen": True, "view": {}})
    assert not any(part.training for part in module.train().model.encoder.modules())
    assert module.model.detection.training


def test_runs_are_judged_again_and_averaged(config: DetectConfig, trained: Path, tmp_path: Path) -> None:
    """By another task, too: the average of a run with itself is that run."""
    again = replace(config, scores=(str(trained), str(trained)), also_tested=("smaller",))
    detect(again, RunOptions(tmp_path / "again"))
    metrics = result(tmp_path / "again")
    also = metrics.pop("also")
    assert metrics == result(trained)
    (found, _), (other, _) = (load_scores(path / "scores_test.npz") for path in (trained, tmp_path / "again"))
    np.testing.assert_allclose(found[1].probabilities, other[1].probabilities, atol=1e-6)
    assert also["smaller"]["n_recordings"] == 1
    assert also["smaller"]["frame_accuracy"] == pytest.approx(
        (found[0].probabilities.argmax(1) == found[0].labels).mean()
    )
    segmentation = SegmentConfig("s", "untrimmed", archives=config.archives, scores=(str(trained),))
    segmented = segment(segmentation, RunOptions(tmp_path / "segmented")).metrics
    predicted, true = [s.probabilities.argmax(1) for s in found], [s.labels for s in found]
    assert segmented["frame_accuracy"] == pytest.approx(frame_accuracy(predicted, true))
    assert segmented["action_edit"] == pytest.approx(edit_score(predicted, true, 0))
    assert segmented["edit"] == pytest.approx(edit_score(predicted, true))
    assert segmented["f1_0.25"] == pytest.approx(segmental_f1(predicted, true, 0.25))
    assert segmented["action_f1_0.5"] == pytest.approx(segmental_f1(predicted, true, 0.5, 0))
    assert segmented["validation"]["n_recordings"] == 2


def test_windows_of_frames_have_a_length_in_seconds(config: DetectConfig, tmp_path: Path) -> None:
    """An exported model has windows of seconds: 64 frames at about 10 Hz."""
    by_frames = replace(config, window_frames=64, epochs=1, windows_per_epoch=32, averaging=0.0, validation_people=())
    detect(by_frames, RunOptions(tmp_path / "frames", trainer=TRAINER))
    _, training = load_checkpoint(tmp_path / "frames" / "last.ckpt")
    assert training["window_s"] == pytest.approx(6.4, abs=0.3)
    assert training["window_frames"] == 64
    assert len(load_scores(tmp_path / "frames" / "scores_test.npz")[0]) == 2


def test_it_learns(config: DetectConfig) -> None:
    """Shown the same few windows again and again, the network comes to know their labels."""
    archive = Archive(f"{config.archives}/{config.data}")
    batch = RandomWindows(FrameSource(archive, [0, 1], WindowLength(4.0)), 16).__getitems__(range(16))
    torch.manual_seed(0)
    options = ModelOptions(ACTIONS, ("joint",), width=16, layers=1, people=1, drop_path=0.0)
    module = FramewiseModule(options.as_dict(), {"frozen": False, "view": {}})
    optimizer = torch.optim.AdamW(module.model.parameters(), lr=1e-2)
    views = plain_windows(batch, UPRIGHT)
    losses = []
    for _ in range(80):
        loss, accuracy = module.loss(views, batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(np.log(3), abs=0.3)  # knows nothing
    assert losses[-1] < 0.3 * losses[0]
    assert accuracy.item() > 0.9


def test_the_moving_average_by_hand() -> None:
    average = moving_average(0.5)._kwargs["avg_fn"]
    kept, new = torch.tensor([1.0, 1.0]), torch.tensor([2.0, 1.0])
    for steps, decay in ((1, 2 / 11), (2, 3 / 12), (8, 0.5), (1000, 0.5)):
        found = average(kept, new, torch.tensor(steps))
        torch.testing.assert_close(found, torch.tensor([2.0 - decay, 1.0]))


def test_loss_by_hand() -> None:
    """Cross-entropy over the frames of all windows that are labelled."""
    module = FramewiseModule(
        ModelOptions(ACTIONS, ("joint",), width=16, layers=1).as_dict(), {"frozen": False, "view": {}}
    ).eval()
    views, labels = torch.randn(3, 3, 64, 25, 2), torch.randint(0, 3, (3, 64))
    labels[0, :20] = IGNORE
    with torch.no_grad():
        logits = module.model(views)[0]
        loss, accuracy = module.loss(views, labels)
    kept = [(i, t) for i in range(3) for t in range(64) if labels[i, t] != IGNORE]
    assert loss.item() == pytest.approx(
        np.mean([-logits[i, t].log_softmax(0)[labels[i, t]].item() for i, t in kept]), rel=1e-5
    )
    assert accuracy.item() == pytest.approx(np.mean([(logits[i, t].argmax() == labels[i, t]).item() for i, t in kept]))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"validation_people": ("p4",)}, "validation_people p4: not in the training part of untrimmed"),
        ({"validation_people": ("p9",)}, "no recording of p9"),
        ({"validation_people": ("p1", "p2", "p3")}, "nobody is left"),
        ({"validation_people": (), "test": False}, "there is nothing to judge"),
        ({"also_tested": ("swapped",)}, "also_tested 'swapped': 6 of its test recordings are not in the test part"),
        ({"also_tested": ("none",)}, "has no split 'none'"),
        ({"hop": 1.0}, r"windows of 4 are 4 apart"),
        ({"window_s": 0.0}, "window_s is 0.0, must be a number above 0"),
        ({"scores": ("nowhere",)}, r"scores_test\.npz holds no frame scores"),
        ({"checkpoint": "nowhere.ckpt"}, r"nowhere\.ckpt"),
    ],
)
def test_bad_values_are_refused(config: DetectConfig, tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        detect(replace(config, **changes), RunOptions(tmp_path / "x", trainer=TRAINER))  # type: ignore[arg-type]
    assert not (tmp_path / "x" / "result.json").exists()


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"postprocessing.0 is 'peaks', must be one of authors, events"):
        DetectConfig("x", "x", postprocessing=("peaks",))
    with pytest.raises(ConfigError, match=r"smoothing_s is -1\.0"):
        SegmentConfig("x", "x", smoothing_s=-1.0)


def test_the_command(config: DetectConfig, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"name: x\ndata: untrimmed\narchives: {config.archives}\n")
    command = [str(path), "--output", str(tmp_path / "x")]
    assert main([*command, "--scores", f"[{trained}]", "--postprocessing", "[events]"]) == 0
    printed = capsys.readouterr().out
    assert f"frame accuracy {result(trained)['frame_accuracy']:.3f}, events mAP_action@0.5" in printed
    assert "authors" not in printed
    assert main([*command, "--data", "elsewhere"]) == 1
    assert "training.tasks.detect: " in capsys.readouterr().err


def test_the_shipped_configurations_load() -> None:
    configs = Path(detect_module.__file__).parents[1] / "configs"
    detection = load(DetectConfig, configs / "detect_utkinect_small.yaml")
    segmentation = load(SegmentConfig, configs / "segment_utkinect_small.yaml")
    assert (detection.length.span, detection.length.by_frames) == (64, True)
    same = {key: value for key, value in vars(segmentation).items() if key not in ("name", "smoothing_s")}
    assert {key: value for key, value in vars(detection).items() if key in same} == same
