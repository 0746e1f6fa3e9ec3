"""Start the perception node: skeletons in, action events out.

ros2 launch usdrl_ros perception.launch.py source:=zed
ros2 launch usdrl_ros perception.launch.py source:=yolo_3d rviz:=true record:=true start_threshold:=0.6
ros2 launch usdrl_ros perception.launch.py fixed_frame:=odom rviz:=true
ros2 launch usdrl_ros perception.launch.py build_engine:=true      builds the TensorRT engine, and ends
ros2 launch usdrl_ros perception.launch.py --show-args
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from usdrl_ros.installing import install_steps
from usdrl_ros.nodes.launching import (
    USE_SIM_TIME,
    LaunchFileError,
    check_arguments,
    check_file,
    check_namespace,
    describe,
    has_package,
    is_true,
    parameter_values,
    skeleton_frame,
)
from usdrl_ros.perception_parameters import PARAMETERS
from usdrl_ros.sources.reader import DEFAULT_SOURCE

SHARE = FindPackageShare("usdrl_ros")
SPECS = (*PARAMETERS, USE_SIM_TIME)


def build_engine(given):
    """The program that builds the model's TensorRT engine and caches it, in place of the node."""
    options = ["--precision", given["precision"]] if given["precision"] else []
    return Node(
        package="usdrl_ros",
        executable="build_engine",
        arguments=[*options, *([given["model"]] if given["model"] else [])],
        output="screen",
        on_exit=[Shutdown(reason="the engine has been built")],
    )


def rviz(given):
    """RViz with the people and what they are doing, where it is installed."""
    if not has_package("rviz2"):
        return LogInfo(msg=f"rviz2 is not installed, RViz is left out: {install_steps(['ros-{distro}-rviz2'])}")
    check_file("rviz_config", given["rviz_config"])
    frame = given["rviz_frame"] or given["fixed_frame"] or skeleton_frame(given["source"] or DEFAULT_SOURCE)
    return Node(
        package="rviz2",
        executable="rviz2",
        name="usdrl_rviz",
        namespace=given["namespace"],
        arguments=["-d", given["rviz_config"], "-f", frame],
        output="log",
    )


def perception(context, names):
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    wanted = {name: is_true(name, given[name]) for name in ("build_engine", "required", "respawn", "rviz", "record")}
    values = parameter_values(SPECS, given)
    check_namespace(given["namespace"])
    if wanted["required"] and wanted["respawn"]:
        raise LaunchFileError("launch arguments required and respawn are both true: the node cannot end all and return")
    if wanted["build_engine"]:
        return [build_engine(given)]
    check_file("params_file", given["params_file"])
    node = Node(
        package="usdrl_ros",
        executable="perception",
        name="perception",
        namespace=given["namespace"],
        parameters=[given["params_file"], *([values] if values else [])],
        output="screen",
        respawn=wanted["respawn"],
        respawn_delay=2.0,
        on_exit=[Shutdown(reason="the perception node has ended")] if wanted["required"] else None,
    )
    record = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([SHARE, "launch", "record.launch.py"]))
    )
    return [
        *([record] if wanted["record"] else []),
        node,
        *([rviz(given)] if wanted["rviz"] else []),
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
        argument("respawn", "false", "Whether the node is started again 2 s after it has ended: true or false."),
        argument("rviz", "false", "Whether RViz shows the people and what they are doing: true or false."),
        argument("rviz_config", config("usdrl.rviz"), "What RViz shows."),
        argument("rviz_frame", "", "RViz' frame; empty: fixed_frame, else the one that the source's publisher uses."),
        argument("record", "false", "Whether skeletons and events are recorded into a bag: true or false."),
        argument("record_bag", "", "Directory of the recorded bag; empty: recording_DATE-TIME."),
        argument("storage", "", "Storage of the recorded bag: mcap or sqlite3; empty: mcap."),
        argument("build_engine", "false", "Whether only the TensorRT engine is built: true or false."),
        *(argument(spec.name, "", f"{describe(spec)} Empty: as the parameter file says.") for spec in SPECS),
    ]
    known = [each.name for each in arguments]
    check = OpaqueFunction(function=lambda context: check_arguments(Path(__file__).name, known))
    return LaunchDescription([check, *arguments, OpaqueFunction(function=perception, args=[known])])
