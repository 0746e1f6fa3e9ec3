"""What is measured of the shipped model: conditions, recognition, online detection, and the command as a whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from test_sessions import florence  # noqa: E402
from untrimmed import recording  # noqa: E402

from training.data.augmentations import mirror  # noqa: E402
from training.data.errors import DatasetError  # noqa: E402
from training.data.vocabulary import Vocabulary  # noqa: E402
from training.export import Outputs, export  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.model.usdrl import USDRL  # noqa: E402
from training.shipped import model_card  # noqa: E402
from training.shipped.clips import Clip, calibration_error, clips_of, recognize  # noqa: E402
from training.shipped.conditions import CONDITIONS, LEFT_LEG, MIRRORED  # noqa: E402
from training.shipped.data import ensure_archives  # noqa: E402
from training.shipped.detection import RANKED, Detected, authors_figures, detect, map_action  # noqa: E402
from training.shipped.report import markdown  # noqa: E402
from training.shipped.sessions import SessionsConfig, SetOptions, write  # noqa: E402
from usdrl_ros.evaluation.metrics.detection import Interval  # noqa: E402
from usdrl_ros.inference.contract import Predictions  # noqa: E402
from usdrl_ros.inference.model_file import ModelInfo  # noqa: E402
from usdrl_ros.recording import Recording  # noqa: E402
from usdrl_ros.settings import Settings  # noqa: E402
from usdrl_ros.skeleton.normalize import NORMALIZATION, normalize  # noqa: E402

pytestmark = pytest.mark.slow

WORDS = ("raise", "bend")
INFO = ModelInfo("by hand", WORDS, 2.0, NORMALIZATION, "none", people=1)


def reach(joints: np.ndarray) -> np.ndarray:
    """How far the right hand and the right knee are from the pelvis, of joints (..., 25, 3): (..., 2)."""
    return np.linalg.norm(joints[..., [11, 17], :] - joints[..., :1, :], axis=-1)


class ByHand:
    """Says `raise` of frames in which the right hand is far from where it is at rest, `bend` of those with the knee."""

    info, name = INFO, "by hand"

    def __init__(self) -> None:
        self._rest = reach(recording("r", "p", 1).joints["person_1"][:5]).mean(0)

    def infer(self, skeletons: np.ndarray) -> Predictions:
        away = np.abs(reach(skeletons[..., 0].transpose(0, 2, 3, 1)) - self._rest) > 0.1
        detection = np.concatenate([~away.any(-1, keepdims=True), away], -1) * 12.0
        recognition = away.mean(1) * 12.0
        found = (detection, recognition, np.zeros((len(away), 4)))
        return Predictions(*(each.astype(np.float32) for each in found))


@pytest.mark.parametrize("name", [name for name in CONDITIONS if "rate" not in name])
def test_conditions_leave_the_original_and_the_truth_as_they_are(name: str) -> None:
    original = recording("r", "p", 1)
    before = original.joints["person_1"].copy()
    seen = CONDITIONS[name](original, np.random.default_rng(0))
    np.testing.assert_array_equal(original.joints["person_1"], before)
    assert seen.segments == original.segments
    assert seen.joints["person_1"].shape == (len(seen.stamps), 25, 3)


def test_the_direction_of_view_and_a_tilt_change_nothing_after_normalisation() -> None:
    original = recording("r", "p", 1)
    joints = normalize(original.joints["person_1"][:, None])
    for name in ("any direction of view", "camera tilted by 30 degrees"):
        seen = CONDITIONS[name](original, np.random.default_rng(0)).joints["person_1"]
        assert np.abs(seen - original.joints["person_1"]).max() > 0.1
        np.testing.assert_allclose(normalize(seen[:, None]), joints, atol=1e-6)


def test_conditions_do_what_they_say() -> None:
    original = recording("r", "p", 1)

    def joints(name: str) -> np.ndarray:
        return CONDITIONS[name](original, np.random.default_rng(0)).joints["person_1"]

    assert np.median(np.diff(CONDITIONS["5 Hz"](original, np.random.default_rng(0)).stamps)) == pytest.approx(0.2)
    assert (joints("2 cm noise") - joints("clean")).std() == pytest.approx(0.02, rel=0.05)
    assert np.isnan(joints("left leg unseen")[:, LEFT_LEG]).all()
    assert np.isnan(joints("left leg unseen")).sum() == 3 * len(LEFT_LEG) * len(original.stamps)
    np.testing.assert_allclose(joints("size of a child"), 0.6 * joints("clean"))
    np.testing.assert_allclose(joints("mirrored (left-handed)"), mirror(torch.from_numpy(joints("clean"))).numpy())
    assert sorted(MIRRORED.tolist()) == list(range(25))
    coco = joints("through COCO-17")
    np.testing.assert_allclose(
        coco[:, [4, 5, 6, 8, 9, 10, 12, 13, 14]], joints("clean")[:, [4, 5, 6, 8, 9, 10, 12, 13, 14]]
    )
    assert np.abs(coco[:, 7] - joints("clean")[:, 7]).max() > 1e-3, "the hand is derived"


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 7 + [1] * 3 + [1] * 6 + [0] * 4)
    assert calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.2 + 0.5 * 0.0)


def test_clips_are_recognised_and_people_of_an_interaction_are_averaged() -> None:
    still, moving = recording("still", "p", 1).joints["person_1"][:40].copy(), None
    stamps = np.arange(40) / 20.0
    still[:] = still[0]
    moving = still.copy()
    moving[10:30, 11, 1] += 0.6
    clips = [
        Clip("a", "raise", Recording("one", "ntu_25", stamps, {"person_1": moving})),
        Clip("b", "raise", Recording("two", "ntu_25", stamps, {"person_1": still, "person_2": moving})),
        Clip("b", "bend", Recording("three", "ntu_25", stamps, {"person_1": moving})),
    ]
    found = recognize(ByHand(), clips, CONDITIONS["clean"])  # type: ignore[arg-type]
    figures = found.figures(WORDS)
    assert figures["top1"] == pytest.approx(2 / 3)
    assert figures["by_set"]["b"]["top1"] == 0.5
    assert figures["by_action"] == {"raise": {"clips": 2, "recall": 1.0}, "bend": {"clips": 1, "recall": 0.0}}
    assert found.probabilities[1, 0] == pytest.approx((found.probabilities[0, 0] + 0.5) / 2, abs=1e-3)
    np.testing.assert_array_equal(found.confusion(WORDS), [[2, 0], [1, 0]])


def test_events_of_actions_that_are_not_in_the_truth_are_false_but_have_no_precision() -> None:
    truths = [Interval("r", "raise", 1.0, 2.0)]
    events = [Interval("r", "raise", 1.0, 2.0, 0.9), Interval("r", "bend", 3.0, 4.0, 0.9)]
    assert map_action(events, truths)["0.5"] == 1.0
    figures = Detected(events, truths, 60.0).figures()
    assert figures["false"] == 1
    assert figures["false_events_per_minute"] == pytest.approx(1.0)


def test_recordings_are_played_as_on_the_robot_and_by_the_authors_rule() -> None:
    takes = [recording(f"t{seed}", "p", seed) for seed in (1, 2)]
    both = detect(ByHand(), takes, CONDITIONS["clean"], Settings(), RANKED)  # type: ignore[arg-type]
    alone = [detect(ByHand(), takes, CONDITIONS["clean"], each)[0] for each in (Settings(), RANKED)]  # type: ignore[arg-type]

    def without_ids(events: list[Interval]) -> list[Interval]:
        return [replace(event, event_id="") for event in events]  # ids are of the run

    for once, again in zip(both, alone, strict=True):  # inferred once, decoded twice
        assert without_ids(once.events) == without_ids(again.events)
        assert (once.truths, once.duration_s) == (again.truths, again.duration_s)
    assert len(both[1].events) >= len(both[0].events)
    online = both[0].figures()
    assert online["actions"] == sum(len(take.segments) for take in takes)
    assert online["found"] >= 0.7 * online["actions"]
    assert authors_figures(ByHand(), takes)["0.3"] > 0.5  # type: ignore[arg-type]


def test_two_recordings_at_once_keep_their_times_and_people() -> None:
    one, other = recording("a", "p", 1), recording("b", "q", 2)
    (pair,) = model_card.in_pairs([one, replace(other, stamps=other.stamps + 50.0, segments=())])
    assert set(pair.joints) == {"person_1", "person_2"}
    assert [s.person_id for s in pair.segments] == ["person_1"] * len(one.segments)
    np.testing.assert_allclose(pair.joints["person_2"][0], other.joints["person_1"][0], atol=0.05)


@pytest.fixture
def box(tmp_path: Path) -> SimpleNamespace:
    """A tiny world: one set, its sessions, and an untrained model of its vocabulary."""
    florence(tmp_path)
    vocabulary = tmp_path / "vocabulary.yaml"
    vocabulary.write_text("wave: {florence3d: [wave]}\nsit_down: {florence3d: [sit_down]}\n")
    path = tmp_path / "sessions.yaml"
    path.write_text(
        f"name: mine\nvocabulary: {vocabulary}\narchives: {tmp_path}\n"
        "sets: {florence3d: {split: by_person, validation: [s2]}}\n"
    )
    sets = {"florence3d": SetOptions("by_person", validation=("s2",))}
    config = SessionsConfig("mine", str(vocabulary), sets, archives=str(tmp_path))
    write(config, tmp_path / "mine")
    torch.manual_seed(0)
    words = ("wave", "sit_down")
    model = USDRL(ModelOptions(actions=words, modalities=("joint",), width=16, layers=1, people=1))
    info = ModelInfo("tiny", words, 2.0, NORMALIZATION, "nothing", people=1)
    export(Outputs(model, ("detection", "recognition")), info, tmp_path / "tiny.onnx")
    return SimpleNamespace(path=path, model=tmp_path / "tiny.onnx", config=config, root=tmp_path)


def test_the_command_measures_everything(
    box: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(model_card, "UNTRIMMED", ("florence3d",))
    monkeypatch.setattr(model_card, "ROBUST_ON", "florence3d")
    monkeypatch.setattr(model_card, "SCENES", 0)
    known = ["--config", str(box.path), "--archives", str(box.root), "--model", str(box.model)]
    assert model_card.main([*known, "--output", str(tmp_path / "out")]) == 0
    result: dict[str, Any] = json.loads((tmp_path / "out" / "model_card.json").read_text())
    assert result["recognition"]["clips"] == 4
    assert list(result["robustness"]) == [*CONDITIONS, "two people at once"]
    assert (tmp_path / "out" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert markdown(result) == (tmp_path / "out" / "model_card.md").read_text()
    assert model_card.main([*known[:3], str(tmp_path / "none"), *known[4:]]) == 1
    assert "--data" in capsys.readouterr().err


def test_clips_of_a_part_are_those_with_a_word(box: SimpleNamespace) -> None:
    vocabulary = Vocabulary(("wave", "sit_down"), {"florence3d": {"wave": "wave", "sit_down": "sit_down"}})
    for part in ("train", "validation", "test"):
        clips = clips_of(box.config, vocabulary, part)
        assert sorted(clip.action for clip in clips) == ["sit_down"] * 2 + ["wave"] * 2


def test_missing_data_is_refused(tmp_path: Path, box: SimpleNamespace) -> None:
    config = replace(box.config, archives=str(tmp_path / "elsewhere"))
    with pytest.raises(DatasetError, match=r"neither florence3d nor florence3d\.tar\.xz"):
        ensure_archives(config, tmp_path / "data")
