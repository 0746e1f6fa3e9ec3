"""The command line of the evaluation, and what its options ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from usdrl_ros.bags.label_files import read_classes
from usdrl_ros.bags.reader import TRUTH
from usdrl_ros.evaluation.batch import Plan, default_jobs
from usdrl_ros.evaluation.requirements import Requirement
from usdrl_ros.inference.factory import ENGINES, default_model
from usdrl_ros.settings import Settings
from usdrl_ros.sources.reader import DEFAULT_SOURCE, source_names

STRIPS = 40
_NODE_PARAMETERS = ("model", "engine", "source", "layout", "association")
"""Parameters of the perception node that are an option here, too."""


class OptionError(ValueError):
    """Options that do not go together, or a value that cannot be used; one line."""


def make_parser() -> argparse.ArgumentParser:
    """The parser."""
    parser = argparse.ArgumentParser(
        prog="evaluate",
        description="Recognise the actions in bags, and compare them with the truth. Exit code: 0, 1 for bags or truth "
        "that are not right, 2 for wrong options, 3 for a requirement that is not kept.",
    )
    parser.add_argument("bags", metavar="BAG", nargs="*", help="a rosbag2 directory, or one .mcap or .db3 file")
    add = parser.add_argument_group("skeletons and model").add_argument
    add("--model", metavar="M", help="an .onnx file; default: the shipped one")
    add("--engine", choices=ENGINES, help="what runs it; default: auto")
    add("--source", metavar="S", help=f"what the skeletons are: {', '.join(source_names())}, or a file; "
        f"default: {DEFAULT_SOURCE}")  # fmt: skip
    add("--topic", default="", help="topic of the skeletons; default: the source's")
    add("--layout", help="joint layout, where the source leaves it open")
    add("--association", choices=("auto", "on", "off"), help="ids by where people are; default: auto")
    add("--params", metavar="FILE", type=Path, help="parameters of the robot's perception node, config/perception.yaml")
    add(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="one of its settings, e.g. start_threshold=0.5"
    )
    add = parser.add_argument_group("truth").add_argument
    add("--truth", metavar="TOPIC", help=f"topic of the true actions; default: {TRUTH}, if it is there")
    add("--labels", metavar="FILE|DIR", type=Path, help="labels instead: a .csv (start,end,action[,person]) or a "
        "PKU-MMD .txt; for several bags a directory of files called like the bags")  # fmt: skip
    add("--frame-rate", metavar="HZ", type=float, help="frames a second of PKU-MMD's labels")
    add("--classes", metavar="C", default="pku_mmd", help="names of their classes: a file, a name a line; default: "
        "%(default)s")  # fmt: skip
    add(
        "--rename",
        metavar="TRUE=KNOWN",
        action="append",
        default=[],
        help="what the truth calls an action, and the model",
    )
    add("--no-truth", action="store_true", help="none is expected: tell the events")
    add = parser.add_argument_group("output").add_argument
    add("--report", metavar="DIR", type=Path, help="write report.html and its pictures into this directory")
    add("--strips", metavar="N", type=int, default=STRIPS, help="misses and false events in it; default: %(default)s")
    add("--json", metavar="OUT", type=Path, help="write all figures and events to this file")
    add("--timelines", metavar="DIR", type=Path, help="draw a picture of each bag into this directory")
    add("--require", metavar="R", action="append", default=[], help="e.g. 'mAP_action@0.5>=0.7'; may be repeated")
    add(
        "--compare",
        metavar=("A.json", "B.json"),
        nargs=2,
        type=Path,
        help="two --json files side by side; no bags then",
    )
    add = parser.add_argument_group("running").add_argument
    add("--jobs", metavar="N", type=int, help="bags at a time; default: as many as there are cores")
    add("--live", action="store_true", help="through the real nodes over DDS, in real time, with the messages' latency")
    add("--rate", metavar="X", type=float, default=1.0, help="speed of --live; default: %(default)s")
    return parser


def check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        OptionError: Which, and why.
    """
    if bool(options.bags) == bool(options.compare):
        raise OptionError("give bags, or --compare A.json B.json" + (", not both" if options.bags else ""))
    if options.labels is not None and options.truth is not None:
        raise OptionError("--labels and --truth: the truth can come from one place only")
    if options.labels is not None and not options.labels.exists():
        raise OptionError(f"--labels {options.labels}: no such file or directory")
    if options.no_truth and (options.require or options.labels or options.truth):
        raise OptionError("--no-truth leaves nothing to --require, --labels and --truth")
    for name, low, high in (("strips", 0, 10_000), ("jobs", 1, 512), ("frame_rate", 0.1, 1000), ("rate", 0.05, 20)):
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise OptionError(f"--{name.replace('_', '-')} is {value:g}, must be from {low} to {high}")
    for place in (options.json, options.timelines, options.report):
        if place is not None and not place.parent.is_dir():
            raise OptionError(f"{place}: the directory {place.parent} is not there; make it first")
    for place in (options.timelines, options.report):
        if place is not None and place.is_file():
            raise OptionError(f"{place}: is a file, expected a directory")
    if options.json is not None and options.json.is_dir():
        raise OptionError(f"{options.json}: cannot be written: it is a directory")


