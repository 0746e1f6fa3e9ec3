"""Every configuration, declared once and checked by pydantic: files, command lines and ROS parameters.

A configuration is a frozen dataclass. Each field has a default, a line of help, and the values that are allowed::

    @configuration
    class Training:
        \"\"\"One training run.\"\"\"

        name: str = option(help="Name of the run.")                     # no default: required
        rate: float = option(5e-4, "Learning rate.", above=0.0)
        epochs: int = option(10, "Passes over the data.", low=1, high=10_000)
        device: str = option("auto", "Where it runs.", choices=("auto", "cpu", "cuda"))
        drops: tuple[int, ...] = option((), "Epochs.", low=1)           # the range is each element's
        view: ViewOptions = option(ViewOptions(), "Augmentation.")      # nested: another @configuration

        def __post_init__(self) -> None:                                # what one field cannot say
            if any(drop > self.epochs for drop in self.drops):
                raise ValueError("drops are after the last epoch")

    Training("a", rate=1e-3)                                # checked, too
    parse(Training, {"name": "a", "rate": 0}, "a.yaml")     # a.yaml: rate is 0, must be a number above 0
    load(Training, Path("a.yaml"), {"epochs": 3})           # a file, some keys given otherwise
    for each in options_of(Training): each.name, each.default, each.help, each.low, each.high, each.allowed
    add_arguments(parser, Training); given_arguments(parser.parse_args(), Training)     # --rate, --epochs, ...
    option_of(Training, "rate").parse(0.1, "parameter rate")                            # one value
    replace(config, epochs=3)                               # of dataclasses; checked again

Every fault raises `ConfigurationError` with one line: the file, the key, what was found, what is allowed, and for an
unknown key the known one that it resembles. Numbers are strict (true is not 1, "5" is not 5, 2.0 is not a whole number;
a whole number is a number), and finite. A word that YAML takes for a truth value (`on`) is still found among `choices`.

Pydantic, because its errors are data (path, kind, input), from which our own lines are written; because it checks
dataclasses; and because it needs nothing but wheels on the robot.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import difflib
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import pydantic
import pydantic.dataclasses
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from typing_extensions import dataclass_transform

from usdrl_ros.yaml_file import ConfigurationError, parse_yaml, read_yaml, shown

__all__ = [
    "ConfigurationError",
    "Option",
    "add_arguments",
    "configuration",
    "given_arguments",
    "load",
    "one_or_more",
    "option",
    "option_of",
    "options_of",
    "parse",
    "parse_yaml",
    "read_yaml",
]

Kind = TypeVar("Kind")

one_or_more = BeforeValidator(lambda value: value if isinstance(value, list | tuple | Set) else (value,))
"""One value may stand for a list of one: `Annotated[tuple[str, ...], one_or_more]`."""

_MOST_FAULTS = 3
_TRUE, _FALSE = ("on", "yes", "true", "y"), ("off", "no", "false", "n")
_KIND = "usdrl_ros.configuration"


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str | int] = (),
    check: Callable[[Any], None] | None = None,
    **extra: Any,
) -> Any:
    """A field of a configuration.

    Args:
        default: Its default, copied for each instance if it is mutable; without one the key is required.
        help: What it means: a sentence.
        low, high: Inclusive range of its numbers (of each, in a list or a mapping).
        above, below: Exclusive range.
        choices: The values that it may have (each, in a list or a mapping).
        check: Raises `ValueError` for a value that is not allowed, for what range and choices cannot say.
        extra: Anything else that is to be known of it, in `Option.extra`.
    """
    described = _Described(help, low, high, above, below, tuple(choices), check, extra)
    metadata = {_KIND: described}
    if default is MISSING:
        return field(metadata=metadata)
    try:
        hash(default)
    except TypeError:
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class _Described:
    help: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str | int, ...] = ()
    check: Callable[[Any], None] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """A field of a configuration, as `options_of` lists it.

    Args:
        kind: Its type hint.
        default: `MISSING` of dataclasses where the key is required.
        help, low, high, above, below, choices, extra: As `option` was given them.
    """

    name: str
    kind: Any
    default: Any
    help: str
    low: float | None
    high: float | None
    above: float | None
    below: float | None
    choices: tuple[str | int, ...]
    extra: Mapping[str, Any]
    _checked: Any = field(repr=False)

    @property
    def required(self) -> bool:
        """Whether the key must be given."""
        return self.default is MISSING

    @property
    def allowed(self) -> str:
        """The values that it may have, in words: "a number from 0.5 to 60"."""
        return _words(self.kind, self)

    @property
    def description(self) -> str:
        """The help, the allowed values, and the default."""
        default = "required" if self.required else f"default: {_default_text(self.default)}"
        text = self.help.strip()
        return f"{text}{' ' if text else ''}({self.allowed}; {default})"

    def parse(self, value: Any, where: str) -> Any:
        """One value, checked; `where` names it in the error: "parameter rate".

        Raises:
            ConfigurationError: It is not allowed.
        """
        try:
            return TypeAdapter(self._checked).validate_python(value)
        except ValidationError as error:
            raise ConfigurationError("; ".join(_faults(error, self.kind, self, where))) from None

    def from_text(self, text: str, where: str) -> Any:
        """A plain value from a word of a command line: text as it is where a text is expected, else YAML."""
        return text if _plain_text(self.kind) else parse_yaml(text, where)


@dataclass_transform(frozen_default=True, field_specifiers=(option, field))
def configuration(cls: type[Kind]) -> type[Kind]:
    """Make a class a configuration: a frozen dataclass whose values are checked whenever one is made."""
    hints = typing.get_type_hints(cls, localns=_locals_of_caller(), include_extras=True)
    for name in inspect.get_annotations(cls):
        if get_origin(hints[name]) is not ClassVar and hints[name] is not ClassVar:
            default = cls.__dict__.get(name)
            metadata = default.metadata if isinstance(default, dataclasses.Field) else {}
            cls.__annotations__[name] = _checked_hint(hints[name], metadata.get(_KIND, _Described()))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: Any = pydantic.dataclasses.dataclass(cls, frozen=True, config=config)
    initialize = made.__init__

    @functools.wraps(initialize)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            initialize(self, *args, **kwargs)
        except ValidationError as error:
            raise ConfigurationError(_line(error, made, "")) from None

    made.__init__ = checked_init
    return made  # type: ignore[no-any-return]


def parse(kind: type[Kind], content: Any, where: str) -> Kind:
    """A configuration from plain values; `where` (the file, for instance) begins the error message.

    Raises:
        ConfigurationError: A key is unknown or missing, or a value is not allowed.
    """
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{where}: is {_found(content)}, expected a mapping of keys and values")
    if wrong := [key for key in content if not isinstance(key, str)]:
        raise ConfigurationError(f"{where}: the key {_found(wrong[0])} is not a text")
    try:
        return _adapter(typing.cast(Any, kind)).validate_python(dict(content))  # type: ignore[no-any-return]
    except ValidationError as error:
        raise ConfigurationError(_line(error, kind, where)) from None


def load(kind: type[Kind], path: Path, instead: Mapping[str, Any] | None = None) -> Kind:
    """A configuration from a YAML file, with the keys of `instead` in place of the file's.

    Raises:
        ConfigurationError: The file cannot be read, a key is unknown or missing, or a value is not allowed.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ConfigurationError(f"{shown(path)}: is {_found(content)}, expected a mapping of keys and values")
    return parse(kind, content | dict(instead or {}), shown(path))


