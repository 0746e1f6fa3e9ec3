"""`ros2 run usdrl_ros evaluate BAG ...`: the evaluation, with the live nodes for --live."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from usdrl_ros.evaluation.command import main as evaluate
from usdrl_ros.nodes.live_evaluation import run_bag_live


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; returns its exit code."""
    return evaluate(arguments, run_live=run_bag_live)


if __name__ == "__main__":
    sys.exit(main())
