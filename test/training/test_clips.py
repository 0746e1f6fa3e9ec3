"""Clips in batches, and batches in an order that a resumed run finds again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.data.archive import Archive, ArchiveWriter  # noqa: E402
from training.data.clips import ClipBatch, ClipDataset, ShuffledBatches, batches, in_order  # noqa: E402
from usdrl_ros.recording import Recording, Segment  # noqa: E402
from usdrl_ros.skeleton.normalize import normalize  # noqa: E402


def archive_of(directory: Path, lengths: list[int], people: int = 1, layout: str = "ntu_25") -> Archive:
    """Recordings of random joints, each with one clip that leaves out its first frame, of action i modulo 3."""
    joints = {"ntu_25": 25, "coco_17": 17}[layout]
    rng = np.random.default_rng(len(lengths))
    with ArchiveWriter(
        directory,
        name=directory.name,
        actions=("a", "b", "c"),
        people=people,
        joints=joints,
        dimensions=3 if layout == "ntu_25" else 2,
    ) as writer:
        for i, length in enumerate(lengths):
            stamps = np.arange(length) / 30
            shape = (length, joints, 3)
            skeletons = {f"person_{person + 1}": rng.normal(size=shape) for person in range(people)}
            segments = (Segment(stamps[1] - 1e-9, stamps[-1], "abc"[i % 3]),)
            writer.add(Recording(f"take {i}", layout, stamps, skeletons, segments))
    return Archive(directory)


@pytest.fixture
def dataset(tmp_path: Path) -> ClipDataset:
    """Five clips, three of an archive of one person and two of an archive of two people."""
    one, two = archive_of(tmp_path / "one", [10, 70, 5]), archive_of(tmp_path / "two", [20, 9], people=2)
    return ClipDataset([(one, one.clips()), (two, two.clips())], people=2)


def clip(batch: ClipBatch, row: int) -> torch.Tensor:
    """The frames of one clip of a batch."""
    first = int(batch.first[row])
    return batch.joints[first : first + int(batch.length[row])]


def test_clips_are_those_of_the_archives(tmp_path: Path, dataset: ClipDataset) -> None:
    assert len(dataset) == 5
    assert dataset.labels.tolist() == [0, 1, 2, 0, 1]
    one, two = Archive(tmp_path / "one"), Archive(tmp_path / "two")
    frames = [one.joints[1:10], one.joints[11:80], one.joints[81:85], two.joints[1:20], two.joints[21:29]]
    batch = dataset.__getitems__([3, 1, 4, 0, 2, 1])
    assert batch.index.tolist() == [3, 1, 4, 0, 2, 1]
    assert batch.label.tolist() == [0, 1, 1, 0, 2, 1]
    assert batch.length.tolist() == [19, 69, 8, 9, 4, 69]
    assert batch.first.tolist() == [0, 19, 88, 96, 105, 109]
    assert len(batch.joints) == 178
    for row, index in enumerate(batch.index.tolist()):
        found = clip(batch, row).numpy()
        people = frames[index].shape[1]
        np.testing.assert_array_equal(found[:, :people], frames[index])
        assert np.isnan(found[:, people:]).all()
        np.testing.assert_allclose(batch.rotation[row], normalize.rotation(frames[index][:, 0]), atol=1e-6)


def test_a_batch_equals_its_items(dataset: ClipDataset) -> None:
    batch = dataset.__getitems__([4, 0, 1])
    for row, index in enumerate((4, 0, 1)):
        item = dataset[index]
        assert (len(item), item.first.tolist(), item.index.tolist()) == (1, [0], [index])
        torch.testing.assert_close(clip(batch, row), item.joints, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(batch.rotation[row], item.rotation[0], rtol=0, atol=0)
        assert batch.label[row] == item.label[0]


def test_the_first_of_two_people_can_be_taken_alone(tmp_path: Path) -> None:
    two = archive_of(tmp_path / "two", [20, 9], people=2)
    batch = ClipDataset([(two, two.clips())], people=1)[0]
    np.testing.assert_array_equal(batch.joints, two.joints[1:20, :1])


def test_skeletons_in_the_image_are_not_turned(tmp_path: Path) -> None:
    flat = archive_of(tmp_path / "flat", [20, 9], layout="coco_17")
    dataset = ClipDataset([(flat, flat.clips())])
    assert dataset.joints == 17
    torch.testing.assert_close(dataset.__getitems__([0, 1]).rotation, torch.eye(3).expand(2, 3, 3))


def test_other_directories_are_no_data_set(tmp_path: Path) -> None:
    one, flat = archive_of(tmp_path / "one", [10]), archive_of(tmp_path / "flat", [20], layout="coco_17")
    with pytest.raises(ValueError, match="no clip to train on"):
        ClipDataset([(one, one.clips(np.array([], int)))])
    with pytest.raises(ValueError, match="one, flat have different sets of joints"):
        ClipDataset([(one, one.clips()), (flat, flat.clips())])


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_give_whole_batches(dataset: ClipDataset, workers: int) -> None:
    assert [batch.index.tolist() for batch in in_order(dataset, 2, workers)] == [[0, 1], [2, 3], [4]]
    sampler = ShuffledBatches(5, 2, seed=3)
    expected = list(sampler)
    found = list(batches(dataset, sampler, workers))
    assert [batch.index.tolist() for batch in found] == expected
    assert all(isinstance(batch, ClipBatch) for batch in found)


def test_an_epoch_shows_each_clip_at_most_once_and_leaves_out_less_than_a_batch() -> None:
    sampler = ShuffledBatches(103, 10, seed=0)
    shown = list(sampler)
    assert len(sampler) == len(shown) == 10
    assert {len(batch) for batch in shown} == {10}
    assert len(np.unique(np.concatenate(shown))) == 100
    assert np.concatenate(shown).max() < 103
    assert [len(batch) for batch in ShuffledBatches(7, 10, seed=0)] == [7]


def test_the_seed_and_the_epoch_alone_decide_the_order() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        sampler = ShuffledBatches(50, 10, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 4) == order(1, 4)
    assert order(1, 4) != order(1, 5)
    assert order(1, 4) != order(2, 4)
    sampler = ShuffledBatches(50, 10, 1)
    list(sampler)
    sampler.set_epoch(4)
    assert list(sampler) == order(1, 4)


def test_processes_share_each_batch() -> None:
    whole = list(ShuffledBatches(100, 12, seed=5))
    shares = [list(ShuffledBatches(100, 12, seed=5, rank=rank, processes=3)) for rank in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [len(part) for part in parts] == [4, 4, 4]
        assert [index for part in parts for index in part] == batch
    with pytest.raises(ValueError, match="5 clips are too few for batches over 3 processes; 2 each are needed"):
        ShuffledBatches(5, 12, seed=0, processes=3)
