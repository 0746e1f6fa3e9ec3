"""A node's parameters, each described once: default, meaning, range, check. Faults come out as one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from usdrl_ros.settings import Settings


class ParameterError(Exception):
    """A parameter has a value that it may not have; the message names it, what was found and what is allowed."""


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Args:
        low, high: Inclusive range of a number.
        choices: The values that a string may have; empty for any.
        fault: What is wrong with a value, None when nothing is; for what range and choices cannot say.
        live: Whether it may change while the node is up.
        fixed: If not, why.
    """

    name: str
    default: bool | int | float | str | list[str]
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    fault: Callable[[Any], str | None] = lambda value: None
    live: bool = False
    fixed: str = "it is read when the node configures"

    @property
    def allowed(self) -> str:
        """The values that it may have, in words."""
        kind = type(self.default)
        words = {bool: "true or false", int: "an integer", float: "a float", str: "a string"}
        text = words.get(kind, "a list of strings")
        if self.choices:
            text = f"one of {', '.join(self.choices)}"
        if self.low is not None:
            text += f" from {self.low} to {self.high}"
        return text

    @property
    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows."""
        constraints = [f"one of {', '.join(self.choices)}"] if self.choices else []
        constraints += ["may change while the node is up"] if self.live else []
        # rclpy takes an empty list to be one of bytes; its type is checked in `problem` instead.
        descriptor = ParameterDescriptor(
            description=self.description,
            additional_constraints="; ".join(constraints),
            dynamic_typing=isinstance(self.default, list),
        )
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.low), to_value=float(self.high), step=0.0)
                ]
        return descriptor

    def problem(self, value: Any) -> str | None:
        """One line on why this value cannot be taken, None when it can."""
        fits = type(value) is type(self.default)
        if isinstance(self.default, list):
            fits = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        if fits and self.choices:
            fits = value in self.choices
        if fits and self.low is not None and self.high is not None:
            fits = self.low <= value <= self.high  # NaN fails, too
        if not fits:
            hint = f" (write {value}.0)" if isinstance(self.default, float) and type(value) is int else ""
            return f"parameter {self.name} is {value!r}, must be {self.allowed}{hint}"
        fault = self.fault(value)
        return f"parameter {self.name} is {value!r}: {fault}" if fault else None


def settings_parameters() -> list[ParameterSpec]:
    """A parameter for each field of `Settings`."""
    defaults = Settings()
    return [
        ParameterSpec(
            f.name,
            getattr(defaults, f.name),
            f.metadata["description"],
            f.metadata["low"],
            f.metadata["high"],
            live=True,
        )
        for f in fields(Settings)
    ]


def settings_of(values: Mapping[str, Any]) -> Settings:
    """The settings among parameter values.

    Raises:
        ParameterError: Values that do not go together.
    """
    try:
        return Settings(**{f.name: values[f.name] for f in fields(Settings)})
    except ValueError as error:
        raise ParameterError(f"parameter {error}") from error


def declare(node: Node, specs: Iterable[ParameterSpec]) -> None:
    """Declare parameters; a launch or parameter file may have given values.

    Raises:
        ParameterError: A given value may not be.
    """
    specs = list(specs)
    for spec in specs:
        try:
            value = node.declare_parameter(spec.name, spec.default, spec.descriptor).value
        except ParameterException as error:
            free = ParameterDescriptor(dynamic_typing=True)  # any type, any range: to see what was given
            value = node.declare_parameter(spec.name, spec.default, free).value
            raise ParameterError(spec.problem(value) or str(error)) from error
        if problem := spec.problem(value):
            raise ParameterError(problem)
    _warn_of_unknown(node, [spec.name for spec in specs])


def parameter_file(specs: Iterable[ParameterSpec], title: str) -> str:
    """A parameter file of all defaults, with what each parameter means and may be: `config/perception.yaml`."""
    lines = [f"# {title}", "", "/**:", "  ros__parameters:"]
    for spec in specs:
        words = [spec.description]
        if spec.choices:
            words.append(f"One of {', '.join(spec.choices)}.")
        if spec.low is not None and spec.high is not None:
            words.append(f"From {spec.low:g} to {spec.high:g}.")
        if spec.live:
            words.append("May change while the node is up.")
        lines += [f"    # {' '.join(words)}", f"    {spec.name}: {json.dumps(spec.default)}"]
    return "\n".join(lines) + "\n"


def values_of(node: Node, specs: Iterable[ParameterSpec]) -> dict[str, Any]:
    """The values of declared parameters."""
    return {spec.name: node.get_parameter(spec.name).value for spec in specs}


def _warn_of_unknown(node: Node, known: list[str]) -> None:
    """ROS drops a given parameter that nobody declares, a mistyped one for instance, without a word."""
    given = getattr(node, "_parameter_overrides", {})  # rclpy has no public way to see them
    for name in sorted(set(given) - set(known)):
        if name == "use_sim_time" or name.startswith("qos_overrides."):
            continue
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        node.get_logger().warning(f"parameter {name} is not known, it is ignored{hint}")
