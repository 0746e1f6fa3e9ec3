"""The recognizer, driven by an engine that reads the truth off the skeletons that it is given.

People stand and hold up a hand: the left one is the action "left", the right one "right". The engine sees that in the
model's input, so that what comes out must be the truth again, whatever is done to the input on its way.
"""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from usdrl_ros.actions.classifier import Classifier, Posterior, softmax
from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.inference.contract import Predictions
from usdrl_ros.inference.model_file import ModelError, ModelInfo
from usdrl_ros.problems import Problem
from usdrl_ros.recognizer import Recognizer, Step
from usdrl_ros.scene.scene import Scene, SceneFrame
from usdrl_ros.scene.subject import Subject
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.normalize import NORMALIZATION
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.track import MAX_PENDING_STEPS

pytestmark = pytest.mark.usefixtures("same_run")

HAND_LEFT, HAND_RIGHT = NTU_25.index("HandLeft"), NTU_25.index("HandRight")
WINDOW_S = 5.0
CELL_S = WINDOW_S / 64
GRID_NS = 2_500_000_000
"""A whole number of steps (0.1 s) and of frames (5 s / 64)."""

Truth = Sequence[tuple[str, float, float]]
Message = tuple[int, list[Person]]


class HandEngine:
    """Knows how high the hands are held in each frame."""

    def __init__(self) -> None:
        self.info = ModelInfo("hands", ("left", "right"), WINDOW_S, NORMALIZATION, "nothing")
        self.batches: list[int] = []

    def infer(self, skeletons: np.ndarray) -> Predictions:
        assert skeletons.dtype == np.float32
        assert skeletons.shape[1:] == (3, 64, 25, 2)
        assert np.isfinite(skeletons).all()
        self.batches.append(len(skeletons))
        detection = np.zeros((len(skeletons), 64, 3), np.float32)
        for k, hand in enumerate((HAND_LEFT, HAND_RIGHT), 1):
            detection[..., k] = np.clip(40.0 * (skeletons[:, 2, :, hand, 0] - 0.25), -20, 20)
        return Predictions(detection, detection.mean(1)[:, 1:], np.zeros((len(skeletons), 8), np.float32))

    def close(self) -> None: ...

    def __enter__(self) -> HandEngine:
        return self

    def __exit__(self, *_: object) -> None: ...


def body(actions: Iterable[str] = (), place: Sequence[float] = (0.0, 0.0, 2.0)) -> np.ndarray:
    """Joints (25, 3) of a person at a place who holds up the hands of these actions; y up, seen from the side."""
    joints = np.zeros((25, 3))
    for name, height in {"SpineMid": 0.3, "SpineShoulder": 0.55, "Neck": 0.6, "Head": 0.75}.items():
        joints[NTU_25.index(name)] = 0.0, height, 0.0
    for side, z in (("Left", -1.0), ("Right", 1.0)):
        raised = side.lower() in actions
        for name, position in {
            "Shoulder": (0.0, 0.5, 0.2),
            "Elbow": (0.0, 0.65 if raised else 0.25, 0.35),
            "Wrist": (0.1, 0.75 if raised else 0.05, 0.3),
            "Hand": (0.1, 0.8 if raised else 0.0, 0.3),
            "HandTip": (0.1, 0.85 if raised else -0.05, 0.3),
            "Thumb": (0.15, 0.8 if raised else 0.0, 0.28),
            "Hip": (0.0, -0.02, 0.1),
            "Knee": (0.02, -0.42, 0.1),
            "Ankle": (0.0, -0.8, 0.1),
            "Foot": (0.1, -0.85, 0.1),
        }.items():
            joints[NTU_25.index(name + side)] = np.array(position) * (1.0, 1.0, z)
    return joints + place


def person(person_id: str, seconds: float, truth: Truth, place: Sequence[float] = (0.0, 0.0, 2.0)) -> Person:
    running = [action for action, start, end in truth if start <= seconds < end]
    return Person(person_id, "ntu_25", body(running, place))


def stamps(rate_hz: float, seconds: float, jitter: float = 0.0, lost: float = 0.0, seed: int = 0) -> np.ndarray:
    """Seconds; a share of the stamps is lost, never two in a row."""
    rng = np.random.default_rng(seed)
    count = int(seconds * rate_hz)
    times = (np.arange(count) + 0.5 + rng.uniform(-0.5, 0.5, count) * jitter) / rate_hz
    kept = rng.random(count) >= lost
    kept[::2] = True
    return times[kept]


def scene(times: Iterable[float], truths: Mapping[str, Truth], start_ns: int = 0) -> list[Message]:
    places = {person_id: (1.5 * i, 0.1 * i, 2.0 + i) for i, person_id in enumerate(sorted(truths))}
    return [
        (start_ns + round(t * 1e9), [person(name, t, truth, places[name]) for name, truth in truths.items()])
        for t in np.asarray(times).tolist()
    ]


def drive(recognizer: Recognizer, messages: Iterable[Message], finish: bool = True) -> list[Event]:
    """As the evaluation does: every message, and after it the steps that are due."""
    events = []
    for stamp_ns, people in messages:
        recognizer.observe(Frame(stamp_ns, "camera", people))
        while (step := recognizer.step()) is not None:
            events += step.events
    return events + (recognizer.finish() if finish else [])


def recognized(messages: Iterable[Message], **settings: float) -> list[Event]:
    return drive(Recognizer(HandEngine(), Settings(**settings)), messages)


