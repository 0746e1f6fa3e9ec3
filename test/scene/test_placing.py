from __future__ import annotations

import numpy as np

from usdrl_ros.scene.placing import Placing
from usdrl_ros.scene.transforms import TransformBuffer
from usdrl_ros.skeleton.person import Frame, Person

SECOND = 1_000_000_000
HALF = np.sqrt(0.5)


def frame(second: float, camera: str = "camera") -> Frame:
    return Frame(round(second * SECOND), camera, [Person("1", "any", np.array([[1.0, 2.0, 3.0], [np.nan] * 3]))])


def add(buffer: TransformBuffer, second: float, x: float = 0.0, child: str = "camera") -> None:
    """`child` at x, turned by 90 degrees about z."""
    buffer.add("map", child, round(second * SECOND), (x, 0.0, 0.0), (0.0, 0.0, HALF, HALF))


def test_people_are_placed_by_the_pose_at_the_stamp() -> None:
    buffer = TransformBuffer()
    add(buffer, 1.0, x=0.0)
    add(buffer, 2.0, x=10.0)
    (placed,) = Placing("map", buffer, 0.1).push(frame(1.5))
    assert (placed.frame_id, placed.camera, placed.problems) == ("map", "camera", [])
    np.testing.assert_allclose(placed.people[0].joints[0], [5.0 - 2.0, 1.0, 3.0], atol=1e-12)
    assert np.isnan(placed.people[0].joints[1]).all()
    assert placed.pose is not None
    np.testing.assert_allclose(placed.pose[:3, 3], [5.0, 0.0, 0.0])


def test_frames_wait_for_their_pose() -> None:
    buffer = TransformBuffer()
    placing = Placing("map", buffer, 0.5)
    add(buffer, 1.0)
    assert placing.push(frame(1.1)) == []
    assert placing.push(frame(1.2)) == []
    assert placing.waiting == 2
    assert "older than the skeletons" in placing.fault
    add(buffer, 1.15)
    assert [each.stamp_ns for each in placing.poll()] == [round(1.1 * SECOND)]
    add(buffer, 1.3)
    assert [each.stamp_ns for each in placing.poll()] == [round(1.2 * SECOND)]
    assert (placing.waiting, placing.fault) == (0, "")


def test_after_the_timeout_the_last_known_pose_is_used_and_reported() -> None:
    buffer = TransformBuffer()
    placing = Placing("map", buffer, 0.2)
    add(buffer, 1.0, x=4.0)
    assert placing.push(frame(1.1)) == []
    (late,) = placing.push(frame(1.31))
    np.testing.assert_allclose(late.people[0].joints[0], [2.0, 1.0, 3.0], atol=1e-12)
    assert [problem.cause for problem in late.problems] == ["transform_late"]
    assert "from 'map' to 'camera'" in late.problems[0].message
    assert "transform_timeout_s" in late.problems[0].message


def test_what_cannot_be_placed_is_left_out_and_reported() -> None:
    buffer = TransformBuffer()
    add(buffer, 1.0, child="other")
    placing = Placing("map", buffer, 0.2)
    assert placing.push(frame(1.0)) == []
    (lost,) = placing.push(frame(1.3))
    assert lost.people == []
    assert lost.problems[0].cause == "transform_missing"
    assert "no transform of frame 'camera' has come" in lost.problems[0].message
    (nameless,) = placing.push(frame(1.4, camera=""))[-1:]
    assert nameless.problems[-1].cause == "no_frame_id"


def test_what_is_older_than_all_transforms_is_left_out_at_once() -> None:
    buffer = TransformBuffer()
    add(buffer, 5.0)
    (old,) = Placing("map", buffer, 0.2).push(frame(1.0))
    assert old.people == []
    assert old.problems[0].cause == "transform_missing"
    assert "begins 4.000 s after" in old.problems[0].message


def test_cameras_do_not_wait_for_each_other() -> None:
    buffer = TransformBuffer()
    placing = Placing("map", buffer, 1.0)
    add(buffer, 1.0, child="left")
    add(buffer, 2.0, child="left")
    assert placing.push(frame(1.1, "right")) == []
    assert [each.camera for each in placing.push(frame(1.2, "left"))] == ["left"]
    add(buffer, 1.0, child="right")
    add(buffer, 2.0, child="right")
    assert [each.camera for each in placing.poll()] == ["right"]


def test_skeletons_in_the_fixed_frame_stay_as_they_are() -> None:
    given = frame(1.0, "map")
    assert Placing("/map", TransformBuffer(), 0.2).push(given) == [given]


def test_flush_gives_all_that_waits() -> None:
    buffer = TransformBuffer()
    placing = Placing("map", buffer, 5.0)
    add(buffer, 1.0)
    for second in (1.1, 1.2, 1.3):
        assert placing.push(frame(second)) == []
    assert [each.stamp_ns for each in placing.flush()] == [round(second * SECOND) for second in (1.1, 1.2, 1.3)]
    assert placing.waiting == 0


def test_stamps_that_jump_back_drop_what_waits() -> None:
    placing = Placing("map", TransformBuffer(), 5.0)
    placing.push(frame(100.0))
    placing.push(frame(1.0))
    assert placing.waiting == 1


def test_a_turning_camera_sees_people_who_stand_still() -> None:
    buffer = TransformBuffer()
    point = np.array([3.0, 1.0, 0.5])
    placing = Placing("map", buffer, 0.2)
    places = []
    for number in range(60):
        second, angle = 1.0 + number / 30, np.radians(60.0 * number / 30)
        buffer.add(
            "map",
            "camera",
            round(second * SECOND),
            (0.5 * second, 0.0, 1.0),
            (0, 0, np.sin(angle / 2), np.cos(angle / 2)),
        )
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        seen = turn.T @ (point - [0.5 * second, 0.0, 1.0])
        people = [Person("1", "any", seen[None])]
        places += [each.people[0].joints[0] for each in placing.push(Frame(round(second * SECOND), "camera", people))]
    np.testing.assert_allclose(np.stack(places), np.tile(point, (60, 1)), atol=1e-9)
