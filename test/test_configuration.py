"""Configurations: values by type, range and choice, and the message for each kind of fault."""

from __future__ import annotations

import argparse
import math
import os
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from usdrl_ros.configuration import (
    ConfigurationError,
    add_arguments,
    configuration,
    given_arguments,
    load,
    one_or_more,
    option,
    option_of,
    options_of,
    parse,
    parse_value,
    read_yaml,
)

BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 117))


@configuration
class Inner:
    share: float = option(0.5, "A share.", low=0.0, high=1.0)
    pair: tuple[float, float] = option((0.1, 1.0), "Two.")

    def __post_init__(self) -> None:
        if self.pair[0] > self.pair[1]:
            raise ValueError("pair does not ascend")


def _even(value: int) -> None:
    if value % 2:
        raise ValueError("is not even")


@configuration
class Outer:
    name: str = option(help="Name of the run.")
    rate: float = option(5e-4, "Learning rate, 100 % of it.", above=0.0)
    epochs: int = option(3, "Passes.", low=1, high=100)
    frozen: bool = option(False, "Kept.")
    drops: tuple[int, ...] = option((), "Epochs.", low=1)
    data: dict[str, tuple[str, ...]] = option({}, "By set.")
    limit: int | None = option(None, "Clips.", low=1)
    mode: str = option("auto", "Whether.", choices=("auto", "on", "off"))
    kind: Literal["a", "b"] = option("a", "Kind.")
    fields: Annotated[tuple[str, ...], one_or_more] = option((), "Paths.")
    names: Mapping[Any, str] = option({}, "What a message holds, and its name.")
    inner: Inner = option(Inner(), "Nested.")
    folder: Path = option(Path("here"), "Where.")
    even: int = option(0, "Even.", check=_even, live=True)


