"""Many items at a time: in processes, and on a Dask cluster; workers that are lost are reported."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from parallel_work import fail_at, kill_at, process_of, report_progress, square, wait_for

from usdrl_ros import parallel
from usdrl_ros.parallel import ParallelError, ProgressBoard, default_jobs, parallel_map, progress_board


def test_results_come_in_order() -> None:
    assert list(parallel_map(square, range(7), jobs=2)) == [n * n for n in range(7)]
    assert list(parallel_map(square, [], jobs=2)) == []


def test_one_job_stays_in_this_process() -> None:
    assert set(parallel_map(process_of, range(3))) == {os.getpid()}
    assert os.getpid() not in set(parallel_map(process_of, range(4), jobs=2))


def test_results_come_as_they_are_done(tmp_path: Path) -> None:
    """The first is there while the last still waits for a file that is written only then."""
    go_on = tmp_path / "go_on"
    results = parallel_map(partial(wait_for, go_on), [False, True], jobs=2)
    assert next(results) is False
    go_on.touch()
    assert list(results) == [True]


def test_error_of_the_function_is_raised() -> None:
    with pytest.raises(LookupError, match="no 2"):
        list(parallel_map(partial(fail_at, 2), range(4), jobs=2))


def test_killed_process_is_reported() -> None:
    with pytest.raises(ParallelError, match="a process was killed; is memory short"):
        list(parallel_map(partial(kill_at, 1), range(4), jobs=2))
    assert list(parallel_map(square, range(3), jobs=2)) == [0, 1, 4]  # later calls get new processes


def test_jobs_follow_items_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    assert [default_jobs(items) for items in (0, 1, 3, 9)] == [1, 1, 3, 4]


def test_progress_of_other_processes_is_shown() -> None:
    shown: dict[int, tuple[int, int]] = {}
    with progress_board(3, lambda number, done, total: shown.update({number: (done, total)})) as board:
        assert list(parallel_map(partial(report_progress, board), range(3), jobs=2)) == [0, 1, 2]
        np.testing.assert_array_equal(board.read(), [[1, 10], [2, 10], [3, 10]])
        deadline = time.monotonic() + 10
        while len(shown) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert shown == {0: (1, 10), 1: (2, 10), 2: (3, 10)}


def test_progress_elsewhere_is_not_kept(tmp_path: Path) -> None:
    board = ProgressBoard(tmp_path, 2)
    (tmp_path / "progress").unlink()
    board.report(0, 1, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask scheduler with two workers, each a process."""
    distributed = pytest.importorskip("distributed", reason="needs requirements/test.txt")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as local:
        local.wait_for_workers(2)
        yield local.scheduler_address


@pytest.mark.slow
def test_cluster_does_the_work(cluster: str) -> None:
    assert list(parallel_map(square, range(9), dask=cluster)) == [n * n for n in range(9)]
    processes = set(parallel_map(process_of, range(20), dask=cluster))
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_error_on_the_cluster_is_raised(cluster: str) -> None:
    with pytest.raises(LookupError, match="no 2"):
        list(parallel_map(partial(fail_at, 2), range(4), dask=cluster))


def test_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs requirements/test.txt")
    monkeypatch.setattr(parallel, "_CONNECT_S", 0.5)
    with pytest.raises(ParallelError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9 .*start one with 'dask"):
        list(parallel_map(square, range(2), dask="tcp://127.0.0.1:9"))
    with pytest.raises(ParallelError, match="no Dask scheduler at nonsense://x"):
        list(parallel_map(square, range(2), dask="nonsense://x"))


def test_cluster_without_workers() -> None:
    distributed = pytest.importorskip("distributed", reason="needs requirements/test.txt")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as empty,
        pytest.raises(ParallelError, match="has no workers; start some: dask worker"),
    ):
        list(parallel_map(square, range(2), dask=empty.scheduler_address))


def test_cluster_without_distributed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParallelError, match=r"needs the package 'distributed': .*pip install distributed"):
        list(parallel_map(square, range(2), dask="tcp://127.0.0.1:8786"))
