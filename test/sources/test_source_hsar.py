"""MediaPipe's landmarks in a row: read as 33 joints of one person, who is nobody while `valid` is false."""

from __future__ import annotations

import time

import numpy as np
import pytest
from interface_packages import interface_packages  # noqa: F401 (a fixture)
from source_messages import header, in_layout, plain

from usdrl_ros.actions.events import Phase
from usdrl_ros.scene.naming import Naming
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.sources.reader import SourceReader, load_source

SOURCE = load_source("hsar")


def landmarks(joints: np.ndarray) -> list[float]:
    """The 99 numbers of a person in NTU-25 and Kinect's axes, in those of the camera."""
    return (in_layout(joints, load_layout("mediapipe_33")) @ SOURCE.to_kinect).astype(np.float32).ravel().tolist()


def test_landmarks_in_a_row_are_a_person():
    joints = np.random.default_rng(0).normal(0, 0.4, (25, 3))
    naming, reader = Naming(), SourceReader(SOURCE)
    for number in range(3):
        row = landmarks(joints)
        row[3:6] = [0.0, 0.0, 0.0]  # not found
        message = plain("", header=header(plain, (number + 1) * 10**9, "camera"), landmarks=row, valid=number != 1)
        frame = naming.update(reader.read(message))
        assert (frame.stamp_ns, frame.frame_id, frame.problems) == ((number + 1) * 10**9, "camera", [])
        assert [person.person_id for person in frame.people] == ([] if number == 1 else ["track_1"])
        for person in frame.people:
            expected = np.float32(row).reshape(33, 3)
            expected[1] = np.nan
            np.testing.assert_array_equal(person.joints, expected)


@pytest.mark.slow
def test_landmarks_over_dds_become_events(tmp_path, interface_packages):  # noqa: F811
    from hsar_msgs.msg import HumanPose3D
    from ros_fixtures import RIGHT, Peer, own_domain, perception, pose, wait_until, write_model
    from std_msgs.msg import Header

    model = write_model(tmp_path / "hands.onnx")
    with own_domain() as domain, Peer(domain, skeletons=False) as peer:
        publisher = peer.node.create_publisher(HumanPose3D, SOURCE.topic, 100)
        with perception(f"model:={model}", "source:=hsar", "input_depth:=1000") as program:
            peer.wait_for_perception()
            wait_until(publisher.get_subscription_count, what="the subscription")
            now_ns = time.time_ns()
            for number in range(90):
                head = Header(frame_id="camera")
                head.stamp.sec, head.stamp.nanosec = divmod(now_ns + number * 10**9 // 30, 10**9)
                joints = pose(right_hand_m=0.3 if 30 <= number < 70 else -0.4)
                publisher.publish(HumanPose3D(header=head, landmarks=landmarks(joints), valid=True))
                time.sleep(0.02)
            wait_until(lambda: [e.action for e in peer.events if e.phase == Phase.STARTED] == [RIGHT], what="STARTED")
            assert {event.person_id for event in peer.events} == {"track_1"}
            assert program.end() == 0