def make_plan(options: argparse.Namespace) -> Plan:
    """How the bags are to be run.

    Raises:
        OptionError, LabelError: A value cannot be used.
    """
    given = _parameters(options.params) if options.params is not None else {}
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Settings)}
    settings = {name: value for name, value in given.items() if name in kinds}
    for name, text in _pairs(options.set, "--set"):
        if name not in kinds:
            raise OptionError(f"--set {name}: there is no such setting; there are {', '.join(kinds)}")
        try:
            settings[name] = kinds[name](text)
        except ValueError:
            raise OptionError(f"--set {name}={text}: '{text}' is no number") from None
    try:
        chosen = Settings(**settings)
    except ValueError as error:
        raise OptionError(str(error)) from error

    def value(name: str, default: Any) -> Any:
        return getattr(options, name) or given.get(name) or default

    return Plan(
        model=Path(value("model", default_model())),
        engine=value("engine", "auto"),
        settings=chosen,
        source=value("source", DEFAULT_SOURCE),
        layout=value("layout", ""),
        association=value("association", "auto"),
        topic=options.topic,
        truth=options.truth,
        names=_names(options.rename),
        labels=options.labels,
        frame_rate=options.frame_rate,
        classes=tuple(read_classes(options.classes)) if options.labels is not None else (),
        strips=options.strips if options.report is not None else 0,
        several=len(options.bags) > 1,
    )


def read_requirements(options: argparse.Namespace) -> list[Requirement]:
    """What is asked of the figures.

    Raises:
        OptionError: It cannot be understood.
    """
    try:
        return [Requirement.parse(text) for text in options.require]
    except ValueError as error:
        raise OptionError(f"--require {error}") from error


def jobs_of(options: argparse.Namespace) -> int:
    """Bags at a time."""
    return min(options.jobs or default_jobs(len(options.bags)), len(options.bags))


def _pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise OptionError(f"{option} '{text}': expected NAME=VALUE")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _names(texts: Sequence[str]) -> dict[str, str]:
    """What the truth calls an action, and what the model, from pairs and from files of pairs."""
    names = dict(_pairs([text for text in texts if "=" in text or not Path(text).is_file()], "--rename"))
    for path in (text for text in texts if "=" not in text and Path(text).is_file()):
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise OptionError(f"--rename {path}: is no YAML") from error
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
            raise OptionError(f"--rename {path}: expected lines TRUE: KNOWN")
        names |= {str(true): known for true, known in content.items()}
    return names


def _parameters(path: Path) -> dict[str, Any]:
    """The settings and the options of these names in a file of ROS parameters, of whatever node."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        nodes = [node["ros__parameters"] for node in content.values()]
    except OSError as error:
        raise OptionError(f"--params {path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise OptionError(f"--params {path}: is no file of ROS parameters (NODE: ros__parameters: ...)") from error
    known = {field.name for field in fields(Settings)} | set(_NODE_PARAMETERS)
    return {name: value for node in nodes for name, value in (node or {}).items() if name in known}