def ended(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.phase is Phase.ENDED]


def check(events: Sequence[Event], truth: Truth, tolerance_s: float, start_ns: int = 0) -> None:
    """The events of one person are true, within a tolerance, and in order."""
    found = sorted(ended(events), key=lambda event: event.start_ns)
    assert [event.action for event in found] == [action for action, _, _ in sorted(truth, key=lambda t: t[1])]
    for event, (_, start, end) in zip(found, sorted(truth, key=lambda t: t[1]), strict=True):
        assert (event.start_ns - start_ns) / 1e9 == pytest.approx(start, abs=tolerance_s)
        assert (event.end_ns - start_ns) / 1e9 == pytest.approx(end, abs=tolerance_s)
        assert event.confidence > 0.8
        mine = [e for e in events if e.event_id == event.event_id]
        assert [e.phase for e in mine] == [Phase.STARTED, *[Phase.ONGOING] * (len(mine) - 2), Phase.ENDED]
    assert len({event.event_id for event in events}) == len(found)


def without_ids(events: Iterable[Event], shift_ns: int = 0) -> list[tuple[object, ...]]:
    """Events to compare between runs: as sets of one person each, times shifted back."""
    return sorted(
        (e.person_id, e.stamp_ns - shift_ns, e.phase, e.action, e.start_ns - shift_ns, e.end_ns - shift_ns, *rest)
        for e in events
        for rest in [(e.confidence, e.position, e.frame_id)]
    )


TRUTH: Truth = (("left", 1.5, 3.0), ("right", 4.0, 5.5), ("left", 6.2, 7.2))
OTHER: Truth = (("right", 1.0, 2.0), ("left", 3.5, 7.5))
CLEAN = scene(stamps(15.0, 8.0), {"a": TRUTH, "b": OTHER})
CLEAN_TOLERANCE_S = 1 / 15 + 2 * CELL_S


@cache
def clean_events() -> list[Event]:
    return recognized(CLEAN)


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 30.0, 60.0])
@pytest.mark.parametrize(("jitter", "lost"), [(0.0, 0.0), (0.8, 0.3)])
def test_the_truth_comes_out_at_any_rate(rate_hz: float, jitter: float, lost: float) -> None:
    times = stamps(rate_hz, 9.0, jitter, lost)
    events = recognized(scene(times, {"a": TRUTH}), confirm_s=0.3)
    gap = np.diff(times).max()
    check(events, TRUTH, gap + 2 * CELL_S)
    for _, start, _ in TRUTH:
        reported = min(e.stamp_ns / 1e9 for e in events if e.phase is Phase.STARTED and e.stamp_ns / 1e9 > start)
        assert reported - start <= 0.3 + 0.1 + 2 * gap + CELL_S  # confirm_s, a step, and when it was seen


@pytest.mark.parametrize("start_ns", [0, 1, -4_000_000_001, 123_456_789, 1_700_000_000_123_456_789, 2**62])
def test_the_truth_comes_out_whenever_the_clock_begins(start_ns: int) -> None:
    check(recognized(scene(stamps(30.0, 8.0), {"a": TRUTH}, start_ns)), TRUTH, 1 / 30 + 2 * CELL_S, start_ns)


def test_a_thousand_a_second_are_taken() -> None:
    truth: Truth = [("left", 1.0, 2.0)]
    recognizer = Recognizer(HandEngine())
    check(drive(recognizer, scene(stamps(1000.0, 3.0), {"a": truth})), truth, 2 * CELL_S)
    assert recognizer.counters["messages"] == 3000
    assert 29 <= recognizer.counters["steps"] <= 31


def test_a_burst_does_not_shorten_the_window() -> None:
    """1 kHz for the last 3 s of a window whose first part showed the action."""
    truth: Truth = [("left", 1.0, 3.0)]
    times = np.concatenate([stamps(30.0, 3.5), 3.5 + stamps(1000.0, 3.0)])
    recognizer = Recognizer(HandEngine())
    (final,) = ended(drive(recognizer, scene(times, {"a": truth})))
    assert final.start_ns / 1e9 == pytest.approx(1.0, abs=2 * CELL_S)
    assert final.end_ns / 1e9 == pytest.approx(3.0, abs=2 * CELL_S)
    assert final.confidence > 0.8


@pytest.mark.parametrize("shift", [1, -2, 680_000_000])
def test_a_shift_of_the_clock_changes_nothing(shift: int) -> None:
    times = stamps(30.0, 8.0, 0.8, 0.3)
    plain = recognized(scene(times, {"a": TRUTH, "b": OTHER}))
    moved = recognized(scene(times, {"a": TRUTH, "b": OTHER}, shift * GRID_NS))
    assert without_ids(moved, shift * GRID_NS) == without_ids(plain)
    assert [event.event_id for event in moved] == [event.event_id for event in plain]


@pytest.mark.parametrize("seed", range(3))
def test_a_worker_that_lags_gives_the_same_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    messages = scene(stamps(20.0, 8.0, 0.8), {"a": TRUTH, "b": OTHER})
    recognizer, events = Recognizer(HandEngine()), []
    for stamp_ns, people in messages:
        assert recognizer.observe(Frame(stamp_ns, "camera", people)).problems == []
        while recognizer.due >= MAX_PENDING_STEPS - 1 or (recognizer.due and rng.random() < 0.2):
            events += recognizer.step().events
    while (step := recognizer.step()) is not None:
        events += step.events
    assert [*events, *recognizer.finish()] == recognized(messages)


