r"""From any RGB-D camera to action events: YOLO pose with depth (yolo_ros), and the perception node.

ros2 launch usdrl_ros yolo.launch.py model_file:=yolov8m-pose.pt \
    image:=/camera/color/image_raw depth:=/camera/aligned_depth_to_color/image_raw \
    depth_info:=/camera/aligned_depth_to_color/camera_info target_frame:=camera_link

The camera's own driver runs besides. The arguments of perception.launch.py are taken, too.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from usdrl_ros.nodes.launching import check_arguments, check_driver

# Our argument -> that of yolo_ros, its default, and what it means.
CAMERA = {
    "model_file": ("model", "yolov8m-pose.pt", "The pose model of yolo_ros; not that of this package."),
    "image": ("input_image_topic", "/camera/color/image_raw", "Topic of the colour images."),
    "depth": ("input_depth_topic", "/camera/aligned_depth_to_color/image_raw", "Topic of the depth, aligned to them."),
    "depth_info": ("input_depth_info_topic", "/camera/aligned_depth_to_color/camera_info", "Topic of its camera info."),
    "target_frame": ("target_frame", "camera_link", "Frame of the skeletons, to which tf leads from the camera."),
}


def generate_launch_description():
    yolo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("yolo_bringup"), "launch", "yolo.launch.py"])
        ),
        launch_arguments={
            "use_3d": "True",
            "use_tracking": "True",
            "namespace": "yolo",
            **{theirs: LaunchConfiguration(ours) for ours, (theirs, _, _) in CAMERA.items()},
        }.items(),
    )
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "perception.launch.py")),
        launch_arguments={"source": "yolo_3d", "rviz_frame": LaunchConfiguration("target_frame")}.items(),
    )

    def check(context):
        check_arguments(Path(__file__).name, {each.name for each in description.get_launch_arguments()})
        check_driver("yolo.launch.py", "yolo_bringup", "yolo_3d")

    description = LaunchDescription(
        [
            OpaqueFunction(function=check),
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (_, default, description) in CAMERA.items()
            ),
            perception,
            # Apart, since both sides have arguments of the same name: `model`, `params_file`, `namespace`.
            GroupAction(
                [yolo],
                forwarding=False,
                launch_configurations={name: LaunchConfiguration(name) for name in CAMERA},
            ),
        ]
    )
    return description
