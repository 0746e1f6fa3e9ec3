"""Moving and several cameras over DDS."""

from __future__ import annotations

import time

import numpy as np
import pytest
from interface_packages import tf2_messages  # noqa: F401 (a fixture)
from ros_fixtures import RIGHT, Peer, own_domain, perception, pose, wait_until

from usdrl_ros.actions.events import Phase
from usdrl_ros.messages import skeletons_to_message
from usdrl_ros.nodes.conversion import message_types
from usdrl_ros.skeleton.person import Person

pytestmark = pytest.mark.slow

SECOND = 10**9
COMMON = ("input_reliability:=reliable", "input_depth:=1000", "input_timeout_s:=2.0", "fixed_frame:=map")


def skeletons(stamp_ns: int, frame_id: str, person_id: str, joints: np.ndarray):
    """A SkeletonArray of one person."""
    return skeletons_to_message(message_types(), stamp_ns, frame_id, "ntu_25", [Person(person_id, "ntu_25", joints)])


def test_two_cameras_see_one_person_and_one_may_die(model):
    """The camera on the right looks the other way and has ids of its own; the left one stops in the middle."""
    poses = "['left 0 0 1 0 0 0 1', 'right 0 0 5 0 1 0 0']"
    cameras = "['/left/people depth=1000', '/right/people reliability=reliable']"
    parameters = (f"model:={model}", *COMMON, f"inputs:={cameras}", f"camera_poses:={poses}")
    with own_domain() as domain, perception(*parameters) as program, Peer(domain, skeletons=False) as peer:
        publishers = {
            name: peer.node.create_publisher(type(skeletons(1, "", "", pose())), f"{name}/people", 1000)
            for name in ("left", "right")
        }
        peer.wait_for_perception()
        wait_until(lambda: all(each.get_subscription_count() for each in publishers.values()), what="subscriptions")
        now_ns = time.time_ns()
        for number in range(6 * 15):
            now_ns += SECOND // 15
            joints = pose(right_hand_m=0.2 if 15 <= number < 75 else -0.4)
            if number < 45:
                publishers["left"].publish(skeletons(now_ns, "left", "7", joints))
            turned = joints * (-1.0, 1.0, -1.0) + (0.0, 0.0, 4.0)  # half a turn about y, and 4 m away
            publishers["right"].publish(skeletons(now_ns + SECOND // 100, "right", "1", turned))
            time.sleep(0.01)
        wait_until(lambda: any(event.phase is Phase.ENDED for event in peer.events), what=f"ENDED; log:\n{program.log}")
        status = peer.diagnostics()
        assert program.end() == 0
    assert {(event.action, event.frame_id) for event in peer.events} == {(RIGHT, "map")}
    assert [event.phase for event in peer.events].count(Phase.STARTED) == 1
    assert len({event.person_id for event in peer.events}) == 1
    np.testing.assert_allclose(peer.events[-1].position, (0.0, 0.0, 3.0), atol=1e-5)
    assert "camera '/left/people' has sent nothing" in program.log
    assert status["topic"] == "/left/people, /right/people"
    assert "Traceback" not in program.log


def test_a_turning_camera_is_placed_by_tf_and_a_missing_link_is_named(model, tf2_messages):  # noqa: F811
    parameters = (f"model:={model}", *COMMON, "transform_timeout_s:=4.0")
    stamped = pytest.importorskip("geometry_msgs.msg").TransformStamped

    def transform(parent: str, child: str, stamp_ns: int, yaw: float = 0.0):
        message = stamped(child_frame_id=child)
        message.header.frame_id = parent
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
        message.transform.rotation.y, message.transform.rotation.w = np.sin(yaw / 2), np.cos(yaw / 2)
        return tf2_messages(transforms=[message])

    with own_domain() as domain, perception(*parameters) as program, Peer(domain) as peer:
        tf = peer.node.create_publisher(tf2_messages, "/tf", 1000)
        peer.wait_for_perception()
        wait_until(lambda: tf.get_subscription_count(), what="the subscription of /tf")
        now_ns = time.time_ns()

        def play(seconds: float, hand: float, links: tuple[str, ...]) -> None:
            nonlocal now_ns
            for _ in range(round(seconds * 20)):
                now_ns += SECOND // 20
                yaw = 1.0 * (now_ns % (100 * SECOND)) / SECOND  # 57 degrees a second
                cosine, sine = np.cos(yaw), np.sin(yaw)
                turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
                peer.publish(now_ns, {"a": pose(right_hand_m=hand) @ turn})  # as the turned camera sees it
                for child, parent in (("base", "map"), ("camera", "base")):
                    if child in links:
                        tf.publish(transform(parent, child, now_ns, yaw if child == "base" else 0.0))
                time.sleep(0.01)

        play(5.0, -0.4, ("base",))
        wait_until(lambda: "transform" in peer.diagnostics(), what="the status")
        assert "no transform of frame 'camera'" in peer.diagnostics()["transform"]
        wait_until(lambda: "transform_missing" in program.log, what="the warning")
        assert not peer.heard["usdrl/scores"]
        play(1.5, -0.4, ("base", "camera"))
        play(1.5, 0.2, ("base", "camera"))
        play(1.5, -0.4, ("base", "camera"))
        wait_until(lambda: any(event.phase is Phase.ENDED for event in peer.events), what=f"ENDED; log:\n{program.log}")
        wait_until(lambda: "transform" not in peer.diagnostics(), what="a status without fault")
        assert program.end() == 0
    assert [(event.action, event.frame_id) for event in peer.events if event.phase is Phase.STARTED] == [(RIGHT, "map")]
    np.testing.assert_allclose(peer.events[-1].position, (0.0, 0.0, 2.0), atol=1e-5)
    assert "transform_late" not in program.log
    assert "Traceback" not in program.log


def test_fixed_frame_without_the_messages_of_tf_says_what_to_install(model, monkeypatch):
    pytest.importorskip("rclpy")
    try:
        import tf2_msgs.msg  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("tf2_msgs is installed")
    with own_domain(), perception(f"model:={model}", "fixed_frame:=map") as program:
        assert program.wait() == 1
    assert "tf2-msgs" in program.log
    assert "camera_poses" in program.log
