"""What runs as ROS 2 nodes. Thin: parameters, topics, life cycle; what they do is in the library."""
