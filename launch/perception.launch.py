"""Start the perception node: skeletons in, action events out.

ros2 launch usdrl_ros perception.launch.py source:=zed
ros2 launch usdrl_ros perception.launch.py source:=yolo_3d rviz:=true record:=true start_threshold:=0.6
ros2 launch usdrl_ros perception.launch.py build_engine:=true      builds the TensorRT engine, and ends
ros2 launch usdrl_ros perception.launch.py --show-args
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from usdrl_ros.nodes.launching import check_arguments, check_file, has_package, parameter_arguments

SHARE = FindPackageShare("usdrl_ros")


def is_true(context, name):
    value = LaunchConfiguration(name).perform(context).lower()
    if value not in ("true", "false"):
        raise RuntimeError(f"launch argument {name} is '{value}', expected true or false")
    return value == "true"


def build_engine(context):
    """The program that builds the model's TensorRT engine and caches it, in place of the node."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ("model", "precision")}
    options = ["--precision", given["precision"]] if given["precision"] else []
    return Node(
        package="usdrl_ros",
        executable="build_engine",
        arguments=[*options, *([given["model"]] if given["model"] else [])],
        output="screen",
        on_exit=[Shutdown(reason="the engine has been built")],
    )


def rviz():
    """RViz with the people and what they are doing, where it is installed."""
    if not has_package("rviz2"):
        return LogInfo(msg="rviz:=true, but rviz2 is not installed (sudo apt install ros-$ROS_DISTRO-rviz2): left out")
    return Node(
        package="rviz2",
        executable="rviz2",
        name="usdrl_rviz",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", LaunchConfiguration("rviz_config"), "-f", LaunchConfiguration("fixed_frame")],
        output="log",
    )


def perception(context):
    if is_true(context, "build_engine"):
        return [build_engine(context)]
    check_file("params_file", LaunchConfiguration("params_file").perform(context))
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, (_, value_type) in parameter_arguments().items()
        if LaunchConfiguration(name).perform(context)
    }
    node = Node(
        package="usdrl_ros",
        executable="perception",
        name="perception",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), given],
        output="screen",
        on_exit=[Shutdown(reason="the perception node has ended")] if is_true(context, "required") else None,
    )
    record = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "record.launch.py"]))
    )
    return [
        node,
        *([rviz()] if is_true(context, "rviz") else []),
        *([record] if is_true(context, "record") else []),
    ]


def generate_launch_description():
    def argument(name, default, description):
        return DeclareLaunchArgument(name, default_value=default, description=description)

    def config(name):
        return PathJoinSubstitution([SHARE, "config", name])

    arguments = [
        argument("params_file", config("perception.yaml"), "File with the node's parameters."),
        argument("namespace", "", "Namespace of the node."),
        argument("required", "false", "Whether all ends when the node does: true or false."),
        argument("rviz", "false", "Whether RViz shows the people and what they are doing: true or false."),
        argument("rviz_config", config("usdrl.rviz"), "What RViz shows."),
        argument("fixed_frame", "camera", "RViz' frame: that of the skeletons, or one that tf leads to it."),
        argument("record", "false", "Whether skeletons and events are recorded into a bag: true or false."),
        argument("record_bag", "", "Directory of the recorded bag; empty: recording_DATE-TIME."),
        argument("storage", "", "Storage of the recorded bag: mcap or sqlite3; empty: mcap."),
        argument("build_engine", "false", "Whether only the TensorRT engine is built: true or false."),
        *(
            argument(name, "", f"{description} Empty: as the parameter file says.")
            for name, (description, _) in parameter_arguments().items()
        ),
    ]
    known = [each.name for each in arguments]
    check = OpaqueFunction(function=lambda context: check_arguments(Path(__file__).name, known))
    return LaunchDescription([check, *arguments, OpaqueFunction(function=perception)])
