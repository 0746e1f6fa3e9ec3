"""Make skeletons independent of where the camera stands: the normalisation of USDRL's input.

As the authors prepare NTU RGB+D (after Shi et al., 2s-AGCN, CVPR 2019): each frame minus the main person's SpineMid,
then one rotation for the whole window, from the main person's first frame, that lays SpineBase->SpineMid along z and
then ShoulderLeft->ShoulderRight along x, the way they lie in the frame of a Kinect when a person faces it.

One thing differs. The smallest rotation onto x, which the authors take, depends on the frame that the skeleton came in,
and is arbitrary for a person who turns their back. Here the shoulders are laid along x by a turn about the spine and
then a tilt about y: the same for a person who faces the sensor, and independent of the frame for all.

One function for training and for the robot, on arrays of NumPy and tensors of PyTorch alike (the array API standard):
a model must see on the robot what it saw in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from array_api_compat import array_namespace, device

from usdrl_ros.skeleton.layouts import SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE, SPINE_MID

Array = TypeVar("Array", bound=Any)
"""A NumPy array or a PyTorch tensor."""


@dataclass(frozen=True)
class Normalization:
    """One way to centre and turn windows.

    Args:
        name: In the metadata of models.
        up: Two joints of the main person, below and above: their line is laid along z.
    """

    name: str
    up: tuple[int, int]

    def __call__(self, joints: Array, rotation: Array | None = None) -> Array:
        """Centre and turn windows of NTU-25 skeletons.

        Args:
            joints: (..., T, M, 25, 3) metres, any right-handed frame, the main person first; NaN or infinite where
                unseen.
            rotation: (..., 3, 3), for instance that of a whole clip; None: that of the window itself.

        Returns:
            The same shape and type, 0 (the main person's SpineMid) where unseen. Where SpineMid is unseen, the frame is
            centred on the mean of the main person's seen joints.
        """
        xp = array_namespace(joints)
        centred = centre(joints)
        if rotation is None:
            rotation = self.rotation(centred[..., 0, :, :])
        rotation = xp.astype(rotation, joints.dtype, copy=False)
        flat = xp.reshape(centred, (*centred.shape[:-4], -1, 3))
        turned = xp.reshape(xp.matmul(flat, xp.matrix_transpose(rotation)), centred.shape)
        return xp.where(is_seen(joints)[..., None], turned, xp.zeros_like(turned))

    def rotation(self, joints: Array) -> Array:
        """The rotation (..., 3, 3) by which skeletons are turned, from the main person's joints (..., T, 25, 3).

        Where the joints of one of its two turns are unseen in the first frame, the first frame that shows them serves;
        without any, that turn is left out.
        """
        xp = array_namespace(joints)
        below, above = self.up
        up = _first_seen(joints[..., above, :] - joints[..., below, :])
        across = _first_seen(joints[..., SHOULDER_RIGHT, :] - joints[..., SHOULDER_LEFT, :])
        turn = rotation_to_z(xp.astype(up, xp.float64))
        across = xp.matmul(turn, xp.astype(across, xp.float64)[..., None])[..., 0]
        return xp.astype(xp.matmul(shoulders_along_x(across), turn), joints.dtype)

    def model_input(self, joints: np.ndarray, people: int) -> np.ndarray:
        """Windows (N, T, m, 25, 3), m <= M, NaN unseen, as a model takes them: (N, 3, T, 25, M = people) float32.

        The places of people who are not there are 0.
        """
        count, frames, there = joints.shape[:3]
        skeletons = np.zeros((count, 3, frames, 25, people), np.float32)
        skeletons[..., :there] = self(joints).transpose(0, 4, 1, 3, 2)
        return skeletons


normalize = Normalization("spine_mid_upright_shoulders_along_x", (SPINE_BASE, SPINE_MID))
"""The normalisation of the models so far."""
NORMALIZATION = normalize.name
NORMALIZATIONS: Mapping[str, Normalization] = {each.name: each for each in (normalize,)}
"""All that this version has, by the name that a model's metadata gives."""


def is_seen(joints: Array) -> Array:
    """Which joints (..., 3) are seen (...): all three coordinates are finite, and so is their sum."""
    return array_namespace(joints).isfinite(joints[..., 0] + joints[..., 1] + joints[..., 2])


def centre(joints: Array) -> Array:
    """Windows (..., M, 25, 3) minus the main person's SpineMid, or the mean of their seen joints where it is unseen."""
    xp = array_namespace(joints)
    main = joints[..., 0, :, :]
    seen = is_seen(main)[..., None]
    known = xp.where(seen, main, xp.zeros_like(main))
    count = xp.sum(xp.astype(seen, joints.dtype), axis=-2)
    mean = xp.sum(known, axis=-2) / xp.where(count > 0, count, xp.ones_like(count))
    middle = xp.where(seen[..., SPINE_MID, :], main[..., SPINE_MID, :], mean)
    return joints - middle[..., None, None, :]


def rotation_to_z(vectors: Array) -> Array:
    """The smallest rotations (..., 3, 3) that lay vectors (..., 3) along z (Rodrigues' formula).

    A zero or NaN vector gives the identity; an opposite one half a turn about x.
    """
    xp = array_namespace(vectors)
    length = xp.sqrt(xp.sum(vectors * vectors, axis=-1))
    usable = length > 1e-9  # false for NaN
    length = xp.where(usable, length, xp.ones_like(length))
    zero, one = xp.zeros_like(length), xp.ones_like(length)
    x, y, z = (xp.where(usable, vectors[..., i] / length, one if i == 2 else zero) for i in range(3))
    opposite = z < -1.0 + 1e-9
    scale = 1.0 / xp.where(opposite, one, 1.0 + z)
    rotation = _matrix(
        [[1.0 - x * x * scale, -x * y * scale, -x], [-x * y * scale, 1.0 - y * y * scale, -y], [x, y, z]]
    )
    half_turn = xp.asarray([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]], dtype=z.dtype, device=device(z))
    return xp.where(opposite[..., None, None], half_turn, rotation)