def options_of(kind: type) -> tuple[Option, ...]:
    """The fields of a configuration, in order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for item in fields(kind):
        described = item.metadata.get(_KIND, _Described())
        default = item.default if item.default_factory is MISSING else item.default_factory()
        plain = _plain_hint(hints[item.name])
        choices = described.choices or (get_args(plain) if get_origin(plain) is Literal else ())
        ranges = described.low, described.high, described.above, described.below
        found.append(
            Option(item.name, plain, default, described.help, *ranges, choices, described.extra, hints[item.name])
        )
    return tuple(found)


def option_of(kind: type, name: str) -> Option:
    """A field of a configuration.

    Raises:
        KeyError: There is none of this name.
    """
    return {each.name: each for each in options_of(kind)}[name]


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
            given[each.name] = each.from_text(text, f"--{each.name.replace('_', '-')}")
    return given


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What to say of a key, a name or a word that is unknown: the one that it resembles, or all."""
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"


def _destination(name: str) -> str:
    return f"key_{name}"


def _locals_of_caller() -> dict[str, Any]:
    frame = sys._getframe(2)  # a configuration may be declared in a function, as tests do
    return dict(frame.f_locals)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


# Type hints. Each leaf (a number, a text) becomes strict and gets the option's range and choices.


def _checked_hint(hint: Any, described: _Described) -> Any:
    checked = _checked_leaves(hint, described)
    return Annotated[checked, AfterValidator(_checker(described.check))] if described.check else checked