def fault(content: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        parse(Outer, content, "a.yaml")
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_values_take_the_types_of_the_fields() -> None:
    content = {
        "name": 7, "rate": 1, "drops": [3, 5], "data": {"ntu": ["s01", 2]}, "limit": 4, "fields": "x", "kind": "b",
        "names": {0: "left", "one": "right"}, "inner": {"share": 1, "pair": [0, 1]}, "folder": "there", "frozen": True,
    }  # fmt: skip
    config = parse(Outer, content, "a.yaml")
    assert config == Outer(
        "7", 1.0, 3, True, (3, 5), {"ntu": ("s01", "2")}, 4, "auto", "b", ("x",), {0: "left", "one": "right"},
        Inner(1.0, (0.0, 1.0)), Path("there"),
    )  # fmt: skip
    assert isinstance(config.rate, float)
    assert isinstance(config.inner, Inner)
    assert isinstance(config.inner.share, float)


def test_words_that_yaml_reads_as_truth_values_are_choices() -> None:
    assert parse(Outer, {"name": "a", "mode": True}, "").mode == "on"
    assert parse(Outer, {"name": "a", "mode": False}, "").mode == "off"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "a", "epoch": 1}, "a.yaml: unknown key epoch: did you mean 'epochs'?"),
        ({"name": "a", "inner": {"sahre": 1}}, "a.yaml: unknown key inner.sahre: did you mean 'share'?"),
        ({"name": "a", "inner": {"zzz": 1}}, "a.yaml: unknown key inner.zzz: known are pair, share"),
        ({"name": "a", "rate": "fast"}, "a.yaml: rate is 'fast', must be a number above 0"),
        ({"name": "a", "rate": 0}, "a.yaml: rate is 0, must be a number above 0"),
        ({"name": "a", "rate": math.nan}, "a.yaml: rate is nan, must be a number above 0"),
        ({"name": "a", "rate": math.inf}, "a.yaml: rate is inf, must be a number above 0"),
        ({"name": "a", "rate": True}, "a.yaml: rate is true, must be a number above 0"),
        ({"name": "a", "epochs": 2.0}, "a.yaml: epochs is 2.0, must be a whole number from 1 to 100"),
        ({"name": "a", "epochs": "2"}, "a.yaml: epochs is '2', must be a whole number from 1 to 100"),
        ({"name": "a", "epochs": 0}, "a.yaml: epochs is 0, must be a whole number from 1 to 100"),
        ({"name": "a", "epochs": True}, "a.yaml: epochs is true, must be a whole number from 1 to 100"),
        ({"name": "a", "frozen": 1}, "a.yaml: frozen is 1, must be true or false"),
        ({"name": "a", "frozen": "yes"}, "a.yaml: frozen is 'yes', must be true or false"),
        ({"name": ["a"]}, "a.yaml: name is ['a'], must be text"),
        ({"name": None}, "a.yaml: name is empty, must be text"),
        ({"name": False}, "a.yaml: name is false, must be text (YAML reads yes, no, on and off so: quote it)"),
        ({"name": "a", "drops": [1, "x"]}, "a.yaml: drops.1 is 'x', must be a whole number at least 1"),
        ({"name": "a", "drops": [1, 0]}, "a.yaml: drops.1 is 0, must be a whole number at least 1"),
        ({"name": "a", "drops": 7}, "a.yaml: drops is 7, must be a list of whole numbers at least 1"),
        ({"name": "a", "data": {"x": [1.5]}}, "a.yaml: data.x.0 is 1.5, must be text"),
        ({"name": "a", "limit": "many"}, "a.yaml: limit is 'many', must be a whole number at least 1 or empty (null)"),
        ({"name": "a", "mode": "onn"}, "a.yaml: mode is 'onn', must be one of auto, on, off: did you mean 'on'?"),
        ({"name": "a", "mode": 3.5}, "a.yaml: mode is 3.5, must be one of auto, on, off"),
        ({"name": "a", "kind": "c"}, "a.yaml: kind is 'c', must be one of a, b"),
        ({"name": "a", "inner": {"pair": [1]}}, "a.yaml: the key inner.pair.1 is missing (a number)"),
        ({"name": "a", "inner": {"pair": [1, "x"]}}, "a.yaml: inner.pair.1 is 'x', must be a number"),
        ({"name": "a", "inner": {"share": 2}}, "a.yaml: inner.share is 2, must be a number from 0 to 1"),
        ({"name": "a", "inner": {"pair": [2, 1]}}, "a.yaml: inner: pair does not ascend"),
        ({"name": "a", "inner": 3}, "a.yaml: inner is 3, must be the keys share, pair"),
        ({"name": "a", "even": 3}, "a.yaml: even is 3: is not even"),
        ({"rate": 1}, "a.yaml: the key name is missing"),
        (["a"], "a.yaml: is ['a'], expected a mapping of keys and values"),
        ({1: 2}, "a.yaml: the key 1 is not a text"),
    ],
)  # fmt: skip
def test_faults_name_key_value_and_what_is_allowed(content: Any, message: str) -> None:
    assert fault(content).startswith(message)


def test_several_faults_are_one_line() -> None:
    text = fault({"nam": "a", "epochs": 0, "frozen": 1, "rate": -1})
    assert text.count(";") == 3
    assert text.endswith("; and 2 more")


def test_direct_construction_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"^epochs is 0, must be a whole number from 1 to 100$"):
        Outer("a", epochs=0)
    with pytest.raises(ConfigurationError, match=r"^epochs is 101, must be"):
        replace(Outer("a"), epochs=101)
    with pytest.raises(ValueError, match=r"^pair does not ascend$"):
        Inner(pair=(2.0, 1.0))


def test_configurations_are_frozen_copied_and_pickled() -> None:
    first, second = Outer("a"), Outer("a")
    with pytest.raises(FrozenInstanceError):
        first.name = "b"  # type: ignore[misc]
    first.data["x"] = ()
    assert second.data == {}
    assert pickle.loads(pickle.dumps(second)) == second


