"""Start the perception node: skeletons in, action events out.

ros2 launch usdrl_ros perception.launch.py input_topic:=/tracker/skeletons
ros2 launch usdrl_ros perception.launch.py --show-args
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Launch arguments that set the node's parameter of the same name, unless they are empty.
PARAMETERS = {
    "model": ("Path of the model, an .onnx file.", str),
    "input_topic": ("Topic of the skeletons.", str),
    "input_reliability": ("Quality of service asked of the skeletons: best_effort or reliable.", str),
    "use_sim_time": ("Whether /clock gives the time: true or false.", bool),
    "autostart": ("Whether the node configures and activates itself: true or false.", bool),
}


def perception(context):
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, (_, value_type) in PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    required = LaunchConfiguration("required").perform(context).lower() == "true"
    node = Node(
        package="usdrl_ros",
        executable="perception",
        name="perception",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), given],
        output="screen",
        on_exit=[Shutdown(reason="the perception node has ended")] if required else None,
    )
    return [node]


def generate_launch_description():
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([FindPackageShare("usdrl_ros"), "config", "perception.yaml"]),
                description="File with the node's parameters.",
            ),
            DeclareLaunchArgument(
                "required", default_value="false", description="Whether all ends when the node does: true or false."
            ),
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
            *(
                DeclareLaunchArgument(
                    name, default_value="", description=f"{description} Empty: as the parameter file says."
                )
                for name, (description, _) in PARAMETERS.items()
            ),
            OpaqueFunction(function=perception),
        ]
    )
