"""One function on many items, several at a time: in processes of this machine, or on the workers of a Dask cluster.

joblib (https://joblib.readthedocs.io) starts, feeds and ends the workers. What a worker needs for every item, such as
a loaded model, it keeps in a cache of the function's own module (`functools.lru_cache`), so that it is made once a
process.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from usdrl_ros.installing import pip_command

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_S = 0.1
_CONNECT_S = 10.0


class ParallelError(RuntimeError):
    """The workers cannot be reached, or were lost; one line that says what to do."""


def default_jobs(items: int) -> int:
    """As many processes as there are items, and cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(items, cores))


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int = 1, dask: str = ""
) -> Iterator[Result]:
    """Yield `function(item)` of each item, in the order of the items, each as soon as it and those before are done.

    Args:
        function: Importable by its name, as it is sent to the workers; so are items and results.
        items: What it is called with.
        jobs: Processes on this machine; 1: in this process. Unused with `dask`.
        dask: Address of a Dask scheduler, such as tcp://host:8786. Its workers need the same version of this package,
            and the files that the items name.

    Raises:
        ParallelError: A worker was killed, or the cluster cannot be used. Items that were not yielded are not done.
    """
    if dask:
        yield from _on_cluster(function, items, dask)
        return
    if jobs == 1 or len(items) < 2:
        yield from map(function, items)
        return
    try:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError as error:
        raise ParallelError(f"several at a time need the package 'joblib': {pip_command('joblib')}") from error

    run = Parallel(n_jobs=jobs, return_as="generator", batch_size=1, pre_dispatch="all")
    try:
        yield from run(delayed(function)(item) for item in items)
    except TerminatedWorkerError as error:
        raise ParallelError("a process was killed; is memory short? Try fewer at a time (--jobs 1)") from error


def _on_cluster(function: Callable[[Item], Result], items: Sequence[Item], address: str) -> Iterator[Result]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ParallelError(f"a Dask cluster needs the package 'distributed': {pip_command('distributed')}") from error
    try:
        client: Any = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ParallelError(
            f"no Dask scheduler at {address} ({_one_line(error)}); start one with 'dask scheduler', and workers with "
            f"'dask worker {address}'"
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise ParallelError(f"the Dask scheduler at {address} has no workers; start some: dask worker {address}")
        futures = client.map(function, items, pure=False)
        try:
            for future in futures:
                yield _result(future, address)
        finally:
            client.cancel(futures)


def _result(future: Any, address: str) -> Any:
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except (KilledWorker, CancelledError, OSError) as error:
        if future.status == "error" and not isinstance(error, KilledWorker):
            raise  # of the function itself
        raise ParallelError(f"the Dask cluster at {address} lost a worker: {_one_line(error)}") from error
    except ImportError as error:
        raise ParallelError(f"the workers of {address} lack a package: {_one_line(error)}; install it there") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class ProgressBoard:
    """How far the work on each item is, where the processes of this machine write it and this one reads it.

    Args:
        directory: A directory on this machine; see `progress_board`.
        items: How many there are.
    """

    def __init__(self, directory: Path, items: int) -> None:
        self._file, self._items = directory / "progress", items
        np.zeros((items, 2), np.int64).tofile(self._file)

    def report(self, number: int, done: int, total: int) -> None:
        """Note that `done` parts of `total` of an item are done; does nothing on another machine."""
        if self._file.exists():
            self._open()[number] = done, total

    def read(self) -> np.ndarray:
        """(items, 2): the parts done, and all parts; 0 of an item that has not begun."""
        return np.array(self._open())

    def _open(self) -> np.ndarray:
        if not hasattr(self, "_board"):
            self._board = np.memmap(self._file, np.int64, "r+", shape=(self._items, 2))
        return self._board

    def __getstate__(self) -> dict[str, Any]:
        return {"_file": self._file, "_items": self._items}


@contextmanager
def progress_board(items: int, show: Callable[[int, int, int], None]) -> Iterator[ProgressBoard]:
    """A board while work is done; `show(number, done, total)` is called ten times a second for items that have begun.

    Args:
        items: How many there are.
        show: Called from a thread of its own.
    """
    with tempfile.TemporaryDirectory(prefix="usdrl_progress_") as directory:
        board = ProgressBoard(Path(directory), items)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_POLL_S):
                for number, (done, total) in enumerate(board.read().tolist()):
                    if total:
                        show(number, done, total)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield board
        finally:
            ended.set()
            thread.join()
