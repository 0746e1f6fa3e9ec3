"""The command line of the training tasks: values of files and options, options of the trainer, resuming."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from training.configuration import ConfigError, RunOptions, build, configuration, option, parse, plain_values
from training.tasks.pretrain import PretrainConfig
from training.tasks.recognize import RecognizeConfig


@configuration
class Inner:
    share: float = option(0.5, "a share", low=0.0, high=1.0)


@configuration
class Config:
    name: str = option(help="name of the run")
    rate: float = option(5e-4, "learning rate, 100 % of it", above=0.0)
    epochs: int = option(3, "passes", low=1)
    frozen: bool = option(False, "keep the encoder")
    drops: tuple[int, ...] = option((), "epochs")
    data: dict[str, tuple[str, ...]] = option({}, "by set")
    limit: int | None = option(None, "clips")
    inner: Inner = option(Inner(), "nested")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("name: run_7\nrate: 1e-3\ndrops: [3, 5]\ndata: {ntu: [s01, 2]}\ninner: {share: 1}\n")
    return path


def read(*arguments: object) -> tuple[Config, RunOptions]:
    return parse(Config, "python -m program", "Does something.", [str(argument) for argument in arguments])


def test_options_replace_values_of_the_file(file: Path) -> None:
    assert read(file)[0] == Config("run_7", 0.001, 3, False, (3, 5), {"ntu": ("s01", "2")}, None, Inner(1.0))
    config, run = read(
        file, "--rate", "2e-2", "--epochs=7", "--frozen", "true", "--drops", "[]", "--limit", "4",
        "--data", "{a: [b], c: []}", "--inner", "{share: 0.25}", "--name", "other", "--output", "there",
    )  # fmt: skip
    assert config == Config("other", 0.02, 7, True, (), {"a": ("b",), "c": ()}, 4, Inner(0.25))
    assert run == RunOptions(Path("there"))


def test_the_output_directory_takes_the_name_of_the_run(file: Path) -> None:
    assert read(file)[1].output == Path("runs/run_7")
    assert read(file, "--profile", "--compile")[1] == RunOptions(Path("runs/run_7"), profile=True, compile=True)


def test_trainer_options_are_passed_on(file: Path) -> None:
    _, run = read(file, "--trainer.devices", "2", "--trainer.precision=16-mixed", "--trainer.enable_progress_bar", "no")
    assert run.trainer == {"devices": 2, "precision": "16-mixed", "enable_progress_bar": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.devcies", "2"], r"--trainer.devcies: lightning.Trainer has no such option: did you mean 'dev"),
        (["--trainer.max_epochs", "-1"], r"--trainer.max_epochs is -1, must be a whole number at least 1"),
        (["--trainer.max_epochs", "0"], r"--trainer.max_epochs is 0, must be a whole number at least 1"),
        (["--trainer.max_steps", "some"], r"--trainer.max_steps is 'some', must be a whole number at least 1"),
        (["--trainer.devices", "[1"], r"--trainer.devices: is not valid YAML"),
        (["--epochs", "0"], r"config.yaml: epochs is 0, must be a whole number at least 1"),
        (["--rate", "nan"], r"config.yaml: rate is 'nan', must be a number above 0"),
        (["--rate", ".nan"], r"config.yaml: rate is nan, must be a number above 0"),
        (["--drops", "[1"], r"--drops: is not valid YAML"),
        (["--drops", "[x]"], r"config.yaml: drops.0 is 'x', must be a whole number"),
    ],
)
def test_options_that_are_not_allowed_are_named(file: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(file, *words)


def test_resuming_needs_a_checkpoint(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to resume: .*last.ckpt does not exist"):
        read(file, "--output", tmp_path, "--resume")
    (tmp_path / "last.ckpt").touch()
    assert read(file, "--output", tmp_path, "--resume")[1].resume


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent.yaml: cannot be read: No such file or directory"):
        read(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epoch", "1"], "unrecognized argument: --epoch: did you mean '--epochs'?"),
        (["--trainer.devices"], "--trainer.devices needs a value"),
    ],
)
def test_unknown_options_are_refused(
    file: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(file, *words)
    assert message in capsys.readouterr().err


def test_help_shows_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        read("--help")
    assert exit_.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "learning rate, 100 % of it (a number above 0; default: 0.0005)" in shown
    assert "name of the run (text; required)" in shown
    assert "--trainer.devices 2" in shown


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("epochs", 0, "a whole number at least 1"),
        ("epochs", -1, "a whole number at least 1"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("learning_rate", -1e-3, "a number above 0"),
        ("views", 1, "a whole number at least 2"),
        ("attention", "casual", "one of full, causal"),
        ("drop_path", 1.0, "a number at least 0 and below 1"),
    ],
)
def test_pretraining_refuses_values_out_of_range(key: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"here: {key} is .*, must be {allowed}"):
        build(PretrainConfig, {"name": "a", "data": {"set": "all"}, key: value}, "here")


def test_plain_values_are_lists_dictionaries_and_numbers() -> None:
    config = build(RecognizeConfig, {"name": "a", "data": "b", "mode": "fine_tuned"}, "here")
    plain = plain_values(config)
    assert plain["view"]["crop"] == [0.5, 1.0]
    assert (plain["epochs"], plain["drops"]) == (60, [])
    assert build(RecognizeConfig, plain, "there") == config
