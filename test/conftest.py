"""Fixtures for all tests."""

from __future__ import annotations

import os
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
