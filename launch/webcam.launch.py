"""Recognise the people before a webcam: MediaPipe's pose and the perception node.

ros2 launch usdrl_ros webcam.launch.py
ros2 launch usdrl_ros webcam.launch.py video:=clip.mp4

The arguments of perception.launch.py are taken, too.
"""

import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from usdrl_ros.nodes.launching import check_arguments, check_modules, describe, parameter_values
from usdrl_ros.nodes.program_parameters import WEBCAM

# The last version that brings its model has no wheels for Python 3.13; newer ones need pose_model:=FILE.task.
MEDIAPIPE = "mediapipe==0.10.21" if sys.version_info < (3, 13) else "mediapipe"


def checked(context):
    """The node's parameters; wrong arguments are refused."""
    return parameter_values(WEBCAM, {spec.name: LaunchConfiguration(spec.name).perform(context) for spec in WEBCAM})


def webcam(context):
    return [
        Node(
            package="usdrl_ros",
            executable="webcam",
            name="webcam",
            parameters=[checked(context)],
            output="screen",
            on_exit=[Shutdown(reason="the webcam node has ended")],
        )
    ]


def generate_launch_description():
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "perception.launch.py")),
        launch_arguments={"rviz_frame": LaunchConfiguration("frame_id")}.items(),
    )

    def check(context):
        check_arguments(Path(__file__).name, {each.name for each in description.get_launch_arguments()})
        checked(context)  # before anything is started
        check_modules("webcam.launch.py", {"mediapipe": MEDIAPIPE, "cv2": "opencv-contrib-python"})

    description = LaunchDescription(
        [
            *(
                DeclareLaunchArgument(spec.name, default_value=str(spec.default), description=describe(spec))
                for spec in WEBCAM
            ),
            OpaqueFunction(function=check),
            perception,
            OpaqueFunction(function=webcam),
        ]
    )
    return description
