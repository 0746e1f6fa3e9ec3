"""How a package that is missing is installed: the command for this system, for messages of one line."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FROM_PYPI = {
    "array_api_compat": "array-api-compat",
    "joblib": "joblib",
    "onnxruntime": "onnxruntime",
    "pydantic": "pydantic",
    "rosbags": "rosbags",
}
"""Modules that rosdep cannot install from the distribution, by the name of their package; see package.xml."""

NOT_RELEASED = {"kilted": ("hri-msgs", "hri-actions-msgs")}
"""Packages that a distribution lacks and others have, by the index of the distributions (ros/rosdistro)."""


def pip_command(*packages: str) -> str:
    """The command that installs packages of PyPI for this Python."""
    names = " ".join(f"'{name}'" if "<" in name or ">" in name else name for name in packages)
    if sys.prefix != sys.base_prefix:
        return f"{sys.executable} -m pip install {names}"
    managed = (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").is_file()  # Ubuntu 24.04 and newer: PEP 668
    return f"python3 -m pip install {'--user --break-system-packages ' if managed else ''}{names}"


def install_steps(packages: Sequence[str]) -> str:
    """How packages of ROS are installed.

    Args:
        packages: apt names, which begin with ros-{distro}-, or packages that no distribution has.
    """
    distro = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")  # a shell knows it
    lacking = tuple(f"ros-{{distro}}-{name}" for name in NOT_RELEASED.get(distro, ()))
    released = [name.format(distro=distro) for name in packages if name.startswith("ros-") and name not in lacking]
    built = [
        f"{name.removeprefix('ros-{distro}-').replace('-', '_')} (not released for {distro})"
        if name in lacking
        else name
        for name in packages
        if name in lacking or not name.startswith("ros-")
    ]
    steps = [f"sudo apt install {' '.join(released)}"] if released else []
    steps += [f"add {' and '.join(built)} to your workspace"] if built else []
    return ", or ".join(steps)


@contextmanager
def explain_missing(program: str) -> Iterator[None]:
    """End a program that lacks a package of PyPI with one line on how to install it.

    Raises:
        SystemExit: The line, for `sys.exit`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = FROM_PYPI.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise SystemExit(f"{program}: {package} is not installed: {pip_command(package)}") from error
