"""From a ZED camera to action events: Stereolabs' wrapper with body tracking, and the perception node.

ros2 launch usdrl_ros zed.launch.py camera_model:=zed2i
ros2 launch usdrl_ros zed.launch.py camera_model:=zed2i svo_path:=recording.svo2 rviz:=true

The arguments of perception.launch.py are taken, too.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from usdrl_ros.nodes.launching import check_arguments, check_driver, check_given

SHARE = FindPackageShare("usdrl_ros")


# Arguments of the wrapper's zed_camera.launch.py: default, and what they mean.
CAMERA = {
    "camera_model": ("", "The camera: zed2i, zedx, zedm, ... Required."),
    "camera_name": ("zed", "Namespace of the wrapper."),
    "serial_number": ("0", "Which of several cameras."),
    "svo_path": ("live", "A recording of the camera, to be played in place of it."),
}


def generate_launch_description():
    name = LaunchConfiguration("camera_name")
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "perception.launch.py")),
        launch_arguments={
            "source": "zed",
            "input_topic": ["/", name, "/zed_node/body_trk/skeletons"],
            "rviz_frame": [name, "_left_camera_frame"],
        }.items(),
    )
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("zed_wrapper"), "launch", "zed_camera.launch.py"])
        ),
        launch_arguments={
            "ros_params_override_path": PathJoinSubstitution([SHARE, "config", "zed_body_tracking.yaml"]),
        }.items(),
    )

    def check(context):
        check_arguments(Path(__file__).name, {each.name for each in description.get_launch_arguments()})
        check_given("camera_model", LaunchConfiguration("camera_model").perform(context), CAMERA["camera_model"][1])
        check_driver("zed.launch.py", "zed_wrapper", "zed")

    description = LaunchDescription(
        [
            *(
                DeclareLaunchArgument(argument, default_value=default, description=description)
                for argument, (default, description) in CAMERA.items()
            ),
            OpaqueFunction(function=check),
            perception,
            # Apart, since both sides have arguments of the same name, `namespace` for instance.
            GroupAction(
                [camera],
                forwarding=False,
                launch_configurations={argument: LaunchConfiguration(argument) for argument in CAMERA},
            ),
        ]
    )
    return description
