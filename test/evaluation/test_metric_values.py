"""The metrics against the functions that define them, cases by hand, and properties."""

from __future__ import annotations

import dataclasses
from statistics import median

import numpy as np
import pytest

from usdrl_ros.evaluation.metrics.counts import calibration_bins
from usdrl_ros.evaluation.metrics.detection import (
    THETAS,
    Interval,
    average_precision_by_action,
    compare,
    f1_score,
    mean_average_precision_by_action,
    mean_average_precision_by_recording,
)
from usdrl_ros.evaluation.metrics.frames import FRAME_S, label_sequences
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.segmentation import edit_score, frame_accuracy, segmental_f1
from usdrl_ros.evaluation.metrics.values import METRICS, MetricSheet, draw_weights, evaluate

ACTIONS = ("sit", "walk", "wave")


def apart(random: np.random.Generator, recording: str, count: int, **fields) -> tuple[Interval, ...]:
    """Actions of two people, one after another."""
    intervals = []
    for person in ("p1", "p2"):
        edges = np.sort(random.uniform(0, 60, 2 * count))
        for start, end in edges.reshape(-1, 2):
            score = float(random.uniform())
            intervals.append(
                Interval(recording, str(random.choice(ACTIONS)), start, end, score, person, start + 0.7, **fields)
            )
    return tuple(intervals)


def outcome(seed: int, name: str, count: int = 8) -> Outcome:
    """Truths, and events near them: moved a little, of another action at times, some left out and some invented."""
    random = np.random.default_rng(seed)
    truths = apart(random, name, count)
    events = []
    for truth in truths:
        start, end = sorted((truth.start + random.normal(0, 0.4), truth.end + random.normal(0, 0.4)))
        action = truth.action if random.uniform() < 0.8 else str(random.choice(ACTIONS))
        if random.uniform() < 0.8:
            events.append(dataclasses.replace(truth, start=start, end=end, action=action, score=random.uniform()))
    return Outcome(name, 60.0, (*events, *apart(random, name, 1)), truths)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return [outcome(seed, f"take_{seed}") for seed in range(5)]


def values(outcomes: list[Outcome]) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in evaluate(outcomes, draws=0).items()}


def pooled(outcomes: list[Outcome]) -> tuple[list[Interval], list[Interval]]:
    return [e for each in outcomes for e in each.events], [t for each in outcomes for t in each.truths]


def test_detection_figures_are_those_of_the_metric(outcomes: list[Outcome]) -> None:
    found, (events, truths) = values(outcomes), pooled(outcomes)
    for theta in THETAS:
        by_action = mean_average_precision_by_action(events, truths, theta)
        by_recording = mean_average_precision_by_recording(events, truths, theta)
        assert found[f"mAP_action@{theta}"] == pytest.approx(by_action, abs=1e-12)
        assert found[f"mAP_video@{theta}"] == pytest.approx(by_recording, abs=1e-12)
        assert found[f"F1@{theta}"] == pytest.approx(f1_score(events, truths, theta), abs=1e-12)
        sheet = MetricSheet(outcomes)
        ours = {action: value[0] for action, value in sheet.average_precision(np.ones((1, 5)), theta).items()}
        assert ours == pytest.approx(average_precision_by_action(events, truths, theta), abs=1e-12)


def test_frame_figures_are_those_of_the_segmentation(outcomes: list[Outcome]) -> None:
    codes = {action: code for code, action in enumerate(ACTIONS, 1)}
    sequences = [pair for each in outcomes for pair in label_sequences(each.events, each.truths, codes)]
    predicted, true = zip(*sequences, strict=True)
    found = values(outcomes)
    for share in (0.1, 0.25, 0.5):
        expected = segmental_f1(predicted, true, share, 0)
        assert found[f"segmental_F1@{round(100 * share)}"] == pytest.approx(expected, abs=1e-12)
    assert found["edit"] == pytest.approx(edit_score(predicted, true, 0), abs=1e-12)
    assert found["frame_accuracy"] == pytest.approx(frame_accuracy(predicted, true, 0), abs=1e-12)


def test_counted_figures_are_those_of_the_comparison(outcomes: list[Outcome]) -> None:
    found, comparison = values(outcomes), compare(*pooled(outcomes))
    assert found["found"] == len(comparison.found) / sum(len(each.truths) for each in outcomes)
    assert found["false_events_per_minute"] == pytest.approx(len(comparison.false) / 5)
    assert found["delay_median_s"] == pytest.approx(median(comparison.delays))
    assert found["delay_p90_s"] == pytest.approx(np.quantile(comparison.delays, 0.9))
    assert found["onset_error_s"] == pytest.approx(median(abs(e.start - t.start) for t, e in comparison.found))
    assert found["offset_error_s"] == pytest.approx(median(abs(e.end - t.end) for t, e in comparison.found))


@pytest.mark.parametrize("seed", range(8))
def test_a_draw_is_the_recordings_as_often_as_they_are_drawn(outcomes: list[Outcome], seed: int) -> None:
    """The weighted metrics of a draw equal the plain ones of copies of its recordings."""
    weights = draw_weights(5, 1, seed)
    copies = []
    for index, count in enumerate(weights[0].astype(int)):
        for copy in range(count):
            name = f"copy_{index}_{copy}"
            kinds = [
                tuple(dataclasses.replace(interval, recording=name) for interval in kind)
                for kind in (outcomes[index].events, outcomes[index].truths)
            ]
            copies.append(Outcome(name, 60.0, *kinds))
    drawn = {name: value[0] for name, value in MetricSheet(outcomes).metrics(weights).items()}
    assert drawn == pytest.approx(values(copies), abs=1e-12)


