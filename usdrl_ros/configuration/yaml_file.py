"""Read YAML that a stranger may have written: bounded, with one clear line for whatever is wrong.

Aliases that multiply, nesting without end, named pipes, keys that occur twice, and texts that are not Unicode are
refused before they cost memory. `usdrl_ros.configuration` checks the content.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Nodes after all aliases are resolved."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigurationError(ValueError):
    """A configuration, or the file that holds it, is wrong; the message is one line for the user."""


class _Loader(_Base):
    """YAML 1.1 as PyYAML reads it; 1e-3 is a number, and a key that occurs twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} cannot be a key", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigurationError: It is not a file, cannot be read, is too large, or is not valid YAML.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe would block for ever
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{shown(path)}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = "a directory" if stat.S_ISDIR(mode) else "a named pipe or a device"
        raise ConfigurationError(f"{shown(path)}: is {kind}, expected a YAML file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ConfigurationError(f"{shown(path)}: is larger than {max_bytes} bytes, too large for a configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown(path)}: is not UTF-8 text (byte {error.start})") from error
    return parse_yaml(text, shown(path))


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML text; `where` begins the error message.

    Raises:
        ConfigurationError: It is not valid YAML, or over a bound.
    """
    try:
        _check_structure(text, where)
        content = yaml.load(text, _Loader)
        _check_values(content, where)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = " ".join((error.problem or error.context or "").split())
        raise ConfigurationError(f"{where}: is not valid YAML: {place}{_cut(problem)}") from error
    except ConfigurationError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{where}: is not valid YAML: {_cut(' '.join(str(error).split()))}") from error
    return content


def shown(value: Any) -> str:
    """A text or a path for one line of a message: control characters escaped, cut to 200 characters."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    return _cut(text if text.isprintable() else repr(text)[1:-1], 200)


def _check_structure(text: str, where: str) -> None:
    """Depth and size by the parser's events, before anything is built from them."""
    depth = nodes = 0
    for event in yaml.parse(text, _Base):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigurationError(f"{where}: is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += 1
        if nodes > 3 * MAX_NODES:
            raise ConfigurationError(f"{where}: has more than {MAX_NODES} values")


def _check_values(content: Any, where: str) -> None:
    """Size with the aliases resolved, aliases that contain themselves, and texts that are not Unicode."""
    nodes = 0
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigurationError(
                f"{where}: its aliases resolve to more than {MAX_NODES} values or {MAX_DEPTH} levels"
            )
        if isinstance(value, dict):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list | tuple | set):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise ConfigurationError(f"{where}: the text {_cut(ascii(value))} is not valid Unicode (a lone surrogate)")


def _cut(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