def test_a_message_a_person_gives_the_same_events() -> None:
    recognizer, events = Recognizer(HandEngine()), []
    for stamp_ns, people in CLEAN:
        for one in reversed(people):
            recognizer.observe(Frame(stamp_ns, "camera", [one]))
        while (step := recognizer.step()) is not None:
            events += step.events
    events += recognizer.finish()
    assert without_ids(events) == without_ids(clean_events())


def test_threads_give_the_same_events() -> None:
    messages = scene(stamps(20.0, 8.0, 0.8), {"a": TRUTH, "b": OTHER})
    recognizer, events = Recognizer(HandEngine()), []
    over = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as failure:
                failures.append(failure)

        return run

    def step() -> None:
        while not over.is_set() or recognizer.due:
            if (done := recognizer.step()) is not None:
                events.extend(done.events)

    def look() -> None:
        while not over.is_set():
            assert set(recognizer.running()) <= {"a", "b"}
            assert recognizer.due <= MAX_PENDING_STEPS

    threads = [threading.Thread(target=guarded(work), daemon=True) for work in (step, look)]
    for thread in threads:
        thread.start()
    for stamp_ns, people in messages:
        give_up_at = time.monotonic() + 10.0
        while recognizer.due >= MAX_PENDING_STEPS - 1 and time.monotonic() < give_up_at:
            time.sleep(0.0002)
        recognizer.observe(Frame(stamp_ns, "camera", people))
    over.set()
    for thread in threads:
        thread.join(10.0)
    assert failures == []
    assert recognizer.counters["step_left_out"] == 0
    assert [*events, *recognizer.finish()] == recognized(messages)


def test_people_do_not_touch_each_other() -> None:
    times = stamps(15.0, 8.0, 0.5, 0.2)
    truths = {"a": TRUTH, "b": OTHER, "c": ()}
    messages = scene(times, truths)
    together = recognized(messages)
    for name in truths:
        alone = recognized([(stamp, [p for p in people if p.person_id == name]) for stamp, people in messages])
        assert without_ids(alone) == without_ids(e for e in together if e.person_id == name)
    assert len({event.event_id for event in together}) == len(TRUTH) + len(OTHER)


def test_all_people_go_through_the_engine_in_one_batch() -> None:
    engine = HandEngine()
    recognizer = Recognizer(engine)
    drive(recognizer, scene(stamps(10.0, 2.0), {name: () for name in "abcde"}))
    assert set(engine.batches) == {5}


def test_a_step_reports_scores_of_each_person() -> None:
    recognizer = Recognizer(HandEngine())
    steps: list[Step] = []
    for stamp_ns, people in scene(stamps(10.0, 4.0), {"a": [("left", 0.0, 9.0)], "b": ()}):
        recognizer.observe(Frame(stamp_ns, "head", people))
        steps.append(recognizer.step())
    scores = {score.person_id: score for score in steps[-1].scores}
    assert set(scores) == {"a", "b"}
    assert scores["a"].stamp_ns == steps[-1].stamp_ns == 3_950_000_000
    assert scores["a"].frame_id == "head"
    # The hand is 0.5 m over SpineMid, or 0.3 m under it.
    for name, logit in (("a", 40 * 0.25), ("b", -20.0)):
        expected = np.exp([0.0, logit, -20.0]) / np.exp([0.0, logit, -20.0]).sum()
        np.testing.assert_allclose(scores[name].detection, expected, rtol=1e-4)
        assert scores[name].recognition.sum() == pytest.approx(1.0)


def test_an_event_is_where_the_person_was_then() -> None:
    def place(t: float) -> tuple[float, float, float]:
        return (t, -0.1 * t, 2.0 + 0.2 * t)

    times = stamps(20.0, 8.0)
    truth: Truth = [("left", 2.0, 5.0)]
    messages = [(round(t * 1e9), [person("a", t, truth, place(t))]) for t in times.tolist()]
    events = recognized(messages)
    assert len(events) > 5
    for event in events:
        assert event.frame_id == "camera"
        assert event.position == pytest.approx(place(event.stamp_ns / 1e9), abs=1e-5)


def test_actions_can_be_reported_of_late_or_often_as_set() -> None:
    messages = scene(stamps(30.0, 8.0), {"a": [("left", 2.0, 6.0)]})
    quick = recognized(messages, confirm_s=0.0, ongoing_period_s=0.2)
    slow = recognized(messages, confirm_s=1.0, ongoing_period_s=60.0)
    assert (quick[0].stamp_ns - 2e9) / 1e9 < 0.25
    assert 0.4 < (slow[0].stamp_ns - 2e9) / 1e9 < 1.3
    assert [event.phase for event in slow] == [Phase.STARTED, Phase.ENDED]
    assert len(quick) > 12


def test_finish_ends_what_runs_and_begins_anew() -> None:
    recognizer = Recognizer(HandEngine())
    messages = scene(stamps(20.0, 6.0), {"a": [("left", 2.0, 20.0)], "b": ()})
    first, second = drive(recognizer, messages), drive(recognizer, messages)
    assert first[-1].phase is Phase.ENDED
    assert first[-1].end_ns / 1e9 == pytest.approx(6.0, abs=CELL_S)
    assert without_ids(first) == without_ids(second)
    assert {e.event_id for e in first}.isdisjoint(e.event_id for e in second)
    assert recognizer.running() == {}
    assert recognizer.due == 0
    assert recognizer.finish() == []


