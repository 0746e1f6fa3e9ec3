# The package on an official ROS 2 image, built, with its CPU engine.
#
#     docker build --build-arg ROS_DISTRO=jazzy --tag usdrl_ros .
#     docker run --rm -it --net host --ipc host usdrl_ros ros2 launch usdrl_ros perception.launch.py source:=zed
#
# --net and --ipc host: DDS finds the nodes of the host, and shares memory with them.

ARG ROS_DISTRO=lyrical
FROM ros:${ROS_DISTRO}-ros-base

# Messages of the sources that are wanted and that the distribution has, by their apt names without ros-DISTRO-; where it
# has them, hri-msgs and hri-actions-msgs, too.
ARG MESSAGES="zed-msgs tf2-msgs"
ENV WORKSPACE=/opt/usdrl \
    PIP_NO_CACHE_DIR=1
WORKDIR ${WORKSPACE}

# What changes rarely comes first: an edit of the code does not install everything anew.
COPY package.xml src/usdrl_ros/
COPY requirements/run.txt src/usdrl_ros/requirements/
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv $(printf "ros-${ROS_DISTRO}-%s " ${MESSAGES}) \
    && rosdep update --rosdistro ${ROS_DISTRO} \
    && rosdep install --from-paths src --ignore-src --rosdistro ${ROS_DISTRO} -t buildtool -t build -t exec -y \
    && rm -rf /var/lib/apt/lists/*

# What rosdep does not know, in a virtual environment: pip cannot replace packages of the system. The distribution's own
# numpy stays, since the messages are built for it. `ros2` itself runs on the system's Python, hence PYTHONPATH.
RUN python3 -m venv --system-site-packages venv \
    && python3 -c "import numpy; print(f'numpy=={numpy.__version__}')" > constraints.txt \
    && venv/bin/python -m pip install -c constraints.txt -r src/usdrl_ros/requirements/run.txt \
    && ln -s venv/lib/python3*/site-packages python
ENV PATH=${WORKSPACE}/venv/bin:${PATH} \
    PYTHONPATH=${WORKSPACE}/python

COPY . src/usdrl_ros
RUN . /opt/ros/${ROS_DISTRO}/setup.sh \
    && colcon build --packages-select usdrl_ros --cmake-args -DBUILD_TESTING=OFF \
        -DPython3_EXECUTABLE=${WORKSPACE}/venv/bin/python \
    && rm -rf build log

RUN sed -i "s|^exec|source ${WORKSPACE}/install/setup.bash\nexec|" /ros_entrypoint.sh
CMD ["ros2", "launch", "usdrl_ros", "perception.launch.py"]
