"""The record node's program: skeletons and all that recognition publishes, into a bag.

ros2 run usdrl_ros record [BAG] [--topic /my_tracker/skeletons]
ros2 launch usdrl_ros perception.launch.py record:=true
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

from usdrl_ros.nodes.program import run_program


def main(args: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    return run_program("record", _program, args)


def _program(stop: threading.Event, arguments: Sequence[str]) -> int:
    from usdrl_ros.nodes.recorder import record

    return record(arguments, stop)


if __name__ == "__main__":
    sys.exit(main())
