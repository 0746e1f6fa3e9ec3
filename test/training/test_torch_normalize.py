"""Normalisation in torch against the robot's in NumPy: a model must see on the robot what it saw in training."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training import normalize as batched  # noqa: E402
from usdrl_ros.skeleton.layouts import SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE, SPINE_MID  # noqa: E402
from usdrl_ros.skeleton.normalize import normalize, upright_rotation  # noqa: E402

ALL = slice(None)


def windows(people: int, unseen: float = 0.0) -> np.ndarray:
    """Random windows (40, 16, M, 25, 3), a share of whose joints is unseen."""
    rng = np.random.default_rng(people)
    joints = rng.normal([0.0, 0.0, 3.0], 0.6, (40, 16, people, 25, 3))
    joints[rng.random(joints.shape[:-1]) < unseen] = np.nan
    return joints


def assert_same(joints: np.ndarray) -> None:
    """Both give the same values and rotations, in double and in single precision."""
    expected, rotation = normalize(joints), upright_rotation(joints[:, :, 0])
    found = batched.normalize(torch.from_numpy(joints))
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    turned = batched.upright_rotation(torch.from_numpy(joints[:, :, 0]))
    np.testing.assert_allclose(turned, rotation, atol=1e-9)
    np.testing.assert_allclose(turned @ turned.mT, np.broadcast_to(np.eye(3), turned.shape), atol=1e-9)
    single = torch.from_numpy(joints.astype(np.float32))
    np.testing.assert_allclose(batched.normalize(single), expected, atol=2e-3)


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("unseen", [0.0, 0.3, 0.9])
def test_equals_the_robots_normalisation(people: int, unseen: float) -> None:
    assert_same(windows(people, unseen))


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
def test_equals_it_where_much_is_unseen(what: str, where: tuple) -> None:
    joints = windows(2)
    joints[where] = np.nan
    assert_same(joints)


def test_equals_it_where_a_rotation_is_not_defined() -> None:
    joints = windows(1)
    down, lying, zero = joints.copy(), joints.copy(), joints.copy()
    down[:, 0, 0, SPINE_MID] = down[:, 0, 0, SPINE_BASE] - [0.0, 0.0, 0.5]
    assert_same(down)
    spine = lying[:, 0, 0, SPINE_MID] - lying[:, 0, 0, SPINE_BASE]
    lying[:, 0, 0, SHOULDER_RIGHT] = lying[:, 0, 0, SHOULDER_LEFT] + 0.7 * spine
    rotation = batched.upright_rotation(torch.from_numpy(lying[:, :, 0]))
    np.testing.assert_allclose(rotation, upright_rotation(lying[:, :, 0]), atol=1e-9)
    zero[:, 0, 0, SPINE_MID] = zero[:, 0, 0, SPINE_BASE]
    zero[:, 0, 0, SHOULDER_RIGHT] = zero[:, 0, 0, SHOULDER_LEFT]
    assert_same(zero)
    assert_same(np.zeros((2, 4, 2, 25, 3)))


def test_a_given_rotation_is_used() -> None:
    joints = windows(2, 0.2)
    turn = torch.linalg.qr(torch.randn(40, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    found = batched.normalize(torch.from_numpy(joints), turn)
    centred = batched.centre(torch.from_numpy(joints)).numpy()
    for window in (0, 7, 39):
        expected = np.nan_to_num(centred[window] @ turn[window].numpy().T)
        np.testing.assert_allclose(found[window], expected, atol=1e-12)


def test_a_window_does_not_depend_on_those_beside_it() -> None:
    joints = torch.from_numpy(windows(2, 0.3))
    together = batched.normalize(joints)
    torch.testing.assert_close(together[5:6], batched.normalize(joints[5:6]), rtol=0, atol=1e-12)
