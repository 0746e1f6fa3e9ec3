"""`zed.launch.py` and `yolo.launch.py` with stand-ins for the drivers' packages: what each side is given, for real.

The stand-ins declare the arguments that the drivers' own launch files have, and write down what they got.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ros_fixtures import ROOT, own_domain, write_model

from usdrl_ros.nodes.launching import (
    LaunchFileError,
    check_arguments,
    check_given,
    check_namespace,
    has_package,
    is_true,
    parameter_values,
    skeleton_frame,
)
from usdrl_ros.perception_parameters import PARAMETERS

pytestmark = pytest.mark.slow


def test_arguments_are_checked_of_the_launch_file_that_is_started():
    known = ("source", "start_threshold")
    command = ["ros2", "launch", "usdrl_ros", "perception.launch.py", "source:=zed", "--show-args"]
    check_arguments("perception.launch.py", known, command)
    with pytest.raises(LaunchFileError, match="start_treshold is not known: did you mean start_threshold"):
        check_arguments("perception.launch.py", known, [*command, "start_treshold:=1"])
    with pytest.raises(LaunchFileError, match="threshold is not known: did you mean start_threshold"):
        check_arguments("perception.launch.py", known, [*command, "threshold:=1"])
    check_arguments("perception.launch.py", known, ["ros2", "launch", "robot", "robot.launch.py", "lidar:=true"])


GIVEN = {
    "association": ("on", "on"),  # a word, whatever YAML makes of it
    "layout": ("007", "007"),
    "rate": ("10", 10.0),
    "threads": ("2", 2),
    "markers": ("False", False),
    "inputs": ("[/a source=zed, /b]", ["/a source=zed", "/b"]),
    "enabled_actions": ("[on, wave]", ["on", "wave"]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_texts_of_the_command_line_become_values_of_their_parameters(name):
    text, value = GIVEN[name]
    assert parameter_values(PARAMETERS, {name: text, "model": ""}) == {name: value}


WRONG = {
    "start_threshold": ("7", "launch argument start_threshold is 7.0, must be a number from 0.01 to 1"),
    "end_threshold": ("low", "launch argument end_threshold is 'low', must be a number from 0 to 1"),
    "association": ("off_", "launch argument association is 'off_', must be one of auto, on, off; did you mean off?"),
    "markers": ("maybe", "launch argument markers is 'maybe', must be true or false"),
    "inputs": ("/a", "launch argument inputs is '/a', must be a list of strings"),
    "threads": ("1.5", "launch argument threads is '1.5', must be an integer from 1 to 64"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused_with_what_is_expected(name):
    text, fault = WRONG[name]
    with pytest.raises(LaunchFileError) as caught:
        parameter_values(PARAMETERS, {name: text})
    assert str(caught.value) == fault


def test_namespaces_and_missing_arguments():
    for name in ("", "/", "robot_1", "/robot_1/head"):
        check_namespace(name)
    for name in ("1robot", "a b", "a//b", "robot/"):
        with pytest.raises(LaunchFileError, match="launch argument namespace is"):
            check_namespace(name)
    with pytest.raises(LaunchFileError, match="launch argument bag is missing: path of the bag"):
        check_given("bag", "", "Path of the bag.")
    assert (is_true("rviz", "TRUE"), is_true("rviz", "false")) == (True, False)


def test_rviz_opens_on_the_frame_of_the_source(tmp_path):
    assert skeleton_frame("yolo_3d") == "base_link"
    assert skeleton_frame("zed") == "zed_left_camera_frame"
    assert skeleton_frame("skeletons") == skeleton_frame("no_such") == "camera"


MISSING = [name for name in ("launch", "launch_ros") if importlib.util.find_spec(name) is None]
needs_launch = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} not installed: source a ROS 2 installation"
)

STAND_IN = """
import json, os
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction

def write(context):
    with open(os.environ["GIVEN"], "w") as file:
        json.dump(dict(context.launch_configurations), file)

def generate_launch_description():
    arguments = {arguments}
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default) for name, default in arguments.items()),
        OpaqueFunction(function=write),
    ])
