"""Training windows: the same as on the robot, labelled as the recording says, varied as asked and no further."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.data.windows import (  # noqa: E402
    IGNORE,
    NO_VARIATION,
    Track,
    Variation,
    WindowDataset,
    action_of,
    as_from_coco,
    make_window,
    split_people,
    tracks,
    vary,
)
from usdrl_ros.demo.actor import play  # noqa: E402
from usdrl_ros.inference.engine import ModelInfo, Predictions  # noqa: E402
from usdrl_ros.recognizer import Recognizer  # noqa: E402
from usdrl_ros.recording import Recording, Segment  # noqa: E402
from usdrl_ros.skeleton.layouts import NTU_25, load_layout  # noqa: E402
from usdrl_ros.skeleton.normalize import NORMALIZATION, model_input  # noqa: E402
from usdrl_ros.skeleton.person import Person  # noqa: E402

ACTIONS = ("wave", "clap")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return play(["wave", "throw", "clap"], seed=5, rate_hz=20.0, jitter=0.5)


@pytest.fixture(scope="module")
def track(recording: Recording) -> Track:
    return tracks([recording], ACTIONS)[0]


def quiet() -> np.random.Generator:
    return np.random.default_rng(0)


class Recorder:
    """An engine that keeps what it is given."""

    info = ModelInfo("recorder", ACTIONS, 5.0, NORMALIZATION, "")

    def __init__(self) -> None:
        self.inputs: list[np.ndarray] = []

    def infer(self, skeletons: np.ndarray) -> Predictions:
        self.inputs.append(skeletons[0].copy())
        return Predictions(np.zeros((1, 64, 3)), np.zeros((1, 2)), np.zeros((1, 8)))

    def close(self) -> None: ...


def test_a_training_window_is_what_the_model_sees_on_the_robot(recording: Recording, track: Track) -> None:
    engine = Recorder()
    recognizer = Recognizer(engine)  # type: ignore[arg-type]
    compared = 0
    for stamp, joints in zip(recording.stamps, recording.joints["person_1"], strict=True):
        recognizer.observe(round(stamp * 1e9), [Person("person_1", recording.layout, joints)])
        step = recognizer.step()
        if step is not None and step.scores and stamp > 5.2:  # from then on, each window is full
            window, times = make_window(track, stamp, 5.0, NO_VARIATION, quiet())
            assert (times[0], times[-1]) == pytest.approx((stamp - 5.0 * 63 / 64, stamp))
            np.testing.assert_allclose(engine.inputs[-1], window, atol=2e-5)
            compared += 1
    assert compared > 50


def test_tracks_by_hand() -> None:
    joints = np.random.default_rng(1).normal(0, 1, (6, 20, 3))
    joints[2] = np.nan
    segments = (Segment(0.3, 0.5, "clap"), Segment(0.0, 0.1, "wave"), Segment(0.1, 0.2, "jump"))
    other = Segment(0.0, 0.5, "wave", person_id="person_2")
    recording = Recording("r", "kinect_v1_20", np.arange(6) / 10, {"person_1": joints}, (*segments, other))
    (track,) = tracks([recording], ACTIONS)
    np.testing.assert_allclose(track.stamps, [0.0, 0.1, 0.3, 0.4, 0.5])
    expected = load_layout("kinect_v1_20").to_ntu25(joints[[0, 1, 3, 4, 5]])[0]
    np.testing.assert_allclose(track.joints, expected, atol=1e-6)
    assert track.starts.tolist() == [0.0, 0.3]
    assert track.classes.tolist() == [1, 2]
    times = np.array([-0.1, 0.0, 0.09, 0.1, 0.29, 0.3, 0.49, 0.5])
    assert track.label_at(times).tolist() == [0, 1, 1, 0, 0, 2, 2, 0]


@pytest.mark.parametrize(
    ("labels", "action"),
    [
        ([1] * 64, 0),
        ([0] * 32 + [2] * 32, 1),
        ([0] * 33 + [2] * 31, IGNORE),
        ([1] * 40 + [2] * 24, IGNORE),
        ([0] * 64, IGNORE),
    ],
)
def test_the_one_action_of_a_window(labels: list[int], action: int) -> None:
    assert action_of(np.array(labels)) == action


def test_items_are_labelled_as_the_recording_says(track: Track) -> None:
    dataset = WindowDataset([track], window_s=5.0, length=60, variation=NO_VARIATION, clips=0.3, seed=3)
    clips = 0
    for index in range(len(dataset)):
        skeletons, labels, action = dataset[index]
        assert skeletons.shape == (3, 64, 25, 2)
        assert skeletons.dtype == torch.float32
        assert torch.isfinite(skeletons).all()
        assert (skeletons[..., 1] == 0).all()
        if (labels == IGNORE).all():
            clips += 1
            i = track.classes.tolist().index(int(action) + 1)
            ends = [track.ends[k] for k in range(len(track.ends)) if track.classes[k] == track.classes[i]]
            starts = [track.starts[k] for k in range(len(track.ends)) if track.classes[k] == track.classes[i]]
            cut = [make_window(track, e, e - s, NO_VARIATION, quiet())[0] for s, e in zip(starts, ends, strict=True)]
            assert any(np.allclose(skeletons.numpy(), window, atol=1e-5) for window in cut)
        else:
            assert int(action) == action_of(labels.numpy())
            # The window that ends where its labels say it ends: frames 5/64 s apart.
            changes = np.flatnonzero(np.diff(labels.numpy()))
            assert len(changes) <= 4
    assert 8 <= clips <= 30


def test_an_item_is_the_same_in_every_run_and_another_in_every_epoch(track: Track) -> None:
    def make(seed: int) -> WindowDataset:
        return WindowDataset([track], window_s=5.0, length=4, variation=Variation(), seed=seed)

    first, again, other = make(1), make(1), make(2)
    assert torch.equal(first[2][0], again[2][0])
    assert not torch.equal(first[2][0], other[2][0])
    assert not torch.equal(first[2][0], first[3][0])
    again.epoch = 1
    assert not torch.equal(first[2][0], again[2][0])


def some_joints(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(count) / 30, np.random.default_rng(2).normal(0, 0.5, (count, 25, 3))


def test_no_variation_varies_nothing() -> None:
    stamps, joints = some_joints()
    found_stamps, found = vary(stamps, joints, NO_VARIATION, quiet())
    np.testing.assert_array_equal(found_stamps, stamps)
    np.testing.assert_allclose(found, joints, atol=1e-12)


def test_a_mirror_image_swaps_left_and_right() -> None:
    stamps, joints = some_joints()
    _, found = vary(stamps, joints, replace(NO_VARIATION, mirror=1.0), quiet())
    for v, name in enumerate(NTU_25):
        swapped = name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")
        np.testing.assert_allclose(found[:, v], joints[:, NTU_25.index(swapped)] * [-1, 1, 1], atol=1e-12)


def test_size_tilt_and_shear_stay_within_what_is_asked() -> None:
    stamps, joints = some_joints(3)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        _, sized = vary(stamps, joints, replace(NO_VARIATION, size=0.2), rng)
        ratio = sized / joints
        np.testing.assert_allclose(ratio, ratio[0, 0, 0], atol=1e-9)
        assert 0.8 <= ratio[0, 0, 0] <= 1.2
        _, tilted = vary(stamps, joints, replace(NO_VARIATION, tilt_rad=0.4), rng)
        turn = np.linalg.lstsq(joints.reshape(-1, 3), tilted.reshape(-1, 3), rcond=None)[0]
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        assert np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) <= 0.4 + 1e-6
        _, sheared = vary(stamps, joints, replace(NO_VARIATION, shear=0.3), rng)
        shear = np.linalg.lstsq(joints.reshape(-1, 3), sheared.reshape(-1, 3), rcond=None)[0]
        np.testing.assert_allclose(np.diag(shear), 1.0, atol=1e-9)
        assert np.abs(shear - np.eye(3)).max() <= 0.3


def test_noise_is_no_larger_than_asked() -> None:
    stamps, joints = some_joints()
    sizes = []
    for seed in range(30):
        _, found = vary(stamps, joints, replace(NO_VARIATION, noise_m=0.05), np.random.default_rng(seed))
        sizes.append((found - joints).std())
    assert max(sizes) <= 0.05 * 1.05
    assert np.ptp(sizes) > 0.02


def test_sparse_keeps_samples_of_five_to_fifteen_a_second() -> None:
    stamps, joints = some_joints()
    for seed in range(30):
        kept, found = vary(stamps, joints, replace(NO_VARIATION, sparse=1.0), np.random.default_rng(seed))
        index = np.searchsorted(stamps, kept)
        np.testing.assert_array_equal(stamps[index], kept)
        np.testing.assert_allclose(found, joints[index], atol=1e-12)
        assert 5.0 * 0.9 <= 1 / np.diff(kept).mean() <= 15.0 * 1.1


def test_unseen_hides_some_joints_and_leaves_the_rest() -> None:
    stamps, joints = some_joints()
    for seed in range(30):
        _, found = vary(stamps, joints, replace(NO_VARIATION, unseen=1.0), np.random.default_rng(seed))
        hidden = np.isnan(found).all(-1)
        np.testing.assert_allclose(found[~hidden], joints[~hidden], atol=1e-12)
        assert hidden.any(0).sum() <= 6
        assert not np.isnan(model_input(found[None, :64], people=2)).any()


def test_a_poorer_skeleton_is_what_coco_would_give() -> None:
    """A head as both ears; what COCO has stays, the hands are derived from elbow and wrist."""
    _, joints = some_joints(4)
    found = as_from_coco(joints)
    at = {name: joints[:, v] for v, name in enumerate(NTU_25)}
    got = {name: found[:, v] for v, name in enumerate(NTU_25)}
    for name in ("Head", "ShoulderLeft", "ElbowRight", "WristLeft", "HipRight", "KneeLeft", "AnkleRight"):
        np.testing.assert_allclose(got[name], at[name], atol=1e-12)
    np.testing.assert_allclose(got["SpineBase"], (at["HipLeft"] + at["HipRight"]) / 2, atol=1e-12)
    np.testing.assert_allclose(got["SpineShoulder"], (at["ShoulderLeft"] + at["ShoulderRight"]) / 2, atol=1e-12)
    np.testing.assert_allclose(got["HandTipLeft"], 1.5 * at["WristLeft"] - 0.5 * at["ElbowLeft"], atol=1e-12)
    np.testing.assert_allclose(got["FootRight"], at["AnkleRight"], atol=1e-12)


def test_people_are_split_whole(recording: Recording) -> None:
    takes = [replace(recording, name=f"{p}_{i}", person=p) for p in ("s01", "s02", "s03") for i in range(2)]
    training, held_out = split_people(takes, ["s02"])
    assert {take.person for take in training} == {"s01", "s03"}
    assert [take.name for take in held_out] == ["s02_0", "s02_1"]
    with pytest.raises(ValueError, match="no recording of s09; there are s01, s02, s03"):
        split_people(takes, ["s02", "s09"])
