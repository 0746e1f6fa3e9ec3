from __future__ import annotations

import numpy as np
import pytest

from usdrl_ros.demo.actor import View, play
from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.body import (
    CROSSED,
    FORWARD,
    LIMB,
    REACH,
    SIDES,
    SWAPPED,
    UPRIGHT,
    BodyCheck,
    evidence,
    impossible_joints,
)
from usdrl_ros.skeleton.layouts import NTU_25

INDEX = {name: number for number, name in enumerate(NTU_25)}
HEAD, ELBOW, WRIST, HAND, ANKLE = (INDEX[name] for name in ("Head", "ElbowLeft", "WristLeft", "HandLeft", "AnkleLeft"))


@pytest.fixture(scope="module")
def acted() -> np.ndarray:
    """(T, 25, 3) of somebody who waves and walks, at 10 Hz, 2.8 m before the camera, y up."""
    recording = play(["wave", "walk", "pick_up", "clap"], seed=3, rate_hz=10.0, view=View())
    return recording.joints["person_1"]


def run(check: BodyCheck, joints: np.ndarray, up: np.ndarray | None = None) -> tuple[np.ndarray, list[list[Problem]]]:
    """What comes of frames (T, 25, 3) of one person at 10 Hz."""
    taken, problems = [], []
    for number, frame in enumerate(joints):
        found: list[Problem] = []
        taken.append(check.check(number * 100_000_000, frame[None], ["p"], found, up)[0])
        problems.append(found)
    return np.stack(taken), problems


def first(problems: list[list[Problem]], cause: str) -> int | None:
    """Number of the first frame with a cause."""
    return next((number for number, found in enumerate(problems) if cause in {each.cause for each in found}), None)