def shoulders_along_x(across: Array) -> Array:
    """Rotations (..., 3, 3) that lay vectors (..., 3) along x by a turn about z and then a tilt about y.

    A NaN vector, or one along z, which no turn about z moves, gives the identity.
    """
    xp = array_namespace(across)
    level = xp.sqrt(across[..., 0] ** 2 + across[..., 1] ** 2)
    length = xp.sqrt(xp.sum(across * across, axis=-1))
    usable = level > 1e-6 * length  # false for NaN, and for zero
    zero, one = xp.zeros_like(level), xp.ones_like(level)
    x, y, z = (xp.where(usable, across[..., i], one if i == 0 else zero) for i in range(3))
    level, length = xp.where(usable, level, one), xp.where(usable, length, one)
    along = [x / length, y / length, z / length]
    side = [-y / level, x / level, zero]
    normal = [along[1] * side[2] - along[2] * side[1], along[2] * side[0] - along[0] * side[2],
              along[0] * side[1] - along[1] * side[0]]  # fmt: skip
    return _matrix([along, side, normal])


def _matrix(rows: list[list[Array]]) -> Array:
    """(..., 3, 3) of its elements (...)."""
    xp = array_namespace(rows[0][0])
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def _first_seen(vectors: Array) -> Array:
    """Of vectors (..., T, 3), the first in time that is finite: (..., 3), or NaN."""
    xp = array_namespace(vectors)
    seen = is_seen(vectors)
    first = xp.argmax(xp.astype(seen, xp.int8), axis=-1)
    chosen = xp.arange(vectors.shape[-2], device=device(vectors)) == first[..., None]
    return xp.sum(xp.where(chosen[..., None], vectors, xp.zeros_like(vectors)), axis=-2)
