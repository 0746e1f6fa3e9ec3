"""rosbag2 recordings, read and written without ROS, and the true actions that belong to them."""
