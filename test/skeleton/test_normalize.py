"""Normalisation against a loop over scalars with scipy's rotations, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from usdrl_ros.demo.actor import View, play
from usdrl_ros.skeleton.layouts import NTU_25, SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE, SPINE_MID
from usdrl_ros.skeleton.normalize import (
    NORMALIZATIONS,
    Normalization,
    centre,
    normalize,
    rotation_to_z,
    shoulders_along_x,
)

Rotation = pytest.importorskip("scipy.spatial.transform", reason="scipy is not installed").Rotation

X, Z = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])


def smallest_rotation(vector: np.ndarray, target: np.ndarray) -> np.ndarray:
    """About the normal of both, by the angle between them."""
    normal = np.cross(vector, target)
    angle = np.arctan2(np.linalg.norm(normal), vector @ target)
    return Rotation.from_rotvec(normal / np.linalg.norm(normal) * angle).as_matrix()


def normalized_by_loops(joints: np.ndarray) -> np.ndarray:
    """One window (T, M, 25, 3), as docstring and paper say it, joint by joint."""
    joints = joints.astype(float).copy()
    for frame in joints:
        main = frame[0]
        seen = [joint for joint in main if np.isfinite(joint).all()]
        centre = main[SPINE_MID].copy() if np.isfinite(main[SPINE_MID]).all() else sum(seen) / max(len(seen), 1)
        frame -= centre
    turn = np.eye(3)
    for frame in joints:
        spine = frame[0, SPINE_MID] - frame[0, SPINE_BASE]
        if np.isfinite(spine).all():
            turn = smallest_rotation(spine, Z)
            break
    for frame in joints:
        across = frame[0, SHOULDER_RIGHT] - frame[0, SHOULDER_LEFT]
        if np.isfinite(across).all():
            x, y, z = turn @ across
            about_z = Rotation.from_euler("z", -np.arctan2(y, x))
            about_y = Rotation.from_euler("y", np.arctan2(z, np.hypot(x, y)))
            turn = (about_y * about_z).as_matrix() @ turn
            break
    for frame in joints:
        for person in frame:
            for v in range(25):
                person[v] = turn @ person[v] if np.isfinite(person[v]).all() else 0.0
    return joints


def windows(*batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (*batch, 8, 2, 25, 3)) + np.array([1.0, 0.2, 3.0])


def upright(joints: np.ndarray) -> np.ndarray:
    """The same with the shoulders square to the spine in the first frame, as on a person who stands straight."""
    joints = joints.copy()
    first = joints[..., 0, 0, :, :]
    spine = first[..., SPINE_MID, :] - first[..., SPINE_BASE, :]
    across = first[..., SHOULDER_RIGHT, :] - first[..., SHOULDER_LEFT, :]
    share = (across * spine).sum(-1, keepdims=True) / (spine * spine).sum(-1, keepdims=True)
    first[..., SHOULDER_RIGHT, :] -= share * spine
    return joints


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_loops(seed: int) -> None:
    joints = windows(seed=seed)
    np.testing.assert_allclose(normalize(joints), normalized_by_loops(joints), atol=1e-12)


@pytest.mark.parametrize("unseen", [0.05, 0.5, 0.9])
def test_equals_the_loops_where_joints_are_unseen(unseen: float) -> None:
    rng = np.random.default_rng(1)
    joints = windows(20, seed=1)
    joints[rng.random(joints.shape[:-1]) < unseen] = np.nan
    expected = np.stack([normalized_by_loops(window) for window in joints])
    found = normalize(joints)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.isfinite(found).all()


def test_nothing_seen_gives_zero() -> None:
    assert (normalize(np.full((2, 8, 1, 25, 3), np.nan)) == 0.0).all()


def test_infinite_is_unseen() -> None:
    joints = windows(3)
    joints[:, 2, 0, 7] = np.nan
    joints[:, 3, 0, SPINE_MID] = np.nan
    infinite = joints.copy()
    infinite[:, 2, 0, 7] = [np.inf, 0.0, 0.0]
    infinite[:, 3, 0, SPINE_MID, 1] = -np.inf
    np.testing.assert_array_equal(normalize(infinite), normalize(joints))


def test_the_main_person_lies_as_defined() -> None:
    found = normalize(upright(windows(30)))[..., 0, :, :]
    np.testing.assert_allclose(found[..., SPINE_MID, :], 0.0, atol=1e-12)
    spine = found[:, 0, SPINE_MID] - found[:, 0, SPINE_BASE]
    across = found[:, 0, SHOULDER_RIGHT] - found[:, 0, SHOULDER_LEFT]
    np.testing.assert_allclose(spine / np.linalg.norm(spine, axis=-1, keepdims=True), np.tile(Z, (30, 1)), atol=1e-12)
    np.testing.assert_allclose(across / np.linalg.norm(across, axis=-1, keepdims=True), np.tile(X, (30, 1)), atol=1e-12)


def test_distances_within_a_frame_stay() -> None:
    joints = windows(4)
    before, after = (
        np.linalg.norm(x[..., :, None, :] - x[..., None, :, :], axis=-1)
        for x in (joints.reshape(4, 8, 50, 3), normalize(joints).reshape(4, 8, 50, 3))
    )
    np.testing.assert_allclose(after, before, atol=1e-12)


def test_does_not_depend_on_where_the_camera_stands() -> None:
    """Another rotation and shift for each window of a batch."""
    rng = np.random.default_rng(2)
    joints = windows(50)
    turns = Rotation.random(50, rng=rng).as_matrix()
    moved = np.einsum("nij,ntmvj->ntmvi", turns, joints) + rng.normal(0, 5, (50, 1, 1, 1, 3))
    np.testing.assert_allclose(normalize(moved), normalize(joints), atol=1e-9)


def test_does_not_depend_on_where_the_person_walks() -> None:
    joints = windows(5)
    moved = joints + np.random.default_rng(3).normal(0, 2, (5, 8, 1, 1, 3))
    np.testing.assert_allclose(normalize(moved), normalize(joints), atol=1e-12)


@pytest.mark.parametrize("across", [[0.3, -0.2, 0.1], [-0.4, 0.01, 0.0], [0.0, 0.0, 0.4], [np.nan, 0.1, 0.2]])
def test_shoulders_are_turned_along_x(across: list[float]) -> None:
    turn = shoulders_along_x(np.array(across))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    if np.isfinite(across).all() and np.hypot(*across[:2]) > 0:
        np.testing.assert_allclose(turn @ across, [np.linalg.norm(across), 0.0, 0.0], atol=1e-12)
        assert (turn @ Z)[1] == pytest.approx(0.0)  # what stood up leans to the side at most, never forward or back
    else:
        np.testing.assert_array_equal(turn, np.eye(3))


def test_people_stand_upright_whichever_way_they_face() -> None:
    for azimuth in (0.0, 90.0, 180.0, 270.0):
        recording = play(["wave", "walk", "pick_up"], seed=5, rate_hz=10.0, view=View(azimuth_deg=azimuth))
        (joints,) = recording.joints.values()
        each_frame_its_own = normalize(joints[:, None, None])[:, 0, 0]
        head = each_frame_its_own[:, NTU_25.index("Head"), 2]
        assert (head > 0.2).mean() > 0.98


def test_what_is_given_is_not_changed() -> None:
    joints = windows(2)
    joints[0, 0, 0, 5] = np.nan
    before = joints.copy()
    normalize(joints)
    np.testing.assert_array_equal(joints, before)


def test_rotations_are_the_smallest_ones() -> None:
    vectors = np.random.default_rng(5).normal(0, 1, (200, 3)) * np.logspace(-6, 6, 200)[:, None]
    rotations = rotation_to_z(vectors)
    expected = np.stack([smallest_rotation(vector, Z) for vector in vectors])
    np.testing.assert_allclose(rotations, expected, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, np.pi - 1e-3, np.pi - 1e-4, np.pi - 1e-5, np.pi])
def test_rotations_of_nearly_equal_and_nearly_opposite_vectors(angle: float) -> None:
    around = np.arange(7.0)
    height = np.full(7, np.cos(angle))
    vectors = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), height], 1)
    rotations = rotation_to_z(3.0 * vectors)
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, -1, -2), np.tile(np.eye(3), (7, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", rotations, vectors), np.tile(Z, (7, 1)), atol=1e-4)


@pytest.mark.parametrize("vector", [[0, 0, 0], [np.nan, 0, 1], [np.nan] * 3, [1e-12, 0, 0]])
def test_no_direction_gives_no_rotation(vector: list[float]) -> None:
    rotations = rotation_to_z(np.array([vector, [0.0, 0.0, 2.0]]))
    np.testing.assert_array_equal(rotations, np.tile(np.eye(3), (2, 1, 1)))


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("unseen", [0.0, 0.3])
def test_the_models_input_is_the_normalised_window(people: int, unseen: float) -> None:
    rng = np.random.default_rng(9)
    joints = rng.normal(0.0, 0.5, (5, 64, 25, 3)).astype(np.float32)
    joints[rng.random(joints.shape[:-1]) < unseen] = np.nan
    joints[0] = np.nan  # of somebody of whom nothing was seen
    found = normalize.model_input(joints[:, :, None], people)
    assert (found.shape, found.dtype) == ((5, 3, 64, 25, people), np.float32)
    expected = normalize(joints[:, :, None].astype(float))[:, :, 0]
    np.testing.assert_allclose(found[..., 0].transpose(0, 2, 3, 1), expected, atol=1e-5)
    assert (found[..., 1:] == 0.0).all()


def test_a_given_rotation_is_used() -> None:
    joints = windows(4)
    joints[np.random.default_rng(0).random(joints.shape[:-1]) < 0.2] = np.nan
    turns = Rotation.random(4, rng=np.random.default_rng(1)).as_matrix()
    expected = np.nan_to_num(np.einsum("ntmvc,ndc->ntmvd", centre(joints), turns))
    np.testing.assert_allclose(normalize(joints, turns), expected, atol=1e-12)


def test_another_up_is_another_normalisation() -> None:
    """With the legs as up, the main person's hip lies over the knee."""
    hip, knee = NTU_25.index("HipLeft"), NTU_25.index("KneeLeft")
    by_leg = Normalization("by_leg", (knee, hip))
    found = by_leg(windows(10))[:, 0, 0]
    across = found[:, SHOULDER_RIGHT] - found[:, SHOULDER_LEFT]
    np.testing.assert_allclose(across[:, 1:], 0.0, atol=1e-12)
    np.testing.assert_allclose((found[:, hip] - found[:, knee])[:, 1], 0.0, atol=1e-12)  # tilted to the side at most
    assert NORMALIZATIONS == {"spine_mid_upright_shoulders_along_x": normalize}