class Couples(Scene):
    """Makes one subject of everybody, beside each person alone."""

    def update(self, frame: Frame) -> SceneFrame:
        alone = super().update(frame)
        people = sorted(alone.frame.people, key=lambda person: person.person_id)
        together = Subject(tuple(p.person_id for p in people), np.stack([p.joints for p in people]))
        return SceneFrame(alone.frame, [*alone.subjects, together])


class PartnerEngine(HandEngine):
    """Sees the action "left" where the left hand of the first and the right hand of the second person are up."""

    def infer(self, skeletons: np.ndarray) -> Predictions:
        predictions = super().infer(skeletons)
        self.skeletons = skeletons
        other = np.clip(40.0 * (skeletons[:, 2, :, HAND_RIGHT, 1] - 0.25), -20, 20)
        detection = predictions.detection.copy()
        detection[..., 1] = np.minimum(detection[..., 1], other)
        detection[..., 2] = -20.0
        return replace(predictions, detection=detection)


def test_two_people_are_one_subject() -> None:
    """Their joints come into the model together, centred on the first one; events name both."""
    truths: dict[str, Truth] = {"a": [("left", 2.0, 5.0)], "b": [("right", 3.0, 6.0)]}
    engine = PartnerEngine()
    recognizer = Recognizer(engine, scene=Couples())
    events = drive(recognizer, scene(stamps(20.0, 8.0), truths))
    assert {(event.person_id, event.partner_id, event.action) for event in events} == {("a", "b", "left")}
    (last,) = ended(events)
    assert (last.start_ns / 1e9, last.end_ns / 1e9) == pytest.approx((3.0, 5.0), abs=0.05 + 2 * CELL_S)
    # Of the three subjects, the places of a person who is not there are 0.
    assert (engine.skeletons[:2, ..., 1] == 0).all()
    first, second = engine.skeletons[2, :, -1, :, 0], engine.skeletons[2, :, -1, :, 1]
    apart = np.linalg.norm(second - first, axis=0)
    joints = body((), (1.5, 0.1, 3.0)) - body((), (0.0, 0.0, 2.0))
    np.testing.assert_allclose(apart, np.linalg.norm(joints, axis=1), atol=1e-5)


class ChangingClassifier(Classifier):
    """The actions of the model, or others in their place, or fewer."""

    order: tuple[int, ...] = (0, 1)

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(f"hand {self._actions[k]}" for k in self.order)

    def classify(self, detection: np.ndarray, recognition: np.ndarray, embedding: np.ndarray) -> Posterior:
        assert embedding.shape == (len(detection), 8)
        columns = [0, *(k + 1 for k in self.order)]
        return Posterior(self.actions, softmax(detection)[..., columns], softmax(recognition)[..., list(self.order)])


def test_actions_in_use_may_change_while_they_run() -> None:
    """Another order changes nothing; an action that is no longer in use ends, and starts once it is again."""
    classifier = ChangingClassifier(("left", "right"))
    recognizer = Recognizer(HandEngine(), classifier=classifier)
    events: list[Event] = []
    for stamp_ns, people in scene(stamps(20.0, 10.0), {"a": [("left", 1.0, 7.0), ("right", 7.5, 9.0)]}):
        seconds = stamp_ns / 1e9
        classifier.order = (0, 1) if seconds < 3.0 else (1, 0) if seconds < 4.0 else (1,) if seconds < 5.0 else (0, 1)
        events += drive(recognizer, [(stamp_ns, people)], finish=False)
    events += recognizer.finish()
    seen = {(e.action, e.event_id) for e in events}
    assert len(seen) == 3
    right = [e for e in events if e.action == "hand right"]
    assert [e.phase for e in right] == [Phase.STARTED, *[Phase.ONGOING] * (len(right) - 2), Phase.ENDED]
    assert (right[-1].start_ns / 1e9, right[-1].end_ns / 1e9) == pytest.approx((7.5, 9.0), abs=0.05 + 2 * CELL_S)
    first, second = [e for e in ended(events) if e.action == "hand left"]
    assert (first.start_ns / 1e9, first.end_ns / 1e9) == pytest.approx((1.0, 4.0), abs=0.1 + 2 * CELL_S)
    assert (second.start_ns / 1e9, second.end_ns / 1e9) == pytest.approx((5.0, 7.0), abs=0.1 + 2 * CELL_S)


# Bad input. Each fault is reported with its cause, and recognition goes on as if nothing had been.


def survived(messages: Sequence[Message], **settings: float) -> tuple[list[Event], dict[str, int]]:
    """Events, and how often each cause was reported."""
    recognizer, events, problems = Recognizer(HandEngine(), Settings(**settings)), [], []
    for stamp_ns, people in messages:
        problems += recognizer.observe(Frame(stamp_ns, "camera", people)).problems
        while (step := recognizer.step()) is not None:
            events += step.events
            problems += step.problems
    events += recognizer.finish()
    assert all(isinstance(problem, Problem) and problem.message for problem in problems)
    counts = {problem.cause: sum(p.cause == problem.cause for p in problems) for problem in problems}
    assert counts == {k: v for k, v in recognizer.counters.items() if k not in ("messages", "steps")}
    assert recognizer.counters["messages"] == len(messages)
    return events, counts


def wild(person_id: str = "a") -> Person:
    """What must not be used: both hands up."""
    return Person(person_id, "ntu_25", body(("left", "right")))


