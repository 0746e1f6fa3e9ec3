"""Reading SkeletonArray messages: what is right comes out as it went in, what is wrong harms nobody else."""

from __future__ import annotations

import re
from array import array
from types import SimpleNamespace

import numpy as np
import pytest

from usdrl_ros.sources.reader import read_skeleton_array


def skeleton(person_id: str = "a", positions: object = None, confidences: object = ()) -> SimpleNamespace:
    positions = np.arange(75, dtype=np.float32) if positions is None else positions
    return SimpleNamespace(person_id=person_id, positions=positions, confidences=confidences)


def message(*skeletons: SimpleNamespace, layout: str = "ntu_25", sec: int = 3, nanosec: int = 7) -> SimpleNamespace:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id="camera")
    return SimpleNamespace(header=header, layout=layout, skeletons=list(skeletons))


@pytest.mark.parametrize("kind", [list, np.array, lambda x: array("f", x)], ids=["list", "numpy", "array"])
def test_what_is_right_comes_out_as_it_went_in(kind: type) -> None:
    rng = np.random.default_rng(0)
    joints, confidence = rng.normal(0, 1, (17, 3)).astype(np.float32), rng.random(17).astype(np.float32)
    joints[4] = np.nan
    given = skeleton("p 1", kind(joints.flatten().tolist()), kind(confidence.tolist()))
    unsure = skeleton("p 2", kind(joints.flatten().tolist()), kind([]))
    frame = read_skeleton_array(message(given, unsure, layout="coco_17"))
    assert frame.problems == []
    assert (frame.stamp_ns, frame.frame_id) == (3_000_000_007, "camera")
    assert [(person.person_id, person.layout) for person in frame.people] == [("p 1", "coco_17"), ("p 2", "coco_17")]
    np.testing.assert_array_equal(frame.people[0].joints, joints)
    np.testing.assert_array_equal(frame.people[0].confidence, confidence)
    assert frame.people[1].confidence is None


@pytest.mark.parametrize(("sec", "nanosec"), [(0, 0), (-1, 999_999_999), (1_700_000_000, 123_456_789), (2**31 - 1, 1)])
def test_stamps_are_exact(sec: int, nanosec: int) -> None:
    frame = read_skeleton_array(message(sec=sec, nanosec=nanosec))
    assert frame.stamp_ns == sec * 1_000_000_000 + nanosec
    assert isinstance(frame.stamp_ns, int)
    assert frame.people == []
    assert frame.problems == []


@pytest.mark.parametrize(
    ("wrong", "cause", "says"),
    [
        (skeleton("w", np.zeros(74, np.float32)), "wrong_size", "person 'w' .*74 position values, .*'ntu_25' needs 75"),
        (skeleton("w", np.zeros(51, np.float32)), "wrong_size", "51 position values"),
        (skeleton("w", []), "wrong_size", "0 position values"),
        (skeleton("w", confidences=[1.0] * 24), "wrong_size", "24 confidences, layout 'ntu_25' needs 25, or none"),
        (skeleton(""), "no_person_id", "give each an id"),
        (skeleton("a"), "repeated_person", "person 'a' ignored: the id occurs twice"),
    ],
)
def test_what_is_wrong_is_reported_and_the_others_are_taken(wrong: SimpleNamespace, cause: str, says: str) -> None:
    frame = read_skeleton_array(message(skeleton("a"), wrong, skeleton("b")))
    assert [person.person_id for person in frame.people] == ["a", "b"]
    (problem,) = frame.problems
    assert problem.cause == cause
    assert re.search(says, problem.message)


def test_a_malformed_namesake_does_not_take_the_place_of_the_right_one() -> None:
    frame = read_skeleton_array(message(skeleton("a", [1.0]), skeleton("a")))
    assert [person.person_id for person in frame.people] == ["a"]
    assert [problem.cause for problem in frame.problems] == ["wrong_size"]


@pytest.mark.parametrize("layout", ["", "kinect"])
def test_an_unknown_layout_is_reported_with_those_that_are_known(layout: str) -> None:
    frame = read_skeleton_array(message(skeleton("a"), layout=layout))
    assert frame.people == []
    assert frame.stamp_ns == 3_000_000_007
    (problem,) = frame.problems
    assert problem.cause == "unknown_layout"
    assert f"'{layout}'" in problem.message
    assert "coco_17, " in problem.message
    assert "ntu_25, " in problem.message


def test_nan_is_passed_on_as_unseen() -> None:
    frame = read_skeleton_array(message(skeleton("a", np.full(75, np.nan, np.float32), np.full(25, np.nan))))
    assert frame.problems == []
    assert np.isnan(frame.people[0].joints).all()
