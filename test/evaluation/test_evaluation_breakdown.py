"""By action and by person, confusion, precision over recall; the journal, and the strips of mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_bags import HAND_RIGHT, HandEngine, make_recording

from usdrl_ros.actions.scores import Scores
from usdrl_ros.bags.writer import write_recording
from usdrl_ros.evaluation.journal import PERIOD_S, Journal
from usdrl_ros.evaluation.metrics.breakdown import MISSED, by_action, by_person, confusion, make_row, precision_recall
from usdrl_ros.evaluation.metrics.detection import Interval, f1_score
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.values import evaluate
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.evaluation.strips import AROUND_S, mistakes
from usdrl_ros.skeleton.person import Person

TRUTHS = (
    Interval("r", "wave", 0, 4, person_id="p"),
    Interval("r", "push", 10, 12, person_id="p"),
    Interval("r", "push", 20, 22, person_id="p"),
    Interval("r", "sit", 30, 32, person_id="q"),
)
EVENTS = (
    Interval("r", "wave", 1, 4, 0.9, "p", announced=1.5),  # right
    Interval("r", "throw", 10, 12, 0.8, "p"),  # instead of the first push
    Interval("r", "throw", 21.9, 30, 0.7, "p"),  # only touches the second push
    Interval("r", "sit", 30, 32, 0.9, "p"),  # another person's
)
OUTCOME = Outcome("r", 60, EVENTS, TRUTHS)


def test_row_by_hand() -> None:
    row = make_row(EVENTS, TRUTHS)
    assert (row.true, row.found, row.missed, row.false) == (4, 1, 3, 3)
    assert (row.delay_median_s, row.onset_error_s, row.offset_error_s) == (1.5, 1, 0)
    assert make_row((), TRUTHS).delay_median_s is None


def test_actions_add_up_and_so_do_people() -> None:
    for rows in ([row for row, _ in by_action([OUTCOME]).values()], list(by_person([OUTCOME]).values())):
        assert sum(row.true for row in rows) == 4
        assert sum(row.found for row in rows) == 1
        assert sum(row.false for row in rows) == 3
    assert by_person([OUTCOME])["r", "q"].missed == 1
    # Of the true actions: an event of another is false, and has no precision.
    mean = np.mean([precision.value for row, precision in by_action([OUTCOME]).values() if row.true])
    assert mean == pytest.approx(evaluate([OUTCOME])["mAP_action@0.5"].value)


def test_confusion_by_hand() -> None:
    counts = confusion([OUTCOME])
    assert counts == {("wave", "wave"): 1, ("push", "throw"): 1, ("push", MISSED): 1, ("sit", MISSED): 1}


def test_each_truth_counts_once_in_the_confusion() -> None:
    twice = Outcome("r", 60, (*EVENTS, *EVENTS), TRUTHS)
    assert confusion([twice]) == confusion([OUTCOME])
    assert confusion([OUTCOME, OUTCOME]).total() == 8


def test_precision_over_recall_by_hand() -> None:
    truths = [Interval("r", "wave", 0, 2), Interval("r", "wave", 10, 12)]
    events = [
        Interval("r", "wave", 0, 2, 0.9),
        Interval("r", "wave", 5, 6, 0.8),
        Interval("r", "wave", 10, 12, 0.4),
    ]
    curve = precision_recall(events, truths, 0.5)
    assert curve.tolist() == [[0.5, 1.0, 0.9], [0.5, 0.5, 0.8], [1.0, pytest.approx(2 / 3), 0.4]]
    assert precision_recall([], truths, 0.5).shape == (0, 3)


def test_curve_ends_at_precision_and_recall_of_all_events() -> None:
    random = np.random.default_rng(3)
    truths = [Interval("r", "wave", 10 * i, 10 * i + 2) for i in range(12)]
    events = [Interval("r", "wave", t.start, t.end, random.uniform()) for t in truths if random.uniform() < 0.7]
    events += [Interval("r", "wave", 10 * i + 5, 10 * i + 6, random.uniform()) for i in range(6)]
    curve = precision_recall(events, truths, 0.5)
    recall, precision, least = curve[-1]
    assert 2 * recall * precision / (recall + precision) == pytest.approx(f1_score(events, truths, 0.5))
    assert least == min(event.score for event in events)
    assert (np.diff(curve[:, 0]) >= 0).all()
    assert (np.diff(curve[:, 2]) <= 0).all()


def test_journal_gives_back_what_came(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    joints = random.normal(size=(900, 25, 3)).astype(np.float32)
    with Journal(["sit", "wave"]) as journal:
        for index in range(900):
            stamp_ns = index * 10**9 // 30
            journal.add_people(stamp_ns, [Person("alice", "ntu_25", joints[index])])
            if index % 3 == 0:
                probability = np.array([0.1, index / 1000, 1 - index / 1000])
                journal.add_scores([Scores(stamp_ns, "camera", "alice", probability, probability[1:])])
        stamps, found = journal.skeletons("alice", 10 * 10**9, 12 * 10**9)
        assert np.diff(stamps).tolist() == pytest.approx([PERIOD_S * 1e9] * (len(stamps) - 1), rel=0.01)
        assert len(stamps) == 11
        for stamp, pose in zip(stamps, found, strict=True):
            np.testing.assert_array_equal(pose, joints[round(stamp * 30 / 1e9)])
        score_stamps, scores = journal.scores("alice", 0, 10**9)
        assert len(score_stamps) == 11
        assert scores[:, 0] == pytest.approx(3 * np.arange(11) / 1000, abs=1e-3)
        assert journal.most_seen(0, 10**9) == "alice"
        assert journal.most_seen(10**12, 10**13) == ""
        assert len(journal.skeletons("bob", 0, 10**12)[0]) == 0


def test_strips_show_misses_and_false_events(tmp_path: Path) -> None:
    """Alice waves at 2 to 4 s, which is labelled "jump": one miss and one false event, both with her hand moving."""
    recording = make_recording({"alice": [(2.0, 4.0)], "bob": []}, 7.0)
    write_recording(recording, tmp_path / "bag")
    engine = HandEngine()
    runs = {}
    for limit in (0, 1, 10):
        options = EvaluationOptions(names={"wave": "jump"}, report=tmp_path / "report", strips=limit)
        runs[limit] = run_bag(tmp_path / "bag", engine, options)
    assert [len(run.strips) for run in runs.values()] == [0, 1, 2]
    strips, outcome = runs[10].strips, runs[10].outcome(engine.info.actions)
    assert sorted((strip.kind, strip.subject.action) for strip in strips) == [("false", "wave"), ("missed", "jump")]
    assert [(strip.kind, strip.subject) for strip in strips] == mistakes(outcome)
    for strip in strips:
        assert strip.person_id == "alice"
        assert strip.begin == strip.subject.start - AROUND_S
        assert [truth.action for truth in strip.truths] == ["jump"]
        assert [event.action for event in strip.events] == ["wave"]
        assert strip.scores["wave"].max() > 0.9
        assert strip.scores["jump"].max() < 0.1
        assert next(iter(strip.scores)) == strip.subject.action
        frames = np.round(strip.times * 30).astype(int)
        np.testing.assert_allclose(strip.joints, recording.joints["alice"][frames], atol=1e-5)
        moved = np.ptp(strip.joints[:, HAND_RIGHT, 0])
        assert moved > 0.2
