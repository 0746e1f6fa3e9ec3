"""Make skeletons independent of where the camera stands: the normalisation of USDRL's input.

As the authors prepare NTU RGB+D (after Shi et al., 2s-AGCN, CVPR 2019): each frame minus the main person's SpineMid,
then one rotation for the whole window, from the main person's first frame, that lays SpineBase->SpineMid along z and
then ShoulderLeft->ShoulderRight along x, the way that they lie in Kinect's frame when a person faces it.

One thing is done better than there. The smallest rotation onto x, which they take, depends on the frame that the
skeleton came in, and is left to chance for a person who turns their back. Here the shoulders are laid along x by a turn
about the spine and then a tilt about y: the same for a person who faces the sensor, and for all independent of the
frame.

One function for training and for the robot: a model must see on the robot what it saw in training.
"""

from __future__ import annotations

import numpy as np

from usdrl_ros.skeleton.layouts import SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE, SPINE_MID

NORMALIZATION = "spine_mid_upright_shoulders_along_x"
"""Name of this normalisation in a model's metadata."""


def normalize(joints: np.ndarray) -> np.ndarray:
    """Centre and turn windows of NTU-25 skeletons.

    Args:
        joints: (..., T, M, 25, 3) metres, any right-handed frame, the main person first; NaN or infinite where unseen.

    Returns:
        The same shape, the unseen replaced by 0 (the main person's SpineMid). Where SpineMid is unseen, the frame is
        centred on the mean of the main person's seen joints; where the joints of a rotation are unseen in the first
        frame, the first frame that shows them serves; without any, that rotation is left out.
    """
    main = joints[..., 0, :, :]
    seen = np.isfinite(main).all(-1, keepdims=True)
    count = np.maximum(seen.sum(-2), 1)
    mean = np.where(seen, main, 0.0).sum(-2) / count
    centre = np.where(seen[..., SPINE_MID, :], main[..., SPINE_MID, :], mean)
    joints = np.where(np.isfinite(joints), joints - centre[..., None, None, :], np.nan)

    turn = upright_rotation(joints[..., 0, :, :])
    return np.nan_to_num(joints @ np.swapaxes(turn, -1, -2)[..., None, None, :, :], copy=False)


def upright_rotation(joints: np.ndarray) -> np.ndarray:
    """The rotation (..., 3, 3) by which `normalize` turns skeletons, from the main person's joints (..., T, 25, 3)."""
    up = _first_seen(joints[..., SPINE_MID, :] - joints[..., SPINE_BASE, :])
    turn = rotation_between(up, np.array([0.0, 0.0, 1.0]))
    across = _first_seen(joints[..., SHOULDER_RIGHT, :] - joints[..., SHOULDER_LEFT, :])
    return shoulders_along_x((turn @ across[..., None])[..., 0]) @ turn


def model_input(joints: np.ndarray, people: int) -> np.ndarray:
    """Windows of one person each, (N, T, 25, 3), NaN unseen, as a model takes them: (N, 3, T, 25, people) float32.

    The other people's places are zero.
    """
    normalized = normalize(joints[:, :, None]).transpose(0, 4, 1, 3, 2)
    skeletons = np.zeros((*normalized.shape[:-1], people), np.float32)
    skeletons[..., :1] = normalized
    return skeletons


def rotation_between(vectors: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotations (..., 3, 3) that lay vectors (..., 3) along a unit vector (3,) (Rodrigues' formula).

    A zero or NaN vector gives the identity; an opposite one half a turn about an axis normal to the target.
    """
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    usable = np.nan_to_num(length) > 1e-9
    unit = np.where(usable, vectors / np.where(usable, length, 1.0), target)
    cosine = unit @ target
    x, y, z = np.moveaxis(np.cross(unit, target), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    opposite = cosine < -1.0 + 1e-9
    scale = 1.0 / np.where(opposite, 1.0, 1.0 + cosine)
    rotation = np.eye(3) + cross + cross @ cross * scale[..., None, None]
    normal = np.eye(3)[np.argmin(np.abs(target))]
    normal = normal - target * (normal @ target)
    normal /= np.linalg.norm(normal)
    half_turn = 2.0 * np.outer(normal, normal) - np.eye(3)
    return np.where(opposite[..., None, None], half_turn, rotation)


def shoulders_along_x(across: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) that lay vectors (..., 3) along x by a turn about z and then a tilt about y.

    A NaN vector, or one along z, which no turn about z moves, gives the identity.
    """
    level = np.hypot(across[..., 0], across[..., 1])
    length = np.linalg.norm(across, axis=-1)
    usable = np.nan_to_num(level) > 1e-6 * np.nan_to_num(length, nan=1.0)
    x, y, z = np.moveaxis(np.where(usable[..., None], across, [1.0, 0.0, 0.0]), -1, 0)
    level, length = np.where(usable, level, 1.0), np.where(usable, length, 1.0)
    zero = np.zeros_like(x)
    along = np.stack([x / length, y / length, z / length], -1)
    side = np.stack([-y / level, x / level, zero], -1)
    return np.stack([along, side, np.cross(along, side)], -2)


def _first_seen(vectors: np.ndarray) -> np.ndarray:
    """From (..., T, 3), the first that is no NaN in time: (..., 3); NaN where all are."""
    first = np.isfinite(vectors).all(-1).argmax(-1)
    return np.take_along_axis(vectors, first[..., None, None], -2)[..., 0, :]
