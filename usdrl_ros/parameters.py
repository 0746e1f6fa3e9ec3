"""Parameters of a node, each described once, without ROS: default, meaning, range, check.

A node declares its parameters from these (`usdrl_ros.nodes.parameters`); the evaluation takes the same values from the
same parameter file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from usdrl_ros.parameter_file import Given
from usdrl_ros.settings import Settings

_WORDS = {True: ("on", "yes", "true", "y"), False: ("off", "no", "false", "n")}
"""Words that YAML takes for truth values."""


class ParameterError(ValueError):
    """A parameter has a value that is not allowed; the message names it, what was found and what is allowed."""


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
        words = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
        text = words.get(kind, "a list of strings")
        if self.choices:
            text = f"one of {', '.join(self.choices)}"
        if self.low is not None:
            text += f" from {self.low:g} to {self.high:g}"
        return text

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
            close = get_close_matches(str(value), self.choices, n=1) if self.choices else []
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"parameter {self.name} is {value!r}, must be {self.allowed}{hint}"
        fault = self.fault(value)
        return f"parameter {self.name} is {value!r}: {fault}" if fault else None

    def typed(self, value: Any, text: str | Sequence[str] | None = None) -> Any:
        """A value with this parameter's type, where YAML took its text for another: `on` for true, 12 for "12".

        Args:
            value: As ROS gives it.
            text: As its user wrote it, where that is known.
        """
        if isinstance(self.default, str) and not isinstance(value, str):
            if isinstance(text, str):
                return text
            if isinstance(value, bool):
                return next((word for word in self.choices if word in _WORDS[value]), value)
            return str(value) if isinstance(value, int) and not self.choices else value
        if isinstance(self.default, float) and type(value) is int:
            return float(value)
        if isinstance(self.default, list):
            if value is None or len(value) == 0:  # ROS has no type for an empty list
                return []
            if text is not None and not isinstance(text, str) and not isinstance(value[0], str):
                return list(text)
        return value


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
    """The settings among parameter values; those that are not given have their defaults.

    Raises:
        ParameterError: Values that do not go together.
    """
    try:
        return Settings(**{f.name: values[f.name] for f in fields(Settings) if f.name in values})
    except ValueError as error:
        raise ParameterError(f"parameter {error}") from error


def typed_values(specs: Iterable[ParameterSpec], given: Mapping[str, Given]) -> tuple[dict[str, Any], list[str]]:
    """What a node with these parameters takes of what is given.

    Returns:
        The values by name; and a line for each name that no parameter has, which the node ignores with a warning.

    Raises:
        ParameterError: A value is not allowed; the node would not start.
    """
    known = {spec.name: spec for spec in specs}
    values = {}
    for name, each in given.items():
        if name in known:
            values[name] = known[name].typed(each.value, each.text)
            if problem := known[name].problem(values[name]):
                raise ParameterError(problem)
    return values, unknown_parameters(given, list(known))


def unknown_parameters(given: Iterable[str], known: Sequence[str]) -> list[str]:
    """A line for each given name that is not known and not ROS's own."""
    lines = []
    for name in sorted(set(given) - set(known)):
        if name != "use_sim_time" and not name.startswith("qos_overrides."):
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"parameter {name} is not known, it is ignored{hint}")
    return lines


def parameter_text(specs: Iterable[ParameterSpec], title: str) -> str:
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
