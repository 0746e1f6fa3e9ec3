"""Two cameras that see the same acted people, each with noise, occlusion, ids and a clock of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from usdrl_ros.demo.actor import View, play
from usdrl_ros.recording import Recording
from usdrl_ros.scene.fusion import MOST_CAMERAS, Fused, Fusion
from usdrl_ros.scene.placing import placed
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.person import Frame, Person

VIEWS = (View(azimuth_deg=-40.0), View(azimuth_deg=50.0))
PEOPLE = ("ann", "bob", "cid")
RATE_HZ = 20.0
WRIST = NTU_25.index("WristLeft")


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """What each camera sees of one performance."""
    scripts = {"ann": ["wave", "walk", "clap"], "bob": ["clap", "wave", "walk"], "cid": ["walk", "wave", "push"]}
    return [
        play(scripts, seed=4, view=view, rate_hz=RATE_HZ, camera=number, occlusion=True)
        for number, view in enumerate(VIEWS)
    ]


@pytest.fixture(scope="module")
def truth() -> Recording:
    """The same without noise and occlusion, before the first camera."""
    scripts = {"ann": ["wave", "walk", "clap"], "bob": ["clap", "wave", "walk"], "cid": ["walk", "wave", "push"]}
    return play(scripts, seed=4, view=VIEWS[0], rate_hz=RATE_HZ, noise_m=0.0)


def frames(
    recordings: Sequence[Recording],
    cameras: Sequence[int] = (0, 1),
    *,
    ahead_s: float = 0.0,
    names: Sequence[dict[str, str]] = ({}, {}),
    until_s: Sequence[float] = (1e9, 1e9),
) -> Iterator[Frame]:
    """Frames of cameras in turn, placed in the map; the second camera is half a frame later, and its clock ahead."""
    for row, seconds in enumerate(recordings[0].stamps.tolist()):
        for number in cameras:
            if seconds > until_s[number]:
                continue
            people = []
            for name in PEOPLE if number == 0 else PEOPLE[::-1]:
                joints = recordings[number].joints[name][row]
                given = names[number].get(name, str(PEOPLE.index(name) + number))
                people.append(Person(given, "ntu_25", joints, np.isfinite(joints[:, 0]).astype(float)))
            late = number * (0.5 / RATE_HZ + ahead_s)
            stamp_ns = round((100.0 + seconds + late) * 1e9)
            yield placed(Frame(stamp_ns, f"camera_{number}", people), VIEWS[number].pose(), "map")


def ids(given: Sequence[Fused]) -> set[str]:
    return {person.person_id for each in given for person in each.frame.people}


def test_one_camera_passes_as_it_is(recordings: list[Recording]) -> None:
    fusion = Fusion()
    for frame in frames(recordings, [0]):
        fused = fusion.update(frame)
        assert fused.frame.stamp_ns == frame.stamp_ns
        assert fused.updated == {"0", "1", "2"}
        for person, given in zip(frame.people, fused.frame.people, strict=True):
            np.testing.assert_array_equal(given.joints, person.joints)


def test_two_cameras_see_three_people(recordings: list[Recording]) -> None:
    """Though each numbers them in another way, and hides a fifth of them now and then."""
    fusion = Fusion()
    given = [fusion.update(frame) for frame in frames(recordings)]
    assert ids(given) == {"0", "1", "2"}
    for name in ("0", "1", "2"):
        stamps = [each.frame.stamp_ns for each in given if name in each.updated]
        assert np.all(np.diff(stamps) > 0)
        assert len(stamps) >= 0.95 * len(recordings[0].stamps)


def test_joints_are_nearer_to_the_truth_and_fewer_are_unseen(recordings: list[Recording], truth: Recording) -> None:
    """Each person at the stamps of the first camera, where that is the one that gives them."""
    pose = VIEWS[0].pose()
    fusion = Fusion()
    errors: dict[str, list[np.ndarray]] = {"alone": [], "fused": []}
    row = -1
    for frame in frames(recordings):
        fused = fusion.update(frame)
        if frame.camera != "camera_0":
            continue
        row += 1
        for number, name in enumerate(PEOPLE):
            if str(number) not in fused.updated:
                continue
            right = truth.joints[name][row] @ pose[:3, :3].T + pose[:3, 3]
            alone = recordings[0].joints[name][row] @ pose[:3, :3].T + pose[:3, 3]
            (person,) = [each for each in fused.frame.people if each.person_id == str(number)]
            errors["alone"].append(np.linalg.norm(alone - right, axis=-1))
            errors["fused"].append(np.linalg.norm(person.joints - right, axis=-1))
    alone, both = (np.concatenate(errors[key]) for key in ("alone", "fused"))
    assert np.isnan(alone).mean() > 0.01
    assert np.isnan(both).mean() < 0.5 * np.isnan(alone).mean()
    seen = np.isfinite(alone) & np.isfinite(both)
    assert np.sqrt((both[seen] ** 2).mean()) < 1.15 * np.sqrt((alone[seen] ** 2).mean())


@pytest.mark.parametrize("ahead_s", [-0.1, 0.0, 0.06, 0.1])
def test_the_difference_of_the_clocks_is_found(recordings: list[Recording], ahead_s: float) -> None:
    fusion = Fusion()
    given = [fusion.update(frame) for frame in frames(recordings, ahead_s=ahead_s)]
    assert ids(given) == {"0", "1", "2"}
    # The stamps of the second camera include that it comes half a frame later, though it shows the same instant.
    assert fusion.clock_offsets_s["camera_1"] == pytest.approx(-(0.5 / RATE_HZ + ahead_s), abs=0.015)
    assert fusion.clock_offsets_s["camera_0"] == 0.0


@pytest.mark.parametrize("dies", [0, 1])
def test_a_camera_that_dies_changes_no_id_and_is_reported(recordings: list[Recording], dies: int) -> None:
    fusion = Fusion()
    middle_s = float(recordings[0].stamps[-1]) / 2
    until_s = [1e9, 1e9]
    until_s[dies] = middle_s
    given = [fusion.update(frame) for frame in frames(recordings, until_s=until_s)]
    assert ids(given) == {"0", "1", "2"}
    problems = [problem for each in given for problem in each.frame.problems]
    assert {problem.cause for problem in problems} == {"camera_stopped"}
    assert f"camera 'camera_{dies}' has sent nothing for 1." in problems[0].message
    for name in ("0", "1", "2"):
        stamps = np.array([each.frame.stamp_ns for each in given if name in each.updated]) / 1e9
        assert np.diff(stamps).max() < 0.3


def test_a_person_who_leaves_one_view_keeps_the_id(recordings: list[Recording]) -> None:
    """The first camera loses them, and later gives them another id."""
    fusion = Fusion()
    given = []
    for frame in frames(recordings):
        seconds = frame.stamp_ns / 1e9 - 100.0
        if frame.camera == "camera_0" and seconds > 3.0:
            renamed = [
                Person("9" if each.person_id == "0" else each.person_id, each.layout, each.joints, each.confidence)
                for each in frame.people
                if seconds > 5.0 or each.person_id != "0"
            ]
            frame = Frame(frame.stamp_ns, frame.frame_id, renamed, [], frame.camera, frame.pose)
        given.append(fusion.update(frame))
    assert ids(given) == {"0", "1", "2"}
    assert all("0" in {person.person_id for person in each.frame.people} for each in given[10:])


def standing(stamp_s: float, camera: str, *people: tuple[str, float]) -> Frame:
    """People who stand at x."""
    joints = np.random.default_rng(0).uniform(-0.3, 0.3, (25, 3))
    named = [Person(name, "ntu_25", joints + np.array([x, 0.0, 1.0]), np.ones(25)) for name, x in people]
    return Frame(round(stamp_s * 1e9), "map", named, camera=camera, pose=np.eye(4))


def test_two_people_who_stand_apart_are_two() -> None:
    fusion = Fusion()
    for number in range(20):
        fusion.update(standing(1.0 + 0.1 * number, "a", ("1", 0.0), ("2", 1.0)))
        fused = fusion.update(standing(1.05 + 0.1 * number, "b", ("1", 1.1), ("2", 3.0)))
    assert {person.person_id for person in fused.frame.people} == {"1", "2", "b/2"}


def test_a_tracker_that_changes_whom_it_follows_is_followed() -> None:
    fusion = Fusion()
    for number in range(40):
        fusion.update(standing(1.0 + 0.1 * number, "a", ("1", 0.0), ("2", 2.0)))
        swapped = number > 10
        fused = fusion.update(standing(1.05 + 0.1 * number, "b", ("1", 2.0 if swapped else 0.0)))
    assert {person.person_id for person in fused.frame.people} == {"1", "2"}
    where = {person.person_id: round(float(person.joints[0, 0])) for person in fused.frame.people}
    assert where == {"1": 0, "2": 2}


def test_joints_that_disagree_are_not_averaged() -> None:
    fusion = Fusion()
    fusion.update(standing(1.0, "a", ("1", 0.0)))
    wrong = standing(1.02, "b", ("1", 0.0))
    wrong.people[0].joints[WRIST] += (0.0, 0.0, 2.0)
    wrong.people[0].confidence[WRIST] = 0.4
    fusion.update(wrong)
    given = fusion.update(standing(1.05, "a", ("1", 0.0)))
    np.testing.assert_allclose(
        given.frame.people[0].joints[WRIST], standing(1.05, "a", ("1", 0.0)).people[0].joints[WRIST], atol=1e-9
    )


def test_cameras_are_bounded() -> None:
    fusion = Fusion()
    for number in range(MOST_CAMERAS):
        assert fusion.update(standing(1.0, f"camera_{number}")).frame.problems == []
    problems = fusion.update(standing(1.0, "one more")).frame.problems
    assert [problem.cause for problem in problems] == ["too_many_cameras"]


def test_stamps_that_jump_back_start_over() -> None:
    fusion = Fusion()
    fusion.update(standing(100.0, "a", ("1", 0.0)))
    fused = fusion.update(standing(1.0, "a", ("2", 0.0)))
    assert [person.person_id for person in fused.frame.people] == ["2"]
