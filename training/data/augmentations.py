"""Views of clips for training, made on the device for a whole batch at once.

The published augmentations (USDRL's MPCT, arXiv 2412.09220; the authors' code) are the defaults of `ViewOptions`:
temporal crop and resize, then joint corruption or pose augmentation (a shear), evenly. The other options are off by
default and stand for what robots see: other directions of view, speeds, frame rates, unseen joints, noise, mirrored
people, and skeletons from poorer layouts.

Letters: N samples, T = 64 frames, M people, V joints. A sample's random numbers come from one generator, which the
caller seeds by step, so that a resumed run draws the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from training.configuration import configuration, option
from training.data.clips import ClipBatch
from training.data.styles import STYLE_NUMBERS, restyled
from usdrl_ros.skeleton.layouts import NTU_25, load_layout
from usdrl_ros.skeleton.normalize import normalize

FRAMES = 64
Made = TypeVar("Made", bound=Callable[..., Tensor])


ROTATE_BY = ("clip", "window")


@configuration
class ViewOptions:
    """How views vary. Probabilities are of a sample; the defaults are the published recipe."""

    crop: tuple[float, float] = option(
        (0.1, 1.0), "smallest and largest share of the clip that a view shows", above=0.0, high=1.0
    )
    crop_frames: int = option(64, "a crop is at least this long, or the whole clip", low=1)
    rotate_by: str = option(
        "clip", "what turns a view upright: the clip's first frame (published), or its own (robot)", choices=ROTATE_BY
    )
    corruption: float = option(0.5, "probability of joint corruption; otherwise the pose is sheared", low=0.0, high=1.0)
    corrupted_share: float = option(0.6, "share of the joints that are corrupted", low=0.0, high=1.0)
    shear: float = option(1.0, "largest off-diagonal entry of the shear", low=0.0)
    yaw_deg: float = option(0.0, "largest turn about the vertical", low=0.0, high=180.0)
    tilt_deg: float = option(0.0, "largest turn about a random horizontal axis", low=0.0, high=180.0)
    mirror: float = option(0.0, "probability of a mirror image, left and right swapped", low=0.0, high=1.0)
    size: float = option(0.0, "largest share by which a person is larger or smaller", low=0.0, below=1.0)
    noise_m: float = option(0.0, "largest standard deviation of noise on each coordinate, metres", low=0.0)
    sparse: float = option(0.0, "probability of a lower frame rate", low=0.0, high=1.0)
    sparse_most: float = option(6.0, "most frames of the clip that one frame of a sparse view stands for", low=1.0)
    unseen: float = option(0.0, "probability that a limb or some joints are unseen, for a time", low=0.0, high=1.0)
    one_arm: float = option(0.0, "probability that one arm, either, is unseen all the time", low=0.0, high=1.0)
    poorer: float = option(
        0.0, "probability that the skeleton is derived from the joints of a poorer layout", low=0.0, high=1.0
    )
    poorer_layout: str = option("coco_17", "that layout, or several with commas between, of which each sample gets one")
    style: float = option(
        0.0, "probability that the skeleton is redrawn as another tracker would draw it", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        if self.crop[0] > self.crop[1]:
            raise ValueError(f"crop is {self.crop}, must be a smallest and a largest share")


NO_VARIATION = ViewOptions(crop=(1.0, 1.0), corruption=0.0, shear=0.0)
"""The whole clip as it is."""


def _in_single_precision(made: Made) -> Made:
    """Views are made in float32 under mixed precision as well: 8 or 11 bits are too coarse for metres."""

    @functools.wraps(made)
    def wrapper(batch: ClipBatch, *args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast(batch.first.device.type, enabled=False):
            return made(batch, *args, **kwargs)

    return cast(Made, wrapper)


@_in_single_precision
def make_views(batch: ClipBatch, options: ViewOptions, count: int, generator: torch.Generator) -> Tensor:
    """Draw views of clips.

    Args:
        batch: N clips.
        options: How the views vary.
        count: Views of each clip.
        generator: On the batch's device.

    Returns:
        (count, N, 3, 64, V, M), normalised, 0 where unseen.
    """
    device, clips = batch.joints.device, len(batch)
    draw = _Draw(generator, device, clips * count)
    length = batch.length.repeat(count).to(torch.float32)
    low, high = options.crop
    span = torch.floor(length * draw.uniform(low, high)) if low < 1.0 else length
    span = torch.minimum(span.clamp(min=options.crop_frames), length)
    start = torch.floor(draw.uniform() * (length - span + 1.0))
    positions = crop_positions(start, span)
    joints = sample(batch.joints, batch.first.repeat(count), start, span, positions, _step(options, draw))
    return _varied(joints, batch.rotation.repeat(count, 1, 1), options, draw).unflatten(0, (count, clips))


@_in_single_precision
def make_windows(batch: ClipBatch, positions: Tensor, options: ViewOptions, generator: torch.Generator) -> Tensor:
    """Draw one view of each clip at given frames (N, 64) after its first: (N, 3, 64, V, M). Nothing is cropped."""
    draw = _Draw(generator, batch.joints.device, len(batch))
    start = positions[:, 0]
    joints = sample(batch.joints, batch.first, start, batch.length - start, positions, _step(options, draw))
    return _varied(joints, batch.rotation, options, draw)


def _step(options: ViewOptions, draw: _Draw) -> Tensor | None:
    """Every how many frames each sample was seen, 0 for all (N,); None where all of all samples were."""
    if not options.sparse:
        return None
    return torch.where(draw.chance(options.sparse), draw.uniform(1.0, options.sparse_most), torch.zeros(()))


def _varied(joints: Tensor, rotation: Tensor, options: ViewOptions, draw: _Draw) -> Tensor:
    """What varies of sampled joints (N, T, M, V, 3), normalised: (N, 3, T, V, M)."""
    if joints.shape[3] == 25:
        joints = _as_seen(joints, options, draw)
        joints = normalize(joints, rotation if options.rotate_by == "clip" else None)
    else:
        joints = joints.nan_to_num(0.0)
    return _augment(joints, options, draw).permute(0, 4, 1, 3, 2)


@_in_single_precision
def centre_crop(batch: ClipBatch, share: float = 1.0, *, rotate_by: str = "clip", observed: float = 1.0) -> Tensor:
    """The middle `share` of each clip, as published for tests: (N, 3, 64, V, M).

    With `observed` below 1, of the first `observed` share of the clip (early prediction).
    """
    length = torch.floor(batch.length.to(torch.float32) * observed).clamp(min=1.0)
    start = torch.floor((1.0 - share) * length / 2.0)
    span = (length - 2.0 * start).clamp(min=1.0)
    joints = sample(batch.joints, batch.first, start, span, crop_positions(start, span))
    if batch.joints.shape[2] == 25:
        joints = normalize(joints, batch.rotation if rotate_by == "clip" else None)
    return joints.nan_to_num(0.0).permute(0, 4, 1, 3, 2)


def crop_positions(start: Tensor, span: Tensor, frames: int = FRAMES) -> Tensor:
    """Where in a clip the frames of a resized crop lie: (N,) and (N,) frames to (N, frames), fractional.

    As `torch.nn.functional.interpolate(..., align_corners=False)` places them.
    """
    centres = (torch.arange(frames, device=span.device) + 0.5) * (span / frames)[:, None] - 0.5
    return start[:, None] + torch.minimum(centres.clamp(min=0.0), span[:, None] - 1.0)


def sample(
    joints: Tensor, first: Tensor, start: Tensor, span: Tensor, positions: Tensor, step: Tensor | None = None
) -> Tensor:
    """Interpolate clips linearly in time.

    Args:
        joints: (F, M, V, 3), all clips' frames.
        first: (N,) first frame of each clip in it.
        start, span: (N,) frames of the crop, which are not left.
        positions: (N, T) frames after the clip's first.
        step: (N,) only every so many frames were seen (a lower frame rate); 0 where all were.

    Returns:
        (N, T, M, V, 3).
    """
    if step is None:
        return _lerp(joints, first, positions, start + span - 1.0)
    # At a lower rate the true pose is known at multiples of the step; between them it is interpolated once more.
    every = torch.where(step > 1.0, step, torch.ones_like(step))[:, None]
    last = (start + span - 1.0)[:, None]
    before = start[:, None] + torch.floor((positions - start[:, None]) / every) * every
    after = torch.minimum(before + every, last)
    weight = ((positions - before) / (after - before).clamp(min=1e-6)).clamp(0.0, 1.0)[..., None, None, None]
    sparse = torch.lerp(_lerp(joints, first, before, last[:, 0]), _lerp(joints, first, after, last[:, 0]), weight)
    direct = _lerp(joints, first, positions, last[:, 0])
    return torch.where((step > 1.0)[:, None, None, None, None], sparse, direct)


def _lerp(joints: Tensor, first: Tensor, positions: Tensor, last: Tensor) -> Tensor:
    """Joints (F, M, V, 3) at positions (N, T) after each clip's first frame: (N, T, M, V, 3)."""
    below = torch.floor(positions)
    above = torch.minimum(below + 1.0, last[:, None])
    weight = (positions - below)[..., None, None, None]
    lower = joints[first[:, None] + below.long()]
    upper = joints[first[:, None] + above.long()]
    # torch.lerp would make a seen joint NaN where its weightless neighbour is unseen.
    return torch.where(weight > 0.0, torch.lerp(lower, upper, weight), lower)


