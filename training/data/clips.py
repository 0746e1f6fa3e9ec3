"""Clips of archives in batches, ready for augmentation on the device: one flat array of frames, no padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from training.data.archive import Archive, Clips
from usdrl_ros.skeleton.normalize import normalize

LEAST_STEPS = 4
"""Steps of an epoch of a set that is smaller than a batch; one step an epoch would train hardly at all."""
SMALLEST_BATCH = 8
"""But no batch is made smaller than this: the losses need statistics."""
FRAMES_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class ClipBatch:
    """N clips, one after another.

    Args:
        joints: (F, M, V, 3) metres as recorded, NaN where unseen; (0, M, V, 3) where they are held on the device, see
            `training.data.held`.
        first, length: (N,) frames of each clip in `joints`.
        rotation: (N, 3, 3) that normalises each clip by its own first frame.
        label: (N,) action, -1 where there is none.
        index: (N,) number of the clip in its data set.
    """

    joints: Tensor
    first: Tensor
    length: Tensor
    rotation: Tensor
    label: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same on another device."""
        return ClipBatch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def pin_memory(self) -> ClipBatch:
        """The same in pinned memory (the data loader calls this before a copy to a GPU)."""
        return ClipBatch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})

    def held(self, joints: Tensor) -> ClipBatch:
        """The same, with all joints (F, M, V, 3) that `first` counts from."""
        return replace(self, joints=joints)


class ClipDataset(Dataset[ClipBatch]):
    """Clips of one or more archives. Item i is a batch of one; `__getitems__` gives a batch of many at once.

    Clips of archives of one person, in a data set of two, have an unseen second one.
    """

    def __init__(self, sources: Sequence[tuple[Archive, Clips]], people: int = 1) -> None:
        """Take clips with their archives.

        Raises:
            ValueError: There is no clip at all, or the archives' joint sets differ.
        """
        self._archives = [archive for archive, _ in sources]
        if not sum(len(clips) for _, clips in sources):
            raise ValueError("there is no clip to train on or to test with")
        if len({archive.joints.shape[2] for archive in self._archives}) > 1:
            raise ValueError(f"{', '.join(a.name for a in self._archives)} have different sets of joints")
        self._people = people
        self._source = np.concatenate([np.full(len(clips), i) for i, (_, clips) in enumerate(sources)])
        self._first = np.concatenate([clips.first for _, clips in sources])
        self._length = np.concatenate([clips.length for _, clips in sources])
        self.labels = np.concatenate([clips.label for _, clips in sources])
        """(C,) action of each clip in its archive's classes."""
        self._offset: np.ndarray | None = None
        self._rotation = np.zeros((0, 3, 3), np.float32)

    @property
    def joints(self) -> int:
        """V."""
        return int(self._archives[0].joints.shape[2])

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, index: int) -> ClipBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ClipBatch:
        chosen = np.asarray(indices)
        if self._offset is not None:
            return self._held_batch(chosen, self._offset)
        length = self._length[chosen]
        first = np.concatenate([[0], np.cumsum(length)[:-1]])
        joints = np.full((int(length.sum()), self._people, self.joints, 3), np.nan, np.float32)
        for clip, start, count in zip(chosen, first, length, strict=True):
            frames = self._archives[self._source[clip]].joints[self._first[clip] : self._first[clip] + count]
            joints[start : start + count, : frames.shape[1]] = frames[:, : self._people]
        return ClipBatch(
            joints=torch.from_numpy(joints),
            first=torch.from_numpy(first),
            length=torch.from_numpy(length),
            rotation=torch.from_numpy(self._rotations(joints[:, 0], first, length)),
            label=torch.from_numpy(self.labels[chosen]),
            index=torch.from_numpy(chosen),
        )

    @property
    def bytes(self) -> int:
        """What all joints of the archives take, held on a device."""
        return sum(len(archive.joints) for archive in self._archives) * self._people * self.joints * 3 * 4

    def hold(self, device: torch.device | str) -> Tensor:
        """All joints of the archives, (F, M, V, 3) on a device; from now on batches have none of their own.

        Their `first` counts from the first frame of what is returned: see `ClipBatch.held`.
        """
        held, offset = hold_joints([archive.joints for archive in self._archives], self._people, device)
        self._rotation = np.concatenate([self._rotations_of(clip) for clip in range(len(self))])
        self._offset = offset
        return held

    def _rotations_of(self, clip: int) -> np.ndarray:
        """(1, 3, 3) what turns one clip upright."""
        frames = self._archives[self._source[clip]].joints[self._first[clip] : self._first[clip] + self._length[clip]]
        return self._rotations(np.asarray(frames[:, 0]), np.zeros(1, int), self._length[[clip]])

    def _held_batch(self, chosen: np.ndarray, offset: np.ndarray) -> ClipBatch:
        return ClipBatch(
            joints=torch.empty(0, self._people, self.joints, 3),
            first=torch.from_numpy(self._first[chosen] + offset[self._source[chosen]]),
            length=torch.from_numpy(self._length[chosen]),
            rotation=torch.from_numpy(self._rotation[chosen]),
            label=torch.from_numpy(self.labels[chosen]),
            index=torch.from_numpy(chosen),
        )

    def _rotations(self, main: np.ndarray, first: np.ndarray, length: np.ndarray) -> np.ndarray:
        """What turns each clip upright by its first frame: (N, 3, 3) float32, from main persons' joints (F, V, 3)."""
        if self._archives[0].dimensions != 3:
            return np.tile(np.eye(3, dtype=np.float32), (len(first), 1, 1))
        rotation = normalize.rotation(main[first][:, None])
        for row in np.flatnonzero(~np.isfinite(main[first]).all((1, 2))):  # then later frames may decide
            rotation[row] = normalize.rotation(main[first[row] : first[row] + length[row]])
        return rotation.astype(np.float32)


