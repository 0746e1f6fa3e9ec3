"""Many bags, several at a time, each in a process of its own; a bag that cannot be used does not stop the others."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from usdrl_ros.bags.label_files import labels_of_bag
from usdrl_ros.bags.labels import LabelError
from usdrl_ros.bags.reader import BagError
from usdrl_ros.evaluation.journal import Journal
from usdrl_ros.evaluation.report.strips import make_strips
from usdrl_ros.evaluation.run import BagRun, run_bag
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.settings import Settings
from usdrl_ros.sources.reader import DEFAULT_SOURCE, SourceError

Progress = Callable[[int, int, int], None]
"""Called with the number of a bag, the messages of it that are read, and the messages that there are."""
_POLL_S = 0.1


@dataclass(frozen=True)
class Plan:
    """How bags are to be run; the same for all, and sent to each process.

    Args:
        model, engine: As for `load_engine`.
        settings: Of recognition.
        source, layout, association, topic, truth, names: As for `run_bag`.
        labels, frame_rate, classes: Files of labels, as for `labels_of_bag`; None: the bags have their truth.
        strips: Most misses and false events of a bag that are to be looked at; 0 for none.
    """

    model: Path
    engine: str = "auto"
    settings: Settings = field(default_factory=Settings)
    source: str = DEFAULT_SOURCE
    layout: str = ""
    association: str = "auto"
    topic: str = ""
    truth: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    labels: Path | None = None
    frame_rate: float | None = None
    classes: tuple[str, ...] = ()
    strips: int = 0
    several: bool = False

    def load_engine(self) -> Engine:
        """The model, on one thread.

        Raises:
            ModelError: It cannot be used.
        """
        return load_engine(self.model, engine=self.engine)


def default_jobs(bags: int) -> int:
    """As many processes as there are bags and cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bags, cores))


def run_planned(path: str, engine: Engine, plan: Plan, progress: Callable[[int, int], None]) -> BagRun:
    """Run one bag, with its labels and its strips.

    Raises:
        BagError, LabelError, SourceError: It cannot be used.
    """
    labels = None
    if plan.labels is not None:
        labels = labels_of_bag(
            plan.labels, Path(path), frame_rate=plan.frame_rate, classes=plan.classes, one_bag=not plan.several
        )
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(engine.info.actions)) if plan.strips else None
        run = run_bag(
            path,
            engine,
            settings=plan.settings,
            source=plan.source,
            layout=plan.layout,
            association=plan.association,
            topic=plan.topic,
            truth=plan.truth,
            labels=labels,
            names=plan.names,
            journal=journal,
            ongoing=False,
            progress=progress,
        )
        if journal is not None and run.truth_intervals is not None:
            outcome = run.outcome(engine.info.actions)
            run = replace(run, strips=make_strips(outcome, journal, run.origin_ns, plan.strips))
    return run


def run_bags(
    paths: Sequence[str], engine: Engine, plan: Plan, *, jobs: int = 1, progress: Progress = lambda *_: None
) -> Iterator[tuple[str, BagRun | str]]:
    """Run bags, `jobs` at a time; yields each as it is done: its path, and the run or why there is none.

    Args:
        paths: Of the bags.
        engine: The model, for when one process is enough.
        plan: How.
        jobs: Processes; the others load the model on their own.
        progress: Called from this process.
    """
    if jobs == 1:
        for number, path in enumerate(paths):
            yield path, _guarded(path, engine, plan, partial(progress, number))
        return
    context = multiprocessing.get_context("spawn")  # a forked process would share the engine's threads
    counts = context.Array("q", 2 * len(paths), lock=False)
    with ProcessPoolExecutor(jobs, context, _start, (plan, counts)) as pool:
        waiting: dict[Future[BagRun | str], int] = {pool.submit(_run, path, n): n for n, path in enumerate(paths)}
        try:
            while waiting:
                done, _ = wait(waiting, _POLL_S, FIRST_COMPLETED)
                for number in range(len(paths)):
                    if counts[2 * number + 1]:
                        progress(number, counts[2 * number], counts[2 * number + 1])
                for future in done:
                    path = paths[waiting.pop(future)]
                    try:
                        yield path, future.result()
                    except BrokenProcessPool:
                        yield path, f"{path}: the process that ran it was killed; is memory short? Try --jobs 1"
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _guarded(path: str, engine: Engine, plan: Plan, progress: Callable[[int, int], None]) -> BagRun | str:
    try:
        return run_planned(path, engine, plan, progress)
    except (BagError, LabelError, SourceError) as error:
        return str(error)
    except Exception as error:  # whatever a bag holds, the other bags are run
        return f"{path}: please report this defect: {type(error).__name__}: {' '.join(str(error).split())}"


class _Worker:
    """What a process of the pool keeps from bag to bag."""

    engine: Engine
    plan: Plan
    counts: Any


def _start(plan: Plan, counts: Any) -> None:
    _Worker.plan, _Worker.counts, _Worker.engine = plan, counts, plan.load_engine()


def _run(path: str, number: int) -> BagRun | str:
    def progress(done: int, total: int) -> None:
        _Worker.counts[2 * number], _Worker.counts[2 * number + 1] = done, total

    return _guarded(path, _Worker.engine, _Worker.plan, progress)