def joint_corruption(joints: Tensor, chosen: Tensor, matrix: Tensor, zeroed: Tensor) -> Tensor:
    """Corrupt some joints of (N, T, M, V, 3), published.

    The chosen ones (N, V) are set to 0 where zeroed (N,) says so, otherwise multiplied by a matrix (N, 3, 3).
    """
    corrupted = torch.einsum("ntmvc,ncd->ntmvd", joints, matrix)
    corrupted = torch.where(zeroed[:, None, None, None, None], torch.zeros_like(corrupted), corrupted)
    return torch.where(chosen[:, None, None, :, None], corrupted, joints)


def pose_augmentation(joints: Tensor, off_diagonal: Tensor) -> Tensor:
    """Shear poses (N, T, M, V, 3), published: each coordinate gets shares (N, 3, 3) of the others, diagonal ignored."""
    eye = torch.eye(3, device=joints.device)
    return torch.einsum("ntmvc,ndc->ntmvd", joints, off_diagonal * (1.0 - eye) + eye)


def mirror(joints: Tensor) -> Tensor:
    """The mirror image of normalised NTU-25 skeletons (..., 25, 3): x turned over, left and right swapped."""
    return joints[..., mirrored_joints(joints.shape[-2]), :] * joints.new_tensor([-1.0, 1.0, 1.0])


