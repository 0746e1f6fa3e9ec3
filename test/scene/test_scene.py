from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from usdrl_ros.demo.actor import View, play
from usdrl_ros.scene.scene import Scene
from usdrl_ros.skeleton.body import SWAPPED
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.person import Frame, Person

HEAD = NTU_25.index("Head")


@pytest.fixture(scope="module")
def acted() -> np.ndarray:
    """(T, 25, 3) of somebody at 10 Hz."""
    return play(["wave", "clap"], seed=3, rate_hz=10.0, view=View()).joints["person_1"]


def frame(number: int, *people: tuple[str, np.ndarray], camera: str = "camera") -> Frame:
    named = [Person(name, "ntu_25", joints, np.isfinite(joints[:, 0]).astype(float)) for name, joints in people]
    return Frame(number * 100_000_000, camera, named)


def test_each_person_is_a_subject(acted: np.ndarray) -> None:
    made = Scene().update(frame(1, ("a", acted[0]), ("b", acted[1] + 2.0)))
    assert [subject.ids for subject in made.subjects] == [("a",), ("b",)]
    np.testing.assert_array_equal(made.subjects[0].joints, acted[0][None])


def test_impossible_joints_are_unseen_and_reported(acted: np.ndarray) -> None:
    wrong = acted[0].copy()
    wrong[HEAD] = 0.0
    made = Scene().update(frame(1, ("a", wrong)))
    assert np.isnan(made.subjects[0].joints[0, HEAD]).all()
    assert [problem.cause for problem in made.frame.problems] == ["joints_at_camera"]
    (person,) = made.frame.people
    assert person.confidence is not None
    assert person.confidence[HEAD] == 0.0


def test_joints_are_at_the_camera_wherever_it_stands(acted: np.ndarray) -> None:
    pose = np.eye(4)
    pose[:3, 3] = 5.0, -3.0, 1.0
    wrong = acted[0] + pose[:3, 3]
    wrong[HEAD] = pose[:3, 3]
    placed = replace(frame(1, ("a", wrong), camera="map"), camera="camera", pose=pose)
    made = Scene().update(placed)
    assert [problem.cause for problem in made.frame.problems] == ["joints_at_camera"]
    np.testing.assert_array_equal(np.isnan(made.subjects[0].joints[0]).any(-1).nonzero()[0], [HEAD])


def test_a_person_of_whom_nothing_is_left_is_left_out(acted: np.ndarray) -> None:
    made = Scene().update(frame(1, ("a", np.zeros((25, 3))), ("b", acted[0])))
    assert [subject.ids for subject in made.subjects] == [("b",)]
    assert [person.person_id for person in made.frame.people] == ["b"]


def test_frames_that_are_wrong_are_reported_and_mended_on_request(acted: np.ndarray) -> None:
    for mend in (False, True):
        scene = Scene(mend=mend)
        made = [scene.update(frame(number, ("a", joints[SWAPPED]))) for number, joints in enumerate(acted[:30])]
        causes = [{problem.cause for problem in each.frame.problems} for each in made]
        assert causes[0] == set()
        assert causes[20] == {"mirrored_skeletons"}
        expected = acted[29] if mend else acted[29][SWAPPED]
        np.testing.assert_array_equal(made[29].subjects[0].joints[0], expected)


def test_two_cameras_with_one_id_are_two_people_and_reported(acted: np.ndarray) -> None:
    scene = Scene()
    names, causes = set(), []
    for number in range(20):
        for camera in ("left", "right"):
            made = scene.update(frame(number, ("1", acted[number]), camera=camera))
            names |= {subject.ids[0] for subject in made.subjects}
            causes += [problem.cause for problem in made.frame.problems]
    assert names == {"1", "right/1"}
    assert set(causes) == {"several_cameras"}


def test_ids_of_one_camera_stay_as_they_are(acted: np.ndarray) -> None:
    scene = Scene()
    for camera in ("left", "", "left"):
        made = scene.update(frame(1, ("1", acted[0]), camera=camera))
        assert [person.person_id for person in made.frame.people] == ["1"]
        assert made.frame.problems == []
