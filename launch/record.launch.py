"""Record skeletons and all that recognition publishes into a bag, until the launch ends.

ros2 launch usdrl_ros record.launch.py record_bag:=my_recording input_topic:=/tracker/skeletons
ros2 launch usdrl_ros perception.launch.py record:=true       the same, beside the perception node
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from usdrl_ros.nodes.launching import check_arguments

# Launch arguments that set the node's parameter of the same name, unless they are empty. Only the bag's differs, since
# a launch file that includes this one may have a bag of its own.
PARAMETERS = {
    "record_bag": ("Directory of the recorded bag; empty: recording_DATE-TIME in the current directory.", str),
    "source": ("What the skeletons are, as for the perception node.", str),
    "input_topic": ("Topic of the skeletons; empty: the source's.", str),
    "storage": ("Storage of the bag: mcap or sqlite3.", str),
    "use_sim_time": ("Whether /clock gives the time: true or false.", bool),
}


def record(context):
    given = {
        name.removeprefix("record_"): ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, (_, value_type) in PARAMETERS.items()
        if LaunchConfiguration(name).perform(context)
    }
    return [
        Node(
            package="usdrl_ros",
            executable="record",
            name="record",
            namespace=LaunchConfiguration("namespace"),
            parameters=[given],
            output="screen",
        )
    ]


def generate_launch_description():
    known = ("namespace", *PARAMETERS)
    return LaunchDescription(
        [
            OpaqueFunction(function=lambda context: check_arguments(Path(__file__).name, known)),
            DeclareLaunchArgument("namespace", default_value="", description="Namespace of the node."),
            *(
                DeclareLaunchArgument(name, default_value="", description=description)
                for name, (description, _) in PARAMETERS.items()
            ),
            OpaqueFunction(function=record),
        ]
    )
