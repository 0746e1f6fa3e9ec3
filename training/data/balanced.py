"""Drawing actions evenly from many data sets of very different size, for training on the sessions of one vocabulary.

The clips of one action in one set are a cell. A cell of n clips is drawn in proportion to n to the power `EVENNESS`, so
that a set with a thousand clips of an action does not drown one with ten, and actions that many sets have come more
often than those that one has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from torch.utils.data import BatchSampler

from training.data.archive import Archive, Clips
from training.data.frames import FrameSource, RandomWindows, Window

EVENNESS = 0.3
"""0: every cell is drawn as often; 1: every clip is."""
LONGEST_S = 10.0
"""A clip that is longer shows its action over and over, or going on: pieces of half of it stand for it."""
AFTER = 0.5
"""How long after an action a window may end that is drawn for it, as a share of the window."""


def chances(cells: np.ndarray) -> np.ndarray:
    """Chances (n,) of items whose cells (n,) are given as any values; they sum to 1."""
    _, cell, count = np.unique(cells, return_inverse=True, return_counts=True)
    chance = count[cell] ** (EVENNESS - 1.0)
    return np.asarray(chance / chance.sum())


def set_names(archive: Archive) -> np.ndarray:
    """(R,) the data set of each recording of a session archive."""
    return np.array([name.partition("/")[0] for name in archive.names])


def short_clips(archive: Archive, clips: Clips) -> Clips:
    """The clips, those of more than `LONGEST_S` cut in pieces of half of it at most."""
    pieces = []
    for first, length, label, recording in zip(clips.first, clips.length, clips.label, clips.recording, strict=True):
        seconds = float(archive.stamps[first + length - 1] - archive.stamps[first])
        count = int(np.ceil(seconds / (LONGEST_S / 2))) if seconds > LONGEST_S else 1
        edges = np.linspace(first, first + length, count + 1).astype(int)
        pieces += [(a, b - a, label, recording) for a, b in pairwise(edges)]
    return Clips(*np.array(pieces, np.int64).reshape(-1, 4).T)


class CellBalanced(BatchSampler):
    """Batches of items, each cell in proportion to the power `EVENNESS` of its size; so many batches an epoch."""

    def __init__(
        self, cells: np.ndarray, batch_size: int, batches: int, seed: int, *, rank: int = 0, processes: int = 1
    ) -> None:
        self._chance = chances(cells)
        self._size, self._batches, self._seed = batch_size, batches, seed
        self._rank, self._processes = rank, processes
        self.epoch = 0

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        share = self._size // self._processes
        for _ in range(self._batches):
            drawn = rng.choice(len(self._chance), self._size, p=self._chance)
            yield drawn[self._rank * share : (self._rank + 1) * share].tolist()

    def set_epoch(self, epoch: int) -> None:
        """Draw others than in the epochs before."""
        self.epoch = epoch


class ActionWindows(RandomWindows):
    """Windows of which a share ends in an action that is drawn evenly, or soon after it; the others end anywhere."""

    def __init__(self, source: FrameSource, count: int, actions: int, on_actions: float, **options: object) -> None:
        """Take a source, windows an epoch, how many classes are actions, and the share of windows drawn for one.

        Args:
            source, count, options: As of `RandomWindows`.
            actions: The first so many classes of the archive are drawn evenly.
            on_actions: Share of the windows, 0 to 1.
        """
        super().__init__(source, count, **options)  # type: ignore[arg-type]
        archive = source.archive
        segments = archive.segments[np.isin(archive.segments["recording"], source.recordings)]
        self._segments = segments[segments["action"] < actions]
        names = set_names(archive)[self._segments["recording"]]
        cells = [f"{name}/{action}" for name, action in zip(names, self._segments["action"], strict=True)]
        self._chances = chances(np.array(cells))
        self._on_actions = on_actions

    def _draw(self, index: int) -> Window:
        rng = np.random.default_rng((self._seed, self.epoch, index, 1))
        if rng.random() >= self._on_actions:
            return super()._draw(index)
        segment = self._segments[rng.choice(len(self._segments), p=self._chances)]
        recording, length = int(segment["recording"]), self._source.length
        clock, stamps = self._source.clock(recording), self._source.stamps[recording]
        start, stop = np.interp([segment["start"], segment["end"]], stamps, clock)
        end = min(rng.uniform(start + 0.2 * (stop - start), stop + AFTER * length.span), clock[-1])
        span = length.span * np.exp(rng.uniform(self._slowest, self._fastest))
        return self._source.window(recording, np.round(end) if length.by_frames else end, span)


def cells_of(archive: Archive, clips: Clips) -> np.ndarray:
    """The cell (C,) of each clip of a session archive, "SET/CLASS"."""
    names = set_names(archive)[clips.recording]
    return np.array([f"{name}/{label}" for name, label in zip(names, clips.label, strict=True)])


def label_spaces(archive: Archive, actions: int) -> np.ndarray:
    """Which of background and actions the set of each recording has labels for: (R, 1 + actions) bool.

    A set has labels for an action if one of its recordings shows it.
    """
    names = set_names(archive)
    spaces = np.zeros((len(archive), actions + 1), bool)
    spaces[:, 0] = True
    for name in np.unique(names):
        own = names == name
        found = np.unique(archive.segments["action"][own[archive.segments["recording"]]])
        spaces[np.ix_(own, found[found < actions] + 1)] = True
    return spaces


def of_sets(archive: Archive, recordings: np.ndarray, without: Sequence[str]) -> np.ndarray:
    """Those of some recordings (indices) whose data set is not among `without`."""
    return recordings[~np.isin(set_names(archive)[recordings], list(without))]
