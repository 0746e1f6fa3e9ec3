"""The program of the perception node: skeletons in, action events out; see `usdrl_ros.nodes.perception_node`.

ros2 run usdrl_ros perception
python -m usdrl_ros.nodes.perception --ros-args --params-file config/perception.yaml
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from usdrl_ros.nodes.program import run_program


def main(args: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    return run_program("perception", _program, args)


def _program(stop: threading.Event, arguments: Sequence[str]) -> int:
    from usdrl_ros.nodes.perception_node import perceive

    return perceive(arguments, stop)


if __name__ == "__main__":
    sys.exit(main())
