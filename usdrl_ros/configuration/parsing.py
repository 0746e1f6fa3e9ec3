"""Configurations from plain values, from files, and from command lines."""

from __future__ import annotations

import argparse
import functools
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from usdrl_ros.configuration.faults import line, value_line
from usdrl_ros.configuration.hints import found, is_text
from usdrl_ros.configuration.options import Option, options_of
from usdrl_ros.configuration.yaml_file import ConfigurationError, parse_yaml, read_yaml, shown

Kind = TypeVar("Kind")


def parse(kind: type[Kind], content: Any, where: str) -> Kind:
    """A configuration from plain values; `where` (the file, for instance) begins the error message.

    Raises:
        ConfigurationError: A key is unknown or missing, or a value is not allowed.
    """
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{where}: is {found(content)}, expected a mapping of keys and values")
    if wrong := [key for key in content if not isinstance(key, str)]:
        raise ConfigurationError(f"{where}: the key {found(wrong[0])} is not a text")
    try:
        return _adapter(typing.cast(Any, kind)).validate_python(dict(content))  # type: ignore[no-any-return]
    except ValidationError as error:
        raise ConfigurationError(line(error, kind, where)) from None


def parse_value(option: Option, value: Any, where: str) -> Any:
    """One value of an option, checked; `where` names it in the error: "parameter rate".

    Raises:
        ConfigurationError: It is not allowed.
    """
    try:
        return TypeAdapter(option.checked).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(value_line(error, option, where)) from None


def load(kind: type[Kind], path: Path, instead: Mapping[str, Any] | None = None) -> Kind:
    """A configuration from a YAML file, with the keys of `instead` in place of the file's.

    Raises:
        ConfigurationError: The file cannot be read, a key is unknown or missing, or a value is not allowed.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigurationError(f"{shown(path)}: is {found(content)}, expected a mapping of keys and values")
    return parse(kind, content | dict(instead or {}), shown(path))


def add_arguments(parser: Any, kind: type, *, skip: Sequence[str] = ()) -> None:
    """Add an option for each field to an argparse parser or group: `--start-threshold VALUE`."""
    for each in options_of(kind):
        if each.name not in skip:
            parser.add_argument(
                f"--{each.name.replace('_', '-')}",
                dest=_destination(each.name),
                metavar="VALUE",
                help=each.description.replace("%", "%%"),
            )


def given_arguments(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The plain values that a command line gave for a configuration's fields, for `parse` or `load`.

    Raises:
        ConfigurationError: A value is not valid YAML.
    """
    given = {}
    for each in options_of(kind):
        text = getattr(arguments, _destination(each.name), None)
        if text is not None:
            given[each.name] = _from_text(each, text)
    return given


def _from_text(option: Option, text: str) -> Any:
    """A plain value from a word of a command line: text as it is where a text is expected, else YAML."""
    return text if is_text(option.kind) else parse_yaml(text, f"--{option.name.replace('_', '-')}")


def _destination(name: str) -> str:
    return f"key_{name}"


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
