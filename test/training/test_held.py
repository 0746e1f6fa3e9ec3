"""Archives held on a device: batches give the same views as those that carry their frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import moving_arms  # noqa: E402
import untrimmed  # noqa: E402

from training.data.archive import Archive  # noqa: E402
from training.data.augmentations import ViewOptions, centre_crop, make_views, make_windows  # noqa: E402
from training.data.clips import ClipDataset, fitted_batch  # noqa: E402
from training.data.frames import FrameSource, RandomWindows, WindowLength  # noqa: E402
from training.data.held import Held  # noqa: E402

VIEW = ViewOptions(crop=(0.3, 1.0), crop_frames=8, sparse=0.5, unseen=0.5, noise_m=0.01)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_clips_of_held_archives_give_the_same_views(tmp_path: Path) -> None:
    alone = moving_arms.write_archive(tmp_path / "alone")
    pairs = moving_arms.write_archive(tmp_path / "pairs", people=2, seed=1)
    sources = [(alone, alone.clips()), (pairs, pairs.clips())]
    read, named = ClipDataset(sources, people=2), ClipDataset(sources, people=2)
    held = Held(named)
    held.hold("cpu")
    assert named.bytes == (len(alone.joints) + len(pairs.joints)) * 2 * 25 * 3 * 4
    chosen = np.random.default_rng(0).permutation(len(read))[:20].tolist()
    expected, found = read.__getitems__(chosen), held.complete(named.__getitems__(chosen))
    assert len(found) == 20
    for name in ("length", "label", "index", "rotation"):
        assert torch.equal(getattr(expected, name), getattr(found, name)), name
    for exact, value in (
        (make_views(expected, VIEW, 2, generator()), make_views(found, VIEW, 2, generator())),
        (centre_crop(expected, 0.8), centre_crop(found, 0.8)),
    ):
        assert torch.equal(exact, value)


def test_windows_of_held_archives_give_the_same_views(tmp_path: Path) -> None:
    archive = untrimmed.write_archive(tmp_path / "untrimmed")
    read, named = (FrameSource(archive, [1, 4, 6], WindowLength(4.0)) for _ in range(2))
    held = Held(named)
    held.hold("cpu")
    expected = RandomWindows(read, 16, seed=2).__getitems__(range(16))
    found = held.complete(RandomWindows(named, 16, seed=2).__getitems__(range(16)))
    assert torch.equal(expected.labels, found.labels)
    exact = make_windows(expected.clips, expected.positions, VIEW, generator())
    assert torch.equal(exact, make_windows(found.clips, found.positions, VIEW, generator()))


def test_nothing_is_held_on_a_cpu(tmp_path: Path) -> None:
    archive = moving_arms.write_archive(tmp_path / "alone")
    dataset = ClipDataset([(archive, archive.clips())])
    held = Held(dataset)
    assert not held.place(torch.device("cpu"))
    batch = dataset.__getitems__([0, 1])
    assert len(batch.joints)
    assert held.complete(batch) is batch


@pytest.mark.parametrize(
    ("count", "batch_size", "fitted"),
    [(1000, 384, 384), (384, 384, 384), (383, 384, 95), (59, 384, 14), (20, 64, 8), (6, 64, 6)],
)  # fmt: skip
def test_sets_smaller_than_a_batch_get_several_steps_an_epoch(count: int, batch_size: int, fitted: int) -> None:
    assert fitted_batch(count, batch_size) == fitted


def infinite(archive: Path, **_: object) -> None:
    joints = np.fromfile(archive / "joints.f32", np.float32)
    joints[::97] = np.inf
    joints.tofile(archive / "joints.f32")


def far(archive: Path) -> None:
    joints = np.fromfile(archive / "joints.f32", np.float32)
    joints[5] = 1e30
    joints.tofile(archive / "joints.f32")


def unseen(archive: Path) -> None:
    joints = np.fromfile(archive / "joints.f32", np.float32)
    np.full_like(joints, np.nan).tofile(archive / "joints.f32")


def frozen(archive: Path) -> None:
    joints = np.fromfile(archive / "joints.f32", np.float32).reshape(-1, 75)
    joints[:] = joints[0]
    joints.tofile(archive / "joints.f32")


def standing_stamps(archive: Path) -> None:
    stamps = np.fromfile(archive / "stamps.f64", np.float64)
    stamps[10:] = stamps[9]
    stamps.tofile(archive / "stamps.f64")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (infinite, r"recording 'p1_0' has infinite joints \(frame 0\)"),
        (far, r"recording 'p1_0' has a joint 1e\+30 m away, farther than 100 m"),
        (unseen, "recording 'p1_0' shows nobody"),
        (frozen, r"recording 'p1_0' is frozen: all \d+ frames are the same"),
        (standing_stamps, "recording 'p1_0' has stamps that do not increase"),
    ],
)
def test_archives_with_odd_content_are_refused_by_recording(tmp_path: Path, damage: object, fault: str) -> None:
    untrimmed.write_archive(tmp_path / "a").check()
    damage(tmp_path / "a")  # type: ignore[operator]
    with pytest.raises(ValueError, match=fault):
        Archive(tmp_path / "a").check()


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("first", 10**9, "a segment of recording 'p1_0' has frames that are not its recording's"),
        ("action", 99, "a segment of recording 'p1_0' has no known action"),
        ("recording", 99, "a segment is of recording 99, of 8"),
    ],
)
def test_archives_whose_index_does_not_fit_are_refused(tmp_path: Path, key: str, value: int, fault: str) -> None:
    archive = untrimmed.write_archive(tmp_path / "a").directory
    with np.load(archive / "index.npz") as stored:
        index = dict(stored)
    index["segments"][key][0] = value
    np.savez(archive / "index.npz", **index)
    with pytest.raises(ValueError, match=fault):
        Archive(archive)
