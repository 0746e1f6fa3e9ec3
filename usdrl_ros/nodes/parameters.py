"""Parameters of `usdrl_ros.parameters`, declared with ROS. Faults come out as one clear line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from usdrl_ros.parameter_file import parameters_in_arguments
from usdrl_ros.parameters import ParameterError, ParameterSpec, unknown_parameters


def declare(node: Node, specs: Iterable[ParameterSpec], arguments: Sequence[str] = ()) -> None:
    """Declare parameters; a launch or parameter file may have given values.

    Args:
        node: Has the parameters afterwards.
        specs: The parameters.
        arguments: The command line of the node: there a text is found that ROS took for a value of another type.

    Raises:
        ParameterError: A given value is not allowed.
    """
    specs = list(specs)
    for spec in specs:
        try:
            given = node.declare_parameter(spec.name, spec.default, descriptor(spec)).value
        except ParameterException as error:
            # Any type, any range: to see what was given.
            given = node.declare_parameter(spec.name, spec.default, ParameterDescriptor(dynamic_typing=True)).value
            if not spec.problem(given):
                raise ParameterError(str(error)) from error
        if spec.problem(given):
            text = parameters_in_arguments(arguments, node.get_fully_qualified_name()).get(spec.name)
            value = spec.typed(given, None if text is None else text.text)
            if problem := spec.problem(value):
                raise ParameterError(problem)
            node.undeclare_parameter(spec.name)
            node.declare_parameter(spec.name, value, descriptor(spec), ignore_override=True)
    overrides = getattr(node, "_parameter_overrides", {})  # rclpy has no public way to see them
    for line in unknown_parameters(overrides, [spec.name for spec in specs]):
        node.get_logger().warning(line)


def accept_other_types(node: Node, specs: Iterable[ParameterSpec]) -> None:
    """Let parameters be set to values whose type YAML guessed, as `ros2 param set` does: 5 for 5.0, true for on.

    Humble cannot do this: there the type must be right.
    """
    known = {spec.name: spec for spec in specs}
    add: Callable[..., None] | None = getattr(node, "add_pre_set_parameters_callback", None)
    if add is not None:
        add(lambda parameters: [_typed(known, parameter) for parameter in parameters])


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """What `ros2 param describe` shows."""
    constraints = [f"one of {', '.join(spec.choices)}"] if spec.choices else []
    constraints += ["may change while the node is up"] if spec.live else []
    # rclpy takes an empty list to be one of bytes; its type is checked in `problem` instead.
    made = ParameterDescriptor(
        description=spec.description,
        additional_constraints="; ".join(constraints),
        dynamic_typing=isinstance(spec.default, list),
    )
    if spec.low is not None and spec.high is not None:
        if isinstance(spec.default, int):
            made.integer_range = [IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)]
        else:
            made.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high), step=0.0)
            ]
    return made


def values_of(node: Node, specs: Iterable[ParameterSpec]) -> dict[str, Any]:
    """The values of declared parameters."""
    return {spec.name: node.get_parameter(spec.name).value for spec in specs}


def _typed(known: dict[str, ParameterSpec], parameter: Parameter) -> Parameter:
    spec = known.get(parameter.name)
    if spec is None or parameter.value is None:
        return parameter
    value = spec.typed(parameter.value)
    return parameter if type(value) is type(parameter.value) else Parameter(parameter.name, value=value)
