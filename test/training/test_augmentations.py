"""Views of clips against the published augmentations written sample by sample, against closed forms and properties."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.data.augmentations import (  # noqa: E402
    NO_VARIATION,
    ViewOptions,
    centre_crop,
    crop_positions,
    joint_corruption,
    layout_matrix,
    make_views,
    mirror,
    pose_augmentation,
    sample,
    through_layout,
)
from training.data.clips import ClipBatch  # noqa: E402
from training.model.modalities import PARENTS  # noqa: E402
from usdrl_ros.skeleton.layouts import load_layout  # noqa: E402
from usdrl_ros.skeleton.normalize import normalize  # noqa: E402

LIMBS = (
    {5, 6, 7, 21, 22},
    {9, 10, 11, 23, 24},
    {13, 14, 15},
    {17, 18, 19},
    {13, 14, 15, 17, 18, 19},
)
"""NTU-25: left arm below the shoulder, right arm, left leg below the hip, right leg, both legs."""

SIDES = ((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19), (21, 23), (22, 24))
"""NTU-25: left and right joints."""


def batch_of(*clips: np.ndarray) -> ClipBatch:
    """Clips (T, M, V, 3) as the data set gives them."""
    length = np.array([len(clip) for clip in clips])
    upright = clips[0].shape[2] == 25
    rotation = np.stack([normalize.rotation(clip[:, 0]) if upright else np.eye(3) for clip in clips])
    return ClipBatch(
        joints=torch.from_numpy(np.concatenate(clips).astype(np.float32)),
        first=torch.from_numpy(np.concatenate([[0], length.cumsum()[:-1]])),
        length=torch.from_numpy(length),
        rotation=torch.from_numpy(rotation.astype(np.float32)),
        label=torch.zeros(len(clips), dtype=torch.long),
        index=torch.arange(len(clips)),
    )


def random_clip(rng: np.random.Generator, frames: int, people: int = 1, joints: int = 25) -> np.ndarray:
    """A random pose that moves a little, metres."""
    pose = rng.normal(0.0, 0.5, (1, people, joints, 3))
    return (pose + rng.normal(0.0, 0.05, (frames, people, joints, 3)).cumsum(0)).astype(np.float32)


def upright_pose(rng: np.random.Generator, people: int = 1) -> np.ndarray:
    """A random pose (M, 25, 3) that normalisation leaves as it is."""
    pose = rng.uniform(0.2, 1.0, (people, 25, 3)) * rng.choice([-1.0, 1.0], (people, 25, 3))
    pose[0, 0], pose[0, 1] = [0.0, 0.0, -0.4], 0.0
    pose[0, 4], pose[0, 8] = [-0.2, 0.1, 0.4], [0.2, 0.1, 0.4]
    return pose


def draw(batch: ClipBatch, options: ViewOptions, count: int = 1, seed: int = 0) -> np.ndarray:
    """Views as (count, N, 64, M, V, 3)."""
    views = make_views(batch, options, count, torch.Generator().manual_seed(seed))
    assert views.shape[:3] == (count, len(batch), 3)
    return views.permute(0, 1, 3, 5, 4, 2).numpy()


def varied(**options: object) -> ViewOptions:
    """The whole clip, varied in one way."""
    return dataclasses.replace(NO_VARIATION, **options)


@pytest.mark.parametrize(("start", "span"), [(0, 10), (3, 64), (7, 150), (0, 200), (199, 1)])
def test_a_resized_crop_is_bilinear_interpolation_as_the_authors_do_it(start: int, span: int) -> None:
    joints = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 2, 25, 3)))
    begin, length = torch.tensor([float(start)]).double(), torch.tensor([float(span)]).double()
    found = sample(joints, torch.tensor([60]), begin, length, crop_positions(begin, length))
    image = joints[60 + start : 60 + start + span].permute(3, 2, 1, 0).reshape(1, -1, span, 1)
    resized = torch.nn.functional.interpolate(image, (64, 1), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[0], resized.reshape(3, 25, 2, 64).permute(3, 2, 1, 0), atol=1e-9, rtol=0)


def test_frames_are_found_in_batches_of_more_frames_than_single_precision_counts() -> None:
    joints = (torch.arange(2**24 + 8) % 1000).to(torch.float32)[:, None, None, None]
    positions = torch.arange(4.0)[None]
    found = sample(joints, torch.tensor([2**24 + 1]), torch.zeros(1), torch.full((1,), 4.0), positions)
    assert found.flatten().tolist() == [(2**24 + frame) % 1000 for frame in range(1, 5)]


@pytest.mark.slow
def test_crops_are_drawn_as_published() -> None:
    """Ratio U(0.1, 1), at least 64 frames, anywhere: read off a clip whose joints hold the number of their frame."""
    frames = 200
    counting = np.broadcast_to(np.arange(frames)[:, None, None, None], (frames, 1, 17, 3))
    batch = batch_of(*[counting] * 3000)
    view = draw(batch, ViewOptions(corruption=0.0, shear=0.0))[0, :, :, 0, 0, 0]
    span = np.rint((view[:, -2] - view[:, 1]) / 61 * 64).astype(int)  # the outermost are clamped to the crop
    start = np.rint(view[:, 1] - 1.5 * span / 64 + 0.5).astype(int)
    expected = crop_positions(torch.from_numpy(start), torch.from_numpy(span))
    np.testing.assert_allclose(view, expected, atol=1e-3)
    assert span.min() == 64
    assert span.max() <= frames
    assert (span == 64).mean() == pytest.approx((65 / 200 - 0.1) / 0.9, abs=0.03)
    longer = span[span > 64]
    assert longer.mean() == pytest.approx((65 + 199) / 2, abs=2.5)
    assert start.min() == 0
    assert (start + span).max() == frames
    assert (start / np.maximum(frames - span, 1)).mean() == pytest.approx(0.5, abs=0.02)


def test_a_clip_below_64_frames_is_shown_whole() -> None:
    clip = random_clip(np.random.default_rng(1), 40, joints=17)
    view = draw(batch_of(clip), ViewOptions(corruption=0.0, shear=0.0), count=3)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(clip.reshape(40, -1).T[None]), 64, mode="linear", align_corners=False
    )
    for each in view[:, 0]:
        np.testing.assert_allclose(each, expected[0].T.reshape(64, 1, 17, 3), atol=1e-4)


def test_corruption_and_shear_are_those_of_a_loop_over_samples() -> None:
    rng = np.random.default_rng(2)
    joints = rng.normal(size=(6, 64, 2, 25, 3))
    matrix, shares = rng.uniform(-1, 1, (6, 3, 3)), rng.uniform(-1, 1, (6, 3, 3))
    chosen = rng.random((6, 25)).argsort(1) < 15
    zeroed = np.array([True, False, True, False, False, True])
    corrupted, sheared = joints.copy(), np.empty_like(joints)
    for n in range(6):
        for v in np.flatnonzero(chosen[n]):
            corrupted[n, :, :, v] = 0.0 if zeroed[n] else corrupted[n, :, :, v] @ matrix[n]
        shear = shares[n].copy()
        np.fill_diagonal(shear, 1.0)
        for t in range(64):
            for m in range(2):
                sheared[n, t, m] = [shear @ joint for joint in joints[n, t, m]]
    tensors = [torch.from_numpy(array) for array in (joints, chosen, matrix, zeroed, shares)]
    np.testing.assert_allclose(joint_corruption(*tensors[:4]), corrupted, atol=1e-12)
    sheared_here = pose_augmentation(tensors[0].float(), tensors[4].float())
    np.testing.assert_allclose(sheared_here, sheared, atol=1e-5)


@pytest.mark.slow
def test_the_published_views_have_the_published_statistics() -> None:
    """Every view is explained: half are corrupted (15 joints; half of them 0, half times a matrix), half sheared."""
    pose = upright_pose(np.random.default_rng(3), people=2)
    views = draw(batch_of(*[np.broadcast_to(pose, (64, 2, 25, 3))] * 400), ViewOptions(), count=4)
    views = views.reshape(-1, 64, 2, 25, 3)
    np.testing.assert_allclose(views, np.broadcast_to(views[:, :1], views.shape), atol=1e-6)
    zeroed = multiplied = sheared = 0
    chosen_joints, entries = np.zeros(25), []
    for view in views[:, 0]:
        changed = (np.abs(view - pose) > 1e-5).any(-1)
        changed[0, 1] = changed[1, 1]  # SpineMid of the first is 0, before and after
        if changed.sum() == 30:
            assert (changed[0] == changed[1]).all()
            chosen_joints += changed[0]
            if (view[changed] == 0.0).all():
                zeroed += 1
                continue
            multiplied += 1
        else:
            assert changed.all()
            sheared += 1
        transform, *_ = np.linalg.lstsq(pose[changed], view[changed], rcond=None)
        np.testing.assert_allclose(pose[changed] @ transform, view[changed], atol=1e-5)
        assert np.abs(transform).max() <= 1.0 + 1e-5
        if changed.all():
            np.testing.assert_allclose(transform.diagonal(), 1.0, atol=1e-5)
            transform = transform[~np.eye(3, dtype=bool)]
        entries.append(transform.ravel())
    assert sheared / len(views) == pytest.approx(0.5, abs=0.05)
    assert zeroed / (zeroed + multiplied) == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(chosen_joints / (zeroed + multiplied), 0.6, atol=0.08)
    drawn = np.concatenate(entries)
    assert drawn.mean() == pytest.approx(0.0, abs=0.03)
    assert drawn.std() == pytest.approx(1 / np.sqrt(3), abs=0.02)


@pytest.mark.parametrize("joints", [25, 17])
def test_a_mirror_image_is_an_involution_and_keeps_bones(joints: int) -> None:
    pose = torch.from_numpy(random_clip(np.random.default_rng(4), 5, joints=joints))
    image = mirror(pose)
    torch.testing.assert_close(mirror(image), pose, rtol=0, atol=0)
    swapped = dict(SIDES) | {right: left for left, right in SIDES}
    if joints == 25:
        for joint in range(25):
            expected = pose[..., swapped.get(joint, joint), :] * torch.tensor([-1.0, 1.0, 1.0])
            torch.testing.assert_close(image[..., joint, :], expected, rtol=0, atol=0)
    parents = list(PARENTS[joints])
    lengths, mirrored = ((x - x[..., parents, :]).norm(dim=-1) for x in (pose, image))
    torch.testing.assert_close(mirrored.sort(-1).values, lengths.sort(-1).values)


def test_a_share_of_the_views_is_mirrored() -> None:
    pose = upright_pose(np.random.default_rng(5))
    views = draw(batch_of(*[np.broadcast_to(pose, (64, 1, 25, 3))] * 1000), varied(mirror=0.3))[0, :, 0]
    image = mirror(torch.from_numpy(pose)).numpy()
    is_pose, is_image = (np.abs(views - each).max((1, 2, 3)) < 1e-5 for each in (pose, image))
    assert (is_pose ^ is_image).all()
    assert is_image.mean() == pytest.approx(0.3, abs=0.05)


def test_rotations_are_rotations_and_a_turn_about_the_vertical_keeps_z() -> None:
    pose = upright_pose(np.random.default_rng(6))
    batch = batch_of(*[np.broadcast_to(pose, (64, 1, 25, 3))] * 500)
    for yaw, tilt in ((40.0, 0.0), (0.0, 25.0), (180.0, 30.0)):
        turned = draw(batch, varied(yaw_deg=yaw, tilt_deg=tilt))[0, :, 0, 0]
        rotation = np.stack([np.linalg.lstsq(pose[0], each, rcond=None)[0].T for each in turned])
        np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3)[None].repeat(500, 0), atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)
        lean = np.degrees(np.arccos(np.clip(rotation[:, 2, 2], -1.0, 1.0)))
        if tilt:
            assert lean.max() <= tilt + 0.1
            assert lean.mean() == pytest.approx(tilt / 2, rel=0.1)
            axis = np.arctan2(rotation[:, 1, 2], rotation[:, 0, 2])  # where the vertical leans to
            assert abs(np.exp(1j * axis).mean()) < 0.15
        else:
            np.testing.assert_allclose(turned[..., 2], np.broadcast_to(pose[0, :, 2], turned[..., 2].shape), atol=1e-5)
            angle = np.degrees(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]))
            assert np.abs(angle).max() <= yaw + 0.1
            assert angle.std() == pytest.approx(yaw / np.sqrt(3), rel=0.1)


def test_size_scales_the_whole_person_and_noise_has_its_spread() -> None:
    pose = upright_pose(np.random.default_rng(7))
    batch = batch_of(*[np.broadcast_to(pose, (64, 1, 25, 3))] * 500)
    scaled = draw(batch, varied(size=0.2))[0]
    ratio = np.linalg.norm(scaled[:, :, 0, 2:], axis=-1) / np.linalg.norm(pose[0, 2:], axis=-1)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-4)
    assert ratio.min() == pytest.approx(0.8, abs=0.01)
    assert ratio.max() == pytest.approx(1.2, abs=0.01)
    # Noise n * u^2 on a joint and on SpineMid, u uniform: E[u^4] = 1/5.
    difference = draw(batch, varied(noise_m=0.05, rotate_by="clip"))[0, :, :, 0, 2:] - pose[0, 2:]
    assert difference.std() == pytest.approx(0.05 * np.sqrt(2 / 5), rel=0.1)


def test_views_are_turned_by_the_clip_or_by_themselves() -> None:
    clip = random_clip(np.random.default_rng(8), 90, people=2)
    batch = batch_of(clip)
    options = varied(crop=(0.5, 0.5))
    resized = {}
    for by in ("clip", "window"):
        turned = draw(batch, dataclasses.replace(options, rotate_by=by))[0, 0]
        turned_back = turned[:, 0, 4] - turned[:, 0, 8]
        resized[by] = turned
        assert np.isfinite(turned_back).all()
    np.testing.assert_allclose(normalize(resized["clip"]), resized["window"], atol=1e-4)
    np.testing.assert_allclose(resized["window"][0, 0, 8, 1:], resized["window"][0, 0, 4, 1:], atol=1e-4)
    whole = centre_crop(batch)[0].permute(1, 3, 2, 0).numpy()
    image = torch.from_numpy(clip.reshape(90, -1).T[None])
    window = torch.nn.functional.interpolate(image, 64, mode="linear", align_corners=False)[0].T.reshape(64, 2, 25, 3)
    by_window = centre_crop(batch, rotate_by="window")[0].permute(1, 3, 2, 0)
    np.testing.assert_allclose(by_window, normalize(window.numpy()), atol=1e-4)
    rotation = normalize.rotation(clip[:, 0])
    centred = window - window[:, :1, 1:2]
    np.testing.assert_allclose(whole, centred.double() @ torch.from_numpy(rotation).double().T, atol=1e-4)


@pytest.mark.parametrize(("share", "first", "stop"), [(1.0, 0, 80), (0.5, 20, 60)])
def test_the_middle_of_a_clip(share: float, first: int, stop: int) -> None:
    clip = random_clip(np.random.default_rng(9), 80, joints=17)
    image = torch.from_numpy(clip[first:stop].reshape(stop - first, -1).T[None])
    expected = torch.nn.functional.interpolate(image, 64, mode="linear", align_corners=False)[0].T.reshape(64, 1, 17, 3)
    np.testing.assert_allclose(centre_crop(batch_of(clip), share)[0].permute(1, 3, 2, 0), expected, atol=1e-4)


def test_unobserved_frames_do_not_matter() -> None:
    rng = np.random.default_rng(10)
    clip = random_clip(rng, 100)
    other = np.concatenate([clip[:30], random_clip(rng, 70)])
    early, later = (centre_crop(batch_of(each), observed=0.3) for each in (clip, other))
    torch.testing.assert_close(early, later, rtol=0, atol=0)
    torch.testing.assert_close(early, centre_crop(batch_of(clip[:30])), rtol=0, atol=1e-6)
    assert not torch.equal(centre_crop(batch_of(clip), observed=0.31), centre_crop(batch_of(other), observed=0.31))


COCO_FROM_NTU = {3: 3, 4: 3, 5: 4, 6: 8, 7: 5, 8: 9, 9: 6, 10: 10, 11: 12, 12: 16, 13: 13, 14: 17, 15: 14, 16: 18}
"""COCO-17: the NTU-25 joint at the place of each joint from the ears on; both ears at the head's centre."""


