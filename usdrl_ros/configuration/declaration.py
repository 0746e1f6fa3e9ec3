"""A class becomes a configuration: a frozen dataclass that pydantic checks whenever one is made."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from typing import Any, ClassVar, TypeVar, get_origin

import pydantic.dataclasses
from pydantic import ConfigDict, ValidationError
from typing_extensions import dataclass_transform

from usdrl_ros.configuration.faults import line
from usdrl_ros.configuration.hints import checked_hint
from usdrl_ros.configuration.options import description_of
from usdrl_ros.configuration.yaml_file import ConfigurationError

Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True)
def configuration(cls: type[Kind]) -> type[Kind]:
    """Make a class a configuration: a frozen dataclass whose values are checked whenever one is made."""
    hints = typing.get_type_hints(cls, localns=_locals_of_caller(), include_extras=True)
    for name in inspect.get_annotations(cls):
        if get_origin(hints[name]) is not ClassVar and hints[name] is not ClassVar:
            described = description_of(cls.__dict__.get(name))
            cls.__annotations__[name] = checked_hint(hints[name], described)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made: Any = pydantic.dataclasses.dataclass(cls, frozen=True, config=config)
    initialize = made.__init__

    @functools.wraps(initialize)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            initialize(self, *args, **kwargs)
        except ValidationError as error:
            raise ConfigurationError(line(error, made, "")) from None

    made.__init__ = checked_init
    return made  # type: ignore[no-any-return]


def _locals_of_caller() -> dict[str, Any]:
    frame = sys._getframe(2)  # a configuration may be declared in a function, as tests do
    return dict(frame.f_locals)
