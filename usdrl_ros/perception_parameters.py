"""The parameters of the perception node.

python -m usdrl_ros.perception_parameters > config/perception.yaml
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usdrl_ros.actions.choice import ChoiceError, parse_pairs, parse_thresholds
from usdrl_ros.inference.factory import ENGINES, PRECISIONS
from usdrl_ros.parameter_file import parameters_of_node
from usdrl_ros.parameters import (
    ParameterError,
    ParameterSpec,
    parameter_text,
    settings_of,
    settings_parameters,
    typed_values,
)
from usdrl_ros.scene.placing import PoseError, read_pose
from usdrl_ros.sources.inputs import InputError, read_inputs
from usdrl_ros.sources.reader import DEFAULT_SOURCE

_MODEL = "the engine is built from it when the node configures"
_INPUT = "the subscription is made from it"
_TOPIC = re.compile(r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def _topic_fault(name: str) -> str | None:
    if not name or _TOPIC.fullmatch(name):
        return None
    return "Invalid topic name: it has parts of letters, digits and underscores with single slashes between them"


def _inputs_fault(texts: list[str]) -> str | None:
    try:
        inputs = read_inputs(texts)
    except InputError as error:
        return str(error)
    return next((fault for each in inputs if (fault := _topic_fault(each.topic))), None)


def _poses_fault(texts: list[str]) -> str | None:
    try:
        for text in texts:
            read_pose(text)
    except PoseError as error:
        return str(error)
    return None


def _pairs_fault(pairs: list[str]) -> str | None:
    try:
        parse_pairs(pairs, "it")
    except ChoiceError as error:
        return str(error)
    return None


def _thresholds_fault(pairs: list[str]) -> str | None:
    try:
        thresholds = parse_thresholds(pairs, "it")
    except ChoiceError as error:
        return str(error)
    wrong = [action for action, value in thresholds.items() if not 0.01 <= value <= 1.0]
    return f"the threshold of {wrong[0]} must be from 0.01 to 1" if wrong else None


def _intent_fault(names: list[str]) -> str | None:
    wrong = [pair for pair in names if not all(part.strip() for part in pair.split("=")) or pair.count("=") != 1]
    return f"{wrong[0]!r} is not of the form ACTION=INTENT" if wrong else None


PARAMETERS = (
    ParameterSpec("model", "", "Path of the model, an .onnx file; empty: the shipped one.", fixed=_MODEL),
    ParameterSpec(
        "engine", "auto", "What runs the model; auto: the best that is installed.", choices=ENGINES, fixed=_MODEL
    ),
    ParameterSpec(
        "precision",
        "auto",
        "Numeric precision; auto: fp16 on a GPU, on a CPU the fastest that agrees with fp32, measured at load.",
        choices=PRECISIONS,
        fixed=_MODEL,
    ),
    ParameterSpec("threads", 1, "CPU threads that one inference may use.", 1, 64, fixed=_MODEL),
    ParameterSpec(
        "engine_cache", "", "Directory of built TensorRT engines; empty: the user's cache directory.", fixed=_MODEL
    ),
    ParameterSpec(
        "source",
        DEFAULT_SOURCE,
        "What the skeletons are: a name of config/sources (zed, yolo_3d, ...), the path of such a file, or ros4hri.",
        fixed=_INPUT,
    ),
    ParameterSpec("input_topic", "", "Topic of the skeletons; empty: the source's.", fault=_topic_fault, fixed=_INPUT),
    ParameterSpec(
        "layout",
        "",
        "Joint layout: a name of config/layouts, the joints' names in order with commas between, or a file; empty: "
        "as the source says.",
        fixed=_INPUT,
    ),
    ParameterSpec(
        "association",
        "auto",
        "Whether people get ids by where they are and move: auto is as the source says.",
        choices=("auto", "on", "off"),
        fixed=_INPUT,
    ),
    ParameterSpec(
        "input_reliability",
        "source",
        "Quality of service of the subscription: best_effort accepts each publisher, reliable only those that offer "
        "it.",
        choices=("source", "best_effort", "reliable"),
        fixed=_INPUT,
    ),
    ParameterSpec("input_depth", 0, "Queue depth of the subscription; 0: as the source says.", 0, 10000, fixed=_INPUT),
    ParameterSpec(
        "inputs",
        [],
        "Topics of several cameras, instead of input_topic and source: each TOPIC [source=NAME] [layout=NAME] "
        "[reliability=KIND] [depth=N].",
        fault=_inputs_fault,
        fixed=_INPUT,
    ),
    ParameterSpec(
        "fixed_frame",
        "",
        "Frame that stands still (map, odom), z up, in which people are followed, by the poses of the cameras in tf; "
        "empty: the frame of the skeletons.",
    ),
    ParameterSpec(
        "transform_timeout_s",
        0.2,
        "Seconds that skeletons wait for the pose of their camera; then the last one that is known is used.",
        0.0,
        10.0,
    ),
    ParameterSpec(
        "camera_poses",
        [],
        "Poses of cameras that stand still, where tf does not have them: each FRAME X Y Z QX QY QZ QW, metres and "
        "quaternion in fixed_frame.",
        fault=_poses_fault,
    ),
    ParameterSpec(
        "mend_skeletons",
        False,
        "Whether skeletons in millimetres or centimetres are scaled, and swapped sides swapped back, once the check "
        "of bodies is sure; it reports them in any case.",
    ),
    ParameterSpec(
        "input_timeout_s",
        2.0,
        "Seconds of wall time without a new stamp after which running actions end.",
        0.1,
        3600.0,
        live=True,
    ),
    ParameterSpec(
        "latency_budget_ms",
        500.0,
        "Milliseconds from the skeletons' stamp to the events, beyond which the node warns; 0: never.",
        0.0,
        60000.0,
        live=True,
    ),
    ParameterSpec("markers", True, "Whether usdrl/markers is published while somebody listens.", live=True),
    ParameterSpec(
        "markers_rate", 15.0, "Most updates of the markers a second, Hz of wall time.", 0.1, 100.0, live=True
    ),
    ParameterSpec(
        "intents",
        False,
        "Whether each STARTED event is published on /intents as hri_actions_msgs/msg/Intent, too.",
        fixed="the publisher is made from it",
    ),
    ParameterSpec(
        "intent_names",
        ["wave=__intent_greet__"],
        "ACTION=INTENT: the intent that an action stands for; another action's intent has its name.",
        fault=_intent_fault,
        live=True,
    ),
    ParameterSpec(
        "hri_bodies",
        False,
        "Whether people are published as ROS4HRI's bodies, too: /humans/bodies/tracked, their positions and tf frames.",
        fixed="the publishers are made from it",
    ),
    ParameterSpec(
        "enabled_actions",
        [],
        "Actions in use, taught ones and the groups gestures, posture, everyday and social among them; empty: all.",
        live=True,
    ),
    ParameterSpec(
        "disabled_actions", [], "Actions and groups that are not in use, even if enabled_actions has them.", live=True
    ),
    ParameterSpec(
        "action_names",
        [],
        "ACTION=NAME: the name under which an action is reported; actions of one name are reported as one.",
        fault=_pairs_fault,
        live=True,
    ),
    ParameterSpec(
        "thresholds",
        [],
        "ACTION=PROBABILITY: the start_threshold that an action has of its own.",
        fault=_thresholds_fault,
        live=True,
    ),
    ParameterSpec(
        "unknown",
        False,
        "Whether movements that are none of the actions in use are reported as the action unknown.",
        live=True,
    ),
    ParameterSpec(
        "gallery", "", "Directory of the taught actions; empty: usdrl_ros/gallery in the user's data directory."
    ),
    ParameterSpec(
        "autostart", True, "Whether the node configures and activates itself.", fixed="it is read at the start"
    ),
    ParameterSpec(
        "bond",
        False,
        "Whether the node keeps a bond while it is active, as nav2's lifecycle manager expects of its nodes.",
        fixed="it is read when the node configures",
    ),
    *settings_parameters(),
)


def perception_parameters(path: Path, node: str = "perception") -> tuple[dict[str, Any], list[str]]:
    """What the perception node takes from a parameter file.

    Args:
        path: The file.
        node: The name of the node, with or without its namespace; see `parameters_of_node`.

    Returns:
        The values that the file gives, by name; and a line for each name that the node would ignore with a warning.

    Raises:
        ParameterFileError: The file cannot be read.
        ParameterError: A value is not allowed, or values do not go together; the node would not start.
    """
    values, warnings = typed_values(PARAMETERS, parameters_of_node(path, node))
    settings_of(values)
    return values, warnings


def fault_of_change(current: Mapping[str, Any], new: Mapping[str, Any], *, configured: bool) -> str | None:
    """Why parameters cannot be set while the node is up, None if they can; those of others always can."""
    specs = {spec.name: spec for spec in PARAMETERS}
    ours = {name: value for name, value in new.items() if name in specs}
    faults = [fault for name, value in ours.items() if (fault := specs[name].problem(value))]
    if faults or not ours:
        return "; ".join(faults) or None
    if configured and (fixed := [name for name in ours if not specs[name].live and ours[name] != current[name]]):
        reasons = "; ".join(f"{name}: {specs[name].fixed}" for name in fixed)
        return f"{reasons}. Deactivate and clean it up first, or restart it"
    try:
        settings_of({**current, **ours})
    except ParameterError as error:
        return str(error)
    return None


if __name__ == "__main__":
    print(parameter_text(PARAMETERS, "Parameters of the perception node: each with its default."), end="")
