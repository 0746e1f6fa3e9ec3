"""What a camera does not see: joints behind the trunk of the person or of somebody else."""

from __future__ import annotations

import numpy as np

TRUNK_RADIUS_M = 0.14
_BEHIND_M = 0.1
"""How far behind the trunk's axis a joint must be to be hidden by it."""
_SAMPLES = 6
"""Points of the axis that are looked at."""


def hidden(joints: np.ndarray, trunks: np.ndarray) -> np.ndarray:
    """Which joints trunks hide.

    Args:
        joints: (T, V, 3) of one person in the frame of the camera, which is at the origin.
        trunks: (T, P, 2, 3) both ends of the trunks of everybody, the person's own included, in that frame.

    Returns:
        (T, V), true where a trunk is on the line of sight and nearer to the camera.
    """
    share = np.linspace(0.0, 1.0, _SAMPLES)[:, None]
    axes = trunks[:, :, :1] + share * (trunks[:, :, 1:] - trunks[:, :, :1])
    axes = axes.reshape(len(trunks), -1, 3)  # (T, P * samples, 3)
    distance = np.linalg.norm(joints, axis=-1)
    rays = joints / distance[..., None]
    along = np.einsum("tvi,tpi->tvp", rays, axes)
    beside = np.sqrt(np.maximum((axes**2).sum(-1)[:, None] - along**2, 0.0))
    return ((beside < TRUNK_RADIUS_M) & (along > 0.0) & (along < distance[..., None] - _BEHIND_M)).any(-1)