def test_clean_input_has_no_problems() -> None:
    events, problems = survived(CLEAN)
    assert problems == {}
    check([e for e in events if e.person_id == "a"], TRUTH, CLEAN_TOLERANCE_S)
    check([e for e in events if e.person_id == "b"], OTHER, CLEAN_TOLERANCE_S)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda stamp: (stamp - 400_000_000, [wild()]), "late_stamp"),
        (lambda stamp: (stamp - 1, [wild()]), "late_stamp"),
        (lambda stamp: (stamp, [wild()]), "repeated_stamp"),
        (lambda stamp: (0, [wild(), wild("c")]), "zero_stamp"),
        (lambda stamp: (stamp, [Person("a", "kinect", body())]), "unknown_layout"),
        (lambda stamp: (stamp, [Person("a", "ntu_25", body()[:20])]), "wrong_size"),
        (lambda stamp: (stamp, [Person("a", "ntu_25", body(), np.ones(24))]), "wrong_size"),
        (lambda stamp: (stamp, [Person("c", "ntu_25", np.full((25, 3), np.nan))]), "nothing_seen"),
        (lambda stamp: (stamp, [Person("c", "ntu_25", np.full((25, 3), -np.inf))]), "nothing_seen"),
        (lambda stamp: (stamp, [Person("c", "ntu_25", body(), np.zeros(25))]), "nothing_seen"),
        (lambda stamp: (stamp, [Person("c", "ntu_25", body(), np.full(25, np.nan))]), "nothing_seen"),
    ],
)
def test_a_bad_message_is_reported_and_changes_nothing(make: Callable[[int], Message], cause: str) -> None:
    """Bad messages between the good ones, at a time when the action runs and at one when it does not."""
    messages = list(CLEAN)
    for index in (90, 31, 30):
        messages.insert(index + 1, make(CLEAN[index][0]))
    events, problems = survived(messages)
    assert problems == {cause: 3}
    assert events == clean_events()


def test_one_bad_person_does_not_spoil_the_message() -> None:
    nobody = Person("x", "ntu_25", np.full((25, 3), np.nan))
    events, problems = survived([(stamp, [nobody, *people, Person("y", "?", body())]) for stamp, people in CLEAN])
    assert problems == {"nothing_seen": len(CLEAN), "unknown_layout": len(CLEAN)}
    assert events == clean_events()


def test_unseen_all_the_time_is_as_not_there() -> None:
    """NaN everywhere for a while: the same as messages without this person."""

    def hidden(replacement: Callable[[Person], list[Person]]) -> list[Message]:
        return [
            (stamp, [q for p in people for q in (replacement(p) if 3.1e9 < stamp < 3.7e9 else [p])])
            for stamp, people in CLEAN
        ]

    events, problems = survived(hidden(lambda p: [replace(p, joints=np.full((25, 3), np.nan))]))
    assert set(problems) == {"nothing_seen"}
    assert events == recognized(hidden(lambda p: []))
    check([e for e in events if e.person_id == "a"], TRUTH, CLEAN_TOLERANCE_S)


@pytest.mark.parametrize("value", [np.inf, 1e30, -3e38, 1e300])
def test_a_joint_beyond_all_reason_is_unseen(value: float) -> None:
    def broken(joint_value: float) -> list[Message]:
        messages = []
        for stamp, people in CLEAN:
            joints = people[0].joints.copy()
            joints[NTU_25.index("KneeLeft")] = joint_value
            messages.append((stamp, [replace(people[0], joints=joints), people[1]]))
        return messages

    with np.errstate(all="raise"):
        events, problems = survived(broken(value))
    assert problems == ({} if np.isinf(value) else {"far_away": len(CLEAN)})
    assert events == recognized(broken(np.nan))
    check([e for e in events if e.person_id == "a"], TRUTH, CLEAN_TOLERANCE_S)


def test_unsure_joints_count_as_unseen_below_the_setting() -> None:
    """The left hand is unsure all the time."""
    confidence = np.ones(25)
    confidence[HAND_LEFT] = 0.3
    messages = [(stamp, [replace(p, confidence=confidence) for p in people]) for stamp, people in CLEAN]
    assert without_ids(recognized(messages)) == without_ids(clean_events())
    assert {e.action for e in recognized(messages, min_joint_confidence=0.5)} == {"right"}


def test_stamps_that_jump_back_begin_anew() -> None:
    truth: Truth = [("left", 12.0, 30.0)]
    before = scene(10.0 + stamps(15.0, 4.0), {"a": truth})
    after = [(stamp - 10 * 10**9, people) for stamp, people in scene(14.0 + stamps(15.0, 4.0), {"a": truth})]
    events, problems = survived([*before, *after])
    assert problems == {"clock_jump": 1}
    first, second = ended(events)
    assert (first.start_ns / 1e9, first.end_ns / 1e9) == pytest.approx((12.0, 14.0), abs=CLEAN_TOLERANCE_S)
    assert (second.start_ns / 1e9, second.end_ns / 1e9) == pytest.approx((4.0, 8.0), abs=CLEAN_TOLERANCE_S)
    assert first.event_id != second.event_id
    order = [(event.phase, event.event_id) for event in events if event.phase is not Phase.ONGOING]
    assert order == [
        (Phase.STARTED, first.event_id),
        (Phase.ENDED, first.event_id),
        (Phase.STARTED, second.event_id),
        (Phase.ENDED, second.event_id),
    ]


