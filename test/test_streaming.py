"""What the recognizer does for many people at once gives the events of doing it one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usdrl_ros.actions.events import Event
from usdrl_ros.actions.scores import Scores
from usdrl_ros.inference.contract import Predictions
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.normalize import NORMALIZATION
from usdrl_ros.skeleton.person import Frame, Person

WINDOW_S = 4.0
Message = tuple[int, list[Person]]


class LinearEngine:
    """Random weights on what it is given, so that each number of a window changes the scores."""

    def __init__(self) -> None:
        self.info = ModelInfo("linear", ("a", "b", "c"), WINDOW_S, NORMALIZATION, "nothing")
        self.weights = np.random.default_rng(0).normal(0, 2.0, (3 * 25 * 2, 4)).astype(np.float32)
        self.batches: list[int] = []

    def infer(self, skeletons: np.ndarray) -> Predictions:
        self.batches.append(len(skeletons))
        frames = skeletons.transpose(0, 2, 1, 3, 4).reshape(len(skeletons), 64, -1)
        detection = np.stack([each @ self.weights for each in frames])  # alone: sums do not depend on the batch
        return Predictions(detection, detection.mean(1)[:, 1:], np.zeros((len(skeletons), 8), np.float32))


def walk(person_id: str, seed: int, times: np.ndarray, layout: str, unseen: float, unsure: bool) -> list[Person]:
    """A person, as small as a body is, who wobbles about, some joints unseen at times."""
    rng = np.random.default_rng(seed)
    count = len(load_layout(layout).joint_names)
    wobble = rng.normal(0, 0.02, (len(times), count, 3)) + rng.normal(0, 0.05, (len(times), 1, 3)).cumsum(0)
    joints = rng.normal(0, 0.15, (count, 3)) + wobble
    joints[rng.random((len(times), count)) < unseen] = np.nan
    confidence = rng.random((len(times), count)) if unsure else [None] * len(times)
    return [Person(person_id, layout, j, c) for j, c in zip(joints, confidence, strict=True)]


def crowd() -> list[Message]:
    """Six people of several layouts, who come and go, over 14 s."""
    times = np.arange(0, 14.0, 1 / 30)
    people = {
        "whole": walk("whole", 1, times, "ntu_25", 0.0, False),
        "holes": walk("holes", 2, times, "ntu_25", 0.2, False),
        "other layout": walk("other layout", 3, times, "coco_17", 0.05, False),
        "unsure": walk("unsure", 4, times, "ntu_25", 0.0, True),
        "late": walk("late", 5, times, "ntu_25", 0.1, False),
        "leaves": walk("leaves", 6, times, "coco_17", 0.0, False),
    }
    spans = {"late": (5.03, 20.0), "leaves": (0.0, 7.0)}
    return [
        (
            round((100.0 + t) * 1e9),
            [
                each[i]
                for name, each in people.items()
                if spans.get(name, (0, 99))[0] <= t <= spans.get(name, (0, 99))[1]
            ],
        )
        for i, t in enumerate(times.tolist())
    ]


def drive(recognizer: Recognizer, messages: Sequence[Message]) -> tuple[list[Event], list[Scores]]:
    events: list[Event] = []
    scores: list[Scores] = []
    for stamp_ns, people in messages:
        recognizer.observe(Frame(stamp_ns, "camera", people))
        while (step := recognizer.step()) is not None:
            events += step.events
            scores += step.scores
    return events + recognizer.finish(), scores


def test_people_together_are_each_as_alone() -> None:
    settings = Settings(start_threshold=0.4, min_joint_confidence=0.1)
    messages = crowd()
    events, scores = drive(Recognizer(LinearEngine(), settings), messages)
    names = {event.person_id for event in events}
    assert len(names) == 6
    for name in names:
        alone = [(stamp_ns, [p for p in people if p.person_id == name]) for stamp_ns, people in messages]
        own_events, own_scores = drive(Recognizer(LinearEngine(), settings), alone)
        found = [score for score in scores if score.person_id == name]
        assert [score.stamp_ns for score in found] == [score.stamp_ns for score in own_scores]
        for a, b in zip(found, own_scores, strict=True):
            np.testing.assert_allclose(a.detection, b.detection, atol=1e-5)
        compared = [
            [(e.stamp_ns, e.phase, e.action, e.start_ns, e.end_ns, e.position) for e in each if e.person_id == name]
            for each in (events, own_events)
        ]
        assert compared[0] == compared[1]
