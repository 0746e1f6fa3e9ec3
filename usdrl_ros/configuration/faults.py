"""One line for whatever pydantic finds wrong: the key, what was found, what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from usdrl_ros.configuration.hints import found, plain_hint, words
from usdrl_ros.configuration.options import Option, options_of
from usdrl_ros.configuration.yaml_file import shown

_MOST_FAULTS = 3


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What to say of a key, a name or a word that is unknown: the one that it resembles, or all."""
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"


def line(error: ValidationError, kind: type, where: str) -> str:
    """What is wrong with a configuration of this kind; `where`, the file for instance, begins the line."""
    lines = list(dict.fromkeys(_faults(error, kind, None, "")))
    more = f"; and {len(lines) - _MOST_FAULTS} more" if len(lines) > _MOST_FAULTS else ""
    return f"{where}{': ' if where else ''}{'; '.join(lines[:_MOST_FAULTS])}{more}"


def value_line(error: ValidationError, option: Option, where: str) -> str:
    """What is wrong with one value of an option; `where` names it."""
    return "; ".join(dict.fromkeys(_faults(error, option.kind, option, where)))


@dataclass(frozen=True)
class _Place:
    """Where an error is: its dotted key, the configuration and the option that it is in, and the type hint there."""

    key: str
    owner: Any
    option: Option | None
    hint: Any


def _faults(error: ValidationError, kind: Any, option: Option | None, name: str) -> Iterator[str]:
    seen = set()
    for each in error.errors(include_url=False):
        place = _place(kind, option, each["loc"], name)
        if place.key in seen and place.key:
            continue  # another member of a union refused it, too
        seen.add(place.key)
        yield _fault(each, place)


def _fault(each: Any, place: _Place) -> str:
    key, value, option = place.key, each["input"], place.option
    if each["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [item.name for item in fields(place.owner)]
        return f"unknown key {key}: {unknown_key(str(each['loc'][-1]), known)}"
    if each["type"] in ("missing", "missing_argument"):
        return f"the key {key} is missing{f' ({words(place.hint, option)})' if option else ''}"
    if each["type"] == "value_error":
        return _own_words(each, place)
    if option is None:
        return f"{key}{': ' if key else ''}{found(value)}: {each['msg'][:1].lower()}{each['msg'][1:]}"
    hint = " (YAML reads yes, no, on and off so: quote it)" if isinstance(value, bool) and place.hint is str else ""
    return f"{key} is {found(value)}, must be {words(place.hint, option)}{hint}"


def _own_words(each: Any, place: _Place) -> str:
    """A `ValueError` of a check or of `__post_init__`."""
    text, key, value = str(each["ctx"]["error"]), place.key, each["input"]
    if place.option is None or dataclasses.is_dataclass(place.hint):
        return f"{key}: {text}" if key else text
    if text.startswith("must be one of"):
        near = difflib.get_close_matches(str(value), [str(choice) for choice in place.option.choices], 1)
        return f"{key} is {found(value)}, {text}{f': did you mean {near[0]!r}?' if near else ''}"
    return f"{key} is {found(value)}: {text}"


def _place(kind: Any, option: Option | None, loc: tuple[int | str, ...], name: str) -> _Place:
    hint, owner = kind, kind
    path = [name] if name else []
    for part in loc:
        hint = plain_hint(hint)
        if get_origin(hint) in (typing.Union, types.UnionType):
            members = [item for item in get_args(hint) if item is not type(None)]
            if len(members) > 1:  # the part names a member of the union
                hint = next((item for item in members if get_args(item) or dataclasses.is_dataclass(item)), Any)
                continue
            hint = members[0]
        origin, inner = get_origin(hint), get_args(hint)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            owner = hint
            option = {each.name: each for each in options_of(hint)}.get(str(part))
            hint = option.kind if option else Any
        elif origin in (tuple, list, frozenset, set):
            hint = inner[int(part)] if origin is tuple and Ellipsis not in inner else inner[0]
        elif origin in (dict, Mapping):
            hint = inner[1]
        else:
            continue
        path.append(shown(part))
    return _Place(".".join(path), owner, option, hint)
