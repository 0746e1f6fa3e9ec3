"""The timeline against a dictionary of weighted sums."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from usdrl_ros.actions.timeline import Timeline

FRAMES = 16
CELL_NS = 78_125_000


class Sums:
    """Every cell ever touched, with the weights written out."""

    def __init__(self) -> None:
        self.sums: dict[int, float | np.ndarray] = defaultdict(float)
        self.weights: dict[int, float] = defaultdict(float)

    def add(self, end_ns: int, probabilities: np.ndarray, since_ns: int) -> None:
        newest = end_ns // CELL_NS
        for frame in range(FRAMES):
            cell = newest - (FRAMES - 1 - frame)
            if (cell + 1) * CELL_NS > since_ns:
                from_edge = min(frame + 1, FRAMES - frame)
                weight = 0.2 + 0.8 * min(1.0, 4.0 * from_edge / FRAMES)
                self.sums[cell] = self.sums[cell] + weight * probabilities[frame]
                self.weights[cell] += weight

    def posterior(self, begin: int, stop: int, classes: int) -> np.ndarray:
        known = [self.sums[c] / self.weights[c] if c in self.weights else np.zeros(classes) for c in range(begin, stop)]
        return np.reshape(known, (-1, classes))


def windows(rng: np.random.Generator, classes: int = 3) -> np.ndarray:
    return rng.dirichlet(np.ones(classes), FRAMES)


def check(timeline: Timeline, sums: Sums) -> None:
    found = timeline.posterior(timeline.first, timeline.stop)
    np.testing.assert_allclose(found, sums.posterior(timeline.first, timeline.stop, 3), atol=1e-6)


@pytest.mark.parametrize("start_ns", [0, -7 * 10**9, 1_700_000_000 * 10**9 + 3])
@pytest.mark.parametrize("history_s", [0.1, 5.0, 60.0])
def test_equals_the_sums_through_sliding_gaps_and_late_windows(start_ns: int, history_s: float) -> None:
    rng = np.random.default_rng(0)
    timeline, sums = Timeline(CELL_NS, FRAMES, 3, history_s), Sums()
    end_ns = newest_ns = start_ns
    kept = max(int(history_s * 1e9 / CELL_NS), 2 * FRAMES)
    for i in range(1500):
        step = rng.choice([0.1, 0.033, 0.5, 4.0, -0.2, 200.0], p=[0.6, 0.2, 0.1, 0.04, 0.05, 0.01])
        end_ns = max(end_ns, newest_ns - 10**8) + int(step * 1e9)
        newest_ns = max(newest_ns, end_ns)
        since_ns = end_ns - int(rng.choice([0.05, 0.6, 100.0]) * 1e9)
        probabilities = windows(rng)
        timeline.add(end_ns, probabilities, max(since_ns, start_ns))
        sums.add(end_ns, probabilities, max(since_ns, start_ns))
        assert timeline.stop == newest_ns // CELL_NS + 1
        assert timeline.stop - timeline.first <= kept
        if i % 50 == 0:
            check(timeline, sums)
    check(timeline, sums)
    assert timeline.stop - timeline.first == kept


def test_one_window_comes_back_as_it_is() -> None:
    probabilities = windows(np.random.default_rng(1))
    timeline = Timeline(CELL_NS, FRAMES, 3)
    timeline.add(100 * CELL_NS, probabilities, 0)
    assert (timeline.first, timeline.stop) == (100 - FRAMES + 1, 101)
    np.testing.assert_allclose(timeline.posterior(timeline.first, timeline.stop), probabilities, atol=1e-6)


def test_agreeing_windows_agree_whatever_their_weights() -> None:
    """Windows cut from one long truth: the merged posterior is that truth."""
    truth = np.random.default_rng(2).dirichlet(np.ones(3), 2000)
    timeline = Timeline(CELL_NS, FRAMES, 3, 30.0)
    for newest in range(FRAMES, 2000, 3):
        timeline.add(newest * CELL_NS + newest, truth[newest - FRAMES + 1 : newest + 1], 0)
    found = timeline.posterior(timeline.first, timeline.stop)
    np.testing.assert_allclose(found, truth[timeline.first : timeline.stop], atol=1e-6)


def test_probabilities_sum_to_one_where_anything_was_merged() -> None:
    rng = np.random.default_rng(3)
    timeline = Timeline(CELL_NS, FRAMES, 3)
    for end_ns in np.cumsum(rng.integers(10**7, 4 * 10**8, 200)).tolist():
        timeline.add(end_ns, windows(rng), 0)
    sums = timeline.posterior(timeline.first, timeline.stop).sum(1)
    assert np.isclose(sums, 1.0).sum() > 500
    assert (np.isclose(sums, 1.0) | (sums == 0.0)).all()


def test_nothing_before_the_person_was_seen() -> None:
    timeline = Timeline(CELL_NS, FRAMES, 3)
    timeline.add(100 * CELL_NS, windows(np.random.default_rng(4)), 95 * CELL_NS + 5)
    found = timeline.posterior(timeline.first, timeline.stop)
    assert (found[:-6] == 0.0).all()
    np.testing.assert_allclose(found[-6:].sum(1), 1.0)


def test_a_window_older_than_the_history_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    timeline = Timeline(CELL_NS, FRAMES, 3, 5.0)
    timeline.add(10_000 * CELL_NS, windows(rng), 0)
    before = timeline.posterior(timeline.first, timeline.stop)
    for newest in (9_999 - FRAMES, 9_000, 3, -20):
        timeline.add(newest * CELL_NS, windows(rng), -(10**12))
    np.testing.assert_array_equal(timeline.posterior(timeline.first, timeline.stop), before)
    assert timeline.stop == 10_001


def test_an_empty_timeline_is_empty() -> None:
    timeline = Timeline(CELL_NS, FRAMES, 3)
    assert timeline.posterior(timeline.first, timeline.stop).shape == (0, 3)


@pytest.mark.parametrize("least", [0.2, 0.5, 0.9])
def test_what_is_reached_is_in_the_cells_that_a_window_changed(least: float) -> None:
    rng = np.random.default_rng(6)
    timeline = Timeline(CELL_NS, FRAMES, 5, 10.0)
    end_ns, found = 0, 0
    for _ in range(400):
        end_ns += int(rng.choice([0.1, 0.5, 30.0], p=[0.8, 0.19, 0.01]) * 1e9)
        timeline.add(end_ns, rng.dirichlet(np.full(5, 0.3), FRAMES), 0)
        changed = timeline.posterior(timeline.stop - FRAMES, timeline.stop)
        reached = timeline.newly_reached(least)
        assert reached == (changed >= least).any(0).nonzero()[0].tolist()
        assert timeline.newly_reached(least) == []  # nothing has changed since
        found += len(reached)
    assert 0 < found < 5 * 400


def test_what_is_reached_counts_all_windows_since_it_was_asked() -> None:
    timeline = Timeline(CELL_NS, 1, 3)
    assert timeline.newly_reached(0.5) == []
    for cell, sure in enumerate([1, 0, 2, 0]):
        timeline.add(cell * CELL_NS, np.eye(3)[[sure]], 0)
    assert timeline.newly_reached(0.5) == [0, 1, 2]
    timeline.add(4 * CELL_NS, np.eye(3)[[1]], 0)
    assert timeline.newly_reached(0.5) == [1]
