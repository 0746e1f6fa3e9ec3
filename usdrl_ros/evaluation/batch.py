"""Many bags, several at a time, each in a process of its own; a bag that cannot be used does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from usdrl_ros.bags.labels import LabelError
from usdrl_ros.bags.reader import BagError
from usdrl_ros.evaluation.bag_run import BagRun
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.files import expanded
from usdrl_ros.inference.contract import Engine
from usdrl_ros.parallel import ParallelError, ProgressBoard, parallel_map, progress_board
from usdrl_ros.sources.reader import SourceError

Progress = Callable[[int, int, int], None]
"""Called with the number of a bag, the messages of it that are read, and the messages that there are."""


def run_bags(options: EvaluationOptions, *, progress: Progress = lambda *_: None) -> Iterator[tuple[str, BagRun | str]]:
    """Run the bags of the options; yields for each, in their order, its path, and the run or why there is none.

    Args:
        options: Which bags, and how; `processes` of them run at a time, or those of a Dask cluster.
        progress: Called from a thread of its own; not for bags on a cluster.

    Raises:
        ModelError: The model cannot be used.
        ParallelError: The Dask cluster cannot be used.
    """
    paths = list(dict.fromkeys(options.bags))
    with progress_board(len(paths), progress) as board:
        if options.processes == 1 and not options.dask:
            with options.load_engine() as engine:
                for number, path in enumerate(paths):
                    yield path, _run(path, Path(path), engine, options, partial(board.report, number))
            return
        task = _Task(_with_whole_paths(options), None if options.dask else board)
        items = [(number, path, expanded(path).absolute()) for number, path in enumerate(paths)]
        results = parallel_map(partial(_run_elsewhere, task), items, jobs=options.processes, dask=options.dask)
        done = 0
        try:
            for path, result in zip(paths, results, strict=True):
                done += 1
                yield path, result
        except ParallelError as error:
            if options.dask and not done:
                raise
            for path in paths[done:]:
                yield path, f"{path}: {error}"


@dataclass(frozen=True)
class _Task:
    """What goes to each process."""

    options: EvaluationOptions
    board: ProgressBoard | None


def _with_whole_paths(options: EvaluationOptions) -> EvaluationOptions:
    """The options for processes in other directories; outputs are written by this one."""
    labels = options.labels.absolute() if options.labels is not None else None
    source = options.source
    if source.endswith((".yaml", ".yml")):
        source = str(expanded(source).absolute())
    return replace(options, model=options.model.absolute(), labels=labels, source=source)


def _run_elsewhere(task: _Task, item: tuple[int, str, Path]) -> BagRun | str:
    number, name, path = item
    report = partial(task.board.report, number) if task.board is not None else lambda done, total: None
    options = task.options
    return _run(name, path, _loaded(options.model, options.engine, options.precision), options, report)


def _run(
    name: str, path: Path, engine: Engine, options: EvaluationOptions, progress: Callable[[int, int], None]
) -> BagRun | str:
    """One bag; where it cannot be used, the line that says why."""
    try:
        return run_bag(path, engine, options, name=name, ongoing=False, progress=progress)
    except (BagError, LabelError, SourceError) as error:
        return str(error).replace(str(path), name, 1)
    except Exception as error:  # whatever a bag holds, the other bags are run
        return f"{name}: please report this defect: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


@lru_cache(maxsize=1)
def _loaded(model: Path, engine: str, precision: str) -> Engine:
    """The model, loaded once a process of this or another machine."""
    return EvaluationOptions(model=model, engine=engine, precision=precision).load_engine()
