"""What each part of a recipe is worth: recipes with a part changed, rows that are made once, and the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from training.configuration import build, load  # noqa: E402
from training.shipped import ablation  # noqa: E402
from training.shipped.ablation import START, AblationConfig, Row, main, merged, table  # noqa: E402
from training.shipped.leave_one_out import curve_settings  # noqa: E402
from training.tasks.robot import RobotConfig  # noqa: E402
from usdrl_ros.configuration import read_yaml  # noqa: E402

CONFIG = Path("training/configs/hri_2_ablation.yaml")


def figures(top1: float) -> dict[str, Any]:
    one = {"actions": 4, "top1": top1, "found_at_one_false_a_minute": 0.5, "map_ranked": 0.25}
    return {
        "left_out": {"a": one, "b": one | {"top1": None}, "d": one | {"actions": 0, "map_ranked": 0.0}},
        "known": {"c": one},
        "unknown": {"both": 0.9},
    }


def test_mappings_are_merged_and_all_else_is_replaced() -> None:
    base = {"view": {"style": 0.6, "mirror": 0.5}, "parts": ["train"], "epochs": 6}
    found = merged(base, {"view": {"style": 0.0}, "parts": []})
    assert found == {"view": {"style": 0.0, "mirror": 0.5}, "parts": [], "epochs": 6}
    assert base["view"] == {"style": 0.6, "mirror": 0.5}


def test_every_row_of_the_shipped_file_is_a_recipe_that_leaves_the_sets_out() -> None:
    config = load(AblationConfig, CONFIG)
    recipe = read_yaml(Path(config.recipe))
    trained = [row for row in config.rows if not row.of and row.name != START]
    changed = [build(RobotConfig, merged(recipe, row.recipe), row.name) for row in trained]
    assert len({str(one) for one in changed}) == len(trained), "each row trains something else"
    assert not {name for one in changed for name in one.share} & set(config.left_out)
    names = [row.name for row in config.rows]
    assert len(set(names)) == len(names)
    assert all(names.index(row.of) < names.index(row.name) for row in config.rows if row.of)


def test_rest_is_looked_for_where_it_is_asked_for() -> None:
    assert {one.rest_s for one in curve_settings()} == {0.0}
    assert {(one.rest_threshold, one.rest_s) for one in curve_settings((0.5, 0.3))} == {(0.5, 0.3)}


def test_the_table_gives_means_over_sets_and_seeds_and_how_far_seeds_are_apart() -> None:
    rows = (Row("x", "as it is"), Row("y", "never made"), Row("z", "two seeds"))
    lines = table(rows, {"x": [figures(0.4)], "z": [figures(0.4), figures(0.6)]}).splitlines()
    assert lines[2] == "| as it is | 40.0 | 50.0 | 25.0 | 40.0 | 50.0 | 25.0 | 90.0 |"
    assert lines[3].startswith("| two seeds | 50.0 ± 10.0 | 50.0 ± 0.0 |")
    assert len(lines) == 4


def test_rows_are_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    made = []

    def make_row(config: AblationConfig, row: Row, seed: int, *_: Any) -> dict[str, Any]:
        made.append((row.name, seed))
        return figures(0.5)

    monkeypatch.setattr(ablation, "make_row", make_row)
    arguments = [str(CONFIG), "--checkpoint", "x", "--output", str(tmp_path), "--rows"]
    assert main([*arguments, "recipe"]) == 0
    assert main([*arguments, "recipe", "no_styles"]) == 0
    seeds = load(AblationConfig, CONFIG).seeds
    assert made == [(name, seed) for name in ("recipe", "no_styles") for seed in seeds]
    assert set(json.loads((tmp_path / "ablation.json").read_text())) == {"recipe", "no_styles"}
    assert "hri-2's recipe | 50.0" in capsys.readouterr().out
    assert main([*arguments, "nonsense"]) == 1
    assert "nonsense" in capsys.readouterr().err
