"""Parameters of ROS nodes, from files and command lines, read as ROS reads them, but without ROS.

ROS guesses the type of a value from the way it is written: `on` is true, `010` is 8, `1e3` is a float. Here the text is
kept beside the guess, so that a parameter whose type is known gets what its user wrote. Names of nodes match as in rcl:
`/**` stands for any names, `/*` for one; what comes later in a file replaces what came before.

    perception:                  # the node of this name in the root namespace
      ros__parameters:
        rate: 10.0
    /**/perception:              # in any namespace
      ros__parameters: {association: on}
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 20
_MAX_DEPTH = 32
_SECTION = "ros__parameters"
_STRING = "tag:yaml.org,2002:str"
_TRUE = {"Y", "y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"N", "n", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_INTEGER = re.compile(r"\s*[-+]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"\s*[-+]?((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|inf|infinity|nan)", re.IGNORECASE)
_YAML_FLOATS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class ParameterFileError(ValueError):
    """A file of parameters cannot be read, or ROS would refuse it; the message is one line."""


@dataclass(frozen=True)
class Given:
    """A value that somebody wrote.

    Args:
        value: With the type that ROS gives it: bool, int, float, str, or a list of one of these.
        text: As it was written; of a list, a text for each element.
    """

    value: Any
    text: str | list[str]


def read_parameters(path: Path) -> list[tuple[str, dict[str, Given]]]:
    """The sections of a parameter file, in order: the pattern of the nodes' names, and their parameters by name.

    Raises:
        ParameterFileError: It cannot be read, or ROS would refuse it.
    """
    try:
        return list(_sections(_compose(_read(path))))
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context or ""
        fault = f"is not valid YAML: {f'line {mark.line + 1}: ' if mark else ''}{problem}"
    except (yaml.YAMLError, RecursionError) as error:
        fault = f"is not valid YAML: {' '.join(str(error).split())[:200]}"
    except _FaultError as error:
        fault = f"is no file of ROS parameters (NODE: {_SECTION}: ...): {error}"
    except (OSError, ValueError) as error:
        fault = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise ParameterFileError(f"{path}: {fault}")


def parameters_of_node(path: Path, node: str = "perception") -> dict[str, Given]:
    """What the node NAME takes from a parameter file.

    Args:
        path: The file.
        node: A full name ("/robot/perception"), or the last part of one: then its namespace is the one that the file
            names, or the root.

    Raises:
        ParameterFileError: As `read_parameters`; or the file has parameters for several nodes of this name.
    """
    sections = read_parameters(path)
    if not node.startswith("/"):
        named = {pattern for pattern, _ in sections if "*" not in pattern and pattern.rpartition("/")[2] == node}
        if len(named) > 1:
            several = " and ".join(sorted(named))
            raise ParameterFileError(f"{path}: has parameters of {several}: name the node with its namespace")
        # Patterns of a namespace, as in /robot/**, are of a node in it.
        places = {pattern.partition("*")[0].rstrip("/") for pattern, _ in sections if "*" in pattern} - {""}
        node = named.pop() if named else f"{places.pop()}/{node}" if len(places) == 1 else f"/{node}"
    return {name: given for pattern, section in sections if _matches(pattern, node) for name, given in section.items()}


def parameters_in_arguments(arguments: Sequence[str], node: str) -> dict[str, Given]:
    """What a command line gives the node of a full name, by `-p [NODE:]NAME:=VALUE` and `--params-file FILE`.

    What ROS would refuse is left out: ROS reports it.
    """
    found: dict[str, Given] = {}
    ros = False
    words = iter(arguments)
    for word in words:
        if word in ("--ros-args", "--"):
            ros = word == "--ros-args"
        elif ros and word == "--params-file":
            try:
                found |= parameters_of_node(Path(next(words, "")), node)
            except ParameterFileError:
                continue
        elif ros and word in ("-p", "--param"):
            rule, _, text = next(words, "").partition(":=")
            owner, _, name = rule.rpartition(":")
            if not owner or owner.strip("/") == node.rpartition("/")[2]:
                try:
                    found[name] = _given(_compose(text))
                except (yaml.YAMLError, _FaultError, RecursionError):
                    continue
    return found


class _FaultError(Exception):
    """Why ROS would refuse a file."""


class _Loader(yaml.BaseLoader):
    """Composes trees whose scalars have no tag but one that was written."""

    DEFAULT_SCALAR_TAG = ""  # type: ignore[misc]  # the stubs call it final; PyYAML reads it from the class


def _read(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe would block
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ValueError("it is a directory, a pipe or a device, expected a file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    return content.decode("utf-8-sig")


def _compose(text: str) -> yaml.Node | None:
    """The YAML tree of a text, checked before it is built: ROS takes no aliases."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _FaultError(f"{_line(event)} has an alias, which ROS does not take")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise _FaultError(f"it is nested deeper than {_MAX_DEPTH} levels")
    documents = [document for document in yaml.compose_all(text, _Loader) if document is not None]
    if len(documents) > 1:
        pairs = [pair for document in documents if isinstance(document, yaml.MappingNode) for pair in document.value]
        return yaml.MappingNode(documents[0].tag, pairs, documents[0].start_mark, documents[0].end_mark)
    return documents[0] if documents else None