def test_a_jump_back_within_what_is_allowed_is_late_and_passes() -> None:
    """0.9 s back: late until the stamps have caught up."""
    messages = [(stamp - (900_000_000 if stamp > 5e9 else 0), people) for stamp, people in CLEAN]
    events, problems = survived(messages)
    assert problems == {"late_stamp": 2 * 13}
    assert len({e.event_id for e in events}) == len(TRUTH) + len(OTHER)
    assert sorted((e.person_id, e.action) for e in ended(events)) == sorted(
        (e.person_id, e.action) for e in ended(clean_events())
    )


def test_a_jump_ahead_ends_what_ran_and_goes_on() -> None:
    hour_ns = 3600 * 10**9
    plain = scene(stamps(15.0, 6.0), {"a": [("left", 2.0, 5.0)]})
    messages = [(stamp + (hour_ns if stamp > 3.5e9 else 0), people) for stamp, people in plain]
    first, second = ended(survived(messages)[0])
    assert (first.start_ns / 1e9, first.end_ns / 1e9) == pytest.approx((2.0, 3.5), abs=CLEAN_TOLERANCE_S)
    assert (second.start_ns / 1e9, second.end_ns / 1e9) == pytest.approx((3603.5, 3605.0), abs=CLEAN_TOLERANCE_S)


def test_one_stamp_far_ahead_costs_only_what_ran() -> None:
    messages = list(CLEAN)
    messages.insert(53, (10**18, CLEAN[53][1]))  # at 3.6 s
    events, problems = survived(messages)
    assert problems == {"clock_jump": 1}
    later = [e for e in events if e.person_id == "a" and e.start_ns > 3.2e9]
    check(later, TRUTH[1:], CLEAN_TOLERANCE_S)
    other = [e for e in events if e.person_id == "b" and e.start_ns > 3.2e9]
    check(other, [("left", 3.6, 7.5)], CLEAN_TOLERANCE_S)


def test_without_people_steps_go_on_and_what_ran_ends() -> None:
    messages = [(stamp, people if stamp < 4.5e9 else []) for stamp, people in CLEAN]
    recognizer = Recognizer(HandEngine())
    events = drive(recognizer, messages, finish=False)
    assert recognizer.counters["steps"] == 80
    assert len({e.event_id for e in events}) == len(ended(events)) == 4
    assert max(event.end_ns for event in events) <= 4.5e9
    assert recognizer.running() == {}


def test_nobody_ever() -> None:
    engine = HandEngine()
    recognizer = Recognizer(engine)
    assert drive(recognizer, [(stamp, []) for stamp, _ in CLEAN]) == []
    assert engine.batches == []
    assert recognizer.counters == {"messages": 120, "steps": 80}


@pytest.mark.parametrize(("away_s", "events_expected"), [(0.8, 1), (1.5, 2), (8.0, 2)])
@pytest.mark.parametrize("others", [True, False])
def test_an_id_that_comes_back(away_s: float, events_expected: int, others: bool) -> None:
    """Away while the hand is up: within `lost_after_s` the action goes on, later it is another one."""
    truths: dict[str, Truth] = {"a": [("left", 2.0, 40.0)], "b": ()}
    messages = [
        (stamp, [p for p in people if p.person_id == "b" or not 3e9 < stamp < (3 + away_s) * 1e9])
        for stamp, people in scene(stamps(15.0, 5.0 + away_s), truths)
    ]
    if not others:
        messages = [(stamp, [p for p in people if p.person_id == "a"]) for stamp, people in messages]
        messages = [(stamp, people) for stamp, people in messages if people]
    events, problems = survived(messages)
    assert problems == {}
    found = ended(events)
    assert len({e.event_id for e in events}) == len(found) == events_expected
    assert found[0].start_ns / 1e9 == pytest.approx(2.0, abs=CLEAN_TOLERANCE_S)
    assert found[-1].end_ns / 1e9 == pytest.approx(5.0 + away_s, abs=CLEAN_TOLERANCE_S)
    if events_expected == 2:
        assert found[0].end_ns / 1e9 == pytest.approx(3.0, abs=CLEAN_TOLERANCE_S)
        assert found[1].start_ns / 1e9 == pytest.approx(3.0 + away_s, abs=CLEAN_TOLERANCE_S)


def test_a_person_is_judged_once_they_have_been_seen_long_enough() -> None:
    messages = scene(stamps(20.0, 4.0), {"a": [("left", 0.0, 10.0)]})
    for least in (0.0, 0.5, 2.0):
        recognizer, first = Recognizer(HandEngine(), Settings(min_observed_s=least)), None
        for stamp_ns, people in messages:
            recognizer.observe(Frame(stamp_ns, "", people))
            step = recognizer.step()
            if step is not None and step.scores and first is None:
                first = (step.stamp_ns - messages[0][0]) / 1e9
        assert first == pytest.approx(least, abs=0.1)


