"""Play a recorded bag through the perception node, on the bag's own clock.

ros2 launch usdrl_ros replay.launch.py bag:=recording rate:=2.0
ros2 launch usdrl_ros replay.launch.py --show-args        the arguments of perception.launch.py are taken, too
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from usdrl_ros.nodes.launching import check_arguments, check_given, describe, is_true, parameter_values
from usdrl_ros.nodes.program_parameters import REPLAY

SPECS = {spec.name: spec for spec in REPLAY if spec.name in ("bag", "rate", "loop")}


def checked(context):
    """The node's parameters, and whether all ends with the bag; wrong arguments are refused."""
    given = {name: LaunchConfiguration(name).perform(context) for name in (*SPECS, "shutdown_at_end")}
    check_given("bag", given["bag"], SPECS["bag"].description)
    return parameter_values(SPECS.values(), given), is_true("shutdown_at_end", given["shutdown_at_end"])


def replay(context):
    values, ends = checked(context)
    return [
        Node(
            package="usdrl_ros",
            executable="replay",
            name="replay",
            parameters=[values],
            output="screen",
            on_exit=[Shutdown(reason="the replay has ended")] if ends else None,
        )
    ]


def generate_launch_description():
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "perception.launch.py")),
        launch_arguments={"use_sim_time": "true", "input_reliability": "reliable", "required": "true"}.items(),
    )

    def check(context):
        check_arguments(Path(__file__).name, {each.name for each in description.get_launch_arguments()})
        checked(context)  # before anything is started

    description = LaunchDescription(
        [
            DeclareLaunchArgument("bag", default_value="", description=f"{describe(SPECS['bag'])} Required."),
            DeclareLaunchArgument("rate", default_value="1.0", description=describe(SPECS["rate"])),
            DeclareLaunchArgument("loop", default_value="false", description=describe(SPECS["loop"])),
            DeclareLaunchArgument(
                "shutdown_at_end", default_value="true", description="Whether all ends when the replay does."
            ),
            OpaqueFunction(function=check),
            perception,
            OpaqueFunction(function=replay),
        ]
    )
    return description
