# What differs between the ROS 2 distributions, in this one place; ROS_DISTRO is set when it is read.
#
#            Python of its containers   from PyPI   rclpy
#   humble   3.10 (Ubuntu 22.04)        no          3
#   jazzy    3.12 (Ubuntu 24.04)        yes         7
#   kilted   3.12 (Ubuntu 24.04)        yes         9
#   lyrical  3.14 (Ubuntu 26.04)        no          10
#
# What differs in rclpy itself is in usdrl_ros/nodes/distribution.py.

# Humble knows an older variable for "talk to this machine only".
LOCAL_ONLY := $(if $(filter humble,$(ROS_DISTRO)),ROS_LOCALHOST_ONLY=1,ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST)

# The distributions that can be installed from PyPI, and what CMake asks for there besides the wheels of all. Jazzy's
# ament_cmake_ros wants the test packages even where no test is built; Kilted has split the core off.
ON_PYPI := jazzy kilted
WHEELS_jazzy := ament-cmake-gmock ament-cmake-gtest ament-cmake-pytest
WHEELS_kilted := ament-cmake-ros-core

WHEELS := 'ros-rclpy[fastrtps]' ros-python-cmake-module cmake ninja $(addprefix ros-$(ROS_DISTRO)-, \
            rclpy action-msgs std-msgs geometry-msgs visualization-msgs diagnostic-msgs lifecycle-msgs rosgraph-msgs ament-package \
            ament-cmake ament-cmake-python ament-cmake-include-directories ament-cmake-ros rosidl-core-generators \
            rosidl-default-generators $(WHEELS_$(ROS_DISTRO)))
