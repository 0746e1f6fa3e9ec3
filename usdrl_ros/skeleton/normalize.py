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
_YZX, _ZXY = [1, 2, 0], [2, 0, 1]


def normalize(joints: np.ndarray) -> np.ndarray:
    """Centre and turn windows of NTU-25 skeletons.

    Args:
        joints: (..., T, M, 25, 3) metres, any right-handed frame, the main person first; NaN or infinite where unseen.

    Returns:
        The same shape, the unseen replaced by 0 (the main person's SpineMid). Where SpineMid is unseen, the frame is
        centred on the mean of the main person's seen joints; where the joints of a rotation are unseen in the first
        frame, the first frame that shows them serves; without any, that rotation is left out.
    """
    joints, whole = _centred(joints)
    turn = upright_rotation(joints[..., 0, :, :]).astype(joints.dtype, copy=False)
    flat = joints.reshape(*joints.shape[:-4], -1, 3)
    turned = np.matmul(flat, np.swapaxes(turn, -1, -2)).reshape(joints.shape)
    return turned if whole else np.nan_to_num(turned, copy=False)


def _centred(joints: np.ndarray) -> tuple[np.ndarray, bool]:
    """Windows (..., T, M, 25, 3) minus the main person's centre, NaN where unseen; whether all is seen."""
    main = joints[..., 0, :, :]
    if np.isfinite(joints).all():  # most often: what follows is the same, without a look at each number
        return joints - main[..., None, SPINE_MID : SPINE_MID + 1, :], True
    finite = np.isfinite(joints)
    seen = finite[..., 0, :, :].all(-1, keepdims=True)
    count = np.maximum(seen.sum(-2), 1)
    mean = np.where(seen, main, 0.0).sum(-2) / count
    centre = np.where(seen[..., SPINE_MID, :], main[..., SPINE_MID, :], mean)
    return np.where(finite, joints - centre[..., None, None, :], np.nan).astype(joints.dtype), False


def upright_rotation(joints: np.ndarray) -> np.ndarray:
    """The rotation (..., 3, 3) by which `normalize` turns skeletons, from the main person's joints (..., T, 25, 3)."""
    ends = joints[..., 0, (SPINE_MID, SHOULDER_RIGHT, SPINE_BASE, SHOULDER_LEFT), :]
    both = ends[..., :2, :] - ends[..., 2:, :]
    if not np.isfinite(both).all():
        both[..., 0, :] = _first_seen(joints, SPINE_MID, SPINE_BASE)
        both[..., 1, :] = _first_seen(joints, SHOULDER_RIGHT, SHOULDER_LEFT)
    up, across = both[..., 0, :], both[..., 1, :]
    # Both turns at once: what comes to lie along x are the shoulders, along y what is normal to them and the spine.
    rotation = np.empty((*across.shape, 3), across.dtype)
    rotation[..., 0, :], rotation[..., 1, :] = across, _cross(up, across)
    squared = (rotation[..., :2, :] ** 2).sum(-1)
    across_squared, side_squared = squared[..., 0], squared[..., 1]
    up_squared = (up * up).sum(-1)
    if ((side_squared > 1e-12 * up_squared * across_squared) & (up_squared > 1e-18)).all():
        rotation[..., :2, :] /= np.sqrt(squared)[..., None]
        rotation[..., 2, :] = _cross(rotation[..., 0, :], rotation[..., 1, :])
        return rotation
    turn = rotation_between(up, np.array([0.0, 0.0, 1.0]))
    return shoulders_along_x((turn @ across[..., None])[..., 0]) @ turn


def model_input(joints: np.ndarray, people: int) -> np.ndarray:
    """Windows of one person each, (N, T, 25, 3), NaN unseen, as a model takes them: (N, 3, T, 25, people) float32.

    The other people's places are zero.
    """
    turn = upright_rotation(joints).astype(joints.dtype, copy=False)
    # As `normalize` centres and turns them, but coordinate by coordinate.
    by_axis = joints.transpose(0, 3, 1, 2)
    centred = np.empty(by_axis.shape, joints.dtype)
    np.subtract(by_axis, by_axis[..., SPINE_MID : SPINE_MID + 1], out=centred)
    whole = bool(np.isfinite(centred).all())
    if not whole:
        centred[:] = _centred(joints[:, :, None])[0][:, :, 0].transpose(0, 3, 1, 2)
    turned = np.matmul(turn, centred.reshape(len(joints), 3, -1)).reshape(centred.shape)
    if not whole:
        np.nan_to_num(turned, copy=False)
    if people == 1:
        return turned.astype(np.float32, copy=False)[..., None]
    skeletons = np.zeros((*turned.shape, people), np.float32)
    skeletons[..., 0] = turned
    return skeletons


def rotation_between(vectors: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The smallest rotations (..., 3, 3) that lay vectors (..., 3) along a unit vector (3,) (Rodrigues' formula).

    A zero or NaN vector gives the identity; an opposite one half a turn about an axis normal to the target.
    """
    length = np.sqrt((vectors * vectors).sum(-1, keepdims=True))
    usable = length > 1e-9  # false for NaN
    unit = np.where(usable, vectors / np.where(usable, length, 1.0), target)
    cosine = unit @ target
    axis = _cross(unit, target)
    opposite = cosine < -1.0 + 1e-9
    rotation = axis[..., None] * (axis / np.where(opposite, 1.0, 1.0 + cosine)[..., None])[..., None, :]
    x, y, z = (axis[..., i] for i in range(3))
    for row, column, value in ((0, 1, -z), (0, 2, y), (1, 0, z), (1, 2, -x), (2, 0, -y), (2, 1, x)):
        rotation[..., row, column] += value
    for i in range(3):
        rotation[..., i, i] += cosine
    if not opposite.any():
        return rotation
    normal = np.eye(3)[np.argmin(np.abs(target))]
    normal = normal - target * (normal @ target)
    normal /= np.linalg.norm(normal)
    half_turn = 2.0 * np.outer(normal, normal) - np.eye(3)
    return np.where(opposite[..., None, None], half_turn, rotation)


def shoulders_along_x(across: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) that lay vectors (..., 3) along x by a turn about z and then a tilt about y.

    A NaN vector, or one along z, which no turn about z moves, gives the identity.
    """
    x, y, z = (across[..., i] for i in range(3))
    level, length = np.hypot(x, y), np.sqrt(x * x + y * y + z * z)
    usable = level > 1e-6 * length  # false for NaN, and for zero
    if not usable.all():
        x, y, z, level, length = (
            np.where(usable, value, instead)
            for value, instead in ((x, 1.0), (y, 0.0), (z, 0.0), (level, 1.0), (length, 1.0))
        )
    rotation = np.empty((*across.shape, 3), across.dtype)
    along, side = rotation[..., 0, :], rotation[..., 1, :]
    for i, value in enumerate((x, y, z)):
        along[..., i] = value / length
    side[..., 0], side[..., 1], side[..., 2] = -y / level, x / level, 0.0
    rotation[..., 2, :] = _cross(along, side)
    return rotation


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`np.cross` of vectors (..., 3), several times as fast for a few of them."""
    return a[..., _YZX] * b[..., _ZXY] - a[..., _ZXY] * b[..., _YZX]


def _first_seen(joints: np.ndarray, end: int, start: int) -> np.ndarray:
    """From joints (..., T, 25, 3), the vector between two that is the first without NaN in time: (..., 3), or NaN."""
    vectors = joints[..., end, :] - joints[..., start, :]
    first = np.isfinite(vectors).all(-1).argmax(-1)
    return np.take_along_axis(vectors, first[..., None, None], -2)[..., 0, :]
