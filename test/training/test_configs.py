"""Every file of training/configs can be run: its keys are known, and what it names is there or made by another file."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("lightning", reason="lightning is not installed")

from training.configuration import build, load
from training.data.ntu_rgbd import ACTIONS as NTU_ACTIONS
from training.data.sets import SETS, load_set
from training.model.options import encoder
from training.shipped.ablation import AblationConfig
from training.shipped.sessions import SessionsConfig
from training.study import TASKS, read_plan
from training.tasks.detect import DetectConfig
from training.tasks.early import EarlyConfig
from training.tasks.one_shot import OneShotConfig
from training.tasks.pretrain import PretrainConfig
from training.tasks.recognize import RecognizeConfig
from training.tasks.retrieve import RetrieveConfig
from training.tasks.robot import RobotConfig
from training.tasks.segment import SegmentConfig

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"
PUBLISHED = CONFIGS / "published"
KINDS: dict[str, Any] = {
    "pretrain": PretrainConfig,
    "recognize": RecognizeConfig,
    "linear": RecognizeConfig,
    "fine_tuned": RecognizeConfig,
    "semi_supervised": RecognizeConfig,
    "transfer": RecognizeConfig,
    "retrieve": RetrieveConfig,
    "one_shot": OneShotConfig,
    "early": EarlyConfig,
    "detect": DetectConfig,
    "segment": SegmentConfig,
    "hri_2_pretrain": PretrainConfig,
    "hri_2_sessions": SessionsConfig,
    "hri_2_ablation": AblationConfig,
    "hri_2": RobotConfig,
    "hri_open_sessions": SessionsConfig,
    "hri_open": RobotConfig,
}
"""What the files whose names begin so are for."""
PLANS = tuple(path for path in sorted(CONFIGS.glob("*.yaml")) if "runs" in yaml.safe_load(path.read_text()))
VOCABULARIES = tuple(sorted(CONFIGS.glob("vocabulary_*.yaml")))
FILES = tuple(path for path in sorted(CONFIGS.glob("**/*.yaml")) if path not in (*PLANS, *VOCABULARIES))
ARCHIVES = {
    "ntu60": "ntu60",
    "ntu120": "ntu120",
    "pku_mmd_1": "pku_mmd",
    "pku_mmd_2": "pku_mmd",
    "ntu60_2d": "ntu_2d",
    "ntu120_2d": "ntu_2d",
    "uav_human": "uav_human",
}
"""The archives of the published benchmarks, and the sets that they are prepared from."""
SPLITS_IN_FILES = {"pku_mmd": {"cross_subject"}, "ntu_2d": {"cross_subject", "cross_view", "cross_setup"}}
"""Splits that are given by the data sets' own files, not by their readers."""


def read(path: Path) -> Any:
    """The configuration of a file, of the class that its name says."""
    kind = next(kind for prefix, kind in KINDS.items() if path.stem.startswith(prefix))
    return load(kind, path)


def published(kind: str) -> list[Path]:
    """The published recipes of a kind."""
    return sorted(PUBLISHED.glob(f"{kind}_*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_configuration_is_one_of_its_task(path: Path) -> None:
    assert read(path).name
    assert path.read_text().startswith("# "), "its first line says what it is for"


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_every_run_of_a_plan_is_one_of_its_task(path: Path, tmp_path: Path) -> None:
    for run in read_plan(path, tmp_path):
        build(getattr(importlib.import_module(f"training.tasks.{run.task}"), TASKS[run.task]), run.config, run.name)


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.yaml")), ids=lambda path: path.stem)
def test_published_recipes_name_existing_sets_and_checkpoints(path: Path) -> None:
    config, head = read(path), path.read_text().partition("\nname:")[0]
    assert config.name == path.stem
    assert re.search(r"arXiv[\s#]+(2412\.09220|2508\.12586)", head)
    used = config.data if isinstance(config.data, dict) else {config.data: config.split}
    for archive, split in used.items():
        reader = ARCHIVES[archive]
        assert reader in SETS
        assert not split or split in {*load_set(reader).PROTOCOLS, *SPLITS_IN_FILES.get(reader, ())}
    checkpoints = getattr(config, "checkpoints", None) or tuple(filter(None, [getattr(config, "checkpoint", "")]))
    made = {f"runs/{other.stem}/last.ckpt" for kind in ("pretrain", "fine_tuned") for other in published(kind)}
    assert set(checkpoints) <= made
    for other in re.findall(r"(\w+)\.yaml", head):
        assert (PUBLISHED / f"{other}.yaml").is_file()


@pytest.mark.parametrize("path", published("pretrain"), ids=lambda path: path.stem)
def test_pretraining_is_as_published(path: Path) -> None:
    config = read(path)
    flat = "2d" in path.stem or "uav" in path.stem
    options = config.model(17 if flat else 25)
    assert (options.width, options.heads, options.layers, options.people, config.views) == (1024, 1, 2, 2, 4)
    assert config.learning_rate == (1e-4 if flat else 5e-4)
    assert config.weight_decay == 1e-5
    assert round(config.view.corrupted_share * options.joints) == 15
    longer = "pku_mmd" in path.stem
    assert (config.epochs, config.drops) == ((1201, (801,)) if longer else (451, (351,)))
    assert 356 <= config.batch_size <= (512 if longer else 384)
    loss = config.loss
    assert (loss.consistency, loss.variance, loss.tokens) == (5.0, 1.0, 0.5)
    assert loss.correlation == (0.0 if flat or "unified" in path.stem else 1e-3)


def test_the_published_encoder_has_its_size() -> None:
    """57 million parameters with a linear head of 60 classes (arXiv 2412.09220)."""
    options = read(PUBLISHED / "pretrain_ntu60_xsub.yaml").model(25)
    parameters = sum(parameter.numel() for parameter in encoder(options).parameters()) + 60 * (2 * 1024 + 1)
    assert parameters == pytest.approx(57e6, rel=0.01)


@pytest.mark.parametrize("path", published("linear"), ids=lambda path: path.stem)
def test_linear_recognition_is_as_published(path: Path) -> None:
    config = read(path)
    assert (config.mode, config.batch_size, config.epochs, config.drops) == ("linear", 512, 150, (120, 140))
    assert (config.momentum, config.weight_decay, config.label_share) == (0.9, 0.0, 1.0)
    assert 0.006 <= config.learning_rate <= 0.03


def test_one_shot_takes_one_exemplar_of_every_sixth_action() -> None:
    exemplars = read(PUBLISHED / "one_shot_ntu120.yaml").exemplars
    assert [int(name[-3:]) for name in exemplars] == list(range(1, len(NTU_ACTIONS) + 1, 6))
