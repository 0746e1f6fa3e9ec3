"""The launch files, run for real by launch_testing: each scenario in a process and a domain of its own.

One alone: `python -m pytest test/launch -k sigterm`.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ros_fixtures import own_domain, pose, write_model

from usdrl_ros.bags.writer import write_recording
from usdrl_ros.recording import Recording

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
SCENARIOS = sorted(path.stem for path in HERE.glob("*_scenario.py"))
MISSING = [name for name in ("launch", "launch_ros", "launch_testing") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> dict[str, str]:
    """A model, and a bag of two people who raise a hand one after the other."""
    root = tmp_path_factory.mktemp("material")
    stamps = 1.0 + np.arange(120) / 30.0
    joints = {
        person: np.stack([pose(right_hand_m=0.2 if first <= i < first + 40 else -0.4) for i in range(120)])
        for person, first in (("ann", 20), ("bob", 70))
    }
    write_recording(Recording("scene", "ntu_25", stamps, joints, ()), root / "bag")
    return {"USDRL_TEST_MODEL": str(write_model(root / "hands.onnx")), "USDRL_TEST_BAG": str(root / "bag")}


@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed: source a ROS 2 installation")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario, material):
    with own_domain():
        environment = {**os.environ, **material, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        command = [sys.executable, "-m", "launch_testing.launch_test", str(HERE / f"{scenario}.py")]
        done = subprocess.run(
            command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert "FAILED" not in done.stdout
