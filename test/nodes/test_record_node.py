"""The record node over DDS: what is published comes out of the bag, byte for byte, of types that it finds by itself."""

from __future__ import annotations

import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here: run by `make test`")
pytest.importorskip("usdrl_ros.msg", reason="the messages are not built: run by `make test`", exc_type=ImportError)

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_fixtures import Program, own_domain
from usdrl_ros.msg import ActionEvent, ActionVocabulary, SkeletonArray

from usdrl_ros.bags.definitions import definitions_of
from usdrl_ros.bags.reader import Bag, BagError

pytestmark = pytest.mark.slow

MESSAGES = 20


@pytest.fixture
def publishers():
    """A node with one publisher for each of what a robot has."""
    with own_domain() as domain:
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain)
        node = rclpy.create_node("robot", context=context)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        best_effort = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        yield {
            "/tracker/skeletons": node.create_publisher(SkeletonArray, "/tracker/skeletons", best_effort),
            "/usdrl/actions": node.create_publisher(ActionEvent, "/usdrl/actions", 50),
            "/usdrl/vocabulary": node.create_publisher(ActionVocabulary, "/usdrl/vocabulary", latched),
            "/diagnostics": node.create_publisher(DiagnosticArray, "/diagnostics", 50),
            "/extra": node.create_publisher(PoseArray, "/extra", 50),
            "/not_asked_for": node.create_publisher(PoseArray, "/not_asked_for", 50),
        }
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def wait_for_subscribers(publishers, wanted) -> None:
    until = time.monotonic() + 20
    while any(publishers[name].get_subscription_count() < 1 for name in wanted):
        assert time.monotonic() < until, "the record node has not subscribed"
        time.sleep(0.05)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_is_published_is_recorded(publishers, tmp_path: Path, storage: str) -> None:
    bag = tmp_path / "recorded"
    publishers["/usdrl/vocabulary"].publish(ActionVocabulary(model="m", actions=["wave"]))
    recorded = [name for name in publishers if name != "/not_asked_for"]
    parameters = [f"storage:={storage}", "recorder:=rosbags", "topics:=[/extra]"]
    options = [part for parameter in parameters for part in ("-p", parameter)]
    with Program(
        "usdrl_ros.nodes.record", str(bag), "--topic", "/tracker/skeletons", "--ros-args", *options
    ) as program:
        wait_for_subscribers(publishers, recorded)
        for number in range(MESSAGES):
            message = SkeletonArray(layout="ntu_25")
            message.header.stamp.nanosec = number
            publishers["/tracker/skeletons"].publish(message)
            publishers["/usdrl/actions"].publish(ActionEvent(event_id=str(number)))
            publishers["/not_asked_for"].publish(PoseArray())
            time.sleep(0.01)
        publishers["/extra"].publish(PoseArray())
        time.sleep(0.3)
        assert program.end() == 0
    with Bag(bag) as opened:
        counts = {name: topic.count for name, topic in opened.topics.items()}
        assert counts == {
            "/tracker/skeletons": MESSAGES,
            "/usdrl/actions": MESSAGES,
            "/usdrl/vocabulary": 1,
            "/diagnostics": 0,
            "/extra": 1,
        }
        assert [name for name, topic in opened.topics.items() if topic.latched] == ["/usdrl/vocabulary"]
        skeletons = [message.header.stamp.nanosec for _, _, message in opened.messages(["/tracker/skeletons"])]
        assert skeletons == list(range(MESSAGES))
        ((_, stamp_ns, vocabulary),) = opened.messages(["/usdrl/vocabulary"])
        assert vocabulary.actions == ["wave"]
        assert abs(stamp_ns / 1e9 - time.time()) < 60


@contextmanager
def recorder(publishers, bag: Path, storage: str):
    options = ["--topic", "/tracker/skeletons", "--ros-args", "-p", f"storage:={storage}"]
    with Program("usdrl_ros.nodes.record", str(bag), *options) as program:
        wait_for_subscribers(publishers, ["/tracker/skeletons"])
        yield program


def numbers(bag: Path) -> list[int]:
    with Bag(bag) as opened:
        return [message.header.stamp.nanosec for _, _, message in opened.messages(["/tracker/skeletons"])]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_recorder_that_is_killed_loses_the_last_second_at_most(publishers, tmp_path, storage, number) -> None:
    bag, sent = tmp_path / "recorded", []
    with recorder(publishers, bag, storage) as program:
        while len(sent) < 150:
            message = SkeletonArray(layout="ntu_25")
            message.header.stamp.nanosec = len(sent)
            publishers["/tracker/skeletons"].publish(message)
            sent.append(time.monotonic())
            time.sleep(0.02)
        if number == signal.SIGHUP:
            time.sleep(0.3)
        ended = time.monotonic()
        assert program.end(number) == (0 if number == signal.SIGHUP else -number)
    found = numbers(bag)
    assert found == list(range(len(found)))
    if number == signal.SIGHUP:
        assert len(found) == len(sent)
    else:
        lost_s = ended - sent[len(found)] if len(found) < len(sent) else 0.0
        print(f"{storage}: {len(found)} of {len(sent)} messages read, the last {lost_s:.2f} s lost")
        assert lost_s < 1.0 + 0.5  # the machine of the test may be busy for a moment


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_full_disk_is_one_clear_line_and_the_bag_stays_readable(publishers, tmp_path, storage) -> None:
    bag, sent = tmp_path / "recorded", 0
    with recorder(publishers, bag, storage) as program:
        resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (150_000, 150_000))  # stands for the end of the disk
        until = time.monotonic() + 60
        while not (ended := "FATAL" in program.log):
            assert time.monotonic() < until
            message = SkeletonArray(layout="ntu_25" + " " * 2000)
            message.header.stamp.nanosec = sent
            publishers["/tracker/skeletons"].publish(message)
            sent += 1
            time.sleep(0.02)
        assert ended
        assert program.wait() == 1
    assert "Traceback" not in program.log
    (line,) = [line for line in program.log.splitlines() if "FATAL" in line]
    assert f"{bag}: cannot be written: " in line
    assert "what was written before stays readable" in line
    found = numbers(bag)
    assert found  # how many depends on how much came in the half second that a transaction takes
    assert found == list(range(len(found)))


def test_a_bag_is_never_overwritten(tmp_path: Path) -> None:
    with (
        own_domain(),
        Program("usdrl_ros.nodes.record", str(tmp_path), "--ros-args", "-p", "recorder:=rosbags") as program,
    ):
        program.wait_for_log("exists already")
        assert program.wait() == 1


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with own_domain(), Program("usdrl_ros.nodes.record", "--ros-args", "-p", "source:=octopus") as program:
        program.wait_for_log("octopus")
        assert program.wait() == 1


def test_definitions_come_from_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share = tmp_path / "share" / "robot_msgs" / "msg"
    share.mkdir(parents=True)
    (share / "Track.msg").write_text("std_msgs/Header header\nJoint[] joints\nint32 COUNT=3\n")
    (share / "Joint.msg").write_text("float32[3] position\nstring<=8 name\n")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert set(definitions_of("robot_msgs/msg/Track")) == {"robot_msgs/msg/Track", "robot_msgs/msg/Joint"}
    with pytest.raises(BagError, match=r"robot_msgs/msg/Octopus.msg, is not in AMENT_PREFIX_PATH"):
        definitions_of("robot_msgs/msg/Octopus")
