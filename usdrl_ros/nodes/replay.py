"""The program of the replay node, which plays a rosbag2 bag onto its topics; see `usdrl_ros.nodes.replay_node`.

python -m usdrl_ros.nodes.replay BAG [--rate 2.0] [--loop]
ros2 run usdrl_ros replay --ros-args -p bag:=BAG -p rate:=2.0
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from usdrl_ros.nodes.program import run_program


def main(args: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    return run_program("replay", _program, args)


def _program(stop: threading.Event, arguments: Sequence[str]) -> int:
    from usdrl_ros.nodes.replay_node import replay

    return replay(arguments, stop)


if __name__ == "__main__":
    sys.exit(main())