def test_every_draw_has_as_many_recordings(outcomes: list[Outcome]) -> None:
    weights = draw_weights(7, 400)
    assert (weights.sum(1) == 7).all()
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.15)


def test_confidence_intervals_of_a_mean() -> None:
    """Of false events a minute, which is a mean over equally long recordings: its known standard error."""
    counts = np.random.default_rng(1).poisson(6, 60)
    outcomes = [
        Outcome(f"r{i}", 60.0, tuple(Interval(f"r{i}", "wave", 2 * n, 2 * n + 1) for n in range(count)), ())
        for i, count in enumerate(counts)
    ]
    estimate = evaluate(outcomes)["false_events_per_minute"]
    assert estimate.value == pytest.approx(counts.mean())
    half_width = 1.96 * counts.std() / np.sqrt(len(counts))
    assert estimate.low == pytest.approx(counts.mean() - half_width, abs=0.15 * half_width)
    assert estimate.high == pytest.approx(counts.mean() + half_width, abs=0.15 * half_width)


def test_one_recording_has_no_interval(outcomes: list[Outcome]) -> None:
    estimate = evaluate(outcomes[:1])["mAP_action@0.5"]
    assert estimate.value is not None
    assert (estimate.low, estimate.high) == (None, None)


def test_perfect_events_give_one(outcomes: list[Outcome]) -> None:
    perfect = [
        dataclasses.replace(
            each,
            events=tuple(dataclasses.replace(t, score=1.0, announced=t.start) for t in each.truths),
            truths=tuple(dataclasses.replace(t, score=1.0) for t in each.truths),
        )
        for each in outcomes
    ]
    for name, estimate in evaluate(perfect).items():
        expected = 1.0 if METRICS[name].higher_is_better else 0.0
        assert (estimate.value, estimate.low, estimate.high) == (expected, expected, expected), name


def test_no_events_give_zero(outcomes: list[Outcome]) -> None:
    silent = [dataclasses.replace(each, events=()) for each in outcomes]
    for name, value in values(silent).items():
        nothing_to_measure = name.endswith("_s") or name == "calibration_error"
        assert value == (None if nothing_to_measure else 0.0), name


def test_nothing_at_all_is_not_defined() -> None:
    assert set(values([]).values()) == {None}
    empty = values([Outcome("a", 60.0, (), ())])
    assert empty.pop("false_events_per_minute") == 0.0
    assert set(empty.values()) == {None}


@pytest.mark.parametrize("shift", [0.013, -4.4, 1000.1, 3600 * 9.7])
def test_a_shift_of_all_times_changes_nothing(outcomes: list[Outcome], shift: float) -> None:
    def moved(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
        return tuple(
            dataclasses.replace(i, start=i.start + shift, end=i.end + shift, announced=i.announced + shift)
            for i in intervals
        )

    shifted = [dataclasses.replace(each, events=moved(each.events), truths=moved(each.truths)) for each in outcomes]
    assert values(shifted) == pytest.approx(values(outcomes), abs=1e-6)


def test_order_of_recordings_changes_nothing(outcomes: list[Outcome]) -> None:
    assert values(outcomes[::-1]) == pytest.approx(values(outcomes), abs=1e-12)


def test_frames_by_hand() -> None:
    truths = [Interval("a", "wave", 10.0, 12.0, person_id="p"), Interval("a", "sit", 11.0, 13.0, person_id="p")]
    events = [Interval("a", "wave", 10.0, 13.0, 0.9, "p"), Interval("a", "sit", 12.0, 14.0, 0.3, "p")]
    ((found, true),) = label_sequences(events, truths, {"wave": 1, "sit": 2})
    second = round(1 / FRAME_S)
    assert true.tolist() == [1] * second + [2] * 2 * second + [0] * second
    assert found.tolist() == [1] * 3 * second + [2] * second


def test_frames_of_a_truth_without_a_person_are_those_of_everyone() -> None:
    truths = [Interval("a", "wave", 0.0, 1.0)]
    events = [Interval("a", "wave", 0.0, 1.0, 0.9, "p"), Interval("a", "sit", 1.0, 2.0, 0.9, "q")]
    sequences = label_sequences(events, truths, {"wave": 1, "sit": 2})
    assert len(sequences) == 1
    assert sequences[0][0].tolist() == [1] * 30 + [2] * 30


def test_calibration_by_hand() -> None:
    """Two bins: 0.75 sure and half right, 0.35 sure and all right: (2 * 0.25 + 1 * 0.65) / 3."""
    bins = calibration_bins(np.array([0.72, 0.78, 0.35]), np.array([True, False, True]))
    assert bins[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 2, 0, 0]
    assert bins[1][[3, 7]] == pytest.approx([0.35, 1.5])
    assert bins[2][[3, 7]].tolist() == [1, 1]
    truths = (Interval("a", "wave", 0, 1), Interval("a", "wave", 10, 11))
    events = tuple(
        Interval("a", "wave", start, start + 1, score) for start, score in ((0, 0.72), (5, 0.78), (10, 0.35))
    )
    assert values([Outcome("a", 60, events, truths)])["calibration_error"] == pytest.approx((0.5 + 0.65) / 3)


def test_bins_are_closed_above_and_the_first_holds_zero() -> None:
    bins = calibration_bins(np.array([0.0, 0.1, 0.1000001, 1.0]), np.ones(4, bool))
    assert bins[0].tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
