"""Bags and scores: rosbag2 files without ROS (`bags.py`), the library run over them (`run.py`), PKU-MMD's detection metric
(`metrics.py`), and what a person looks at (`report.py`). `python -m usdrl_ros.evaluation BAG ...` strings them together.
"""
