"""The command line of the evaluation, read into `EvaluationOptions`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from usdrl_ros.bags.label_files import read_classes
from usdrl_ros.bags.labels import LabelError
from usdrl_ros.bags.tables import normalised
from usdrl_ros.bags.types import TRUTH
from usdrl_ros.configuration import options_of, read_yaml, shown, unknown_key
from usdrl_ros.evaluation.options import EvaluationOptions, OptionError
from usdrl_ros.inference.factory import ENGINES
from usdrl_ros.parameter_file import ParameterFileError
from usdrl_ros.parameters import ParameterError, settings_of
from usdrl_ros.perception_parameters import perception_parameters
from usdrl_ros.settings import Settings
from usdrl_ros.sources.reader import source_names

_SAME_NAME = (
    "engine", "precision", "source", "layout", "association", "inputs", "fixed_frame", "transform_timeout_s",
    "camera_poses", "mend_skeletons",
)  # fmt: skip
"""Parameters of the perception node that are options here, too."""


def make_parser() -> argparse.ArgumentParser:
    """The parser."""
    known = {each.name: each.help for each in options_of(EvaluationOptions)}
    parser = argparse.ArgumentParser(
        prog="evaluate",
        description="Recognise the actions in bags, and compare them with the truth. Exit code: 0, 1 for bags or truth "
        "that are not right, 2 for wrong options, 3 for a requirement that is not kept.",
    )
    parser.add_argument("bags", metavar="BAG", nargs="*", help="a rosbag2 directory, or one .mcap or .db3 file")
    add = parser.add_argument_group("skeletons and model").add_argument
    add("--model", metavar="M", type=Path, help="an .onnx file; default: the shipped one")
    add("--engine", choices=ENGINES, help="what runs it; default: auto")
    add("--source", metavar="S", help=f"what the skeletons are: {', '.join(source_names())}, or a file; "
        f"default: by the types in the bag")  # fmt: skip
    add("--topic", metavar="T", help=known["topic"])
    add("--layout", metavar="L", help=known["layout"])
    add("--association", choices=("auto", "on", "off"), help=f"{known['association']} Default: auto")
    add("--input", metavar="I", dest="inputs", action="append", help=f"{known['inputs']} May be repeated.")
    add("--fixed-frame", metavar="FRAME", help=known["fixed_frame"])
    add("--camera-pose", metavar="P", dest="camera_poses", action="append", help=known["camera_poses"])
    add("--mend-skeletons", action="store_const", const=True, help=known["mend_skeletons"])
    add("--params", metavar="FILE", type=Path, help="a parameter file of the robot's perception node")
    add("--set", metavar="NAME=VALUE", action="append", default=[], help="one of its settings: start_threshold=0.5")
    add = parser.add_argument_group("truth").add_argument
    add("--truth", metavar="TOPIC", help=f"topic of the true actions; default: {TRUTH}, if it is there")
    add("--labels", metavar="FILE|DIR", type=Path, help="labels instead: a table (start,end,action[,person]) or a "
        "PKU-MMD .txt; for several bags a directory of files called like the bags")  # fmt: skip
    add("--frame-rate", metavar="HZ", type=float, help=known["frame_rate"])
    add("--classes", metavar="C", default="pku_mmd", help="names of their classes: a file, a name a line; default: "
        "%(default)s")  # fmt: skip
    add("--rename", metavar="TRUE=KNOWN", action="append", default=[], help=known["names"])
    add("--no-truth", action="store_true", help="none is expected: list the events")
    add = parser.add_argument_group("output").add_argument
    add("--report", metavar="DIR", type=Path, help=known["report"])
    add("--strips", metavar="N", type=int, help=f"{known['strips']} Default: {EvaluationOptions().strips}")
    add("--json", metavar="OUT", type=Path, help=known["json"])
    add("--timelines", metavar="DIR", type=Path, help=known["timelines"])
    add("--require", metavar="R", action="append", default=[], help="e.g. 'mAP_action@0.5>=0.7'; may be repeated")
    add("--compare", metavar=("A.json", "B.json"), nargs=2, type=Path,
        help="two --json files side by side; no bags then")  # fmt: skip
    add = parser.add_argument_group("running").add_argument
    add("--jobs", metavar="N", type=int, help=f"{known['jobs']} Default: as many as there are cores")
    add("--dask", metavar="URL", help=known["dask"])
    add("--live", action="store_true", help=known["live"])
    add("--rate", metavar="X", type=float, help=f"{known['rate']} Default: 1")
    return parser


def read_options(arguments: argparse.Namespace) -> EvaluationOptions:
    """The options of a command line: its words, before those of a parameter file, before the defaults.

    Raises:
        OptionError, LabelError: A value cannot be used.
    """
    if bool(arguments.bags) == bool(arguments.compare):
        raise OptionError("give bags, or --compare A.json B.json" + (", not both" if arguments.bags else ""))
    given = _parameters(arguments.params) if arguments.params is not None else {}
    words: dict[str, Any] = {
        name: value
        for name in ("model", "engine", "source", "topic", "layout", "association", "truth", "labels", "frame_rate",
                     "report", "strips", "json", "timelines", "jobs", "dask", "rate", "inputs", "fixed_frame",
                     "camera_poses", "mend_skeletons")
        if (value := getattr(arguments, name)) is not None
    }  # fmt: skip
    settings = given.pop("settings", {}) | _settings(arguments.set)
    try:
        words["settings"] = Settings(**settings)
    except ValueError as error:
        raise OptionError(str(error)) from error
    if arguments.labels is not None:
        words["classes"] = tuple(read_classes(arguments.classes))
    return EvaluationOptions(
        bags=tuple(dict.fromkeys(arguments.bags)),
        names=_names(arguments.rename),
        expect_truth=not arguments.no_truth,
        requirements=tuple(arguments.require),
        live=arguments.live,
        **given | words,
    )


def _parameters(path: Path) -> dict[str, Any]:
    """What the perception node would take from a parameter file, as options; names that it ignores are reported."""
    try:
        values, warnings = perception_parameters(path)
    except (ParameterFileError, ParameterError) as error:
        line = str(error)
        raise OptionError(f"--params {line if line.startswith(str(path)) else f'{path}: {line}'}") from error
    for line in warnings:
        print(f"--params {path}: {line}", file=sys.stderr)
    given = {name: values[name] for name in _SAME_NAME if name in values}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    if values.get("model"):
        given["model"] = Path(values["model"])
    if values.get("input_topic"):
        given["topic"] = f"/{values['input_topic'].lstrip('/')}"
    settings = settings_of(values)
    given["settings"] = {f.name: getattr(settings, f.name) for f in fields(Settings) if f.name in values}
    return given


def _settings(texts: Sequence[str]) -> dict[str, float]:
    kinds: dict[str, type] = {field.name: type(getattr(Settings(), field.name)) for field in fields(Settings)}
    settings = {}
    for name, text in _pairs(texts, "--set"):
        if name not in kinds:
            raise OptionError(f"--set {shown(name)}: there is no such setting; {unknown_key(name, list(kinds))}")
        try:
            settings[name] = kinds[name](text)
        except ValueError:
            raise OptionError(f"--set {name}={shown(text)}: '{shown(text)}' is no number") from None
    return settings


def _pairs(texts: Sequence[str], option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise OptionError(f"{option} '{shown(text)}': expected NAME=VALUE")
        pairs.append((name.strip(), value.strip()))
    return pairs


def _names(texts: Sequence[str]) -> dict[str, str]:
    """What the truth calls an action, and what the model, from pairs and from files of pairs."""
    files = [text for text in texts if "=" not in text and Path(text).exists()]
    names = dict(_pairs([text for text in texts if text not in files], "--rename"))
    for path in files:
        content = read_yaml(Path(path))
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
            raise OptionError(f"--rename {path}: expected lines TRUE: KNOWN")
        names |= {str(true): known for true, known in content.items()}
    return {normalised(true): known for true, known in names.items()}


__all__ = ["LabelError", "OptionError", "make_parser", "read_options"]