def test_a_right_body_passes_unchanged(acted: np.ndarray) -> None:
    taken, problems = run(BodyCheck(), acted, up=np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(taken, acted)
    assert not any(problems)


def test_evidence_does_not_depend_on_where_the_camera_stands(acted: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    up = np.array([0.0, 1.0, 0.0])
    moved = evidence(acted @ rotation.T + rng.standard_normal(3), rotation @ up)
    np.testing.assert_allclose(moved[:, :UPRIGHT], evidence(acted, up)[:, :UPRIGHT], atol=1e-6)


def test_evidence_of_a_drawn_body() -> None:
    joints = np.full((1, 25, 3), np.nan)
    for name, place in {
        "SpineBase": (0, 0, 0), "SpineShoulder": (0, 0.5, 0),
        "ShoulderLeft": (0.2, 0.5, 0), "ShoulderRight": (-0.2, 0.5, 0),
        "ElbowLeft": (0.2, 0.2, 0), "ElbowRight": (-0.2, 0.2, 0),
        "HipLeft": (0.1, 0, 0), "HipRight": (-0.1, 0, 0),
        "KneeLeft": (0.1, -0.4, 0), "KneeRight": (-0.1, -0.4, 0),
        "AnkleLeft": (0.1, -0.8, 0), "AnkleRight": (-0.1, -0.8, 0),
        "FootLeft": (0.1, -0.8, 0.1), "FootRight": (-0.1, -0.8, 0.1),
    }.items():  # fmt: skip
        joints[0, INDEX[name]] = place
    said = evidence(joints, np.array([0.0, 1.0, 0.0]))[0]
    assert said[LIMB] == pytest.approx(0.4)  # two of 0.3 m, four of 0.4 m
    assert said[FORWARD] == pytest.approx(1.0)
    assert said[SIDES] == pytest.approx(1.0)
    assert said[CROSSED] == pytest.approx((2 * 0.5 - 2 * 0.3) / 2 / 0.4)
    assert said[UPRIGHT] == pytest.approx(1.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_left_handed_axes_are_reported_within_two_seconds(acted: np.ndarray, axis: int) -> None:
    wrong = acted.copy()
    wrong[..., axis] *= -1
    check = BodyCheck()
    _, problems = run(check, wrong)
    at = first(problems, "mirrored_skeletons")
    assert at is not None
    assert at <= 20
    assert "left-handed" in problems[at][0].message
    assert check.faults == ("mirrored_skeletons",)


def test_swapped_layout_is_reported_and_can_be_mended(acted: np.ndarray) -> None:
    _, problems = run(BodyCheck(), acted[:, SWAPPED])
    assert (first(problems, "mirrored_skeletons") or 99) <= 20
    taken, problems = run(BodyCheck(mend=True), acted[:, SWAPPED])
    assert first(problems, "mirrored_skeletons") is not None
    np.testing.assert_array_equal(taken[25:], acted[25:])


@pytest.mark.parametrize(("factor", "unit"), [(1e3, "millimetres"), (1e2, "centimetres")])
def test_units_are_reported_and_can_be_mended(acted: np.ndarray, factor: float, unit: str) -> None:
    taken, problems = run(BodyCheck(), acted * factor)
    at = first(problems, "wrong_units")
    assert at is not None
    assert at <= 20
    assert unit in problems[at][0].message
    assert f"scale: {1 / factor:g}" in problems[at][0].message
    np.testing.assert_array_equal(taken[25:], acted[25:] * factor)  # no joint is taken away for it
    taken, _ = run(BodyCheck(mend=True), acted * factor)
    np.testing.assert_allclose(taken[25:], acted[25:], atol=1e-12)


def test_unknown_units_are_reported(acted: np.ndarray) -> None:
    _, problems = run(BodyCheck(mend=True), acted * 0.01)
    at = first(problems, "wrong_units")
    assert at is not None
    assert "not metres" in problems[at][0].message


@pytest.mark.parametrize("parts", [("Hip", "Knee", "Ankle", "Foot"), ("Elbow", "Wrist", "Hand", "HandTip", "Thumb")])
def test_partly_swapped_sides_are_reported(acted: np.ndarray, parts: tuple[str, ...]) -> None:
    order = np.arange(25)
    for part in parts:
        left, right = INDEX[part + "Left"], INDEX[part + "Right"]
        order[[left, right]] = right, left
    _, problems = run(BodyCheck(), acted[:, order])
    assert (first(problems, "swapped_sides") or 99) <= 20


def test_people_on_their_heads_are_reported_where_the_vertical_is_known(acted: np.ndarray) -> None:
    up = np.array([0.0, 1.0, 0.0])
    turned = acted * np.array([1.0, -1.0, -1.0])  # half a turn about x: right-handed still
    assert not any(run(BodyCheck(), turned)[1])
    assert (first(run(BodyCheck(), turned, up)[1], "upside_down") or 99) <= 20


def test_positions_in_an_image_are_reported(acted: np.ndarray) -> None:
    flat = acted.copy()
    flat[..., 2] = 1.0
    assert (first(run(BodyCheck(), flat)[1], "flat_skeletons") or 99) <= 20


def test_a_frame_that_is_put_right_is_no_longer_reported(acted: np.ndarray) -> None:
    check = BodyCheck()
    _, problems = run(check, np.concatenate([acted[:30, SWAPPED], acted[30:]]))
    assert problems[29]
    assert not problems[60]
    assert check.faults == ()


def test_joints_without_depth_lie_at_the_camera_and_are_unseen(acted: np.ndarray) -> None:
    frame = acted[5].copy()
    frame[[WRIST, HAND, ANKLE]] = 0.0
    problems: list[Problem] = []
    taken = BodyCheck().check(0, frame[None], ["ann"], problems)[0]
    lost = np.isnan(taken).any(-1).nonzero()[0].tolist()
    assert lost == sorted([WRIST, HAND, ANKLE])
    np.testing.assert_array_equal(np.delete(taken, lost, 0), np.delete(frame, lost, 0))
    assert [each.cause for each in problems] == ["joints_at_camera"]
    assert "'ann'" in problems[0].message
    assert "WristLeft" in problems[0].message


def test_a_body_of_zeros_leaves_nothing(acted: np.ndarray) -> None:
    problems: list[Problem] = []
    taken = BodyCheck().check(0, np.zeros((1, 25, 3)), ["p"], problems)
    assert np.isnan(taken).all()
    assert problems[0].cause == "joints_at_camera"
    assert "nothing of the body is left" in problems[0].message


def test_a_body_around_the_origin_keeps_its_pelvis(acted: np.ndarray) -> None:
    centred = acted - acted[:, :1]
    assert impossible_joints(centred[:20] * 0.8) == [{}] * 20


@pytest.mark.parametrize("joint", [HEAD, INDEX["SpineMid"], ELBOW, WRIST, INDEX["KneeRight"], INDEX["SpineBase"]])
def test_a_joint_on_the_wall_is_unseen_and_no_other(acted: np.ndarray, joint: int) -> None:
    for frame in acted[::20]:
        wrong = frame.copy()
        wrong[joint] *= 2.2  # along the line of sight
        assert set(impossible_joints(wrong[None])[0]) == {joint}


def test_reach_passes_over_unseen_joints(acted: np.ndarray) -> None:
    frame = acted[5].copy()
    frame[ELBOW] = np.nan
    assert impossible_joints(frame[None]) == [{}]
    frame[WRIST] += np.array([0.0, 0.0, REACH["Elbow", "Shoulder"] + REACH["Wrist", "Elbow"] + 0.6])
    assert set(impossible_joints(frame[None])[0]) == {WRIST}


def test_joints_at_one_point_are_unseen(acted: np.ndarray) -> None:
    frame = acted[5].copy()
    frame[INDEX["WristRight"]] = frame[WRIST]
    assert {WRIST, INDEX["WristRight"]} <= set(impossible_joints(frame[None])[0])


def test_each_person_is_checked_alone(acted: np.ndarray) -> None:
    people = acted[[5, 15, 25]].copy()
    people[1, HEAD] = 0.0
    problems: list[Problem] = []
    taken = BodyCheck().check(0, people, ["a", "b", "c"], problems)
    np.testing.assert_array_equal(taken[[0, 2]], people[[0, 2]])
    assert np.isnan(taken[1, HEAD]).all()
    assert len(problems) == 1


def test_stamps_that_jump_back_start_over(acted: np.ndarray) -> None:
    check = BodyCheck()
    run(check, acted[:40, SWAPPED])
    _, problems = run(check, acted[:40])
    assert not problems[-1]
