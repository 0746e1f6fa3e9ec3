"""ROS4HRI's bodies over DDS: our people as bodies for its tools, and its bodies as input."""

from __future__ import annotations

import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped, TransformStamped
from interface_packages import interface_packages  # noqa: F401 (a fixture)
from ros_fixtures import LEFT, RIGHT, Peer, perception, pose, wait_until
from std_msgs.msg import Header

from usdrl_ros.actions.events import Phase
from usdrl_ros.messages import message_to_transforms, time_to_ns
from usdrl_ros.nodes.perception import main
from usdrl_ros.scene.bodies import LINKS
from usdrl_ros.scene.transforms import TransformBuffer
from usdrl_ros.skeleton.layouts import NTU_25

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("interface_packages")]
SECOND = 10**9
RELIABLE = ("input_reliability:=reliable", "input_depth:=1000")


def test_people_are_published_as_bodies(domain, model):
    from hri_msgs.msg import IdsList
    from tf2_msgs.msg import TFMessage

    with perception(f"model:={model}", "hri_bodies:=true", *RELIABLE) as program, Peer(domain) as peer:
        peer.listen(IdsList, "/humans/bodies/tracked")
        peer.listen(TFMessage, "/tf")
        peer.listen(PointStamped, "/humans/bodies/ann/position")
        peer.wait_for_perception()
        now_ns = time.time_ns()
        moved = pose(right_hand_m=0.1) + np.float32([0.5, 0.0, 0.0])
        for number in range(30):
            peer.publish(now_ns + number * SECOND // 30, {"ann": pose(), "7": moved})
            time.sleep(0.03)
        wait_until(lambda: peer.heard["/humans/bodies/ann/position"] and len(peer.heard["/tf"]) > 20, what="bodies")
        ids = peer.heard["/humans/bodies/tracked"][-1]
        assert (list(ids.ids), ids.header.frame_id) == (["ann", "p7"], "camera")

        buffer = TransformBuffer()
        for message in peer.heard["/tf"]:
            for parent, child, stamp_ns, translation, rotation in message_to_transforms(message):
                assert not buffer.add(parent, child, stamp_ns, translation, rotation)
        stamp_ns = time_to_ns(peer.heard["/tf"][-1].transforms[0].header.stamp)
        for body, joints in (("ann", pose()), ("p7", moved)):
            for joint, link in LINKS.items():
                found = buffer.lookup("camera", f"{link}_{body}", stamp_ns).pose
                np.testing.assert_allclose(found[:3, 3], joints[NTU_25.index(joint)], atol=1e-5)
        root = buffer.lookup("camera", "body_ann", stamp_ns).pose
        hips = pose()[[NTU_25.index("HipLeft"), NTU_25.index("HipRight")]].mean(0)
        np.testing.assert_allclose(root[:3, 3], hips, atol=1e-5)
        place = peer.heard["/humans/bodies/ann/position"][-1]
        np.testing.assert_allclose([place.point.x, place.point.y, place.point.z], hips, atol=1e-5)

        peer.publish(now_ns + 2 * SECOND, {"ann": pose()})
        wait_until(lambda: list(peer.heard["/humans/bodies/tracked"][-1].ids) == ["ann"], what="who is left")
        assert program.end() == 0
        wait_until(lambda: not peer.heard["/humans/bodies/tracked"][-1].ids, what="that nobody is tracked")


def test_bodies_of_tf_are_an_input(domain, model):
    from hri_msgs.msg import IdsList
    from tf2_msgs.msg import TFMessage

    parameters = (f"model:={model}", "source:=ros4hri", *RELIABLE)
    with Peer(domain, skeletons=False) as peer, perception(*parameters) as program:
        ids = peer.node.create_publisher(IdsList, "/humans/bodies/tracked", 100)
        tf = peer.node.create_publisher(TFMessage, "/tf", 100)
        peer.wait_for_perception()
        wait_until(lambda: ids.get_subscription_count() and tf.get_subscription_count(), what="the subscriptions")
        now_ns = time.time_ns()
        for number in range(90):
            seconds, nanoseconds = divmod(now_ns + number * SECOND // 30, SECOND)
            head = Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id="camera")
            up = 30 <= number < 70
            people = {"f8a2c": pose(right_hand_m=0.3 if up else -0.4), "b0b": pose(left_hand_m=0.3 if up else -0.4)}
            transforms = []
            for body, joints in people.items():
                for joint, link in LINKS.items():
                    made = TransformStamped(header=head, child_frame_id=f"{link}_{body}")
                    x, y, z = joints[NTU_25.index(joint)].tolist()
                    place = made.transform.translation
                    place.x, place.y, place.z = x, y, z
                    transforms.append(made)
            tf.publish(TFMessage(transforms=transforms))
            ids.publish(IdsList(header=head, ids=[*people, "nobody", "", "x" * 300]))
            time.sleep(0.02)
        started = {("f8a2c", RIGHT), ("b0b", LEFT)}
        wait_until(
            lambda: {(e.person_id, e.action) for e in peer.events if e.phase == Phase.STARTED} == started, what="events"
        )
        wait_until(
            lambda: int(peer.diagnostics().get("problem.no_body_frame", 0)) >= 80, what="the body without frames"
        )
        assert int(peer.diagnostics()["problem.no_person_id"]) >= 160
        assert peer.diagnostics()["source"] == "ros4hri"
        assert program.end() == 0


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        (
            ("source:=ros4hri", "hri_bodies:=true"),
            "hri_bodies publishes what the source ros4hri reads: use one of them",
        ),
        (("source:=ros4hri", "layout:=coco_17"), "source 'ros4hri' has REP-155's layout"),
        (
            ("source:=hri",),
            "positions in the image (2D), the model needs 3D: without depth it is not known where a joint",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(domain, model, capfd, parameters, fault):
    words = [word for parameter in (f"model:={model}", *parameters) for word in ("-p", parameter)]
    assert main(["--ros-args", *words]) == 1
    assert fault in capfd.readouterr().err