def test_two_hundred_people() -> None:
    """Who acts is kept however far away, then come the nearest; the rest is reported as not watched."""
    rng = np.random.default_rng(0)
    distances = dict(zip((f"p{i}" for i in range(200)), rng.permutation(np.linspace(2.0, 40.0, 200)), strict=True))
    nearest = sorted(distances, key=distances.__getitem__)
    crowd = [person(name, 0.0, (), (0.0, 0.0, z)) for name, z in distances.items()]
    truth: Truth = [("left", 1.0, 2.8)]
    engine = HandEngine()
    recognizer = Recognizer(engine, Settings(max_people=16))
    watched: dict[float, set[str]] = {}
    events: list[Event] = []
    for t in stamps(10.0, 5.0).tolist():
        people = crowd if t > 1.5 else []
        recognizer.observe(Frame(round(t * 1e9), "", [*people, person("actor", t, truth, (0.0, 0.0, 50.0))]))
        step = recognizer.step()
        watched[t] = {score.person_id for score in step.scores}
        events += step.events
        problems = [problem.cause for problem in step.problems]
        assert problems == (["too_many_people"] if t > 2.0 else [])
    assert max(engine.batches) == 16
    acting = [names for t, names in watched.items() if 2.0 < t < 2.8]
    assert acting == [{"actor", *nearest[:15]}] * len(acting)
    idle = [names for t, names in watched.items() if t > 4.2]
    assert idle == [set(nearest[:16])] * len(idle)
    check(events, truth, 0.1 + 2 * CELL_S)


def test_who_comes_nearer_is_watched() -> None:
    """Two people change places; one can be watched."""
    recognizer = Recognizer(HandEngine(), Settings(max_people=1))
    for t in stamps(10.0, 8.0).tolist():
        near_is_a = t < 4.0
        places = {"a": 2.0 if near_is_a else 6.0, "b": 6.0 if near_is_a else 2.0}
        recognizer.observe(
            Frame(round(t * 1e9), "", [person(name, t, (), (0.0, 0.0, z)) for name, z in places.items()])
        )
        step = recognizer.step()
        if t > 0.6:
            assert [score.person_id for score in step.scores] == ["a" if near_is_a else "b"]


def test_who_is_nearest_counts_from_the_camera_not_from_the_origin_of_a_fixed_frame() -> None:
    pose = np.eye(4)
    pose[2, 3] = 20.0
    recognizer = Recognizer(HandEngine(), Settings(max_people=1))
    for t in stamps(10.0, 2.0).tolist():
        people = [person(name, t, (), (0.0, 0.0, z)) for name, z in (("a", 2.0), ("b", 18.0))]
        recognizer.observe(Frame(round(t * 1e9), "map", people, camera="camera", pose=pose))
        step = recognizer.step()
    assert [score.person_id for score in step.scores] == ["b"]


def test_people_without_a_pelvis_have_a_distance_too() -> None:
    joints = {name: body(place=(0.0, 0.0, z)) for name, z in (("far", 9.0), ("near", 1.0), ("middle", 5.0))}
    for name in ("near", "far"):
        joints[name][NTU_25.index("SpineBase")] = np.nan
    recognizer = Recognizer(HandEngine(), Settings(max_people=2))
    for t in stamps(10.0, 2.0).tolist():
        recognizer.observe(Frame(round(t * 1e9), "", [Person(name, "ntu_25", j) for name, j in joints.items()]))
        step = recognizer.step()
    assert [score.person_id for score in step.scores] == ["near", "middle"]