def hold_joints(parts: Sequence[np.ndarray], people: int, device: torch.device | str) -> tuple[Tensor, np.ndarray]:
    """Joints of archives, each (F_i, M_i, V, 3), one after another on a device.

    Returns:
        (F, people, V, 3), NaN where an archive has fewer people; and where each archive begins in it.
    """
    counts = [len(part) for part in parts]
    held = torch.full((sum(counts), people, *parts[0].shape[2:]), torch.nan, dtype=torch.float32, device=device)
    offset = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for part, begin in zip(parts, offset, strict=True):
        for first in range(0, len(part), FRAMES_AT_ONCE):
            frames = torch.from_numpy(np.array(part[first : first + FRAMES_AT_ONCE, :people]))
            held[begin + first : begin + first + len(frames), : frames.shape[1]] = frames.to(device)
    return held, offset


def fitted_batch(count: int, batch_size: int) -> int:
    """The size of a batch for `count` samples: of fewer than a batch, so large that an epoch has several steps."""
    return batch_size if count >= batch_size else max(count // LEAST_STEPS, min(count, SMALLEST_BATCH))


class ShuffledBatches(BatchSampler):
    """Batches in an order that depends on the seed and the epoch alone, so that a resumed run goes on as it would have.

    Each of several processes takes its share of every batch.
    """

    def __init__(self, count: int, batch_size: int, seed: int, *, rank: int = 0, processes: int = 1) -> None:
        """Take the number of samples; a data set smaller than a batch is one batch."""
        self._count, self._seed, self._rank, self._processes = count, seed, rank, processes
        self._size = min(batch_size, count)
        if self._size < 2 * processes:
            raise ValueError(f"{count} clips are too few for batches over {processes} processes; 2 each are needed")
        self.epoch = 0

    def __len__(self) -> int:
        return self._count // self._size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._count)
        share = self._size // self._processes
        for batch in range(len(self)):
            start = batch * self._size + self._rank * share
            yield order[start : start + share].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Draw another order than in the epochs before (Lightning calls this)."""
        self.epoch = epoch


def take(batch: Any) -> Any:
    """What collates a batch that is one already."""
    return batch


def batches(dataset: ClipDataset, sampler: BatchSampler, workers: int = 0) -> DataLoader[ClipBatch]:
    """A loader of shuffled batches."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=take,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def in_order(dataset: ClipDataset, batch_size: int = 256, workers: int = 0) -> DataLoader[ClipBatch]:
    """A loader of all clips in their order."""
    return DataLoader(dataset, batch_size, shuffle=False, collate_fn=take, num_workers=workers)
