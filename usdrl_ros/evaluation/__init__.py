"""Bags and scores: `python -m usdrl_ros.evaluation BAG ...`.

rosbag2 without ROS (`bags.py`), the library run over bags (`run.py`), PKU-MMD's detection metric and delays
(`metrics.py`), and what a person looks at (`report.py`).
"""