"""

# Ends the launch once the perception node has said what it watches.
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import EmitEvent, IncludeLaunchDescription, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessIO
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource

def heard(event):
    text = event.text.decode()
    sys.stdout.write(text)
    return [EmitEvent(event=Shutdown())] if "watching" in text or "ERROR" in text else None

given = [argument.split(":=") for argument in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([
    RegisterEventHandler(OnProcessIO(on_stderr=heard)),
    TimerAction(period=60.0, actions=[EmitEvent(event=Shutdown())]),
    IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=given),
]))
sys.exit(service.run())
"""


def launched(
    tmp_path: Path, name: str, package: str, file: str, arguments: dict[str, str], *given: str, messages: str
) -> tuple[dict | None, str, int]:
    """What the driver's launch file was given, if it was started; what was logged; and the exit code.

    `messages` is a package of that name without messages in it: enough for the check of the launch file.
    """
    if messages:
        (tmp_path / "python" / messages).mkdir(parents=True)
        (tmp_path / "python" / messages / "__init__.py").touch()
    share = tmp_path / "share" / package / "launch"
    share.mkdir(parents=True)
    (share / file).write_text(STAND_IN.replace("{arguments}", repr(arguments)))
    marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / package
    marker.parent.mkdir(parents=True)
    marker.touch()
    with own_domain():
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tmp_path / 'python'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "GIVEN": str(tmp_path / "given.json"),
            "AMENT_PREFIX_PATH": f"{tmp_path}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}",
        }
        command = [sys.executable, "-c", RUN, str(ROOT / "launch" / name), *given]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
    file_given = tmp_path / "given.json"
    found = json.loads(file_given.read_text()) if file_given.exists() else None
    return found, done.stdout + done.stderr, done.returncode


@needs_launch
def test_zed(tmp_path):
    arguments = {"camera_name": "zed", "camera_model": "", "namespace": "", "use_sim_time": "false"}
    arguments |= {"ros_params_override_path": "", "svo_path": "live", "serial_number": "0"}
    model = write_model(tmp_path / "hands.onnx")
    given, said, _ = launched(
        tmp_path, "zed.launch.py", "zed_wrapper", "zed_camera.launch.py", arguments,
        "camera_model:=zed2i", "camera_name:=front", f"model:={model}", messages="zed_msgs",
    )  # fmt: skip
    assert (given["camera_model"], given["camera_name"], given["svo_path"]) == ("zed2i", "front", "live")
    override = Path(given["ros_params_override_path"])
    assert "bt_enabled: true" in override.read_text()
    assert given["namespace"] == ""
    assert "params_file" not in given  # ours is not the driver's
    # The messages are no part of this machine, or they are, and it watches the camera's topic.
    assert "source 'zed' needs the message zed_msgs/msg/ObjectsStamped" in said or (
        "watching /front/zed_node/body_trk/skeletons (source 'zed'" in said
    )


@needs_launch
def test_yolo(tmp_path):
    arguments = {"model": "yolov8m.pt", "use_3d": "False", "use_tracking": "True", "namespace": "yolo"}
    arguments |= {"params_file": "theirs.yaml", "input_image_topic": "", "input_depth_topic": ""}
    arguments |= {"input_depth_info_topic": "", "target_frame": "base_link"}
    model = write_model(tmp_path / "hands.onnx")
    given, said, _ = launched(
        tmp_path, "yolo.launch.py", "yolo_bringup", "yolo.launch.py", arguments,
        "image:=/rgb", f"model:={model}", messages="yolo_msgs",
    )  # fmt: skip
    assert (given["model"], given["use_3d"], given["input_image_topic"]) == ("yolov8m-pose.pt", "True", "/rgb")
    assert (given["params_file"], given["namespace"], given["target_frame"]) == ("theirs.yaml", "yolo", "camera_link")
    assert "source 'yolo_3d' needs the message yolo_msgs/msg/DetectionArray" in said or (
        "watching /yolo/detections_3d (source 'yolo_3d'" in said
    )


@needs_launch
@pytest.mark.skipif(importlib.util.find_spec("zed_msgs") is not None, reason="zed_msgs is installed here")
def test_nothing_is_started_where_the_messages_or_the_driver_are_missing(tmp_path):
    given, said, code = launched(
        tmp_path, "zed.launch.py", "zed_wrapper", "zed_camera.launch.py", {}, "camera_model:=zed2i", messages=""
    )
    assert (given, code) == (None, 1)
    assert "zed.launch.py needs the message zed_msgs/msg/ObjectsStamped, which is not installed" in said
    assert "process started" not in said
    (tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "zed_wrapper").unlink()
    command = [sys.executable, "-c", RUN, str(ROOT / "launch" / "zed.launch.py"), "camera_model:=zed2i"]
    with own_domain():
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "zed.launch.py needs the package zed_wrapper, which is not installed" in done.stdout + done.stderr
    assert "process started" not in done.stdout + done.stderr


