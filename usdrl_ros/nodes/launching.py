"""What the launch files share: arguments made from the nodes' parameters, and checks before anything is started."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from usdrl_ros.installing import explain_missing, install_steps, pip_command

with explain_missing("usdrl_ros"):  # `ros2` may run on another Python than the nodes
    from usdrl_ros.parameters import ParameterSpec
    from usdrl_ros.sources.reader import SourceError, load_source

USE_SIM_TIME = ParameterSpec("use_sim_time", False, "Whether /clock gives the time: true or false.")
"""A parameter of every node."""


class LaunchFileError(RuntimeError):
    """A launch file cannot do what its arguments ask for; the message is one line."""


def describe(spec: ParameterSpec) -> str:
    """What `--show-args` says of a launch argument that sets a parameter."""
    limits = f" {spec.allowed[0].upper()}{spec.allowed[1:]}." if spec.choices or spec.low is not None else ""
    return f"{spec.description}{limits}"


def parameter_values(specs: Iterable[ParameterSpec], given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that launch arguments of the same name set; an empty argument leaves its parameter as it is.

    Raises:
        LaunchFileError: An argument has a value that its parameter may not have.
    """
    values = {}
    for spec in specs:
        if text := given.get(spec.name, ""):
            values[spec.name] = value = _value(spec, text)
            if fault := spec.problem(value):
                raise LaunchFileError(f"launch argument {fault.removeprefix('parameter ')}")
    return values


def _value(spec: ParameterSpec, text: str) -> Any:
    """A text as the value of a parameter; the text itself where it is no such value, which is refused afterwards."""
    kind = type(spec.default)
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is list:
        try:
            parsed = yaml.load(text, Loader=yaml.BaseLoader)  # a word stays a word: on, 007
        except yaml.YAMLError:
            return text
        return parsed if isinstance(parsed, list) else text
    try:
        return kind(text)
    except ValueError:
        return text


def is_true(name: str, text: str) -> bool:
    """The truth value of a launch argument.

    Raises:
        LaunchFileError: It is none.
    """
    return bool(parameter_values([ParameterSpec(name, False, "")], {name: text or "false"})[name])


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
            close = get_close_matches(name, known, n=1) or [one for one in known if name in one.split("_")]
            hint = f": did you mean {close[0]}?" if close else ""
            raise LaunchFileError(f"launch argument {name} is not known{hint} (--show-args lists all)")


def check_file(argument: str, path: str) -> None:
    """Refuse a file that is not there.

    Raises:
        LaunchFileError: It is not.
    """
    if not Path(path).is_file():
        raise LaunchFileError(f"launch argument {argument} is '{path}': there is no such file")


def check_given(name: str, text: str, meaning: str) -> None:
    """Refuse to start without an argument that has no default.

    Raises:
        LaunchFileError: It was not given.
    """
    if not text:
        raise LaunchFileError(f"launch argument {name} is missing: {meaning[0].lower()}{meaning[1:]}")


def check_namespace(namespace: str) -> None:
    """Refuse a namespace that ROS would refuse.

    Raises:
        LaunchFileError: It has other characters, or a part that begins with a digit.
    """
    if not re.fullmatch(r"/?|/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", namespace, re.ASCII):
        expected = "names of letters, digits and underscores with slashes between them, as in robot_1/head"
        raise LaunchFileError(f"launch argument namespace is '{namespace}', expected {expected}")


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
        raise LaunchFileError(
            f"{file} needs the message {found.message_types[0]}, which is not installed: "
            f"{install_steps(found.packages)}"
        )


def check_modules(file: str, modules: Mapping[str, str]) -> None:
    """Refuse to start anything where Python packages are missing.

    Args:
        file: The launch file that needs them.
        modules: Name of a module -> what pip installs for it.

    Raises:
        LaunchFileError: Which are missing, and how they are installed.
    """
    if missing := [package for module, package in modules.items() if find_spec(module) is None]:
        raise LaunchFileError(f"{file} needs {' and '.join(missing)}: {pip_command(*missing)}")


def has_package(name: str) -> bool:
    """Whether a ROS package is installed."""
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    return any((Path(prefix) / "share/ament_index/resource_index/packages" / name).is_file() for prefix in prefixes)


def skeleton_frame(source: str) -> str:
    """The frame in which a source's publisher publishes as it comes, for a display to open on."""
    try:
        return load_source(source).frame
    except SourceError:  # the node reports it
        return "camera"
