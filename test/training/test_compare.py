"""Models beside each other: the best settings that are quiet enough, shares between checkpoints, and the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from test_shipped import WORDS, ByHand  # noqa: E402
from untrimmed import recording  # noqa: E402

from training.data.archive import Archive, ArchiveWriter  # noqa: E402
from training.data.vocabulary import IGNORED, OTHER  # noqa: E402
from training.shipped import compare  # noqa: E402
from training.shipped.compare import ARM, main, models, online, table  # noqa: E402
from training.shipped.model_card import UNTRIMMED  # noqa: E402


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A session of one person to validate on."""
    with ArchiveWriter(tmp_path / "mine", name="mine", actions=(*WORDS, OTHER, IGNORED)) as writer:
        writer.add(recording("arms/p0/0_0", "arms/p0", 3), {"mine": "validation"})
    return Archive(tmp_path / "mine")


def test_settings_are_the_ones_that_find_most_and_are_quiet(archive: Archive) -> None:
    found = online(ByHand(), archive, ["arms"], 5.0)  # type: ignore[arg-type]
    assert found["found"] == found["actions"] > 0
    assert found["false_a_minute"] <= compare.FALSE_A_MINUTE


def test_without_quiet_settings_nothing_counts_as_found(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "FALSE_A_MINUTE", -1.0)
    found = online(ByHand(), archive, ["arms"], 5.0)  # type: ignore[arg-type]
    assert found["found"] == 0
    assert "start_threshold" not in found


def test_the_table_has_a_line_a_model() -> None:
    ranked: dict[str, Any] = {"map_ranked": 0.5, "actions": 8}
    clips = {name: {"clips": 4, "top1": 0.25} for name in ("nine_sets", "new_sets", ARM)}
    chosen = {"start_threshold": 0.65, "confirm_s": 0.35, "found": 6, "false_a_minute": 0.9, "delay_s": 1.25}
    whole = {**clips, **dict.fromkeys(UNTRIMMED, ranked), "online": ranked | chosen}
    lines = table({"one": whole, "two": whole | {"online": ranked | {"found": 0}}}).splitlines()
    assert lines[2] == "| one | 25.0 | 25.0 | 25.0 | 0.65, 0.35 | 6 of 8 | 0.90 | 1.25 | 50.0 | 50.0 | 50.0 |"
    assert lines[3] == "| two | 25.0 | 25.0 | 25.0 | - | - | - | - | 50.0 | 50.0 | 50.0 |"


def test_shares_need_two_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "one.ckpt"), "--shares", "0.5", "--archives", str(tmp_path)]) == 1
    assert "--shares needs two checkpoints" in capsys.readouterr().err


def test_a_model_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "one.onnx"
    assert list(models([file], [], tmp_path)) == [(str(file), file)]
