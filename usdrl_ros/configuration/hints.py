"""Type hints of options: strict and bounded for pydantic, plain again, and in words for people."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, Strict

_TRUE, _FALSE = ("on", "yes", "true", "y"), ("off", "no", "false", "n")


@dataclass(frozen=True)
class Described:
    """What `option` says of a field; see there."""

    help: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str | int, ...] = ()
    check: Callable[[Any], None] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def checked_hint(hint: Any, described: Described) -> Any:
    """A type hint whose numbers and texts are strict and have the range and the choices of an option."""
    checked = _checked_leaves(hint, described)
    return Annotated[checked, AfterValidator(_checker(described.check))] if described.check else checked


def _checker(check: Callable[[Any], None]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        check(value)
        return value

    return checked


def _checked_leaves(hint: Any, described: Described) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        parts = (_checked_leaves(inner[0], described), *inner[1:])
        return Annotated[parts]  # type: ignore[return-value]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_checked_leaves(item, described) for item in inner)]  # noqa: UP007
    if origin in (dict, Mapping):
        key = inner[0] if inner[0] is Any else _leaf(inner[0], Described())
        return origin[key, _checked_leaves(inner[1], described)]
    if origin in (tuple, list, frozenset, set):
        items = tuple(item if item is Ellipsis else _checked_leaves(item, described) for item in inner)
        return origin[items]
    return _leaf(hint, described)


def _leaf(hint: Any, described: Described) -> Any:
    if hint is bool:
        return Annotated[bool, Strict()]
    if hint in (int, float):
        range_ = {"ge": described.low, "le": described.high, "gt": described.above, "lt": described.below}
        limits: dict[str, Any] = {name: value for name, value in range_.items() if value is not None}
        finite = {"allow_inf_nan": False} if hint is float else {}
        checked = Annotated[hint, Strict(), Field(**limits, **finite)]
        return Annotated[checked, AfterValidator(_one_of(described.choices))] if described.choices else checked
    if hint is str:
        text = Annotated[str, Strict(), BeforeValidator(functools.partial(_as_text, described.choices))]
        return Annotated[text, AfterValidator(_one_of(described.choices))] if described.choices else text
    return hint


def _one_of(choices: tuple[str | int, ...]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(str(choice) or repr('') for choice in choices)}")
        return value

    return checked


def _as_text(choices: tuple[str | int, ...], value: Any) -> Any:
    """YAML reads `on` as true and `2` as a number; a choice and a name are meant."""
    if isinstance(value, bool):
        words = [word for word in (_TRUE if value else _FALSE) if word in choices]
        return words[0] if len(words) == 1 else value
    return str(value) if isinstance(value, int) else value


def plain_hint(hint: Any) -> Any:
    """A type hint without what `configuration` added."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return plain_hint(inner[0])
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(plain_hint(item) for item in inner)]  # noqa: UP007
    if origin in (dict, Mapping, tuple, list, frozenset, set):
        return origin[tuple(item if item is Ellipsis else plain_hint(item) for item in inner)]
    return hint


def is_text(hint: Any) -> bool:
    """Whether a text is expected, so that a word of a command line stands for itself."""
    members = get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return all(member in (str, Path, type(None)) or get_origin(member) is Literal for member in members)


_NAMES = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "truth values"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
}


def words(hint: Any, described: Any, many: bool = False) -> str:
    """The values of a type hint, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (typing.Union, types.UnionType):
        members = [words(item, described, many) for item in inner if item is not type(None)]
        return " or ".join([*members, "empty (null)"][: len(inner)])
    if origin in (tuple, list, frozenset, set):
        if origin is tuple and Ellipsis not in inner:
            return f"{len(inner)} values: {', '.join(words(item, described) for item in inner)}"
        return f"{'lists' if many else 'a list'} of {words(inner[0], described, many=True)}"
    if origin in (dict, Mapping):
        return f"keys with {words(inner[1], described, many=True)}"
    if hint in (str, int, float) and described is not None and described.choices:
        return f"{'' if many else 'one of '}{', '.join(str(choice) or repr('') for choice in described.choices)}"
    if dataclasses.is_dataclass(hint):
        return f"the keys {', '.join(item.name for item in fields(hint))}"
    text = _NAMES.get(hint, ("a value", "values"))[many]
    return f"{text}{_range(described)}" if hint in (int, float) and described is not None else text


def _range(described: Any) -> str:
    low, high, above, below = described.low, described.high, described.above, described.below
    if low is not None and high is not None:
        return f" from {low:.10g} to {high:.10g}"
    words = [
        f"{word} {value:.10g}"
        for word, value in (("at least", low), ("above", above), ("at most", high), ("below", below))
        if value is not None
    ]
    return f" {' and '.join(words)}" if words else ""


def default_text(value: Any) -> str:
    """A default, in words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{item.name} {default_text(getattr(value, item.name))}" for item in fields(value))
    return found(value, 300)


def found(value: Any, length: int = 80) -> str:
    """A value for a message: as YAML writes it, cut."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= length else text[: length - 3] + "..."
