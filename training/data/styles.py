"""Skeleton styles: the same motion as another tracker would have drawn it.

Trackers differ in where they put hips and spine, in how long they make bones, in which joints they have at all, and in
how they smooth. A classifier that saw few of them takes the style for the action. Here every sample is redrawn in a
style of its own, before normalisation. Letters: N samples, T frames, M people, 25 joints of NTU-25.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPINE_BASE, SPINE_MID, NECK, HEAD, SPINE_SHOULDER = 0, 1, 2, 3, 20
SHOULDERS, HIPS = (4, 8), (12, 16)
_ARMS = ((4, 5, 6, 7, 21, 22), (8, 9, 10, 11, 23, 24))
_LEGS = ((12, 13, 14, 15), (16, 17, 18, 19))
_HANDS = ((6, (7, 21, 22)), (10, (11, 23, 24)))
_FEET = ((14, (15,)), (18, (19,)))

STYLE_NUMBERS = 18
"""How many random numbers make a style."""


def restyled(joints: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
    """Joints (N, T, M, 25, 3) metres, NaN where unseen, each sample in a style of its own.

    Args:
        joints: As recorded, y up or in any other frame.
        uniform: (N, `STYLE_NUMBERS`) random numbers in [0, 1).
        normal: (N, 25, 3) standard normal ones: where a tracker puts each joint.

    Returns:
        The same shape.
    """
    joints = _spine_moved(joints, uniform)
    joints = _hips_moved(joints, uniform)
    joints = _bones_scaled(joints, uniform)
    joints = _ends_dropped(joints, uniform)
    spread = 0.025 * uniform[:, 14] ** 2
    joints = joints + (normal * spread[:, None, None])[:, None, None]
    return _smoothed(joints, uniform)


def _share(values: Tensor) -> Tensor:
    """(N,) for (N, T, M, 3)."""
    return values[:, None, None, None]


def _spine_moved(joints: Tensor, uniform: Tensor) -> Tensor:
    """SpineMid anywhere from a fifth to two thirds of the trunk (Kinect v1: 7 cm), and off the line by some cm."""
    base, top = joints[..., SPINE_BASE, :], joints[..., SPINE_SHOULDER, :]
    share = 0.15 + 0.5 * uniform[:, 0]
    moved = base + (top - base) * _share(share)
    across = joints[..., SHOULDERS[0], :] - joints[..., SHOULDERS[1], :]
    forward = torch.linalg.cross(across, top - base, dim=-1)
    forward = forward / forward.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    moved = moved + forward * _share(0.08 * (uniform[:, 1] - 0.5))
    middle = torch.where(_share(uniform[:, 2] < 0.6), moved, joints[..., SPINE_MID, :])
    between = 0.5 * (joints[..., SHOULDERS[0], :] + joints[..., SHOULDERS[1], :])
    shoulder = torch.lerp(top, between, _share((uniform[:, 3] * 1.6 - 0.6).clamp(min=0.0)))
    return _set(_set(joints, SPINE_MID, middle), SPINE_SHOULDER, shoulder)


def _hips_moved(joints: Tensor, uniform: Tensor) -> Tensor:
    """Hips wider, narrower, higher or lower, and the base of the spine up to 8 cm over or under them."""
    base, top = joints[..., SPINE_BASE, :], joints[..., SPINE_SHOULDER, :]
    up = (top - base) / (top - base).norm(dim=-1, keepdim=True).clamp(min=1e-6)
    chosen = _share((uniform[:, 4] < 0.5).to(joints.dtype))
    for hip in HIPS:
        place = joints[..., hip, :]
        away = (place - base) * _share(0.8 * (uniform[:, 5] - 0.4))
        joints = _set(joints, hip, place + chosen * (away + up * _share(0.16 * (uniform[:, 6] - 0.5))))
    return _set(joints, SPINE_BASE, base + chosen * up * _share(0.12 * (uniform[:, 7] - 0.5)))


def _bones_scaled(joints: Tensor, uniform: Tensor) -> Tensor:
    """Upper arms, forearms, thighs, shanks and the head's distance longer or shorter by up to a sixth."""
    factors = 1.0 + (uniform[:, 8:13] - 0.5) / 3.0
    result = joints.clone()

    def scale(chain: tuple[int, ...], number: int) -> None:
        """Move a chain's joints so that its first bone is longer; the first joint stays."""
        first, second, *rest = chain
        bone = joints[..., second, :] - joints[..., first, :]
        shift = bone * _share(factors[:, number] - 1.0)
        for joint in (second, *rest):
            result[..., joint, :] += shift

    for arm in _ARMS:
        scale(arm, 0)
        scale(arm[1:], 1)
    for leg in _LEGS:
        scale(leg, 2)
        scale(leg[1:], 3)
    scale((NECK, HEAD), 4)
    return result


def _ends_dropped(joints: Tensor, uniform: Tensor) -> Tensor:
    """Hands drawn at the wrists, feet at the ankles, as trackers without them do."""
    for number, ends in ((0.35, _HANDS), (0.5, _FEET)):
        column = 13 if ends is _HANDS else 15
        chosen = _share(uniform[:, column] < number)
        for source, targets in ends:
            for target in targets:
                joints = _set(joints, target, torch.where(chosen, joints[..., source, :], joints[..., target, :]))
    return joints


def _smoothed(joints: Tensor, uniform: Tensor) -> Tensor:
    """A tracker's filter in a third of the samples: exponential smoothing, which lags."""
    decay = torch.where(uniform[:, 16] < 0.33, 0.7 * uniform[:, 17], torch.zeros_like(uniform[:, 17]))
    if not bool((decay > 0).any()):
        return joints
    keep = decay[:, None, None, None]
    frames = [joints[:, 0]]
    for frame in joints.unbind(1)[1:]:
        last = torch.where(torch.isfinite(frames[-1]), frames[-1], frame)
        frames.append(frame + keep * (last - frame))
    return torch.stack(frames, 1)


def _set(joints: Tensor, joint: int, place: Tensor) -> Tensor:
    """Joints with one of them (N, T, M, 3) in another place."""
    result = joints.clone()
    result[..., joint, :] = place
    return result