def as_from_coco(joints: np.ndarray) -> np.ndarray:
    """NTU-25 joints (..., 25, 3) as the robot derives them from COCO-17's: through the layout itself."""
    coco = np.zeros((*joints.shape[:-2], 17, 3))
    for source, target in COCO_FROM_NTU.items():
        coco[..., source, :] = joints[..., target, :]
    return load_layout("coco_17").to_ntu25(coco.reshape(-1, 17, 3))[0].reshape(joints.shape)


def test_another_layout_is_derived_as_on_the_robot() -> None:
    pose = np.random.default_rng(11).normal(size=(4, 25, 3))
    np.testing.assert_allclose(layout_matrix("coco_17") @ pose, as_from_coco(pose), atol=1e-6)
    np.testing.assert_allclose(through_layout(torch.from_numpy(pose), "coco_17"), as_from_coco(pose), atol=1e-6)
    np.testing.assert_allclose(layout_matrix("coco_17").sum(1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(layout_matrix("ntu_25"), np.eye(25))


def test_a_share_of_the_views_comes_from_a_poorer_layout() -> None:
    clip = random_clip(np.random.default_rng(12), 64)
    batch = batch_of(*[clip] * 200)
    rich, poor = (
        (joints - joints[:, :, 1:2]) @ normalize.rotation(clip[:, 0]).T
        for joints in (clip.astype(np.float64), as_from_coco(clip.astype(np.float64)))
    )
    views = draw(batch, varied(poorer=0.4))[0]
    is_rich, is_poor = (np.abs(views - each).max((1, 2, 3, 4)) < 1e-4 for each in (rich, poor))
    assert (is_rich ^ is_poor).all()
    assert is_poor.mean() == pytest.approx(0.4, abs=0.1)


def test_a_lower_frame_rate_is_exact_where_it_saw_and_linear_between() -> None:
    rng = np.random.default_rng(13)
    joints = rng.normal(size=(100, 1, 25, 3))
    start, span, step = torch.tensor([[5.0, 0.0, 10.0], [64.0, 90.0, 20.0], [3.7, 0.0, 1.0]], dtype=torch.float64)
    positions = crop_positions(start, span)
    first = torch.tensor([0, 10, 50])
    found = sample(torch.from_numpy(joints), first, start, span, positions, step).numpy()
    full = sample(torch.from_numpy(joints), first, start, span, positions).numpy()
    np.testing.assert_array_equal(found[1:], full[1:])  # no step, and each frame: nothing is missing
    knots = np.append(np.arange(5.0, 68.0, 3.7), 68.0)
    flat, frames = joints.reshape(100, -1), np.arange(100)
    for channel, values in zip(flat.T, found[0].reshape(64, -1).T, strict=True):
        seen = np.interp(knots, frames, channel)
        np.testing.assert_allclose(values, np.interp(positions[0], knots, seen), atol=1e-9)


def test_a_share_of_the_views_has_a_lower_frame_rate() -> None:
    """A zigzag stays whole at the full rate, and loses its corners at a lower one."""
    zigzag = np.broadcast_to((np.arange(64) % 2)[:, None, None, None], (64, 1, 17, 3))
    views = draw(batch_of(*[zigzag] * 1000), varied(sparse=0.25, sparse_most=6.0))[0]
    full = np.abs(views - zigzag).max((1, 2, 3, 4)) < 1e-6
    assert full.mean() == pytest.approx(0.75, abs=0.05)


@pytest.mark.slow
def test_a_share_of_the_views_lacks_a_limb_or_a_fifth_of_the_joints() -> None:
    pose = upright_pose(np.random.default_rng(14), people=2)
    views = draw(batch_of(*[np.broadcast_to(pose, (64, 2, 25, 3))] * 1000), varied(unseen=0.4))[0]
    hidden = (views == 0.0).all(-1)
    hidden[:, :, 0, 1] = hidden[:, :, 1, 1]  # SpineMid of the first is at 0
    assert (hidden[:, :, 0] == hidden[:, :, 1]).all()
    hidden = hidden[:, :, 0]
    kept = np.broadcast_to(pose, views.shape)
    np.testing.assert_allclose(np.where(hidden[:, :, None, :, None], kept, views), kept, atol=1e-5)
    some = hidden.any((1, 2))
    assert some.mean() == pytest.approx(0.4, abs=0.06)
    limbs = whole = 0
    for mask in hidden[some]:
        frames = np.flatnonzero(mask.any(1))
        assert (mask[frames] == mask[frames[0]]).all()
        assert (np.diff(frames) == 1).all()
        whole += len(frames) == 64
        joints = set(np.flatnonzero(mask[frames[0]]))
        limbs += joints in LIMBS
        assert joints in LIMBS or len(joints) == 5
    assert limbs / some.sum() == pytest.approx(0.6, abs=0.1)
    assert whole / some.sum() == pytest.approx(0.5, abs=0.1)


EVERYTHING = ViewOptions(
    yaw_deg=180.0, tilt_deg=20.0, mirror=0.5, size=0.2, noise_m=0.02, sparse=0.5, unseen=0.5, poorer=0.5
)


@pytest.mark.parametrize("joints", [25, 17])
@pytest.mark.parametrize("rotate_by", ["clip", "window"])
def test_no_view_has_a_nan(joints: int, rotate_by: str) -> None:
    rng = np.random.default_rng(15)
    clips = [random_clip(rng, frames, people=2, joints=joints) for frames in (2, 30, 64, 150) for _ in range(8)]
    for clip in clips:
        clip[rng.random(clip.shape[:3]) < 0.3] = np.nan
        clip[rng.random(len(clip)) < 0.3, 1] = np.nan
    clips[0][:, 0] = clips[1][:, 1] = np.nan
    clips[2][:, 0, [0, 1]] = clips[3][:, 0, [4, 8]] = np.nan
    batch = batch_of(*clips)
    assert np.isfinite(draw(batch, dataclasses.replace(EVERYTHING, rotate_by=rotate_by), count=3)).all()
    assert torch.isfinite(centre_crop(batch, rotate_by=rotate_by)).all()


def test_a_seen_joint_beside_an_unseen_frame_stays_where_it_is_exact() -> None:
    clip = random_clip(np.random.default_rng(16), 64, joints=17)
    clip[10, 0, 3] = np.nan
    view = draw(batch_of(clip), NO_VARIATION)[0, 0]
    expected = np.nan_to_num(clip)
    np.testing.assert_array_equal(view, expected)
    stretched = draw(batch_of(clip[:32]), NO_VARIATION)[0, 0, :, 0, 3]
    assert (np.flatnonzero((stretched == 0.0).all(-1)) == [19, 20, 21, 22]).all()  # frames 9.25 ... 10.75


def test_the_generator_alone_decides() -> None:
    batch = batch_of(*(random_clip(np.random.default_rng(17), 80, people=2) for _ in range(4)))
    first = draw(batch, EVERYTHING, count=2, seed=3)
    torch.manual_seed(99)
    np.testing.assert_array_equal(draw(batch, EVERYTHING, count=2, seed=3), first)
    assert not np.array_equal(draw(batch, EVERYTHING, count=2, seed=4), first)
    assert not np.array_equal(first[0], first[1])


def test_without_variation_a_view_is_the_centre_crop() -> None:
    batch = batch_of(*(random_clip(np.random.default_rng(18), frames, people=2) for frames in (30, 64, 200)))
    views = make_views(batch, NO_VARIATION, 2, torch.Generator())
    for view in views:
        torch.testing.assert_close(view, centre_crop(batch), rtol=0, atol=1e-6)


def test_options_that_are_not_allowed_are_refused() -> None:
    with pytest.raises(ValueError, match="rotate_by is 'frame', must be one of clip, window"):
        ViewOptions(rotate_by="frame")
    with pytest.raises(ValueError, match=r"crop is \(0.5, 0.1\), must be a smallest and a largest share"):
        ViewOptions(crop=(0.5, 0.1))