def _checker(check: Callable[[Any], None]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        check(value)
        return value

    return checked


def _checked_leaves(hint: Any, described: _Described) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        parts = (_checked_leaves(inner[0], described), *inner[1:])
        return Annotated[parts]  # type: ignore[return-value]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_checked_leaves(item, described) for item in inner)]  # noqa: UP007
    if origin in (dict, Mapping):
        key = inner[0] if inner[0] is Any else _leaf(inner[0], _Described())
        return origin[key, _checked_leaves(inner[1], described)]
    if origin in (tuple, list, frozenset, set):
        items = tuple(item if item is Ellipsis else _checked_leaves(item, described) for item in inner)
        return origin[items]
    return _leaf(hint, described)


def _leaf(hint: Any, described: _Described) -> Any:
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
            raise ValueError(f"must be one of {', '.join(map(str, choices))}")
        return value

    return checked


def _as_text(choices: tuple[str | int, ...], value: Any) -> Any:
    """YAML reads `on` as true and `2` as a number; a choice and a name are meant."""
    if isinstance(value, bool):
        words = [word for word in (_TRUE if value else _FALSE) if word in choices]
        return words[0] if len(words) == 1 else value
    return str(value) if isinstance(value, int) else value


def _plain_hint(hint: Any) -> Any:
    """A type hint without what `configuration` added."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _plain_hint(inner[0])
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_plain_hint(item) for item in inner)]  # noqa: UP007
    if origin in (dict, Mapping, tuple, list, frozenset, set):
        return origin[tuple(item if item is Ellipsis else _plain_hint(item) for item in inner)]
    return hint


def _plain_text(hint: Any) -> bool:
    members = get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return all(member in (str, Path, type(None)) or get_origin(member) is Literal for member in members)


_NAMES = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "truth values"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
}


def _words(hint: Any, described: Any, many: bool = False) -> str:
    """The values of a type hint, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (typing.Union, types.UnionType):
        members = [_words(item, described, many) for item in inner if item is not type(None)]
        return " or ".join([*members, "empty (null)"][: len(inner)])
    if origin in (tuple, list, frozenset, set):
        if origin is tuple and Ellipsis not in inner:
            return f"{len(inner)} values: {', '.join(_words(item, described) for item in inner)}"
        return f"{'lists' if many else 'a list'} of {_words(inner[0], described, many=True)}"
    if origin in (dict, Mapping):
        return f"keys with {_words(inner[1], described, many=True)}"
    if hint in (str, int, float) and described is not None and described.choices:
        return f"{'' if many else 'one '}of {', '.join(map(str, described.choices))}".replace("of of", "of")
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


def _default_text(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{item.name} {_default_text(getattr(value, item.name))}" for item in fields(value))
    return _found(value, 300)


# Errors.


def _line(error: ValidationError, kind: type, where: str) -> str:
    lines = list(dict.fromkeys(_faults(error, kind, None, "")))
    more = f"; and {len(lines) - _MOST_FAULTS} more" if len(lines) > _MOST_FAULTS else ""
    return f"{where}{': ' if where else ''}{'; '.join(lines[:_MOST_FAULTS])}{more}"


def _faults(error: ValidationError, kind: Any, leaf: Option | None, name: str) -> Iterator[str]:
    seen = set()
    for each in error.errors(include_url=False):
        key, owner, found = _place(kind, leaf, each["loc"])
        key = ".".join(part for part in (name, key) if part)
        if key in seen and key:
            continue  # another member of a union refused it, too
        seen.add(key)
        last = str(each["loc"][-1]) if each["loc"] else ""
        if each["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            yield f"unknown key {key}: {unknown_key(last, [item.name for item in fields(owner)])}"
        elif each["type"] in ("missing", "missing_argument"):
            yield f"the key {key} is missing{f' ({found.allowed})' if found else ''}"
        elif each["type"] == "value_error":
            yield _own_words(key, each, found)
        elif found is not None or leaf is not None:
            described = found or leaf
            assert described is not None
            hint = (
                " (YAML reads yes, no, on and off so: quote it)"
                if isinstance(each["input"], bool) and (described.kind is str)
                else ""
            )
            yield f"{key} is {_found(each['input'])}, must be {_expected(described, each)}{hint}"
        else:
            yield f"{key}{': ' if key else ''}{_found(each['input'])}: {each['msg'][:1].lower()}{each['msg'][1:]}"


def _own_words(key: str, each: Any, found: Option | None) -> str:
    """A `ValueError` of a check or of `__post_init__`."""
    text = str(each["ctx"]["error"])
    if found is not None and text.startswith("must be one of"):
        known = [str(choice) for choice in found.choices]
        near = difflib.get_close_matches(str(each["input"]), known, 1)
        return f"{key} is {_found(each['input'])}, {text}{f': did you mean {near[0]!r}?' if near else ''}"
    if found is None or dataclasses.is_dataclass(found.kind):
        return f"{key}: {text}" if key else text
    return f"{key} is {_found(each['input'])}: {text}"


def _expected(described: Option, each: Any) -> str:
    """What is allowed where the error is: of a list, its elements where one of them is wrong."""
    hint = described.kind
    for _ in each["loc"][1:]:
        inner = [item for item in get_args(hint) if item not in (Ellipsis, type(None))]
        if not inner or (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
            break
        hint = inner[-1]
    return described.allowed if hint is described.kind else _words(hint, described)


def _place(kind: Any, leaf: Option | None, loc: tuple[int | str, ...]) -> tuple[str, Any, Option | None]:
    """The dotted key of an error, the configuration that it is in, and its option."""
    hint, owner, found = kind, kind, leaf
    path: list[str] = []
    for part in loc:
        hint = _plain_hint(hint)
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (typing.Union, types.UnionType):
            nested = [item for item in inner if dataclasses.is_dataclass(item) or get_origin(item) is not None]
            if len([item for item in inner if item is not type(None)]) > 1:
                hint = nested[0] if nested else Any  # the part names the member of the union
                continue
            hint = next(item for item in inner if item is not type(None))
            origin, inner = get_origin(hint), get_args(hint)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            owner = hint
            found = {each.name: each for each in options_of(hint)}.get(str(part))
            path.append(str(part))
            hint = found.kind if found else Any
        elif origin in (tuple, list, frozenset, set):
            path.append(str(part))
            hint = inner[int(part)] if Ellipsis not in inner and origin is tuple else inner[0]
        elif origin in (dict, Mapping):
            path.append(str(part))
            hint = inner[1]
    return ".".join(shown(part) for part in path), owner, found


def _found(value: Any, length: int = 80) -> str:
    """A value for a message: as YAML writes it, cut."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= length else text[: length - 3] + "..."
