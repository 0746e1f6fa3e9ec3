"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets and reference arrays that are not shipped: USDRL_SHARED, or `shared` beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared"
    root = Path(os.environ.get("USDRL_SHARED", default)) / "data"
    if not root.is_dir():
        pytest.skip(f"no shared data at {root}; USDRL_SHARED may name its directory")
    return root


@pytest.fixture
def same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of two runs in this process are compared, ids included; else each run has ids of its own."""
    monkeypatch.setattr("usdrl_ros.recognizer.new_run_id", lambda: "run")


@pytest.fixture
def domain() -> Iterator[int]:
    """A ROS domain of the test's own."""
    from ros_fixtures import own_domain

    with own_domain() as number:
        yield number


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two actions that is easy to foresee."""
    from ros_fixtures import write_model

    return write_model(tmp_path_factory.mktemp("model") / "hands.onnx")
