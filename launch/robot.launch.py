"""The perception node in a robot's system: a namespace, simulated time, nav2's lifecycle manager, a controller.

ros2 launch usdrl_ros robot.launch.py source:=zed namespace:=robot_1
ros2 launch usdrl_ros robot.launch.py source:=zed managed:=true           nav2's lifecycle manager starts and watches it
ros2 launch usdrl_ros robot.launch.py use_sim_time:=true controller:=true         in a simulation, with the greeter

To be copied: each part is what a robot's own launch file needs. The arguments of perception.launch.py are taken, too.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetParameter

from usdrl_ros.installing import install_steps
from usdrl_ros.nodes.launching import LaunchFileError, check_arguments, check_namespace, has_package, is_true

# Names of the arguments: default, and what they mean.
ARGUMENTS = {
    "namespace": ("", "Namespace of all nodes."),
    "use_sim_time": ("false", "Whether /clock gives the time to all nodes: true or false."),
    "managed": ("false", "Whether nav2's lifecycle manager starts and watches the node: true or false."),
    "controller": ("false", "Whether the example greeter answers the events: true or false."),
}


def check(context, known):
    """Refuse what is wrong before anything is started; a managed node leaves the transitions to its manager."""
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    check_arguments(Path(__file__).name, known())
    wanted = {name: is_true(name, given[name]) for name in ("use_sim_time", "managed", "controller")}
    check_namespace(given["namespace"])
    if wanted["managed"]:
        if not has_package("nav2_lifecycle_manager"):
            steps = install_steps(["ros-{distro}-nav2-lifecycle-manager"])
            raise LaunchFileError(f"managed:=true needs nav2_lifecycle_manager, which is not installed: {steps}")
        context.launch_configurations.update(autostart="false", bond="true")


def others(context):
    """The nodes beside perception."""
    namespace = LaunchConfiguration("namespace").perform(context)
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_perception",
        namespace=namespace,
        parameters=[{"node_names": ["perception"], "autostart": True, "bond_timeout": 4.0}],
        output="screen",
    )
    controller = Node(package="usdrl_ros", executable="greeter", namespace=namespace, output="screen")
    nodes = {"managed": manager, "controller": controller}
    return [node for name, node in nodes.items() if is_true(name, LaunchConfiguration(name).perform(context))]


def generate_launch_description():
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).parent / "perception.launch.py"))
    )
    description = LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=check, args=[lambda: {each.name for each in description.get_launch_arguments()}]),
            GroupAction(
                [
                    SetParameter("use_sim_time", LaunchConfiguration("use_sim_time")),  # of every node in the group
                    perception,
                    OpaqueFunction(function=others),
                ]
            ),
        ]
    )
    return description
