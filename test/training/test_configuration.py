"""Configurations from YAML files and command lines, and what is said where they are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from training.configuration import ConfigError, RunOptions, build, load, option, parse


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    range: tuple[float, float] = (0.1, 1.0)

    def __post_init__(self) -> None:
        if self.share > 1.0:
            raise ValueError(f"share is at most 1, not {self.share}")


@dataclass(frozen=True)
class Config:
    name: str = option(help="name of the run")
    rate: float = option(5e-4, "learning rate, 100 % of it")
    epochs: int = option(3, "passes")
    frozen: bool = option(False, "keep the encoder")
    drops: tuple[int, ...] = option((), "epochs")
    data: dict[str, tuple[str, ...]] = option({}, "by set")
    limit: int | None = option(None, "clips")
    inner: Inner = option(Inner(), "nested")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("name: run_7\nrate: 1e-3\ndrops: [3, 5]\ndata: {ntu: [s01, 2]}\ninner: {share: 1, range: [0, 1]}\n")
    return path


def read(*arguments: object) -> tuple[Config, RunOptions]:
    return parse(Config, "python -m program", "Does something.", [str(argument) for argument in arguments])


def test_a_file_gives_values_of_the_fields_kinds(file: Path) -> None:
    config = load(Config, file)
    assert config == Config("run_7", 0.001, 3, False, (3, 5), {"ntu": ("s01", "2")}, None, Inner(1.0, (0.0, 1.0)))
    assert isinstance(config.inner.share, float)


def test_options_go_before_the_file(file: Path) -> None:
    config, run = read(
        file, "--rate", "2e-2", "--epochs=7", "--frozen", "true", "--drops", "[]", "--limit", "4",
        "--data", "{a: [b], c: []}", "--inner", "{share: 0.25}", "--name", "other", "--output", "there",
    )  # fmt: skip
    assert config == Config("other", 0.02, 7, True, (), {"a": ("b",), "c": ()}, 4, Inner(0.25))
    assert run == RunOptions(Path("there"))


def test_the_output_is_named_by_the_run(file: Path) -> None:
    assert read(file)[1].output == Path("runs/run_7")


def test_trainer_options_are_passed_on(file: Path) -> None:
    _, run = read(file, "--trainer.devices", "2", "--trainer.precision=16-mixed", "--trainer.enable_progress_bar", "no")
    assert run.trainer == {"devices": 2, "precision": "16-mixed", "enable_progress_bar": False}


def test_resuming_needs_a_checkpoint(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to resume: .*last.ckpt is not there"):
        read(file, "--output", tmp_path, "--resume")
    (tmp_path / "last.ckpt").touch()
    assert read(file, "--output", tmp_path, "--resume")[1].resume


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\nrat: 1",
            r"config.yaml: unknown key rat; known are data, drops, epochs, frozen, inner, limit, name, rate",
        ),
        ("name: a\nrate: fast", r"config.yaml: rate is 'fast', expected float"),
        ("name: a\nepochs: 2.5", r"config.yaml: epochs is 2.5, expected int"),
        ("name: a\nepochs: true", r"config.yaml: epochs is True, expected int"),
        ("name: a\nfrozen: 1", r"config.yaml: frozen is 1, expected bool"),
        ("name: a\nrate: true", r"config.yaml: rate is True, expected float"),
        ("name: no", r"config.yaml: name is False, expected str"),
        ("name: [a]", r"config.yaml: name is \['a'\], expected str"),
        ("name: a\ndrops: [1, x]", r"config.yaml: drops is 'x', expected int"),
        ("name: a\ndrops: 7", r"config.yaml: drops is 7, expected"),
        ("name: a\nlimit: many", r"config.yaml: limit is 'many', expected"),
        ("name: a\ninner: {range: [1]}", r"config.yaml: inner: range is \[1\], expected"),
        ("name: a\ninner: {size: 1}", r"config.yaml: inner: unknown key size; known are range, share"),
        ("name: a\ninner: {share: 2}", r"config.yaml: inner: share is at most 1, not 2.0"),
        ("rate: 1", "config.yaml: the key name is missing"),
        ("- a\n- b", r"config.yaml: expected a mapping of keys and values"),
        ("", r"config.yaml: expected a mapping"),
        ("name: [a", r"cannot read the configuration .*config.yaml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(Config, path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent.yaml"):
        read(tmp_path / "absent.yaml")


def test_an_option_that_is_no_yaml(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"--drops: '\[1' is no YAML"):
        read(file, "--drops", "[1")
    with pytest.raises(ConfigError, match="drops is 'x', expected int"):
        read(file, "--drops", "[x]")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--unknown", "1"], "unrecognized argument: --unknown"),
        (["--trainer.devices"], "--trainer.devices needs a value"),
    ],
)
def test_unknown_options_are_refused(
    file: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(file, *words)
    assert message in capsys.readouterr().err


def test_an_option_is_not_taken_for_another_that_begins_like_it(file: Path) -> None:
    with pytest.raises(SystemExit):
        read(file, "--epoch", "5")


def test_help_shows_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        read("--help")
    assert exit_.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "learning rate, 100 % of it (default: 0.0005)" in shown
    assert "name of the run (default: required)" in shown
    assert "--trainer.devices 2" in shown


def test_mutable_defaults_are_not_shared() -> None:
    first, second = build(Config, {"name": "a"}, "here"), build(Config, {"name": "b"}, "here")
    first.data["x"] = ()
    assert second.data == {}