def _sections(tree: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, dict[str, Given]]]:
    if tree is None and not prefix:  # an empty file
        return
    if not isinstance(tree, yaml.MappingNode):
        raise _FaultError(f"{_line(tree)} has a value outside of {_SECTION}" if tree else "it is empty")
    for key, content in tree.value:
        name = _key(key)
        if name != _SECTION:
            pattern = name if not prefix and name.startswith("/") else f"{prefix}/{name}"
            if not re.fullmatch(r"(/(\*\*?|\w+))+", pattern, re.ASCII):
                raise _FaultError(f"{_line(key)}: '{name}' is no name of a node")
            yield from _sections(content, pattern)
        elif not prefix:
            raise _FaultError(f"{_line(key)} has {_SECTION} without the name of a node")
        elif not isinstance(content, yaml.MappingNode):
            raise _FaultError(f"{_line(content)}: {_SECTION} holds no names")
        else:
            yield prefix, dict(_parameters(content))


def _parameters(tree: yaml.MappingNode, prefix: str = "") -> Iterator[tuple[str, Given]]:
    for key, content in tree.value:
        name = f"{prefix}{_key(key)}"
        if isinstance(content, yaml.MappingNode):
            yield from _parameters(content, f"{name}.")
        else:
            yield name, _given(content)


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _FaultError(f"{_line(node)} has a key that is no name")
    return str(node.value)


def _given(node: yaml.Node | None) -> Given:
    if isinstance(node, yaml.ScalarNode):
        return Given(_value(node), node.value)
    if not isinstance(node, yaml.SequenceNode):
        raise _FaultError(f"{_line(node)} has no value" if node else "there is no value")
    if any(not isinstance(item, yaml.ScalarNode) for item in node.value):
        raise _FaultError(f"{_line(node)} has a list of lists or of mappings")
    values = [_value(item) for item in node.value]
    if len({type(value) for value in values}) > 1:
        raise _FaultError(f"{_line(node)} has a list of values of several types")
    return Given(values, [item.value for item in node.value])


def _value(node: yaml.ScalarNode) -> bool | int | float | str:
    """A value with the type that rcl gives it (`get_value` of rcl_yaml_param_parser)."""
    text = str(node.value)
    if node.style in ("'", '"') or node.tag == _STRING:  # quoted, or tagged: !!str 12
        return text
    if not text:
        raise _FaultError(f"{_line(node)} has no value")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        digits = text.strip().lstrip("+-")
        number = int(digits, 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10)
        number = -number if text.strip().startswith("-") else number
        if -(2**63) <= number < 2**63:
            return number
        return float(number)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _YAML_FLOATS.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _matches(pattern: str, node: str) -> bool:
    """Whether a pattern of names names a node."""
    parts = [{"**": r"(/\w+)*", "*": r"/\w+"}.get(part, "/" + re.escape(part)) for part in pattern[1:].split("/")]
    return re.fullmatch("".join(parts), node) is not None


def _line(node: Any) -> str:
    return f"line {node.start_mark.line + 1}"
