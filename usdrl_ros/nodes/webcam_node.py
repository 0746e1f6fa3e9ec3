"""The webcam node: publishes the people before a plain camera as `usdrl_ros/msg/SkeletonArray`."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from usdrl_ros.camera.monocular import LAYOUT, PoseError, PoseEstimator, Skeletons, focal_length
from usdrl_ros.camera.video import Video, VideoError
from usdrl_ros.messages import skeletons_to_message
from usdrl_ros.msg import SkeletonArray
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.nodes.parameters import declare, values_of
from usdrl_ros.nodes.program_parameters import WEBCAM

TOPIC = "skeletons"


class WebcamNode(Node):
    """Publishes the people in the pictures of a video.

    Raises:
        ParameterError: A parameter given at the start has a value that is not allowed.
    """

    def __init__(self, arguments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__("webcam", start_parameter_services=False, **kwargs)
        declare(self, WEBCAM, arguments)
        self.values = values_of(self, WEBCAM)
        self._publisher = self.create_publisher(SkeletonArray, TOPIC, 10)

    def run(self, video: Video, estimator: PoseEstimator, stop: threading.Event) -> None:
        """Publish until the video or the program ends; stamps are those of the system's clock."""
        focal = focal_length(video.width, self.values["field_of_view_deg"])
        skeletons = Skeletons(focal, video.width, video.height)
        first_ns: int | None = None
        began_ns = self.get_clock().now().nanoseconds
        for video_ns, picture in video.pictures():
            first_ns = video_ns if first_ns is None else first_ns
            stamp_ns = began_ns + video_ns - first_ns
            if stop.wait(max(0.0, (stamp_ns - self.get_clock().now().nanoseconds) / 1e9)):
                return
            frame = skeletons.frame(stamp_ns, estimator.find(video.to_rgb(picture), stamp_ns))
            for problem in frame.problems:
                self.get_logger().warning(problem.message, throttle_duration_sec=5.0)
            types = message_types()
            frame_id = self.values["frame_id"]
            self._publisher.publish(skeletons_to_message(types, stamp_ns, frame_id, LAYOUT, frame.people))


def _parse(arguments: list[str]) -> None:
    """Print the usage, or refuse arguments other than those of ROS."""
    argparse.ArgumentParser(
        prog="webcam",
        description="Publish the people before a plain camera as skeletons.",
        epilog=f"By --ros-args -p NAME:=VALUE: {', '.join(spec.name for spec in WEBCAM)}.",
    ).parse_args(arguments)


def watch(arguments: Sequence[str], stop: threading.Event) -> int:
    """Run the node until the video or the program ends; the exit code."""
    _parse(remove_ros_args(list(arguments)))
    node = WebcamNode(arguments)
    try:
        values = node.values
        model = Path(values["pose_model"]) if values["pose_model"] else None
        began = time.monotonic()
        with (
            PoseEstimator(model, values["people"]) as estimator,
            Video(Path(values["video"]) if values["video"] else values["camera"]) as video,
        ):
            ready_s = time.monotonic() - began
            node.get_logger().info(f"{video.width} x {video.height} at {video.rate:g} Hz, ready after {ready_s:.1f} s")
            node.run(video, estimator, stop)
        return 0
    except (PoseError, VideoError) as error:
        node.get_logger().fatal(str(error))
        return 1
    finally:
        node.destroy_node()
