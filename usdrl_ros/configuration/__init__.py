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
    parse_value(option_of(Training, "rate"), 0.1, "parameter rate")                      # one value
    replace(config, epochs=3)                               # of dataclasses; checked again

Every fault raises `ConfigurationError` with one line: the file, the key, what was found, what is allowed, and for an
unknown key the known one that it resembles. Numbers are strict (true is not 1, "5" is not 5, 2.0 is not a whole number;
a whole number is a number), and finite. A word that YAML takes for a truth value (`on`) is still found among `choices`.

Pydantic, because its errors are data (path, kind, input), from which our own lines are written; because it checks
dataclasses; and because it needs nothing but wheels on the robot.
"""

from __future__ import annotations

from collections.abc import Set

from pydantic import BeforeValidator

from usdrl_ros.configuration.declaration import configuration
from usdrl_ros.configuration.faults import unknown_key
from usdrl_ros.configuration.options import Option, option, option_of, options_of
from usdrl_ros.configuration.parsing import add_arguments, given_arguments, load, parse, parse_value
from usdrl_ros.configuration.yaml_file import ConfigurationError, parse_yaml, read_yaml, shown

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
    "parse_value",
    "parse_yaml",
    "read_yaml",
    "shown",
    "unknown_key",
]

one_or_more = BeforeValidator(lambda value: value if isinstance(value, list | tuple | Set) else (value,))
"""One value may stand for a list of one: `Annotated[tuple[str, ...], one_or_more]`."""
