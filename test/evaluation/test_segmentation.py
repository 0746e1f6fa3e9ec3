"""Accuracy, edit score and segmental F1: by hand, against a second implementation, and by their properties."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from usdrl_ros.evaluation.metrics.segmentation import (
    LabelledRun,
    edit_score,
    frame_accuracy,
    labelled_runs,
    segmental_f1,
)

OVERLAPS = (0.1, 0.25, 0.5)


def labels(text: str) -> np.ndarray:
    return np.array([int(character) for character in text])


def random_labels(rng: np.random.Generator) -> np.ndarray:
    """About 40 frames of four classes, in runs."""
    return np.repeat(rng.integers(0, 4, 10), rng.integers(1, 8, 10))


def test_runs() -> None:
    assert labelled_runs(labels("0112220")) == [
        LabelledRun(0, 0, 1),
        LabelledRun(1, 1, 3),
        LabelledRun(2, 3, 6),
        LabelledRun(0, 6, 7),
    ]
    assert labelled_runs(labels("0112220"), 0) == [LabelledRun(1, 1, 3), LabelledRun(2, 3, 6)]
    assert labelled_runs(labels("")) == []
    assert labelled_runs(labels("3")) == [LabelledRun(3, 0, 1)]
    assert labelled_runs(np.array(["walk", "walk", "sit"]), "walk") == [LabelledRun("sit", 2, 3)]


@pytest.mark.parametrize(
    ("predicted", "true", "all_frames", "action_frames"),
    [
        ("0011", "0011", 1.0, 1.0),
        ("0000", "0011", 0.5, 0.0),
        ("1111", "0011", 0.5, 1.0),  # false alarms are in background frames, which then do not count
        ("0122", "0011", 0.25, 0.0),
        ("0000", "0000", 1.0, 0.0),  # no action frame at all
    ],
)
def test_accuracy_by_hand(predicted: str, true: str, all_frames: float, action_frames: float) -> None:
    assert frame_accuracy([labels(predicted)], [labels(true)]) == all_frames
    assert frame_accuracy([labels(predicted)], [labels(true)], 0) == action_frames


def test_accuracy_is_of_all_frames_together() -> None:
    predicted, true = [labels("1"), labels("000")], [labels("1"), labels("111")]
    assert frame_accuracy(predicted, true) == 0.25


@pytest.mark.parametrize(
    ("predicted", "true", "with_background", "without"),
    [
        ("0110220", "0011022", 4 / 5, 1.0),  # 0 1 0 2 0 for 0 1 0 2: one deletion in five
        ("0101010", "0111110", 1 - 4 / 7, 1 / 3),  # in pieces: two of three are too many
        ("0002200", "0112200", 1 - 1 / 4, 0.5),  # 0 2 0 for 0 1 2 0
        ("2211", "1122", 0.0, 0.0),  # the wrong way round: two replacements
        ("0000", "0110", 1 / 3, 0.0),
        ("0000", "0000", 1.0, 1.0),
        ("", "", 1.0, 1.0),
    ],
)
def test_edit_score_by_hand(predicted: str, true: str, with_background: float, without: float) -> None:
    assert edit_score([labels(predicted)], [labels(true)]) == pytest.approx(with_background)
    assert edit_score([labels(predicted)], [labels(true)], 0) == pytest.approx(without)


def test_edit_score_is_the_mean_of_recordings() -> None:
    predicted, true = [labels("11"), labels("0000000000")], [labels("11"), labels("1111111111")]
    assert edit_score(predicted, true) == 0.5


@pytest.mark.parametrize(
    ("predicted", "true", "overlap", "expected"),
    [
        ("0011110000", "0000111100", 0.33, 1.0),  # 2 of 6 frames
        ("0011110000", "0000111100", 0.34, 0.0),
        ("0101110000", "0111110000", 0.5, 2 * 1 / 3),  # pieces of 1 and 3 of 5: one right, one false, none missed
        ("0101110000", "0111110000", 0.2, 2 * 1 / 3),  # both reach the truth, the first one has it
        ("0110220000", "0110000000", 0.5, 2 * 1 / 3),
        ("0110000000", "0110220330", 0.5, 2 * 1 / 4),
        ("0220000000", "0110000000", 0.1, 0.0),  # another label
        ("0000000000", "0110000000", 0.1, 0.0),
        ("0000000000", "0000000000", 0.1, 0.0),
    ],
)
def test_segmental_f1_by_hand(predicted: str, true: str, overlap: float, expected: float) -> None:
    assert segmental_f1([labels(predicted)], [labels(true)], overlap, 0) == pytest.approx(expected)


def test_segmental_f1_counts_background_where_it_is_a_class() -> None:
    predicted, true = [labels("0001100")], [labels("0001111")]
    assert segmental_f1(predicted, true, 0.5) == pytest.approx(2 * 2 / 5)  # the first 0 and 1 are right
    assert segmental_f1(predicted, true, 0.5, 0) == 1.0


def test_segmental_f1_is_of_all_recordings_together() -> None:
    predicted, true = [labels("0110"), labels("0000")], [labels("0110"), labels("0120")]
    assert segmental_f1(predicted, true, 0.5, 0) == pytest.approx(2 * 1 / (1 + 3))


def other_edit_score(predicted: np.ndarray, true: np.ndarray, background: int | None) -> float:
    """By recursion, from the last segments."""
    sequences = []
    for each in (predicted, true):
        changes = [label for i, label in enumerate(each.tolist()) if i == 0 or label != each[i - 1]]
        sequences.append(tuple(label for label in changes if label != background))
    first, second = sequences

    @cache
    def distance(i: int, j: int) -> int:
        if 0 in (i, j):
            return i + j
        if first[i - 1] == second[j - 1]:
            return distance(i - 1, j - 1)
        return 1 + min(distance(i - 1, j - 1), distance(i, j - 1), distance(i - 1, j))

    longest = max(len(first), len(second))
    return 1 - distance(len(first), len(second)) / longest if longest else 1.0


def other_f1(predicted: np.ndarray, true: np.ndarray, overlap: float, background: int | None) -> float:
    """By sets of frames, and counts of true positives, false positives and false negatives."""

    def segments(each: np.ndarray) -> list[tuple[int, set[int]]]:
        found: list[tuple[int, set[int]]] = []
        for frame, label in enumerate(each.tolist()):
            if frame and label == each[frame - 1]:
                found[-1][1].add(frame)
            else:
                found.append((label, {frame}))
        return [segment for segment in found if segment[0] != background]

    open_truths = dict(enumerate(segments(true)))
    truths = dict(open_truths)
    hits = false = 0
    for label, frames in segments(predicted):
        shares = {i: len(frames & other) / len(frames | other) for i, (kind, other) in truths.items() if kind == label}
        best = max(shares, key=lambda i: shares[i], default=-1)
        if best in open_truths and shares[best] >= overlap:
            hits += 1
            del open_truths[best]
        else:
            false += 1
    precision, recall = hits / max(hits + false, 1), hits / max(hits + len(open_truths), 1)
    return 2 * precision * recall / (precision + recall) if hits else 0.0


@pytest.mark.parametrize("background", [None, 0])
def test_a_second_implementation_agrees(background: int | None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        true = random_labels(rng)
        predicted = np.where(rng.random(len(true)) < 0.2, 1, np.roll(true, rng.integers(-3, 4)))
        assert edit_score([predicted], [true], background) == pytest.approx(
            other_edit_score(predicted, true, background)
        )
        for overlap in OVERLAPS:
            found = segmental_f1([predicted], [true], overlap, background)
            assert found == pytest.approx(other_f1(predicted, true, overlap, background))


def metrics(predicted: np.ndarray, true: np.ndarray, background: int | None) -> list[float]:
    return [
        frame_accuracy([predicted], [true], background),
        edit_score([predicted], [true], background),
        *(segmental_f1([predicted], [true], overlap, background) for overlap in OVERLAPS),
    ]


@pytest.mark.parametrize("background", [None, 0])
def test_time_and_names_play_no_part(background: int | None) -> None:
    """Slower, backwards in time or with a silence before, and with other names, the metrics are the same."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        true, predicted = random_labels(rng), random_labels(rng)
        frames = min(len(true), len(predicted))
        true, predicted = true[:frames], predicted[:frames]
        expected = metrics(predicted, true, background)
        assert metrics(np.repeat(predicted, 3), np.repeat(true, 3), background) == pytest.approx(expected)
        other = np.array([0, 7, 5, 6])
        assert metrics(other[predicted], other[true], background) == pytest.approx(expected)
        if background == 0:
            silence = np.zeros(9, int)
            shifted = (np.append(silence, predicted), np.append(silence, true))
            assert metrics(*shifted, background) == pytest.approx(expected)
        assert edit_score([predicted[::-1]], [true[::-1]], background) == pytest.approx(expected[1])


def test_perfect_is_one_and_nothing_is_nothing() -> None:
    rng = np.random.default_rng(2)
    true = np.append(random_labels(rng), 1)
    assert metrics(true, true, None) == metrics(true, true, 0) == [1.0] * 5
    assert metrics(np.zeros_like(true), true, 0) == [0.0] * 5
    assert frame_accuracy([], []) == edit_score([], []) == segmental_f1([], [], 0.5) == 0.0


def test_a_better_border_never_costs() -> None:
    true = labels("00011111000")
    scores = [segmental_f1([labels(text)], [true], 0.5, 0) for text in ("01100000000", "00110000000", "00011110000")]
    assert scores == sorted(scores)
    assert scores[0] == 0.0
    assert scores[-1] == 1.0


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 recordings are predicted, 2 are true"):
        frame_accuracy([labels("0")], [labels("0"), labels("1")])
    with pytest.raises(ValueError, match=r"recording 1: predicted labels are \(2,\), true ones \(3,\)"):
        edit_score([labels("0"), labels("01")], [labels("0"), labels("011")])
    with pytest.raises(ValueError, match=r"overlap is 0\.0"):
        segmental_f1([labels("0")], [labels("0")], 0.0)