REFUSED = {
    "respawn:=true required:=true": "launch arguments required and respawn are both true",
    "start_threshold:=7": "launch argument start_threshold is 7.0, must be a number from 0.01 to 1",
    "namespace:=1robot": "launch argument namespace is '1robot', expected names of letters",
    "start_treshold:=0.3": "launch argument start_treshold is not known: did you mean start_threshold?",
    "params_file:=/no/such/file.yaml": "launch argument params_file is '/no/such/file.yaml': there is no such file",
    "record:=maybe": "launch argument record is 'maybe', must be true or false",
}


@needs_launch
@pytest.mark.parametrize("argument", REFUSED)
def test_wrong_arguments_are_refused_before_anything_is_started(tmp_path, argument):
    command = [sys.executable, "-c", RUN, str(ROOT / "launch" / "perception.launch.py"), *argument.split()]
    with own_domain():
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert REFUSED[argument] in done.stdout + done.stderr
    assert "process started" not in done.stdout + done.stderr


@needs_launch
def test_every_parameter_of_the_node_is_a_launch_argument(tmp_path):
    model = write_model(tmp_path / "hands.onnx")
    given = (
        f"model:={model}",
        "association:=on",
        "start_threshold:=0.6",
        "max_people:=3",
        "markers:=false",
        "rviz:=true",
    )
    command = [sys.executable, "-c", RUN, str(ROOT / "launch" / "perception.launch.py"), *given]
    with own_domain():
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert "watching /skeletons" in said
    assert "is not known" not in said
    assert "rviz2 is not installed" in said or "rviz2" in said


@needs_launch
def test_engine_and_recording_arguments(tmp_path):
    """`build_engine:=true` starts the builder in place of the node, `record:=true` the recorder beside it."""
    script = (
        "import sys; from launch import LaunchContext; from launch.launch_description_sources import "
        "get_launch_description_from_python_launch_file as load; from launch.actions import OpaqueFunction\n"
        "description = load(sys.argv[1]); context = LaunchContext()\n"
        "context.launch_configurations.update(argument.split(':=') for argument in sys.argv[2:])\n"
        "def visit(entity):\n"
        "    condition = getattr(entity, 'condition', None)\n"
        "    if condition is not None and not condition.evaluate(context): return\n"
        "    if type(entity).__name__ == 'Node': print('NODE', entity.node_executable)\n"
        "    else: [visit(child) for child in entity.visit(context) or []]\n"
        "for entity in description.entities: visit(entity)\n"
    )

    def nodes(*given: str) -> list[str]:
        command = [sys.executable, "-c", script, str(ROOT / "launch" / "perception.launch.py"), *given]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("NODE")]

    assert nodes() == ["perception"]
    assert nodes("build_engine:=true", "model:=m.onnx", "precision:=fp16") == ["build_engine"]
    assert nodes("record:=true") == ["record", "perception"]  # the recorder's arguments are checked first
    assert nodes("rviz:=true") == ["perception", *(["rviz2"] if has_package("rviz2") else [])]
    with pytest.raises(AssertionError, match="launch argument record is 'maybe', must be true or false"):
        nodes("record:=maybe")


@needs_launch
def test_the_robots_launch_file(tmp_path):
    model = write_model(tmp_path / "hands.onnx")
    robot = str(ROOT / "launch" / "robot.launch.py")

    def run(*given: str) -> tuple[str, int]:
        command = [sys.executable, "-c", RUN, robot, f"model:={model}", *given]
        with own_domain():
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr, done.returncode

    said, _ = run("namespace:=robot_1", "use_sim_time:=true")
    assert "watching /robot_1/skeletons" in said
    said, code = run("use_sim_time:=maybe")
    assert (code, "process started" in said) == (1, False)
    assert "launch argument use_sim_time is 'maybe', must be true or false" in said
    if not has_package("nav2_lifecycle_manager"):
        said, code = run("managed:=true")
        assert (code, "process started" in said) == (1, False)
        assert "managed:=true needs nav2_lifecycle_manager, which is not installed: " in said
