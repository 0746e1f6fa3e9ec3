"""Start the perception node: skeletons in, action events out.

    ros2 launch usdrl_ros perception.launch.py input_topic:=/tracker/skeletons
    ros2 launch usdrl_ros perception.launch.py --show-args
"""

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

AS_IN_FILE = " Empty: as the parameter file says."
# Launch arguments that set the node's parameter of the same name, unless they are empty: (description, is it a string).
PARAMETERS = {
    "model": ("Path of the model, an .onnx file.", str),
    "input_topic": ("Topic of the skeletons.", str),
    "input_reliability": ("Quality of service asked of the skeletons: best_effort or reliable.", str),
    "use_sim_time": ("Whether /clock gives the time: true or false.", bool),
    "autostart": ("Whether the node configures and activates itself: true or false.", bool),
}


def perception(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    overrides = {
        name: value if PARAMETERS[name][1] is str else yaml.safe_load(value) for name, value in given.items() if value
    }
    node = Node(
        package="usdrl_ros",
        executable="perception",
        name="perception",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), *([overrides] if overrides else [])],
        output="screen",
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
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
            *(
                DeclareLaunchArgument(name, default_value="", description=description + AS_IN_FILE)
                for name, (description, _) in PARAMETERS.items()
            ),
            OpaqueFunction(function=perception),
        ]
    )
