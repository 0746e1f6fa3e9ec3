"""Movements of played people against the script, and of made-up ones against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from usdrl_ros.actions.movement import find_movements, speeds
from usdrl_ros.demo.actor import play
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.window import resample

WRIST = NTU_25.index("WristRight")
TIMES = np.arange(0.0, 8.0, 1 / 15)


def standing(times: np.ndarray) -> np.ndarray:
    """Joints (T, 25, 3) of somebody with a trunk of 0.5 m who stands still."""
    joints = np.zeros((len(times), 25, 3))
    joints[:, NTU_25.index("SpineShoulder"), 1] = 0.5
    joints[:, NTU_25.index("SpineMid"), 1] = 0.3
    return joints


def swinging(times: np.ndarray, start: float, stop: float, amplitude: float = 0.5) -> np.ndarray:
    """The right hand goes to and fro once a second between two times."""
    joints = standing(times)
    inside = (times >= start) & (times <= stop)
    joints[inside, WRIST, 0] = amplitude * np.sin(2 * np.pi * (times[inside] - start))
    return joints


def test_speed_is_that_of_the_fastest_limb_and_scales_with_the_body() -> None:
    joints = standing(TIMES)
    joints[:, WRIST, 2] = 1.5 * TIMES
    np.testing.assert_allclose(speeds(TIMES, joints)[5:-5], 1.5, rtol=1e-6)
    np.testing.assert_allclose(speeds(TIMES, 0.6 * joints)[5:-5], 1.5, rtol=1e-6)


def test_a_movement_is_found_with_its_ends() -> None:
    (movement,) = find_movements(TIMES, swinging(TIMES, 2.0, 4.0))
    assert (movement.start, movement.stop) == pytest.approx((2.0, 4.0), abs=0.25)
    assert movement.begun
    assert movement.over


def test_a_movement_that_lasts_is_not_over() -> None:
    times = TIMES[TIMES < 3.5]
    (movement,) = find_movements(times, swinging(times, 2.0, 9.0))
    assert not movement.over
    (movement,) = find_movements(times, swinging(times, -1.0, 1.0))
    assert not movement.begun


def test_rest_noise_and_unseen_joints_are_no_movement() -> None:
    rng = np.random.default_rng(0)
    assert find_movements(TIMES, standing(TIMES)) == []
    assert find_movements(TIMES, standing(TIMES) + rng.normal(0.0, 0.01, (len(TIMES), 25, 3))) == []
    assert find_movements(TIMES, np.full((len(TIMES), 25, 3), np.nan)) == []
    hidden = swinging(TIMES, 2.0, 4.0)
    hidden[::3, WRIST] = np.nan
    (movement,) = find_movements(TIMES, hidden)
    assert (movement.start, movement.stop) == pytest.approx((2.0, 4.0), abs=0.4)


def test_gestures_of_played_people_lie_in_movements_of_about_their_length() -> None:
    covered, longer = [], []
    for seed in range(6):
        recording = play(["arm_circles", "clap", "wave"], seed=seed, idle_s=(1.5, 3.0))
        times = np.arange(recording.stamps[0], recording.stamps[-1], 1 / 15)
        joints = resample(recording.stamps, recording.joints["person_1"], times)
        movements = find_movements(times, joints)
        for segment in recording.segments:
            if segment.action == "arm_circles":
                best = max(movements, key=lambda m: m.overlap(segment.start, segment.end))
                covered.append(min(best.stop, segment.end) - max(best.start, segment.start))
                covered[-1] /= segment.end - segment.start
                longer.append(best.duration / (segment.end - segment.start))
    assert np.mean(covered) > 0.95
    assert np.median(longer) < 1.4
