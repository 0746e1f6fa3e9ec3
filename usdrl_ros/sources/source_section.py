"""A mapping of a source's YAML file, read key by key; errors name the file and the key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usdrl_ros.configuration import ConfigurationError, read_yaml, shown
from usdrl_ros.files import expanded
from usdrl_ros.skeleton.layouts import Layout, LayoutError, load_layout

_LONGEST_PATH = 200
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.([A-Za-z][A-Za-z0-9_]*|\d+))*")


def read_section(name: str, path: Path) -> Section:
    """The content of the file of a source.

    Raises:
        SourceError: It cannot be read, or is no YAML with keys.
    """
    try:
        content = read_yaml(path)
    except ConfigurationError as error:
        raise SourceError(f"source '{shown(name)}': {error}") from error
    return Section(content, "", path)


class SourceError(ValueError):
    """A source is not known, its file is not right, or it cannot serve; the message is for the user."""


class Section:
    """A mapping of the file, read key by key; errors name the file and the key."""

    def __init__(self, content: Any, key: str, path: Path) -> None:
        self._key, self._path = key, path
        self._known: list[str] = []
        if not isinstance(content, dict):
            raise self.error("", f"is {_said(content)}, expected keys with values")
        self._content = content

    def error(self, key: str, fault: str) -> SourceError:
        """What is to be raised for a key; "" for the section itself."""
        full = ".".join(part for part in (self._key, key) if part)
        return SourceError(f"source file {self._path}: {f'{full}: ' if full else ''}{fault}")

    def has(self, key: str) -> bool:
        """Whether the key is there and not empty."""
        self._known.append(key)
        return self._content.get(key) is not None

    def _take(self, key: str, default: Any) -> Any:
        if self.has(key):
            return self._content[key]
        if default is None:
            raise self.error(key, "is missing")
        return default

    def section(self, key: str) -> Section:
        """The mapping under a key; empty where it is not there."""
        full = ".".join(part for part in (self._key, key) if part)
        return Section(self._take(key, {}), full, self._path)

    def is_section(self, key: str) -> bool:
        """Whether a mapping is under the key."""
        return isinstance(self._content.get(key), dict)

    # The default of what follows is None where the key must be there.

    def text(self, key: str, default: str | None = None, choices: tuple[str, ...] = ()) -> str:
        """A text, one of the choices if there are any."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"is {_said(value)}, expected text")
        if choices and value not in choices:
            raise self.error(key, f"is '{value}', expected one of {', '.join(choices)}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None, choices: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts; one alone may stand for its list."""
        values = self._take(key, default)
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
            raise self.error(key, f"is {_said(values)}, expected a list of texts")
        for value in values:
            if choices and value not in choices:
                raise self.error(key, f"holds '{value}', expected {', '.join(choices)}")
        return tuple(values)

    def path(self, key: str, default: str | None = None) -> str:
        """The path of a field."""
        return self._checked(key, self.text(key, default))

    def paths(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Paths of fields."""
        return tuple(self._checked(key, value) for value in self.texts(key, default))

    def _checked(self, key: str, value: str) -> str:
        if value and (len(value) > _LONGEST_PATH or not _PATH.fullmatch(value)):
            expected = "the path of a field such as pose.position or markers.0.header"
            raise self.error(key, f"is '{shown(value)}', expected {expected}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"is {_said(value)}, expected true or false")
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number of a range."""
        value = self._take(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"is {_said(value)}, expected a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A number of a range."""
        value = self._take(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(key, f"is {_said(value)}, expected a number from {low:g} to {high:g}")
        return float(value)

    def keep(self, key: str) -> Mapping[str, tuple[Any, ...]]:
        """Fields, and the values that they may have."""
        content = self._take(key, {})
        if not isinstance(content, dict):
            raise self.error(key, f"is {_said(content)}, expected fields with the values that are kept")
        section = Section(content, ".".join(part for part in (self._key, key) if part), self._path)
        return {section._checked("", str(name)): section.values(str(name)) for name in content}

    def values(self, key: str) -> tuple[Any, ...]:
        """A list of texts, numbers or flags; one alone may stand for its list."""
        values = self._take(key, [])
        values = values if isinstance(values, list) else [values]
        if not all(isinstance(value, (str, int, float, bool)) for value in values):
            raise self.error(key, f"is {_said(values)}, expected a value or a list of values")
        return tuple(values)

    def names(self, key: str) -> Mapping[Any, str]:
        """From what a message holds to a name."""
        content = self._take(key, {})
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise self.error(key, f"is {_said(content)}, expected what the message holds, and the name for it")
        return dict(content)

    def layout(self, key: str, name: str) -> Layout:
        """A layout by name, by names of joints with commas between, or by a file beside this one."""
        if name.endswith((".yaml", ".yml")):
            name = str((self._path.parent / expanded(name)).resolve())
        try:
            return load_layout(name)
        except LayoutError as error:
            raise self.error(key, str(error)) from error

    def finish(self) -> None:
        """Refuse keys that nothing asked for: they would be without effect."""
        for key in self._content:
            if key not in self._known:
                near = difflib.get_close_matches(str(key), self._known, 1)
                meant = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(dict.fromkeys(self._known))}"
                raise self.error(str(key), f"unknown key: {meant}")


def _said(value: Any) -> str:
    return "empty" if value is None else repr(value)
