"""People in pictures: where they stand, smoothing, and the way from MediaPipe's landmarks to events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.camera.monocular import (
    LAYOUT,
    OneEuro,
    PoseError,
    PoseEstimator,
    Sighting,
    Skeletons,
    focal_length,
    place,
)
from usdrl_ros.demo.actor import View, play
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

WIDTH, HEIGHT, FOCAL = 1280, 720, 900.0
# Which joint of NTU-25 each MediaPipe landmark is nearest to.
_NEAREST = {
    **dict.fromkeys(range(11), "Head"),
    11: "ShoulderLeft", 12: "ShoulderRight", 13: "ElbowLeft", 14: "ElbowRight", 15: "WristLeft", 16: "WristRight",
    17: "HandLeft", 18: "HandRight", 19: "HandTipLeft", 20: "HandTipRight", 21: "ThumbLeft", 22: "ThumbRight",
    23: "HipLeft", 24: "HipRight", 25: "KneeLeft", 26: "KneeRight", 27: "AnkleLeft", 28: "AnkleRight",
    29: "AnkleLeft", 30: "AnkleRight", 31: "FootLeft", 32: "FootRight",
}  # fmt: skip
LANDMARKS = [NTU_25.index(_NEAREST[number]) for number in range(33)]


def sighting(joints: np.ndarray, visibility: np.ndarray | None = None) -> Sighting:
    """What a perfect MediaPipe gives of joints (33, 3) metres in the optical frame."""
    hips = joints[[23, 24]].mean(0)
    image = joints[:, :2] / joints[:, 2:] * FOCAL + np.array([WIDTH, HEIGHT]) / 2.0
    return Sighting(joints - hips, image, np.ones(33) if visibility is None else visibility)


def body(where: tuple[float, float, float], seed: int = 0) -> np.ndarray:
    """Joints (33, 3) of somebody at a place, metres."""
    return np.random.default_rng(seed).uniform(-0.8, 0.8, (33, 3)) * [0.4, 1.0, 0.3] + where


@pytest.mark.parametrize("where", [(0.0, 0.0, 2.0), (-1.2, 0.4, 3.5), (2.0, -0.5, 6.0)])
def test_place_recovers_the_translation(where: tuple[float, float, float]) -> None:
    joints = body(where)
    assert place(sighting(joints), FOCAL, WIDTH, HEIGHT) == pytest.approx(joints[[23, 24]].mean(0), abs=1e-9)


def test_place_weights_by_visibility() -> None:
    joints = body((0.3, 0.1, 2.5))
    seen = sighting(joints, visibility=np.where(np.arange(33) < 25, 1.0, 0.0))
    seen.image[25:] += 400.0  # what is guessed outside the picture does not count
    assert place(seen, FOCAL, WIDTH, HEIGHT) == pytest.approx(joints[[23, 24]].mean(0), abs=1e-9)


def test_place_is_unknown_with_few_landmarks_or_behind_the_camera() -> None:
    joints = body((0.0, 0.0, 2.0))
    few = sighting(joints, visibility=np.where(np.arange(33) < 5, 1.0, 0.0))
    assert np.isnan(place(few, FOCAL, WIDTH, HEIGHT)).all()
    turned = sighting(joints)
    mirrored = Sighting(turned.world, np.array([WIDTH, HEIGHT]) - turned.image, turned.visibility)
    assert np.isnan(place(mirrored, FOCAL, WIDTH, HEIGHT)).all()


def test_focal_length_is_the_pinhole_formula() -> None:
    assert focal_length(1000, 90.0) == pytest.approx(500.0)
    assert focal_length(640, 53.130102) == pytest.approx(640.0, rel=1e-6)


def reference_one_euro(times: np.ndarray, values: np.ndarray, cutoff: float, beta: float) -> list[float]:
    """The One Euro filter as the paper's pseudo-code has it, for one coordinate."""
    out, last, speed = [float(values[0])], float(values[0]), 0.0
    for i in range(1, len(values)):
        te = float(times[i] - times[i - 1])
        alpha = lambda hz, te=te: 1.0 / (1.0 + 1.0 / (2.0 * np.pi * hz) / te)  # noqa: E731
        speed = alpha(1.0) * (values[i] - last) / te + (1.0 - alpha(1.0)) * speed
        a = alpha(cutoff + beta * abs(speed))
        last = a * values[i] + (1.0 - a) * last
        out.append(float(last))
    return out


def test_one_euro_filters_as_its_paper() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.02, 0.05, 60))
    values = np.sin(3.0 * times) + rng.normal(0.0, 0.05, 60)
    ours = OneEuro(1.5, 2.0)
    filtered = [float(ours(round(t * 1e9), np.array([v]))[0]) for t, v in zip(times, values, strict=True)]
    assert filtered == pytest.approx(reference_one_euro(times, values, 1.5, 2.0), abs=1e-6)


