"""One posterior a person: overlapping windows merged on a fixed time grid.

Each step gives probabilities for all frames of a window, so an instant is judged by every window that covers it, by the
later ones with more of what followed. The cells of the grid are as long as a frame of the model and are counted from
time 0 of the stamps, so that windows which end at any instant meet in the same cells.
"""

from __future__ import annotations

import numpy as np


class Timeline:
    """Weighted mean of all windows' class probabilities, of the last `history_s` seconds."""

    def __init__(self, cell_ns: int, frames: int, classes: int, history_s: float = 60.0) -> None:
        """Take the length of a cell, the frames of a window, and the number of classes, background included."""
        self.cell_ns, self._frames = cell_ns, frames
        self._size = max(int(history_s * 1e9 / cell_ns), 2 * frames)
        self._sum = np.zeros((2 * self._size, classes))
        self._weight = np.zeros(2 * self._size)
        self._first = 0  # cell of row 0
        self._stop = 0  # first cell after the newest
        self._empty = True
        # A frame at a window's edge has been seen with one side of its surroundings only.
        edge = np.minimum(np.arange(1, frames + 1), np.arange(frames, 0, -1)) / (frames / 2)
        self._window_weight = 0.2 + 0.8 * np.minimum(1.0, 2.0 * edge)

    def add(self, end_ns: int, probabilities: np.ndarray, since_ns: int) -> None:
        """Merge a window that ends at `end_ns`: probabilities (frames, classes), but none before `since_ns`."""
        newest = end_ns // self.cell_ns
        oldest = newest - self._frames + 1
        if self._empty:
            self._first, self._stop, self._empty = oldest, newest + 1, False
        if newest - self._first >= len(self._sum):  # slide the newer half to the start, or begin anew after a long gap
            shift = min(newest - self._first - self._size + 1, len(self._sum))
            for array in (self._sum, self._weight):
                array[: len(array) - shift] = array[shift:]
                array[len(array) - shift :] = 0.0
            self._first = newest - self._size + 1
        self._stop = max(self._stop, newest + 1)
        begin = max(oldest, self._first, since_ns // self.cell_ns)
        if begin > newest:  # older than what is kept
            return
        frames = slice(self._frames - int(newest - begin + 1), self._frames)
        rows = slice(begin - self._first, newest - self._first + 1)
        self._sum[rows] += self._window_weight[frames, None] * probabilities[frames]
        self._weight[rows] += self._window_weight[frames]

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
        rows = slice(begin - self._first, stop - self._first)
        weight = np.maximum(self._weight[rows], 1e-12)
        sums = self._sum[rows, classes]
        return sums / (weight if sums.ndim == 1 else weight[:, None])
