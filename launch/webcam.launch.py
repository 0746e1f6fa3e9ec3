"""Recognise the people before a webcam: MediaPipe's pose and the perception node.

ros2 launch usdrl_ros webcam.launch.py
ros2 launch usdrl_ros webcam.launch.py video:=clip.mp4
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Parameters of the webcam node: default and meaning.
PARAMETERS = {
    "camera": ("0", "Number of the camera.", int),
    "video": ("", "A video file instead of a camera.", str),
    "pose_model": ("", "MediaPipe's pose_landmarker_*.task file; empty: the model in its package.", str),
    "people": ("1", "Most people to find; more than one needs pose_model.", int),
    "field_of_view_deg": ("65.0", "The camera's horizontal angle of view, degrees.", float),
    "frame_id": ("camera", "Frame of the skeletons.", str),
}


def nodes(context):
    values = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, (_, _, value_type) in PARAMETERS.items()
    }
    webcam = Node(
        package="usdrl_ros",
        executable="webcam",
        name="webcam",
        parameters=[values],
        output="screen",
        on_exit=[Shutdown(reason="the webcam node has ended")],
    )
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("usdrl_ros"), "launch", "perception.launch.py"])
        ),
    )
    return [webcam, perception]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description, _) in PARAMETERS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=nodes)])
