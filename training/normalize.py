"""`usdrl_ros.skeleton.normalize` in torch, for whole batches on the device; the tests hold both to the same values."""

from __future__ import annotations

import torch
from torch import Tensor

from usdrl_ros.skeleton.layouts import SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE, SPINE_MID


def centre(joints: Tensor) -> Tensor:
    """Each frame (..., M, 25, 3) minus the main person's SpineMid, or their seen joints' mean where that is unseen."""
    main = joints[..., 0, :, :]
    middle = main[..., SPINE_MID, :]
    if not torch.isfinite(middle).all():
        middle = torch.where(torch.isfinite(middle), middle, main.nanmean(-2).nan_to_num(0.0))
    return joints - middle[..., None, None, :]


def upright_rotation(joints: Tensor) -> Tensor:
    """The rotation (N, 3, 3) by which the main person's joints (N, T, 25, 3) are turned.

    It lays SpineBase->SpineMid along z and then the shoulders, left to right, along x; of each the first that is seen.
    """
    turn = _spine_along_z(_first_seen(joints[:, :, SPINE_MID] - joints[:, :, SPINE_BASE]))
    across = _first_seen(joints[:, :, SHOULDER_RIGHT] - joints[:, :, SHOULDER_LEFT])
    return _shoulders_along_x((turn @ across[..., None])[..., 0]) @ turn


def normalize(joints: Tensor, rotation: Tensor | None = None) -> Tensor:
    """Centre and turn windows.

    Args:
        joints: (N, T, M, 25, 3) metres, the main person first; NaN where unseen.
        rotation: (N, 3, 3), for instance that of a whole clip; None: by each window's own first frame.

    Returns:
        The same shape, 0 where unseen.
    """
    centred = centre(joints)
    if rotation is None:
        rotation = upright_rotation(centred[:, :, 0])
    return torch.einsum("ntmvc,ndc->ntmvd", centred, rotation).nan_to_num(0.0)


def _first_seen(vectors: Tensor) -> Tensor:
    """From (N, T, 3), the first that is no NaN in time: (N, 3)."""
    first = torch.isfinite(vectors).all(-1).float().argmax(-1)
    return vectors[torch.arange(len(vectors), device=vectors.device), first]


def _spine_along_z(up: Tensor) -> Tensor:
    """The smallest rotations (N, 3, 3) that lay vectors (N, 3) along z; the identity for a zero or NaN one."""
    length = up.norm(dim=-1, keepdim=True)
    target = up.new_tensor([0.0, 0.0, 1.0])
    usable = length.nan_to_num(0.0) > 1e-9
    x, y, z = torch.where(usable, up / torch.where(usable, length, 1.0), target).unbind(-1)
    opposite = z < -1.0 + 1e-6
    scale = 1.0 / torch.where(opposite, 1.0, 1.0 + z)
    rows = [
        torch.stack([1.0 - x * x * scale, -x * y * scale, -x], -1),
        torch.stack([-x * y * scale, 1.0 - y * y * scale, -y], -1),
        torch.stack([x, y, 1.0 - (x * x + y * y) * scale], -1),
    ]
    half_turn = up.new_tensor([1.0, -1.0, -1.0]).diag()
    return torch.where(opposite[:, None, None], half_turn, torch.stack(rows, -2))


def _shoulders_along_x(across: Tensor) -> Tensor:
    """Rotations (N, 3, 3) that lay vectors (N, 3) along x by a turn about z and then a tilt about y."""
    level = torch.hypot(across[:, 0], across[:, 1])
    length = across.norm(dim=-1)
    usable = level.nan_to_num(0.0) > 1e-6 * length.nan_to_num(1.0)
    x, y, z = torch.where(usable[:, None], across, across.new_tensor([1.0, 0.0, 0.0])).unbind(-1)
    level, length = torch.where(usable, level, 1.0), torch.where(usable, length, 1.0)
    along = torch.stack([x, y, z], -1) / length[:, None]
    side = torch.stack([-y / level, x / level, torch.zeros_like(x)], -1)
    return torch.stack([along, side, torch.linalg.cross(along, side)], -2)
