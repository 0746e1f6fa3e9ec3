"""`python -m usdrl_ros.evaluation BAG ...`: the evaluation without ROS."""

from __future__ import annotations

import sys

from usdrl_ros.evaluation.command import main

if __name__ == "__main__":
    sys.exit(main())
