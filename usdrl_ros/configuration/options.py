"""The options of a configuration: how a field declares one, and how it is read again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from usdrl_ros.configuration.hints import Described, default_text, plain_hint, words

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
    described = Described(help, low, high, above, below, tuple(choices), check, extra)
    metadata = {_KIND: described}
    if default is MISSING:
        return field(metadata=metadata)
    try:
        hash(default)
    except TypeError:
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Option:
    """A field of a configuration, as `options_of` lists it.

    Args:
        kind: Its type hint.
        default: `MISSING` of dataclasses where the key is required.
        help, low, high, above, below, choices, extra: As `option` was given them.
        checked: The type hint with strictness, ranges and checks, for pydantic.
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
    checked: Any = field(repr=False)

    @property
    def required(self) -> bool:
        """Whether the key must be given."""
        return self.default is MISSING

    @property
    def allowed(self) -> str:
        """The values that it may have, in words: "a number from 0.5 to 60"."""
        return words(self.kind, self)

    @property
    def description(self) -> str:
        """The help, the allowed values, and the default."""
        default = "required" if self.required else f"default: {default_text(self.default)}"
        text = self.help.strip()
        return f"{text}{' ' if text else ''}({self.allowed}; {default})"


def options_of(kind: type) -> tuple[Option, ...]:
    """The fields of a configuration, in order."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for item in fields(kind):
        described = item.metadata.get(_KIND, Described())
        default = item.default if item.default_factory is MISSING else item.default_factory()
        plain = plain_hint(hints[item.name])
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


def description_of(item: Any) -> Described:
    """What `option` says of a dataclass field."""
    return item.metadata.get(_KIND, Described()) if hasattr(item, "metadata") else Described()
