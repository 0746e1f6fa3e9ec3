"""The page of results: every figure in it is one of a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from training import results  # noqa: E402
from training.runs import Record  # noqa: E402


def record(name: str, seconds: float = 60.0, config: dict[str, Any] | None = None, **metrics: Any) -> Record:
    return Record("recognize", name, {"epochs": 5} | (config or {}), metrics, seconds, "a machine", "2.0", "2026-01-02")


RECORDS = [
    record("utd_mhad/random/linear/0", top1=0.5, n_test=430),
    record("utd_mhad/joint/one_shot/0", top1=0.5, top1_std=0.034, n_test=430),
    record("utd_mhad/joint/linear/0", top1=0.71, n_test=430, confusion=[[1, 0], [0, 1]]),
    record("utd_mhad/scratch/labels_10/0", top1=0.3, n_test=430),
    record("utd_mhad/joint/labels_10/0", top1=0.4, n_test=430),
    record("utd_mhad/joint/labels_10/1", top1=0.6, n_test=430),
    record("nw_ucla/joint/fine_tuned/0", top1=0.9, n_test=463, also={"cross_view_clean": {"top1": 0.875}}),
    record("utkinect_action3d/joint/detection/0", **{"authors_map_action_0.5": 0.111, "authors_map_video_0.5": 0.222,
           "events_map_action_0.5": 0.333, "events_map_video_0.5": 0.444}),
    record("utkinect_action3d/joint/segmentation/0", frame_accuracy=0.555, edit=0.666, **{
           "f1_0.1": 0.777, "f1_0.25": 0.888, "f1_0.5": 0.999}),
    record("utd_mhad/unified/early_whole_clips/0", observed=[0.5, 1.0], top1=[0.25, 0.75]),
    record("pretrain/joint", 600.0, {"data": {"utd_mhad": "cross_subject"}, "architecture": "dste", "width": 128,
           "modalities": ["joint"], "views": 2, "batch_size": 64, "epochs": 15, "seed": 0}, clips=431),
]  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for each in RECORDS:
        each.save(tmp_path / "runs" / each.name)
    return tmp_path / "runs"


def row(text: str, start: str) -> list[str]:
    """The cells of the first table row that begins so."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_each_figure_stands_in_its_cell(runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "results.md"
    assert results.main([str(runs), "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    utd = text[text.index("## UTD-MHAD\n") :]
    assert row(utd, "random encoder, J")[:5] == ["50.0", "-", "-", "-", "-"]
    assert row(utd, "USDRL joint")[:5] == ["71.0", "-", "50.0 ± 3.4", "50.0 ± 14.1", "-"]
    assert row(utd, "USDRL joint")[5] == "5 epochs x 2 seeds, 2 min"
    assert row(utd, "supervised from scratch, J")[3] == "30.0"
    clean = text[text.index("not copies of training clips") :]
    assert row(clean, "USDRL joint")[4] == "87.5"
    linear = text[text.index("against a random encoder") :]
    assert row(linear, "UTD-MHAD")[0] == "71.0 - 50.0 = **+21.0**"
    few = text[text.index("against from scratch") :]
    assert row(few, "UTD-MHAD")[0] == "50.0 - 30.0 = **+20.0**"
    whole = text[text.index("detection and segmentation of whole recordings") :]
    assert row(whole, "USDRL joint")[:9] == "11.1 22.2 33.3 44.4 55.5 66.6 77.7 88.8 99.9".split()
    assert row(text, "whole clips") == ["25.0", "75.0"]
    assert (tmp_path / "docs" / "results" / "early_utd_mhad.png").stat().st_size > 5000
    assert row(text, "joint")[:4] == [
        "DSTE H=128, joint", "utd_mhad (cross_subject)", "431", "2 views, batch 64, 15 epochs, seed 0",
    ]  # fmt: skip


def test_the_page_can_be_made_again_from_its_records(runs: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "a" / "results.md", tmp_path / "b" / "results.md"
    results.main([str(runs), "--output", str(first)])
    kept = first.parent / "results" / "records.json"
    assert "confusion" not in json.dumps(json.loads(kept.read_text(encoding="utf-8")))
    assert results.main([str(kept), "--output", str(again)]) == 0
    assert again.read_text(encoding="utf-8") == first.read_text(encoding="utf-8")


def test_without_runs_the_command_explains_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main([str(tmp_path), "--output", str(tmp_path / "r.md")]) == 1
    assert "training.study" in capsys.readouterr().err
    assert not (tmp_path / "r.md").exists()


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (90, "2 min"), (1800, "30 min"), (7200, "2.0 h")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert results.duration(seconds) == text