def through_layout(joints: Tensor, layout: str) -> Tensor:
    """NTU-25 skeletons (..., 25, 3) as they would have come from another layout: what it lacks is derived again."""
    matrix = torch.from_numpy(layout_matrix(layout)).to(joints)
    return torch.einsum("vw,...wc->...vc", matrix, joints.nan_to_num(0.0))


def layout_matrix(name: str) -> np.ndarray:
    """(25, 25): NTU-25 joints to the layout's own, and back by the layout's rule; rows sum to 1.

    A joint of the layout that several NTU-25 joints could stand for, or none, is put where NTU-25 has the joint that it
    makes (both ears at the head's centre).
    """
    layout = load_layout(name)
    to_layout = np.zeros((len(layout.joint_names), 25))
    rows = [(target, row) for target, row in enumerate(layout.matrix) if not layout.derived[target]]
    # Means first: a joint of its own then takes the place of one that only took part in a mean.
    for target, row in sorted(rows, key=lambda item: -np.count_nonzero(item[1])):
        to_layout[np.flatnonzero(row)] = np.eye(25)[target]
    return (layout.matrix @ to_layout).astype(np.float32)


def _as_seen(joints: Tensor, options: ViewOptions, draw: _Draw) -> Tensor:
    """What changes before normalisation: the style, the layout, and noise of the sensor."""
    if options.style:
        redrawn = restyled(joints, draw.uniform(0.0, 1.0, STYLE_NUMBERS), draw.normal(torch.Size([len(joints), 25, 3])))
        joints = torch.where(draw.chance(options.style)[:, None, None, None, None], redrawn, joints)
    if options.poorer:
        layouts = options.poorer_layout.split(",")
        chosen = torch.where(draw.chance(options.poorer), (draw.uniform() * len(layouts)).long(), -1)
        for number, layout in enumerate(layouts):
            rows = chosen == number
            if rows.any():
                poorer = through_layout(joints[rows], layout.strip())
                joints = joints.clone()
                joints[rows] = torch.where(torch.isfinite(joints[rows][..., :1, :]), poorer, torch.nan)
    if options.noise_m:
        spread = options.noise_m * draw.uniform() ** 2
        joints = joints + draw.normal(joints.shape) * spread[:, None, None, None, None]
    return joints


