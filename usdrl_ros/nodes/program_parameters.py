"""The parameters of the small nodes: what they declare, and what the launch files take as arguments."""

from __future__ import annotations

from usdrl_ros.parameters import ParameterSpec
from usdrl_ros.sources.reader import DEFAULT_SOURCE

OUTPUTS = ("/usdrl/actions", "/usdrl/scores", "/usdrl/vocabulary")
"""Topics that are not played unless they are asked for."""

RECORD = (
    ParameterSpec("bag", "", "Directory of the bag; empty: recording_DATE-TIME in the current directory."),
    ParameterSpec("source", DEFAULT_SOURCE, "What the skeletons are, as for the perception node."),
    ParameterSpec("input_topic", "", "Topic of the skeletons; empty: the source's."),
    ParameterSpec("topics", [], "Topics to record besides."),
    ParameterSpec("storage", "mcap", "Storage of the bag.", choices=("mcap", "sqlite3")),
    ParameterSpec(
        "recorder",
        "rosbags",
        "What records: rosbags, whose bag survives a kill of this node; or ros2bag, the program of ROS.",
        choices=("rosbags", "ros2bag"),
    ),
)

REPLAY = (
    ParameterSpec("bag", "", "Path of the rosbag2 bag: its directory, or one .mcap or .db3 file."),
    ParameterSpec("rate", 1.0, "Speed; 2.0 is twice as fast as recorded.", 0.01, 1000.0),
    ParameterSpec("loop", False, "Whether to start over at the end."),
    ParameterSpec("clock", True, "Whether to publish the bag's time on /clock."),
    ParameterSpec("topics", [], f"Topics to play; empty: all but {', '.join(OUTPUTS)}."),
    ParameterSpec("subscribers", 1, "How many must listen to the skeletons before the first is played.", 1, 100),
    ParameterSpec(
        "wait_for_subscribers_s",
        10.0,
        "Longest wait, in seconds of wall time, until so many listen.",
        0.0,
        3600.0,
    ),
)

WEBCAM = (
    ParameterSpec("camera", 0, "Number of the camera.", 0, 63),
    ParameterSpec("video", "", "A video file instead of a camera; played at its own speed, once."),
    ParameterSpec("pose_model", "", "MediaPipe's pose_landmarker_*.task file; empty: the model in its package."),
    ParameterSpec("people", 1, "Most people to find; more than one needs pose_model.", 1, 16),
    ParameterSpec("field_of_view_deg", 65.0, "The camera's horizontal angle of view, degrees.", 10.0, 170.0),
    ParameterSpec("frame_id", "camera", "Frame of the skeletons: the camera's optical frame."),
)