def test_one_euro_takes_what_comes_back_as_it_is() -> None:
    ours = OneEuro()
    assert ours(10**9, np.array([1.0]))[0] == 1.0
    assert np.isnan(ours(10**9 + 33_000_000, np.array([np.nan]))[0])
    assert ours(10**9 + 66_000_000, np.array([3.0]))[0] == 3.0


def test_skeletons_keep_ids_and_leave_out_unseen_landmarks() -> None:
    skeletons = Skeletons(FOCAL, WIDTH, HEIGHT)
    near, far = body((-0.7, 0.0, 2.0), 1), body((0.9, 0.0, 3.0), 2)
    hidden = np.where(np.isin(np.arange(33), [27, 31]), 0.1, 1.0)
    ids = []
    for i in range(10):
        people = [sighting(near + np.array([0.02 * i, 0.0, 0.0]), hidden), sighting(far)]
        frame = skeletons.frame(10**9 + i * 33_000_000, people if i % 2 else people[::-1])
        assert frame.problems == []
        here = sorted(frame.people, key=lambda person: float(np.nanmean(person.joints[:, 2])))
        ids.append([person.person_id for person in here])
        assert here[0].layout == LAYOUT
        assert np.isnan(here[0].joints[[27, 31]]).all()
        assert np.isfinite(np.delete(here[0].joints, [27, 31], 0)).all()
    assert len({tuple(each) for each in ids}) == 1
    assert len(set(ids[0])) == 2


def test_hips_that_leave_the_picture_move_nobody() -> None:
    joints = body((0.2, 0.1, 2.0))
    seen = np.where(np.isin(np.arange(33), [23, 24]), 0.1, 1.0)
    skeletons = Skeletons(FOCAL, WIDTH, HEIGHT)
    for number in range(20):
        now = sighting(joints, visibility=None if number < 10 else seen)
        (person,) = skeletons.frame(10**9 + number * 40_000_000, [now]).people
        assert person.joints[:23] == pytest.approx(joints[:23], abs=1e-6)


def test_actor_before_a_plain_camera_is_recognised() -> None:
    from usdrl_ros.actions.events import Phase
    from usdrl_ros.inference.factory import default_model, load_engine
    from usdrl_ros.recognizer import Recognizer

    recording = play(["wave", "sit_down"], seed=3, noise_m=0.0, view=View(), rate_hz=20.0)
    optical = recording.joints["person_1"][:, LANDMARKS] * [-1.0, -1.0, 1.0]
    skeletons = Skeletons(FOCAL, WIDTH, HEIGHT)
    with load_engine(default_model(), engine="onnxruntime") as engine:
        recognizer, events = Recognizer(engine), []
        for seconds, joints in zip(recording.stamps, optical, strict=True):
            recognizer.observe(skeletons.frame(10**9 + round(seconds * 1e9), [sighting(joints)]))
            while step := recognizer.step():
                events += step.events
        events += recognizer.finish()
    ended = {event.action: event for event in events if event.phase == Phase.ENDED}
    for truth in recording.segments:
        found = ended[truth.action]
        assert found.start_ns / 1e9 - 1.0 < truth.end
        assert found.end_ns / 1e9 - 1.0 > truth.start


def test_layout_has_the_landmarks_that_are_counted_on() -> None:
    names = load_layout(LAYOUT).joint_names
    assert len(names) == 33
    assert (names[23], names[24]) == ("LEFT_HIP", "RIGHT_HIP")


def test_missing_model_file_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: run by `make webcam`'s environment")
    with pytest.raises(PoseError, match="no such file"):
        PoseEstimator(tmp_path / "none.task")
    with pytest.raises(PoseError, match="--pose-model"):
        PoseEstimator(people=2)


def test_mediapipe_finds_a_person_in_a_photograph() -> None:
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: run by `make webcam`'s environment")
    data = pytest.importorskip(
        "skimage.data", reason="scikit-image, which has a photograph of a person, is not installed"
    )
    picture = np.ascontiguousarray(data.astronaut()[..., :3])
    with PoseEstimator() as estimator:
        (found,) = estimator.find(picture, 0)
    height, width = picture.shape[:2]
    left, right = found.image[11], found.image[12]
    assert found.visibility[[0, 11, 12]].min() > 0.9
    assert 0 < right[0] < left[0] < width  # she faces the camera: her left is on the right
    assert found.image[0, 1] < left[1] < height  # the nose above the shoulders
    assert 0.2 < np.linalg.norm(found.world[11] - found.world[12]) < 0.5  # metres across the shoulders
