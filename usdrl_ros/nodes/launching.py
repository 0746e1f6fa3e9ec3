"""What the launch files share: arguments made from the node's parameters, and checks before anything is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from usdrl_ros.perception_parameters import PARAMETERS
from usdrl_ros.sources.reader import load_source


class LaunchFileError(RuntimeError):
    """A launch file cannot do what its arguments ask for; the message is one line."""


def parameter_arguments() -> dict[str, tuple[str, type]]:
    """Launch arguments that set the node's parameter of the same name: description, and type of the value."""
    arguments = {}
    for spec in PARAMETERS:
        kind = list[str] if isinstance(spec.default, list) else type(spec.default)
        limits = f" {spec.allowed[0].upper()}{spec.allowed[1:]}." if spec.choices or spec.low is not None else ""
        arguments[spec.name] = (f"{spec.description}{limits}", kind)
    return {**arguments, "use_sim_time": ("Whether /clock gives the time: true or false.", bool)}


def check_arguments(file: str, known: Collection[str], command: Sequence[str] | None = None) -> None:
    """Refuse launch arguments that nobody declares; launch itself ignores them without a word.

    Args:
        file: The launch file. Of one that another launch file includes, nothing is checked: other arguments are meant
            for others.
        known: The names of its arguments.
        command: The command line; None: that of this process.

    Raises:
        LaunchFileError: Which argument, and which one may be meant.
    """
    words = list(sys.argv if command is None else command)
    names = [Path(word).name for word in words]
    if Path(file).name not in names:
        return
    for word in words[names.index(Path(file).name) + 1 :]:
        name, given, _ = word.partition(":=")
        if given and name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise LaunchFileError(f"launch argument {name} is not known{hint} (--show-args lists all)")


def check_file(argument: str, path: str) -> None:
    """Refuse a file that is not there.

    Raises:
        LaunchFileError: It is not.
    """
    if not Path(path).is_file():
        raise LaunchFileError(f"launch argument {argument} is '{path}': there is no such file")


def check_driver(file: str, package: str, source: str) -> None:
    """Refuse to start anything where a driver or the messages of its skeletons are not installed.

    Args:
        file: The launch file that needs them.
        package: Of the driver's launch file.
        source: Name of the source that reads its skeletons.

    Raises:
        LaunchFileError: What is missing, and how it is installed.
    """
    if not has_package(package):
        raise LaunchFileError(
            f"{file} needs the package {package}, which is not installed: add it to your workspace, build it and "
            "source the workspace again"
        )
    found = load_source(source)
    if all(find_spec(name.partition("/")[0]) is None for name in found.message_types):
        distro = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        packages = " or ".join(each.format(distro=distro) for each in found.packages)
        raise LaunchFileError(f"{file} needs the message {found.message_types[0]}, which is not installed: {packages}")


def has_package(name: str) -> bool:
    """Whether a ROS package is installed."""
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    return any((Path(prefix) / "share/ament_index/resource_index/packages" / name).is_file() for prefix in prefixes)
