"""One command line for all tasks: a YAML file, an option for each of its keys, and Lightning's trainer options.

The configurations of the tasks are declared and checked as all others are, see `usdrl_ros.configuration`.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from usdrl_ros import configuration as library
from usdrl_ros.configuration import ConfigurationError, configuration, load, option, parse_yaml, unknown_key

__all__ = ["ConfigError", "RunOptions", "build", "configuration", "load", "option", "parse", "plain_values"]

Config = TypeVar("Config")

ConfigError = ConfigurationError
build = library.parse
"""A configuration from plain values, see `usdrl_ros.configuration.parse`."""


@dataclass(frozen=True)
class RunOptions:
    """What belongs to a run, not to its configuration.

    Args:
        output: Directory of the run.
        resume: Continue from its last checkpoint.
        trainer: Options of `lightning.Trainer`.
        profile: Measure where the time of a step goes, and the share of it in which the device is busy.
        compile: Compile the network with `torch.compile`.
    """

    output: Path
    resume: bool = False
    trainer: dict[str, Any] = field(default_factory=dict)
    profile: bool = False
    compile: bool = False


def parse(
    kind: type[Config], program: str, description: str, arguments: Sequence[str] | None = None
) -> tuple[Config, RunOptions]:
    """Read the command line of a task.

    Raises:
        ConfigError: A file, a key or a value is not allowed.
        SystemExit: For `--help` and for unknown options, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="--trainer.KEY VALUE gives lightning.Trainer any option: --trainer.devices 2,\n"
        "--trainer.precision bf16-mixed, --trainer.num_nodes 2. With torchrun, its processes are used.",
    )
    parser.add_argument("config", type=Path, help="YAML file, for instance one of training/configs")
    parser.add_argument("--output", type=Path, help="directory of the run (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="continue from the run's last.ckpt, with the same result")
    parser.add_argument("--profile", action="store_true", help="report where the time goes, and how busy the device is")
    parser.add_argument("--compile", action="store_true", help="compile the network with torch.compile")
    library.add_arguments(parser.add_argument_group("instead of the file's values (YAML)"), kind)
    options, rest = parser.parse_known_args(arguments)
    trainer = _trainer_options(rest, parser)
    config = load(kind, options.config, library.given_arguments(options, kind))
    output = options.output or Path("runs") / str(getattr(config, "name", options.config.stem))
    if options.resume and not (output / "last.ckpt").is_file():
        raise ConfigError(f"nothing to resume: {output / 'last.ckpt'} does not exist")
    return config, RunOptions(output, options.resume, trainer, options.profile, options.compile)


def plain_values(config: Any) -> dict[str, Any]:
    """A configuration as checkpoints keep it: dictionaries, lists, texts and numbers, for `weights_only=True`."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return plain(asdict(config))


def _trainer_options(rest: list[str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The options of `lightning.Trainer` in the words that are left.

    Raises:
        ConfigError: An option is unknown, or its value is not YAML.
    """
    found: dict[str, Any] = {}
    words = iter(rest)
    for word in words:
        if not word.startswith("--trainer."):
            known = [action.option_strings[0] for action in parser._actions if action.option_strings]
            parser.error(f"unrecognized argument: {word}: {unknown_key(word.partition('=')[0], known)}")
        key, equals, value = word.removeprefix("--trainer.").partition("=")
        if not equals:
            value = next(words, "")
        if not value:
            parser.error(f"--trainer.{key} needs a value")
        found[key] = parse_yaml(value, f"--trainer.{key}")
    if found:
        check_trainer_options(found)
    return found


def check_trainer_options(options: dict[str, Any]) -> None:
    """Refuse options that `lightning.Trainer` does not know, and numbers of epochs and steps that never end.

    Raises:
        ConfigError: An option is unknown or out of its range.
    """
    from lightning import Trainer  # takes seconds

    known = [name for name in inspect.signature(Trainer.__init__).parameters if name not in ("self", "callbacks")]
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"--trainer.{key}: lightning.Trainer has no such option: {unknown_key(key, known)}")
        if key in ("max_epochs", "max_steps") and (type(value) is not int or value < 1):
            raise ConfigError(f"--trainer.{key} is {value!r}, must be a whole number at least 1")
