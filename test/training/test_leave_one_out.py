"""Sets left out: curves, pieces, the fusion of the heads, and replaying against the recognizer itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from test_shipped import INFO, WORDS, ByHand  # noqa: E402
from untrimmed import recording  # noqa: E402

from training.shipped.clips import Clip  # noqa: E402
from training.shipped.detection import play  # noqa: E402
from training.shipped.fusion import Fusion, fused_logits  # noqa: E402
from training.shipped.leave_one_out import found_at, main, short_pieces, some, table  # noqa: E402
from training.shipped.replaying import events_of, infer  # noqa: E402
from usdrl_ros.actions.classifier import softmax  # noqa: E402
from usdrl_ros.settings import Settings  # noqa: E402


def test_what_is_found_at_a_rate_is_read_off_the_curve() -> None:
    assert found_at([4.0, 2.0, 0.5], [0.9, 0.8, 0.2], 1.0) == pytest.approx(0.2 + 0.6 * 0.5 / 1.5)
    assert found_at([0.5, 0.2], [0.7, 0.9], 1.0) == pytest.approx(0.9), "the best of all that are allowed"
    assert found_at([3.0, 2.0], [0.9, 0.8], 1.0) == 0.0, "no setting is that quiet"


def test_long_clips_are_cut_and_short_ones_stay() -> None:
    made = recording("r", "p", 0)
    stamps = np.arange(len(made.stamps)) * 0.5
    long, short = (Clip("s", "raise", replace(made, stamps=s)) for s in (stamps, made.stamps * 9.0 / made.stamps[-1]))
    pieces = short_pieces([long, short])
    assert pieces[-1].recording.name == short.recording.name
    np.testing.assert_array_equal(pieces[-1].recording.stamps, short.recording.stamps)
    np.testing.assert_array_equal(np.concatenate([p.recording.stamps for p in pieces[:-1]]), stamps)
    assert max(np.ptp(piece.recording.stamps) for piece in pieces) <= 10.0
    assert len({piece.recording.name for piece in pieces}) == len(pieces)


def test_some_recordings_are_the_same_ones_each_time() -> None:
    takes = [replace(recording(f"r{i}", "p", i), name=f"r{i}") for i in range(6)]
    assert len(some(takes, 0.0)) == 6
    few = some(takes, 0.9)
    assert [r.name for r in few] == [r.name for r in some(takes, 0.9)]
    assert sum(np.ptp(r.stamps) for r in few[:-1]) <= 54.0 < sum(np.ptp(r.stamps) for r in few)


def test_the_fusion_is_a_geometric_mean_with_odds_for_background() -> None:
    detection = np.log([[[0.7, 0.2, 0.1]]])
    recognition = np.log([[0.9, 0.1]])
    np.testing.assert_allclose(
        softmax(fused_logits(detection, recognition, Fusion(0.0, 0.3))), [[[0.7, 0.2, 0.1]]], rtol=1e-5
    )
    found = softmax(fused_logits(detection, recognition, Fusion(0.5, 0.2)))[0, 0]
    expected = np.sqrt(np.array([0.7 * 0.2, 0.2 * 0.9, 0.1 * 0.1]))
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)


def test_replaying_gives_the_events_of_the_recognizer() -> None:
    engine, take = ByHand(), recording("r", "p", 3)
    settings = [Settings(), Settings(start_threshold=0.2, confirm_s=0.1)]
    found = events_of(infer(engine, take, 10.0), INFO, settings)  # type: ignore[arg-type]
    for own, chosen in zip(found, settings, strict=True):
        expected = play(engine, take, chosen)  # type: ignore[arg-type]
        assert [e.action for e in own] == [e.action for e in expected]
        assert {e.action for e in own} == set(WORDS)
        for one, other in zip(own, expected, strict=True):
            assert one.start == pytest.approx(other.start, abs=0.2)
            assert one.end == pytest.approx(other.end, abs=0.2)


def test_the_table_has_a_line_a_set_and_their_mean() -> None:
    figures = {
        "clips": 10, "top1": 0.5, "actions": 4, "found_at_one_false_a_minute": 0.25, "map_ranked": 0.1,
        "found_default": 0.75, "false_a_minute_default": 2.0, "delay_s_default": None,
    }  # fmt: skip
    lines = table({"one": figures, "two": figures | {"top1": 1.0, "clips": None}}).splitlines()
    assert lines[2] == "| one | 10 | 50.0 | 4 | 25.0 | 10.0 | 75.0 | 2.00 | - |"
    assert lines[-1].startswith("| **mean** | | 75.0 |")


def test_an_unknown_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["measure", "--sets", "nowhere", "--archives", str(tmp_path), "--output", str(tmp_path / "o")]) == 1
    assert "leave_one_out" in capsys.readouterr().err
