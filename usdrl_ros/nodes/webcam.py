"""The program of the webcam node: a camera's pictures in, skeletons out; see `usdrl_ros.nodes.webcam_node`.

ros2 run usdrl_ros webcam
ros2 run usdrl_ros webcam --ros-args -p video:=clip.mp4
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from usdrl_ros.nodes.program import run_program


def main(args: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    return run_program("webcam", _program, args)


def _program(stop: threading.Event, arguments: Sequence[str]) -> int:
    from usdrl_ros.nodes.webcam_node import watch

    return watch(arguments, stop)


if __name__ == "__main__":
    sys.exit(main())
