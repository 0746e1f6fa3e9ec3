"""Play a recorded bag through the perception node, on the bag's own clock.

ros2 launch usdrl_ros replay.launch.py bag:=recording rate:=2.0
ros2 launch usdrl_ros replay.launch.py --show-args        the arguments of perception.launch.py are taken, too
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from usdrl_ros.nodes.launching import check_arguments


def generate_launch_description():
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "perception.launch.py")),
        launch_arguments={"use_sim_time": "true", "input_reliability": "reliable", "required": "true"}.items(),
    )
    replay = Node(
        package="usdrl_ros",
        executable="replay",
        name="replay",
        parameters=[
            {
                # Typed, so that a bag called 12 stays a string and a rate of 2 becomes a float.
                name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
                for name, value_type in (("bag", str), ("rate", float), ("loop", bool))
            }
        ],
        output="screen",
    )

    def check(context):
        check_arguments(Path(__file__).name, {each.name for each in description.get_launch_arguments()})

    description = LaunchDescription(
        [
            OpaqueFunction(function=check),
            DeclareLaunchArgument("bag", description="Path of the rosbag2 bag (sqlite3 or MCAP)."),
            DeclareLaunchArgument("rate", default_value="1.0", description="Speed; 2.0 is twice as fast as recorded."),
            DeclareLaunchArgument("loop", default_value="false", description="Whether to start over at the end."),
            DeclareLaunchArgument(
                "shutdown_at_end", default_value="true", description="Whether all ends when the replay does."
            ),
            perception,
            replay,
            RegisterEventHandler(
                OnProcessExit(target_action=replay, on_exit=[Shutdown(reason="the replay has ended")]),
                condition=IfCondition(LaunchConfiguration("shutdown_at_end")),
            ),
        ]
    )
    return description
