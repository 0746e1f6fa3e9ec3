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

MISSING = [name for name in ("launch", "launch_ros") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
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


def launched(tmp_path: Path, name: str, package: str, file: str, arguments: dict[str, str], *given: str):
    """What the driver's launch file was given, and what the perception node said."""
    share = tmp_path / "share" / package / "launch"
    share.mkdir(parents=True)
    (share / file).write_text(STAND_IN.replace("{arguments}", repr(arguments)))
    marker = tmp_path / "share" / "ament_index" / "resource_index" / "packages" / package
    marker.parent.mkdir(parents=True)
    marker.touch()
    with own_domain():
        environment = {
            **os.environ,
            "GIVEN": str(tmp_path / "given.json"),
            "AMENT_PREFIX_PATH": f"{tmp_path}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}",
        }
        command = [sys.executable, "-c", RUN, str(ROOT / "launch" / name), *given]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
    return json.loads((tmp_path / "given.json").read_text()), done.stdout + done.stderr


def test_zed(tmp_path):
    arguments = {"camera_name": "zed", "camera_model": "", "namespace": "", "use_sim_time": "false"}
    arguments |= {"ros_params_override_path": "", "svo_path": "live", "serial_number": "0"}
    model = write_model(tmp_path / "hands.onnx")
    given, said = launched(
        tmp_path, "zed.launch.py", "zed_wrapper", "zed_camera.launch.py", arguments,
        "camera_model:=zed2i", "camera_name:=front", f"model:={model}",
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


def test_yolo(tmp_path):
    arguments = {"model": "yolov8m.pt", "use_3d": "False", "use_tracking": "True", "namespace": "yolo"}
    arguments |= {"params_file": "theirs.yaml", "input_image_topic": "", "input_depth_topic": ""}
    arguments |= {"input_depth_info_topic": "", "target_frame": "base_link"}
    model = write_model(tmp_path / "hands.onnx")
    given, said = launched(
        tmp_path, "yolo.launch.py", "yolo_bringup", "yolo.launch.py", arguments,
        "image:=/rgb", f"model:={model}",
    )  # fmt: skip
    assert (given["model"], given["use_3d"], given["input_image_topic"]) == ("yolov8m-pose.pt", "True", "/rgb")
    assert (given["params_file"], given["namespace"], given["target_frame"]) == ("theirs.yaml", "yolo", "camera_link")
    assert "source 'yolo_3d' needs the message yolo_msgs/msg/DetectionArray" in said or (
        "watching /yolo/detections_3d (source 'yolo_3d'" in said
    )


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
    assert nodes("record:=true") == ["perception", "record"]
    assert nodes("rviz:=true") == ["perception", "rviz2"]
    with pytest.raises(AssertionError, match="launch argument record is 'maybe', expected true or false"):
        nodes("record:=maybe")
