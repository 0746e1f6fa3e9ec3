# The package on an official ROS 2 image, built, with its CPU engine.
#
#     docker build --build-arg ROS_DISTRO=jazzy --tag usdrl_ros .
#     docker run --rm -it --net host --ipc host usdrl_ros ros2 launch usdrl_ros perception.launch.py source:=zed
#
# --net and --ipc host: DDS finds the nodes of the host, and shares memory with them.

ARG ROS_DISTRO=kilted
FROM ros:${ROS_DISTRO}-ros-base

ENV WORKSPACE=/opt/usdrl \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR ${WORKSPACE}

# What changes rarely comes first: an edit of the code does not install everything anew.
COPY package.xml src/usdrl_ros/
COPY requirements/run.txt src/usdrl_ros/requirements/
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip \
    && rosdep update --rosdistro ${ROS_DISTRO} \
    && rosdep install --from-paths src --ignore-src --rosdistro ${ROS_DISTRO} -t buildtool -t build -t exec -y \
    && rm -rf /var/lib/apt/lists/*

# What rosdep does not know; the distribution's own numpy stays, since the messages are built for it.
RUN python3 -c "import numpy; print(f'numpy=={numpy.__version__}')" > constraints.txt \
    && python3 -m pip install -c constraints.txt -r src/usdrl_ros/requirements/run.txt

COPY . src/usdrl_ros
RUN . /opt/ros/${ROS_DISTRO}/setup.sh \
    && colcon build --packages-select usdrl_ros --cmake-args -DBUILD_TESTING=OFF \
    && rm -rf build log

RUN sed -i "s|^exec|source ${WORKSPACE}/install/setup.bash\nexec|" /ros_entrypoint.sh
CMD ["ros2", "launch", "usdrl_ros", "perception.launch.py"]
