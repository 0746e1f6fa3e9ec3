"""What is missing is named with the command that installs it on this system."""

from __future__ import annotations

import sys
import sysconfig

import pytest

from usdrl_ros import installing
from usdrl_ros.installing import FROM_PYPI, explain_missing, install_steps, pip_command


def test_pip_is_that_of_the_virtual_environment(monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/home/ann/venv")
    assert pip_command("rosbags") == f"{sys.executable} -m pip install rosbags"
    assert pip_command("mediapipe", "numpy<2") == f"{sys.executable} -m pip install mediapipe 'numpy<2'"


@pytest.mark.parametrize("managed", [True, False])
def test_pip_is_allowed_to_install_where_the_system_refuses_it(monkeypatch, tmp_path, managed):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    if managed:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    options = "--user --break-system-packages " if managed else ""
    assert pip_command("rosbags") == f"python3 -m pip install {options}rosbags"


def test_hints_name_packages_that_the_distribution_has(monkeypatch):
    hri = ["ros-{distro}-hri-actions-msgs"]
    monkeypatch.setenv("ROS_DISTRO", "lyrical")
    assert install_steps(hri) == "sudo apt install ros-lyrical-hri-actions-msgs"
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert install_steps(hri) == "add hri_actions_msgs (not released for kilted) to your workspace"
    assert install_steps(["ros-{distro}-zed-msgs"]) == "sudo apt install ros-kilted-zed-msgs"
    monkeypatch.delenv("ROS_DISTRO")
    assert install_steps(["ros-{distro}-zed-msgs", "mine"]) == (
        "sudo apt install ros-$ROS_DISTRO-zed-msgs, or add mine to your workspace"
    )


def test_other_missing_modules_are_not_explained_away():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), explain_missing("record"):
        import no_such_module  # noqa: F401
    with pytest.raises(SystemExit) as caught, explain_missing("record"):
        raise ModuleNotFoundError("No module named 'rosbags'", name="rosbags.rosbag2")
    assert str(caught.value).startswith("record: rosbags is not installed: ")


def test_what_pypi_gives_is_what_the_robot_requires():
    requirements = (installing.Path(__file__).parent.parent / "requirements" / "run.txt").read_text()
    assert all(f"\n{package}>=" in requirements for package in FROM_PYPI.values())
