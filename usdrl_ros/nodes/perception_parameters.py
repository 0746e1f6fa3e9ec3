"""The perception node's own parameters, besides those of recognition; `config/perception.yaml` lists them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.exceptions import NameValidationException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.validate_full_topic_name import validate_full_topic_name

from usdrl_ros.inference.engine import ENGINES
from usdrl_ros.nodes.parameters import ParameterError, ParameterSpec, settings_of, settings_parameters


def _topic_fault(name: str) -> str | None:
    try:
        validate_full_topic_name(expand_topic_name(name, "perception", "/"))
    except (NameValidationException, ValueError) as error:
        return " ".join(str(error).split())
    return None


PARAMETERS = (
    ParameterSpec("model", "", "Path of the model, an .onnx file; empty: the shipped one."),
    ParameterSpec("engine", "auto", "What runs the model; auto: the best that is installed.", choices=ENGINES),
    ParameterSpec("threads", 1, "CPU threads that one inference may use.", 1, 64),
    ParameterSpec("input_topic", "skeletons", "Topic of the usdrl_ros/msg/SkeletonArray.", fault=_topic_fault),
    ParameterSpec(
        "input_reliability",
        "best_effort",
        "Asked of the skeletons' publishers; best_effort accepts each, reliable only those that offer it.",
        choices=("best_effort", "reliable"),
    ),
    ParameterSpec("input_depth", 50, "Messages that wait at most to be taken in.", 1, 10000),
    ParameterSpec(
        "input_timeout_s", 2.0, "Seconds of wall time without a message after which running actions end.", 0.1, 3600.0
    ),
    ParameterSpec("autostart", True, "Whether the node configures and activates itself."),
    *settings_parameters(),
)


def fault_of_change(current: Mapping[str, Any], new: Mapping[str, Any], *, configured: bool) -> str | None:
    """Why parameters cannot be set while the node is up, None if they can; those of others always can."""
    specs = {spec.name: spec for spec in PARAMETERS}
    ours = {name: value for name, value in new.items() if name in specs}
    faults = [fault for name, value in ours.items() if (fault := specs[name].problem(value))]
    if faults or not ours:
        return "; ".join(faults) or None
    if configured:
        return f"{', '.join(ours)}: read when the node configures; deactivate and clean it up first, or restart it"
    try:
        settings_of({**current, **ours})
    except ParameterError as error:
        return str(error)
    return None