def _augment(joints: Tensor, options: ViewOptions, draw: _Draw) -> Tensor:
    """What changes after normalisation, (N, T, M, V, 3)."""
    vertices = joints.shape[3]
    if options.mirror:
        joints = torch.where(draw.chance(options.mirror)[:, None, None, None, None], mirror(joints), joints)
    if options.yaw_deg or options.tilt_deg or options.size:
        transform = draw.rotation(options.yaw_deg, options.tilt_deg)
        transform = transform * (1.0 + draw.uniform(-options.size, options.size))[:, None, None]
        joints = torch.einsum("ntmvc,ndc->ntmvd", joints, transform)
    if options.shear or options.corruption:
        sheared = pose_augmentation(joints, draw.uniform(-options.shear, options.shear, 3, 3))
        if options.corruption:
            chosen = draw.subset(vertices, round(options.corrupted_share * vertices))
            corrupted = joint_corruption(joints, chosen, draw.uniform(-1.0, 1.0, 3, 3), draw.chance(0.5))
            corrupt = draw.chance(options.corruption)[:, None, None, None, None]
            joints = torch.where(corrupt, corrupted, sheared)
        else:
            joints = sheared
    if options.unseen:
        hidden = draw.hidden(vertices) & draw.chance(options.unseen)[:, None, None]
        joints = joints.masked_fill(hidden[:, :, None, :, None], 0.0)
    if options.one_arm:
        arm = _limbs(vertices)[:2].to(joints.device)[(draw.uniform() * 2).long()]
        hidden = arm & draw.chance(options.one_arm)[:, None]
        joints = joints.masked_fill(hidden[:, None, None, :, None], 0.0)
    return joints


class _Draw:
    """Random numbers for N samples from one generator."""

    def __init__(self, generator: torch.Generator, device: torch.device, count: int) -> None:
        self._generator, self._device, self._count = generator, device, count

    def uniform(self, low: float = 0.0, high: float = 1.0, *shape: int) -> Tensor:
        """(N, *shape) in [low, high)."""
        values = torch.rand(self._count, *shape, generator=self._generator, device=self._device)
        return low + (high - low) * values

    def normal(self, shape: torch.Size) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self._generator, device=self._device)

    def chance(self, probability: float) -> Tensor:
        """(N,) true with this probability."""
        return self.uniform() < probability

    def subset(self, of: int, size: int) -> Tensor:
        """(N, of) with `size` true in each row."""
        return self.uniform(0.0, 1.0, of).argsort(-1) < size

    def rotation(self, yaw_deg: float, tilt_deg: float) -> Tensor:
        """(N, 3, 3): a turn about z (the normalised vertical), then one about a random level axis."""
        yaw = math.radians(yaw_deg) * self.uniform(-1.0, 1.0)
        tilt = math.radians(tilt_deg) * self.uniform(-1.0, 1.0)
        direction = math.pi * self.uniform(-1.0, 1.0)
        turn = _about_z(direction) @ _about_x(tilt) @ _about_z(-direction)
        return turn @ _about_z(yaw)

    def hidden(self, vertices: int) -> Tensor:
        """(N, T, V): a limb, or a fifth of the joints, in the whole view or a part of it."""
        limbs = _limbs(vertices).to(self._device)
        limb = limbs[(self.uniform() * len(limbs)).long()]
        some = self.subset(vertices, vertices // 5)
        joints = torch.where(self.chance(0.6)[:, None], limb, some)
        begin, end = self.uniform(0.0, 1.0, 2).sort(-1).values.unbind(-1)
        whole = self.chance(0.5)
        begin, end = torch.where(whole, 0.0, begin), torch.where(whole, 1.0, end)
        time = (torch.arange(FRAMES, device=self._device) + 0.5) / FRAMES
        during = (begin[:, None] <= time) & (time < end[:, None])
        return during[:, :, None] & joints[:, None]


def _about_z(angle: Tensor) -> Tensor:
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], -1).unflatten(-1, (3, 3))


def _about_x(angle: Tensor) -> Tensor:
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], -1).unflatten(-1, (3, 3))


def _names(vertices: int) -> tuple[str, ...]:
    return NTU_25 if vertices == 25 else tuple(load_layout("coco_17").joint_names)


def mirrored_joints(vertices: int) -> list[int]:
    """For each joint, the one on the other side."""
    names = _names(vertices)
    swap = {"Left": "Right", "Right": "Left", "left": "right", "right": "left"}
    other = []
    for name in names:
        for side, opposite in swap.items():
            if side in name:
                name = name.replace(side, opposite)
                break
        other.append(names.index(name))
    return other


def _limbs(vertices: int) -> Tensor:
    """(5, V): the left arm below the shoulder, the right one, the left leg, the right one, both legs."""
    names = [name.lower() for name in _names(vertices)]
    arm, leg = ("elbow", "wrist", "hand", "thumb"), ("knee", "ankle", "foot")
    masks = [
        [side in name and any(part in name for part in parts) for name in names]
        for parts in (arm, leg)
        for side in ("left", "right")
    ]
    masks.append([one or other for one, other in zip(masks[2], masks[3], strict=True)])
    return torch.tensor(masks)
