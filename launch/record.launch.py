"""Record skeletons and all that recognition publishes into a bag, until the launch ends.

ros2 launch usdrl_ros record.launch.py record_bag:=my_recording input_topic:=/tracker/skeletons
ros2 launch usdrl_ros perception.launch.py record:=true       the same, beside the perception node
"""

from dataclasses import replace
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from usdrl_ros.nodes.launching import USE_SIM_TIME, check_arguments, check_namespace, describe, parameter_values
from usdrl_ros.nodes.program_parameters import RECORD

# Launch arguments that set the node's parameter of the same name, unless they are empty. Only the bag's differs, since
# a launch file that includes this one may have a bag of its own.
OURS = {"bag": "record_bag"}
SPECS = [
    replace(spec, name=OURS.get(spec.name, spec.name))
    for spec in (*RECORD, USE_SIM_TIME)
    if spec.name in ("bag", "source", "input_topic", "storage", "use_sim_time")
]


def record(context):
    given = {spec.name: LaunchConfiguration(spec.name).perform(context) for spec in SPECS}
    values = {name.removeprefix("record_"): value for name, value in parameter_values(SPECS, given).items()}
    namespace = LaunchConfiguration("namespace").perform(context)
    check_namespace(namespace)
    return [
        Node(
            package="usdrl_ros",
            executable="record",
            name="record",
            namespace=namespace,
            parameters=[values] if values else [],
            output="screen",
        )
    ]


def generate_launch_description():
    known = ("namespace", *(spec.name for spec in SPECS))
    return LaunchDescription(
        [
            OpaqueFunction(function=lambda context: check_arguments(Path(__file__).name, known)),
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
            *(
                DeclareLaunchArgument(spec.name, default_value="", description=f"{describe(spec)} Empty: the default.")
                for spec in SPECS
            ),
            OpaqueFunction(function=record),
        ]
    )