def test_options_describe_each_field() -> None:
    options = {each.name: each for each in options_of(Outer)}
    assert list(options) == [
        "name", "rate", "epochs", "frozen", "drops", "data", "limit", "mode", "kind", "fields", "names", "inner",
        "folder", "even",
    ]  # fmt: skip
    assert options["name"].required
    assert options["epochs"].low == 1
    assert options["epochs"].high == 100
    assert options["epochs"].default == 3
    assert options["epochs"].description == "Passes. (a whole number from 1 to 100; default: 3)"
    assert options["mode"].choices == ("auto", "on", "off")
    assert options["kind"].choices == ("a", "b")
    assert options["even"].extra == {"live": True}
    assert options["inner"].description == "Nested. (the keys share, pair; default: share 0.5, pair [0.1, 1.0])"


def test_one_option_is_parsed_alone() -> None:
    assert parse_value(option_of(Outer, "mode"), True, "parameter mode") == "on"
    with pytest.raises(ConfigurationError, match=r"^parameter epochs is 0, must be a whole number from 1 to 100$"):
        parse_value(option_of(Outer, "epochs"), 0, "parameter epochs")
    with pytest.raises(ConfigurationError, match=r"^parameter even is 3: is not even$"):
        parse_value(option_of(Outer, "even"), 3, "parameter even")
    with pytest.raises(ConfigurationError, match=r"^parameter mode is 'x', must be one of auto, on, off"):
        parse_value(option_of(Outer, "mode"), "x", "parameter mode")


def test_command_line_options_are_yaml_except_texts(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Outer, skip=["even"])
    words = ["--name", "no", "--rate", "1e-3", "--drops", "[1]", "--frozen", "yes", "--limit", "4", "--mode", "on"]
    given = given_arguments(parser.parse_args(words), Outer)
    assert given == {"name": "no", "rate": 0.001, "drops": [1], "frozen": True, "limit": 4, "mode": "on"}
    with pytest.raises(ConfigurationError, match=r"--drops: is not valid YAML: "):
        given_arguments(parser.parse_args(["--drops", "[1"]), Outer)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "Learning rate, 100 % of it. (a number above 0; default: 0.0005)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_files_are_loaded_with_values_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nrate: 1e-3\nepochs: 5\n")
    assert load(Outer, path, {"epochs": 7}) == Outer("a", 0.001, 7)
    with pytest.raises(ConfigurationError, match=r"a.yaml: epochs is 0, must be"):
        load(Outer, path, {"epochs": 0})
    path.write_text("")
    with pytest.raises(ConfigurationError, match=r"a.yaml: is empty, expected a mapping"):
        load(Outer, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "is not valid YAML: line "),
        (b"a: 1\na: 2", "is not valid YAML: line 2, column 1: the key 'a' occurs twice"),
        (b"? [a]\n: 1", "is not valid YAML"),
        (b"a: " + b"[" * 40 + b"]" * 40, "is nested deeper than 32 levels"),
        (b"[" * 100_000, "nest"),
        (BOMB, "aliases resolve to more than 100000 values"),
        (b"a: &a [*a]", "aliases resolve to more than"),
        (b'a: "\\ud800"', "not valid"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a: " + b"x" * (1 << 20), "is larger than 1048576 bytes"),
        (b"a: 2001-99-99", "is not valid YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "is not valid YAML: line 1, column 4: could not determine"),
        (b"a: " + b"9" * 5000, "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
    ],
)  # fmt: skip
def test_odd_yaml_files_are_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        read_yaml(path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 400


def test_yaml_files_may_have_a_byte_order_mark_aliases_and_exponents(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: &x {b: 1}\nc: *x\nd: {<<: *x, b: 2}\ne: [1e-3, -1.5E+2, 1e3x]\n")
    assert read_yaml(path) == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 2}, "e": [0.001, -150.0, "1e3x"]}


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent.yaml: cannot be read: No such file or directory"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(ConfigurationError, match=r"is a directory, expected a YAML file"):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigurationError, match=r"pipe.yaml: is a named pipe or a device, expected a YAML file"):
        read_yaml(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigurationError, match=r"cannot be read"):
        read_yaml(Path("a\0b.yaml"))
