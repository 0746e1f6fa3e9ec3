"""Plans of runs: what they expand to, and what is run when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from moving_arms import write_archive  # noqa: E402

from training import study  # noqa: E402
from training.configuration import ConfigError  # noqa: E402
from training.runs import RESULT, Record  # noqa: E402

pytestmark = pytest.mark.slow

PLAN = """
defaults:
  recognize: {width: 8, epochs: 20}
runs:
- name: "{set}/{row}/linear/0"
  task: recognize
  each:
    set: {arms: {data: arms, archives: ARCHIVES}}
    row: {random: {modalities: [joint]}, joint: {width: 16, checkpoint: "{runs}/pretrain/joint/last.ckpt"}}
  config: {mode: linear, standardize: true}
- name: pretrain/{row}
  task: pretrain
  each: {row: [joint]}
  config: {archives: ARCHIVES, data: {arms: cross_subject}, modalities: ["{row}"], width: 16, people: 1, views: 2,
           epochs: 1, batch_size: 8, drops: []}
- name: broken/{seed}
  task: recognize
  each: {seed: [3, 4]}
  config: {data: nothing, archives: ARCHIVES, seed: "{seed}"}
- name: orphan
  task: retrieve
  config: {data: arms, archives: ARCHIVES, checkpoints: ["{runs}/broken/3/last.ckpt"]}
"""
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    write_archive(tmp_path / "archives" / "arms")
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace("ARCHIVES", str(tmp_path / "archives")), encoding="utf-8")
    return path


def test_a_plan_expands_to_all_combinations(plan: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    found = {run.name: run for run in study.read_plan(plan, runs)}
    assert list(found) == [
        "arms/random/linear/0", "arms/joint/linear/0", "pretrain/joint", "broken/3", "broken/4", "orphan",
    ]  # fmt: skip
    first = found["arms/random/linear/0"].config
    assert first["data"] == "arms"
    assert first["width"] == 8  # of the defaults
    assert first["name"] == "arms/random/linear/0"
    second = found["arms/joint/linear/0"].config
    assert second["width"] == 16  # of the row, over the defaults
    assert second["checkpoint"] == f"{runs}/pretrain/joint/last.ckpt"
    assert found["broken/4"].config["seed"] == 4  # the number, not a text
    assert found["pretrain/joint"].config["modalities"] == ["joint"]


def test_runs_wait_for_what_they_need_and_failures_are_reported(plan: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    planned = study.read_plan(plan, runs)
    failed = study.run_plan(planned, runs, QUIET)
    assert sorted(line.partition(":")[0] for line in failed) == ["broken/3", "broken/4", "orphan"]
    assert "broken/3" in next(line for line in failed if line.startswith("orphan"))
    records = {
        run.name: Record.load(runs / run.name / RESULT) for run in planned if run.name + ":" not in " ".join(failed)
    }
    assert set(records) == {"arms/random/linear/0", "arms/joint/linear/0", "pretrain/joint"}
    assert records["arms/joint/linear/0"].metrics["top1"] > 0.5
    before = {name: (runs / name / RESULT).stat().st_mtime_ns for name in records}
    study.run_plan(planned, runs, QUIET)
    assert {name: (runs / name / RESULT).stat().st_mtime_ns for name in records} == before  # nothing is run again


def test_a_run_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    with study._held(tmp_path, "set/row") as mine:
        assert mine
        command = "import sys; from pathlib import Path; from training.study import _held\n"
        command += "with _held(Path(sys.argv[1]), 'set/row') as mine: sys.exit(int(mine))"
        assert subprocess.run([sys.executable, "-c", command, tmp_path], check=False).returncode == 0
    with study._held(tmp_path, "set/row") as mine:
        assert mine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs: [{name: a, task: guess}]", "unknown task guess"),
        ("runs: [{name: a, task: pretrain}, {name: a, task: pretrain}]", "several runs are called a"),
        ("- just a list", "is no plan of runs"),
        ("runs: [{task: pretrain}]", "is no plan of runs"),
        ("a: [", "is not valid YAML: line 2"),
    ],
)
def test_wrong_plans_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=expected):
        study.read_plan(path, tmp_path)


@pytest.mark.parametrize("plan", ["study.yaml", "study_256.yaml"])
def test_the_projects_own_plan_builds(plan: str, tmp_path: Path) -> None:
    """Every configuration of a plan is one that its task takes, and what it needs is planned."""
    import importlib

    planned = study.read_plan(Path("training/configs") / plan, tmp_path)
    names = {run.name for run in planned}
    for run in planned:
        module = importlib.import_module(f"training.tasks.{run.task}")
        study.build(getattr(module, study.TASKS[run.task]), run.config, run.name)
        for needed in study._lacks(run, tmp_path):
            path = Path(needed).relative_to(tmp_path)
            assert str(path.parent if path.suffix else path) in names, f"{run.name} needs {path}"