def test_steps_that_nobody_runs_are_left_out_and_reported() -> None:
    recognizer = Recognizer(HandEngine())
    first, second = CLEAN[:75], CLEAN[75:]  # 5 s: 50 steps
    problems = [
        problem for stamp_ns, people in first for problem in recognizer.observe(Frame(stamp_ns, "", people)).problems
    ]
    assert recognizer.due == MAX_PENDING_STEPS
    assert [problem.cause for problem in problems] == ["step_left_out"] * (50 - MAX_PENDING_STEPS)
    waiting = [recognizer.step().stamp_ns for _ in range(MAX_PENDING_STEPS)]
    due = {stamp // 10**8: stamp for stamp, _ in reversed(first)}  # the first stamp in each tenth of a second
    assert waiting == sorted(due.values())[-MAX_PENDING_STEPS:]
    assert recognizer.step() is None
    found = ended(drive(recognizer, second))
    ends = [(e.action, e.end_ns / 1e9) for e in found if e.person_id == "a"]
    assert ends[-2:] == [("right", pytest.approx(5.5, abs=0.2)), ("left", pytest.approx(7.2, abs=0.2))]


def test_steps_too_far_behind_for_what_is_kept() -> None:
    """Slow steps and rare messages: the oldest step that waits has no samples left, and harms nothing."""
    recognizer = Recognizer(HandEngine(), Settings(rate=60.0, lost_after_s=30.0, min_observed_s=0.0))
    for t in range(0, 100, 20):
        recognizer.observe(Frame(t * 10**9, "", [person("a", t, ())]))
    steps = [recognizer.step() for _ in range(5)]
    assert [step.stamp_ns // 10**9 for step in steps] == [0, 20, 40, 60, 80]
    assert [len(step.scores) for step in steps][-1] == 1


class FailingEngine(HandEngine):
    """Fails while asked to."""

    failing = False

    def infer(self, skeletons: np.ndarray) -> Predictions:
        if self.failing:
            raise RuntimeError("device lost")
        return super().infer(skeletons)


@pytest.mark.parametrize("failing_s", [0.1, 1.0, 100.0])
def test_a_person_who_leaves_while_the_engine_fails_gets_their_ended(failing_s: float) -> None:
    """It fails in the very step in which they are gone, and for a while, or for good."""
    engine, events, failed = FailingEngine(), [], 0
    recognizer = Recognizer(engine)
    for stamp_ns, people in scene(stamps(20.0, 10.0), {"a": [("left", 2.0, 20.0)], "b": [("right", 1.0, 3.0)]}):
        seconds = stamp_ns / 1e9
        recognizer.observe(Frame(stamp_ns, "camera", [p for p in people if p.person_id == "b" or seconds < 5.0]))
        engine.failing = 6.0 <= seconds < 6.0 + failing_s
        while recognizer.due:
            try:
                events += recognizer.step().events
            except RuntimeError:
                failed += 1
    events += recognizer.finish()
    assert failed == pytest.approx(min(10 * failing_s, 40), abs=1)
    for person_id in "ab":
        phases = [e.phase for e in events if e.person_id == person_id and e.phase is not Phase.ONGOING]
        assert phases == [Phase.STARTED, Phase.ENDED]


def test_event_ids_differ_between_runs_and_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    first, second = recognized(CLEAN), recognized(CLEAN)
    assert without_ids(first) == without_ids(second)
    assert {e.event_id for e in first}.isdisjoint(e.event_id for e in second)


@pytest.mark.slow
def test_fresh_ids_take_little_memory_and_block_nobody() -> None:
    """30 ids a message that nobody has seen before; somebody real is among them all the time."""
    truth: Truth = [("left", 5.0, 7.0), ("right", 12.0, 14.0)]
    recognizer, events = Recognizer(HandEngine(), Settings(lost_after_s=0.5)), []
    tracemalloc.start()
    for i, t in enumerate(stamps(10.0, 16.0).tolist()):
        fresh = [Person(f"{i}.{k}", "ntu_25", body(place=(k, 0.0, 9.0))) for k in range(30)]
        problems = recognizer.observe(Frame(round(t * 1e9), "camera", [person("a", t, truth), *fresh])).problems
        assert {problem.cause for problem in problems} <= {"too_many_followed"}
        while recognizer.due:
            events += recognizer.step().events
        if i == 50:
            before = tracemalloc.get_traced_memory()[0]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    check(events + recognizer.finish(), truth, 0.1 + 2 * CELL_S)
    assert len(recognizer.running()) == 0
    assert after - before < 4e6


def test_who_comes_while_too_many_are_followed_is_ignored_and_reported() -> None:
    recognizer = Recognizer(HandEngine(), Settings(max_followed=3))
    crowd = [Person(name, "ntu_25", body()) for name in "abcde"]
    causes = [problem.cause for problem in recognizer.observe(Frame(10**9, "camera", crowd)).problems]
    assert causes == ["too_many_followed"] * 2
    assert set(recognizer.running()) == set("abc")
    later = recognizer.observe(Frame(3 * 10**9, "camera", crowd[3:])).problems  # the others have left
    assert later == []
    assert set(recognizer.running()) == set("de")


def test_a_message_that_could_not_be_read_moves_no_clock() -> None:
    """Of no stamp and no people, only of problems; whatever the stamps of the others are."""
    unreadable = Frame(0, "", [], [Problem("malformed", "message ignored")])
    for start_ns in (0, 5, 10**18):
        recognizer, events = Recognizer(HandEngine()), []
        for stamp_ns, people in scene(stamps(15.0, 8.0), {"a": TRUTH}, start_ns):
            assert recognizer.observe(unreadable).problems == unreadable.problems
            recognizer.observe(Frame(stamp_ns, "camera", people))
            while recognizer.due:
                events += recognizer.step().events
        check(events + recognizer.finish(), TRUTH, CLEAN_TOLERANCE_S, start_ns)
        assert recognizer.counters["malformed"] == 120


@pytest.mark.parametrize("name", ["a\nb\x1b[31m", "x" * 10_000_000])
def test_texts_from_the_network_are_cut_and_escaped_in_problems(name: str) -> None:
    frame = Frame(10**9, "camera", [Person(name, "ntu_25", np.full((25, 3), np.nan)), Person(name, name, body())])
    for problem in Recognizer(HandEngine()).observe(frame).problems:
        assert problem.message.isprintable()
        assert len(problem.message) < 600


class BrokenEngine(HandEngine):
    """Gives NaN for the first person of its fifth to seventh batch."""

    def infer(self, skeletons: np.ndarray) -> Predictions:
        predictions = super().infer(skeletons)
        if 5 <= len(self.batches) <= 7:
            predictions.detection[0, 3] = np.nan
        return predictions


def test_a_model_that_gives_nan_is_reported_and_passes() -> None:
    recognizer = Recognizer(BrokenEngine())
    events = drive(recognizer, CLEAN)
    assert recognizer.counters["not_finite"] == 3
    check([e for e in events if e.person_id == "a"], TRUTH, CLEAN_TOLERANCE_S)
    check([e for e in events if e.person_id == "b"], OTHER, CLEAN_TOLERANCE_S)


def test_a_model_of_another_normalization_is_refused() -> None:
    engine = HandEngine()
    engine.info = replace(engine.info, normalization="hips")
    with pytest.raises(ModelError, match=f"'hands' needs the normalisation 'hips', .* '{NORMALIZATION}': export"):
        Recognizer(engine)


def test_softmax() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0], [-1e4, -1e4, -1e4]])
    expected = [np.exp([1.0, 2.0, 3.0]) / np.exp([1.0, 2.0, 3.0]).sum(), [1.0, 0.0, 0.0], [1 / 3] * 3]
    np.testing.assert_allclose(softmax(logits), expected, atol=1e-12)
