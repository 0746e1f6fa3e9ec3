"""One posterior a person: overlapping windows merged on a fixed time grid.

Each step gives probabilities for all frames of a window, so an instant is judged by every window that covers it, by the
later ones with more of what followed. The cells of the grid are as long as a frame of the model and are counted from
time 0 of the stamps, so that windows which end at any instant meet in the same cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LEAST_WEIGHT = np.float32(1e-12)


class Timeline:
    """Weighted mean of all windows' class probabilities, of the last `history_s` seconds."""

    def __init__(self, cell_ns: int, frames: int, classes: int, history_s: float = 60.0) -> None:
        """Take the length of a cell, the frames of a window, and the number of classes, background included."""
        self.cell_ns, self._frames = cell_ns, frames
        self._size = max(int(history_s * 1e9 / cell_ns), 2 * frames)
        self._sum = np.zeros((classes, 2 * self._size), np.float32)  # what is read most often is one class over time
        self._weight = np.zeros(2 * self._size, np.float32)
        self._first = 0  # cell of place 0
        self._stop = 0  # first cell after the newest
        self._empty = True
        self._changed: int | None = None  # first cell that was changed since `newly_reached` was asked
        # A frame at a window's edge has been seen with one side of its surroundings only.
        edge = np.minimum(np.arange(1, frames + 1), np.arange(frames, 0, -1)) / (frames / 2)
        self._window_weight = (0.2 + 0.8 * np.minimum(1.0, 2.0 * edge)).astype(np.float32)

    def add(self, end_ns: int, probabilities: np.ndarray, since_ns: int) -> None:
        """Merge a window that ends at `end_ns`: probabilities (frames, classes), but none before `since_ns`."""
        newest = end_ns // self.cell_ns
        oldest = newest - self._frames + 1
        if self._empty:
            self._first, self._stop, self._empty = oldest, newest + 1, False
        places = len(self._weight)
        if newest - self._first >= places:  # slide the newer half to the start, or start over after a long gap
            shift = min(newest - self._first - self._size + 1, places)
            for array in (self._sum, self._weight):
                array[..., : places - shift] = array[..., shift:]
                array[..., places - shift :] = 0.0
            self._first = newest - self._size + 1
        self._stop = max(self._stop, newest + 1)
        begin = max(oldest, self._first, since_ns // self.cell_ns)
        if begin > newest:  # older than what is kept
            return
        frames = slice(self._frames - int(newest - begin + 1), self._frames)
        self._changed = begin if self._changed is None else min(self._changed, begin)
        cells = slice(begin - self._first, newest - self._first + 1)
        self._sum[:, cells] += (self._window_weight[frames, None] * probabilities[frames]).T
        self._weight[cells] += self._window_weight[frames]

    def change_classes(self, kept: Sequence[int | None]) -> None:
        """Change what the classes are; what has been merged stays.

        Args:
            kept: For each class from now on the class that it was so far; None for a new one, which is 0 until now.
        """
        changed = np.zeros((len(kept), self._sum.shape[1]), np.float32)
        for number, before in enumerate(kept):
            if before is not None:
                changed[number] = self._sum[before]
        self._sum = changed

    @property
    def first(self) -> int:
        """Oldest cell kept."""
        return max(self._first, self._stop - self._size)

    @property
    def stop(self) -> int:
        """First cell after the newest."""
        return self._stop

    def posterior(self, begin: int, stop: int, classes: int | slice = slice(None)) -> np.ndarray:
        """Class probabilities of the cells from `begin` to before `stop`; 0 where none is.

        Args:
            begin, stop: Cells.
            classes: All of them, (stop - begin, classes), or one, (stop - begin,).
        """
        cells = slice(begin - self._first, stop - self._first)
        return (self._sum[classes, cells] / np.maximum(self._weight[cells], _LEAST_WEIGHT)).T

    def newly_reached(self, probability: float) -> list[int]:
        """The classes that may have this probability or more in a cell that was changed since this was last asked."""
        if self._changed is None:
            return []
        cells = slice(max(self._changed, self.first) - self._first, self._stop - self._first)
        self._changed = None
        above = self._sum[:, cells] >= np.float32(probability) * self._weight[cells]
        found: list[int] = np.logical_or.reduce(above, 1).nonzero()[0].tolist()
        return found
