"""One command line for all tasks: a YAML file, an option for each of its keys, and Lightning's trainer options."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

Config = TypeVar("Config")


class ConfigError(ValueError):
    """A configuration names something unknown, or gives it a value that it cannot have."""


def option(default: Any = MISSING, help: str = "") -> Any:
    """A field of a configuration with its line of help; a mutable default is copied for each instance."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"help": help})
    if default is MISSING:
        return field(metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class RunOptions:
    """What belongs to a run, not to its configuration.

    Args:
        output: Directory of the run.
        resume: Go on from its last checkpoint.
        trainer: Options of `lightning.Trainer`.
    """

    output: Path
    resume: bool = False
    trainer: dict[str, Any] = field(default_factory=dict)


def parse(
    kind: type[Config], program: str, description: str, arguments: Sequence[str] | None = None
) -> tuple[Config, RunOptions]:
    """Read the command line of a task.

    Raises:
        ConfigError: A file, a key or a value is not what it should be.
        SystemExit: For `--help` and for unknown options, as argparse does.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="--trainer.KEY VALUE gives lightning.Trainer any option: --trainer.devices 2,\n"
        "--trainer.precision 16-mixed, --trainer.num_nodes 2. With torchrun, its processes are used.",
    )
    parser.add_argument("config", type=Path, help="YAML file, for instance one of training/configs")
    parser.add_argument("--output", type=Path, help="directory of the run (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last.ckpt, with the same result")
    group = parser.add_argument_group("instead of the file's values (YAML)")
    for item in fields(kind):  # type: ignore[arg-type]
        default = "required" if item.default is MISSING and item.default_factory is MISSING else f"{_default(item)}"
        text = f"{item.metadata.get('help', '')} (default: {default})".replace("%", "%%")
        group.add_argument(f"--{item.name.replace('_', '-')}", dest=f"key_{item.name}", metavar="VALUE", help=text)
    options, rest = parser.parse_known_args(arguments)
    trainer = _trainer_options(rest, parser)
    given = {
        name.removeprefix("key_"): _yaml(value, f"--{name.removeprefix('key_').replace('_', '-')}")
        for name, value in vars(options).items()
        if name.startswith("key_") and value is not None
    }
    config = load(kind, options.config, given)
    output = options.output or Path("runs") / str(getattr(config, "name", options.config.stem))
    if options.resume and not (output / "last.ckpt").is_file():
        raise ConfigError(f"nothing to resume: {output / 'last.ckpt'} is not there")
    return config, RunOptions(output, options.resume, trainer)


def load(kind: type[Config], path: Path, instead: dict[str, Any] | None = None) -> Config:
    """A configuration from a YAML file, some keys given `instead`.

    Raises:
        ConfigError: The file is missing or no YAML mapping, a key is unknown, or a value of the wrong kind.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys and values")
    return build(kind, content | (instead or {}), str(path))


def build(kind: type[Config], content: dict[str, Any], where: str) -> Config:
    """A (nested) configuration dataclass from plain values; see `load`."""
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - set(known)):
        raise ConfigError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    needed = [name for name, item in known.items() if item.default is MISSING and item.default_factory is MISSING]
    if missing := [name for name in needed if name not in content]:
        raise ConfigError(f"{where}: the key {', '.join(missing)} is missing")
    hints = typing.get_type_hints(kind)
    try:
        return kind(**{key: _convert(value, hints[key], f"{where}: {key}") for key, value in content.items()})
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def plain_values(config: Any) -> dict[str, Any]:
    """A configuration as checkpoints keep it: dictionaries, lists, texts and numbers, for `weights_only=True`."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple | list) else value

    return plain(asdict(config))


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        for choice in inner:
            try:
                return _convert(value, choice, where)
            except ConfigError:
                continue
    elif is_dataclass(hint) and isinstance(value, dict):
        return build(hint, value, where)  # type: ignore[arg-type]
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = [inner[0]] * len(value) if inner[1:] == (Ellipsis,) else inner
        if len(kinds) == len(value):
            return tuple(_convert(v, k, where) for v, k in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {_convert(k, inner[0], where): _convert(v, inner[1], where) for k, v in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is float and isinstance(value, str) and _is_number(value):  # YAML reads 1e-3 as a string
        return float(value)
    elif hint is str and isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    elif isinstance(hint, type) and hint in (int, bool) and type(value) is hint:
        return value
    elif hint is Any or (isinstance(hint, type) and is_dataclass(hint) and isinstance(value, hint)):
        return value
    raise ConfigError(f"{where} is {value!r}, expected {getattr(hint, '__name__', hint)}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _default(item: Field[Any]) -> Any:
    return item.default if item.default is not MISSING else item.default_factory()  # type: ignore[misc, operator]


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {text!r} is no YAML: {error}") from error


def _trainer_options(rest: list[str], parser: argparse.ArgumentParser) -> dict[str, Any]:
    found: dict[str, Any] = {}
    words = iter(rest)
    for word in words:
        if not word.startswith("--trainer."):
            parser.error(f"unrecognized argument: {word}")
        key, equals, value = word.removeprefix("--trainer.").partition("=")
        if not equals:
            value = next(words, "")
        if not value:
            parser.error(f"--trainer.{key} needs a value")
        found[key] = _yaml(value, f"--trainer.{key}")
    return found
