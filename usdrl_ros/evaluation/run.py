"""Run the library over a bag as the live node runs it: each message is observed, each step that is due is run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from usdrl_ros.bags.reader import Bag
from usdrl_ros.evaluation.bag_run import BagRun, RunNotes
from usdrl_ros.evaluation.cameras import BagCameras
from usdrl_ros.evaluation.journal import optional_journal
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.truth import read_truth
from usdrl_ros.inference.contract import Engine
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.scene.scene import Scene
from usdrl_ros.skeleton.person import Frame


def run_bag(
    path: Path | str,
    engine: Engine,
    options: EvaluationOptions | None = None,
    *,
    name: str = "",
    ongoing: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BagRun:
    """Recognise the actions in a bag.

    Args:
        path: The bag.
        engine: The loaded model.
        options: How; the bags, the model and the outputs in it play no part here.
        name: What the run is called; "": as the path.
        ongoing: Whether to keep ONGOING events: they are most, and memory grows with them.
        progress: Called with the messages read and the messages there are.

    Raises:
        BagError: The bag is missing, is damaged, or lacks a topic.
        LabelError: Its labels are not there, or not right.
        SourceError: The source is not known or does not suit.
    """
    options = options or EvaluationOptions()
    scene = Scene(engine.info.actions, people=engine.info.people, mend=options.mend_skeletons)
    recognizer = Recognizer(engine, options.settings, scene=scene)
    step_ms: Counter[float] = Counter()
    with Bag(path) as bag, optional_journal(engine.info.actions, options.strips_of_bag > 0) as journal:
        notes = RunNotes(name or str(path), engine.info.actions, journal=journal, ongoing=ongoing)

        def take(frames: list[Frame]) -> None:
            """Observe frames, and run what is due after each."""
            for frame in frames:
                taken = recognizer.observe(frame)
                notes.add_problems(taken.problems)
                notes.add_frame(taken)
                while recognizer.due:
                    began = time.perf_counter()
                    step = recognizer.step()
                    step_ms[round(1e3 * (time.perf_counter() - began), 1)] += 1
                    if step is None:
                        break
                    notes.add_events(step.events)
                    notes.add_problems(step.problems)
                    notes.add_scores(step.scores)

        cameras = BagCameras(path, bag.topics, options)
        truth = read_truth(str(path), bag, options)
        total = sum(bag.topics[topic].count for topic in cameras.topics)
        for done, (topic, record_ns, message) in enumerate(bag.messages(cameras.topics), start=1):
            progress(done, total)
            take(cameras.frames(topic, record_ns, message))
        take(cameras.rest())
        notes.add_events(recognizer.finish())
        if not notes.frames:
            notes.add_problems([Problem("no_messages", f"topic {cameras.skeletons} holds no message")])
        return notes.finish(truth, options, step_ms=step_ms)