# The same function on tensors: a model must see on the robot what it saw in training.

ALL = slice(None)


def assert_same_in_torch(joints: np.ndarray) -> None:
    """Both give the same values and rotations, in double and in single precision."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected, rotation = normalize(joints), normalize.rotation(joints[:, :, 0])
    found = normalize(torch.from_numpy(joints))
    assert isinstance(found, torch.Tensor)
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    turned = normalize.rotation(torch.from_numpy(joints[:, :, 0]))
    np.testing.assert_allclose(turned, rotation, atol=1e-9)
    np.testing.assert_allclose(turned @ turned.mT, np.broadcast_to(np.eye(3), turned.shape), atol=1e-9)
    single = normalize(torch.from_numpy(joints.astype(np.float32)))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, atol=2e-3)
    np.testing.assert_allclose(single, normalize(joints.astype(np.float32)), atol=1e-5)


def scattered(people: int, unseen: float = 0.0) -> np.ndarray:
    """Random windows (40, 16, M, 25, 3), a share of whose joints is unseen."""
    rng = np.random.default_rng(people)
    joints = rng.normal([0.0, 0.0, 3.0], 0.6, (40, 16, people, 25, 3))
    joints[rng.random(joints.shape[:-1]) < unseen] = np.nan
    return joints


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("unseen", [0.0, 0.3, 0.9])
def test_tensors_give_the_values_of_arrays(people: int, unseen: float) -> None:
    assert_same_in_torch(scattered(people, unseen))


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("the middle of the spine in all frames", (ALL, ALL, 0, SPINE_MID)),
        ("the middle of the spine in the first frames", (ALL, slice(0, 5), 0, SPINE_MID)),
        ("the base of the spine", (ALL, ALL, 0, SPINE_BASE)),
        ("a shoulder", (ALL, ALL, 0, SHOULDER_LEFT)),
        ("a shoulder in the first frame", (ALL, 0, 0, SHOULDER_RIGHT)),
        ("the main person in some frames", (ALL, slice(3, 7), 0)),
        ("the main person", (ALL, ALL, 0)),
        ("the second person", (ALL, ALL, 1)),
        ("everybody", (ALL,)),
    ],
)
def test_tensors_give_them_where_much_is_unseen(what: str, where: tuple) -> None:
    joints = scattered(2)
    joints[where] = np.nan
    assert_same_in_torch(joints)


def test_tensors_give_them_where_a_rotation_is_not_defined() -> None:
    joints = scattered(1)
    down, zero = joints.copy(), joints.copy()
    down[:, 0, 0, SPINE_MID] = down[:, 0, 0, SPINE_BASE] - [0.0, 0.0, 0.5]
    assert_same_in_torch(down)
    zero[:, 0, 0, SPINE_MID] = zero[:, 0, 0, SPINE_BASE]
    zero[:, 0, 0, SHOULDER_RIGHT] = zero[:, 0, 0, SHOULDER_LEFT]
    assert_same_in_torch(zero)
    assert_same_in_torch(np.zeros((2, 4, 2, 25, 3)))


def test_a_window_does_not_depend_on_those_beside_it() -> None:
    joints = scattered(2, 0.3)
    np.testing.assert_allclose(normalize(joints)[5:6], normalize(joints[5:6]), rtol=0, atol=1e-12)
