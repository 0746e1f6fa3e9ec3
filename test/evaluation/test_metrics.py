"""PKU-MMD's metric against the original script's results, small cases by hand, and properties."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.evaluation.metrics.detection import (
    THETAS,
    Interval,
    average_precision,
    average_precision_by_action,
    compare,
    f1_score,
    intervals_of_events,
    mean_average_precision_by_action,
    mean_average_precision_by_recording,
    overlap,
)


def interval(start: float, end: float, action: str = "wave", score: float = 1.0, **fields) -> Interval:
    return Interval(fields.pop("recording", "a"), action, start, end, score, **fields)


def random_intervals(random: np.random.Generator, count: int) -> list[Interval]:
    starts = random.uniform(0, 60, count)
    return [
        interval(
            start,
            start + length,
            str(random.choice(["wave", "sit", "walk"])),
            float(random.uniform()),
            recording=str(random.choice(["a", "b"])),
            person_id=str(random.choice(["p1", "p2"])),
            announced=start + 0.5,
        )
        for start, length in zip(starts, random.uniform(0.5, 5, count), strict=True)
    ]


# Of proposals with equal confidence (112 have 0.999), the original script drops first those of the file that it read
# first (over all actions: those of the lowest class), and it reads in the order of os.listdir, which the reference does
# not say. Of the orders tried, this one, in which the files lay on a disk, reproduces all its numbers.
PKU_MMD_ORDER = """
    0056-R 0064-L 0017-L 0229-R 0302-R 0114-M 0013-L 0282-M 0113-R 0263-M 0137-R 0312-L 0107-R 0350-L 0034-L
    0215-M 0012-R 0201-L 0206-M 0116-L 0151-R 0089-M 0070-L 0002-M 0105-M 0063-L 0240-M 0313-R 0233-R 0015-M
    0051-M 0323-L 0166-R 0029-L 0181-M 0259-M 0337-L 0172-L 0238-L 0281-M 0158-M 0230-M 0101-R 0259-R 0340-M
    0062-M 0210-M 0041-L 0340-L 0170-M 0281-L 0246-R 0031-L 0150-R 0082-R 0093-L 0270-M 0093-M 0148-L 0279-L
""".split()


def read_pku_mmd(directory: Path) -> list[Interval]:
    """Lines are: class, start, end, confidence (proposals) or handedness (ground truth)."""
    intervals = []
    for name in PKU_MMD_ORDER:
        for line in (directory / f"{name}.txt").read_text().split():
            action, start, end, score = line.split(",")
            intervals.append(Interval(name, action, float(start), float(end), float(score)))
    return intervals


@pytest.mark.parametrize("theta", ["0.1", "0.3", "0.5", "0.7"])
def test_equals_the_original_script(shared_data: Path, theta: str) -> None:
    reference = shared_data / "reference" / "pku_mmd_map"
    truths = read_pku_mmd(reference / "ground_truth")
    events = read_pku_mmd(reference / "proposals")
    expected = json.loads((reference / "expected.json").read_text())[theta]
    assert f1_score(events, truths, float(theta)) == pytest.approx(expected["F1"], abs=1e-12)
    by_class = sorted(events, key=lambda event: int(event.action))
    assert average_precision(by_class, truths, float(theta)) == pytest.approx(expected["AP"], abs=1e-12)
    by_action = mean_average_precision_by_action(events, truths, float(theta))
    assert by_action == pytest.approx(expected["mAP_action"], abs=1e-12)
    by_recording = mean_average_precision_by_recording(events, truths, float(theta))
    assert by_recording == pytest.approx(expected["mAP_video"], abs=1e-12)


@pytest.mark.parametrize(
    ("event", "truth", "expected"),
    [
        (interval(0, 2), interval(0, 2), 1.0),
        (interval(0, 2), interval(1, 3), 1 / 3),
        (interval(0, 4), interval(1, 2), 1 / 4),
        (interval(0, 1), interval(1, 2), 0.0),
        (interval(0, 1), interval(5, 6), 0.0),
        (interval(1, 1), interval(1, 1), 0.0),
        (interval(0, 2), interval(0, 2, "sit"), 0.0),
        (interval(0, 2), interval(0, 2, recording="b"), 0.0),
        (interval(0, 2, person_id="p1"), interval(0, 2, person_id="p2"), 0.0),
        (interval(0, 2, person_id="p1"), interval(0, 2), 1.0),
    ],
)
def test_overlap(event: Interval, truth: Interval, expected: float) -> None:
    assert overlap(event, truth) == pytest.approx(expected)


def test_average_precision_by_hand() -> None:
    """Two truths; from the least confident: a false event, the second truth's, a second of the first's, the first's.

    At the start precision is 2/4. Dropping the false one is not looked at. Dropping 0.4 loses a truth and leaves 1/2:
    1/2 of recall at max(2/4, 1/2). Dropping 0.6 loses none and leaves 1/1. Dropping 0.9 loses the other: 1/2 of recall
    at max(1/2, 1/1, 0).
    """
    truths = [interval(0, 10), interval(20, 30)]
    events = [
        interval(0, 10, score=0.9),
        interval(1, 10, score=0.6),
        interval(20, 30, score=0.4),
        interval(50, 60, score=0.2),
    ]
    assert average_precision(events, truths, 0.5) == pytest.approx(0.5 * 0.5 + 1.0 * 0.5)
    assert f1_score(events, truths, 0.5) == pytest.approx(2 * (2 / 4) * (2 / 2) / (2 / 4 + 2 / 2))


def test_threshold_is_reached_by_equality() -> None:
    assert average_precision([interval(0, 1)], [interval(0, 2)], 0.5) == 1.0
    assert average_precision([interval(0, 1)], [interval(0, 2)], 0.51) == 0.0


def test_actions_without_truth_or_event_count_zero() -> None:
    truths = [interval(0, 2, "wave"), interval(5, 6, "sit")]
    events = [interval(0, 2, "wave"), interval(8, 9, "walk")]
    assert average_precision_by_action(events, truths, 0.5) == {"sit": 0.0, "walk": 0.0, "wave": 1.0}
    assert mean_average_precision_by_action(events, truths, 0.5) == pytest.approx(1 / 3)
    assert mean_average_precision_by_action(events, truths, 0.5, ["jump"]) == pytest.approx(1 / 4)


def test_recordings_count_alike_whatever_their_length() -> None:
    truths = [interval(0, 1), interval(2, 3), interval(4, 5), interval(0, 1, recording="b")]
    assert mean_average_precision_by_recording(truths[:3], truths, 0.5) == pytest.approx(1 / 2)


@pytest.mark.parametrize("theta", [0.1, 0.5, 0.7])
def test_perfect_is_one_and_nothing_is_zero(theta: float) -> None:
    truths = random_intervals(np.random.default_rng(0), 40)
    for score in (average_precision, mean_average_precision_by_action, mean_average_precision_by_recording, f1_score):
        assert score(truths, truths, theta) == pytest.approx(1.0)
        assert score([], truths, theta) == 0.0
        assert score(truths, [], theta) == 0.0
        assert score([], [], theta) == 0.0


def test_a_shift_in_time_and_the_order_of_truths_change_nothing() -> None:
    random = np.random.default_rng(1)
    truths, events = random_intervals(random, 30), random_intervals(random, 60)

    def shifted(intervals: list[Interval]) -> list[Interval]:
        return [
            Interval(i.recording, i.action, i.start + 512, i.end + 512, i.score, i.person_id, i.announced + 512)
            for i in intervals
        ]

    both = (events, truths), (shifted(events), shifted(truths)[::-1])
    for theta in THETAS:
        for value in (mean_average_precision_by_action, mean_average_precision_by_recording):
            plain, moved = (value(*each, theta) for each in both)
            assert moved == pytest.approx(plain)
        plain, moved = (average_precision_by_action(*each, theta) for each in both)
        assert moved == pytest.approx(plain)
    assert 0 < mean_average_precision_by_action(events, truths, 0.1) < 1
    plain, moved = (compare(*each) for each in both)
    assert moved.delay_median_s == pytest.approx(plain.delay_median_s)
    assert moved.false_events_per_minute(60) == plain.false_events_per_minute(60)


def test_average_precision_falls_with_the_threshold() -> None:
    random = np.random.default_rng(2)
    truths, events = random_intervals(random, 30), random_intervals(random, 80)
    values = [mean_average_precision_by_action(events, truths, theta) for theta in THETAS]
    assert values == sorted(values, reverse=True)


def test_found_missed_and_false() -> None:
    truths = [
        interval(10, 14, person_id="p1"),
        interval(20, 24, person_id="p1"),
        interval(30, 34, "sit", person_id="p1"),
        interval(10, 14, person_id="p2"),
    ]
    good = interval(11, 14, person_id="p1", announced=12.0)
    piece = interval(10, 10.5, person_id="p1", announced=10.4)
    slight = interval(33.9, 50, "sit", person_id="p1", announced=35.0)
    other_person = interval(20, 24, person_id="p2", announced=20.1)
    other_action = interval(20, 24, "sit", person_id="p1", announced=20.2)
    result = compare([piece, good, slight, other_person, other_action], truths)
    assert result.found == [(truths[0], good), (truths[2], slight)]
    assert result.missed == [truths[1], truths[3]]
    assert result.false == [other_person, other_action]
    assert result.delays == [2.0, 5.0]
    assert result.delay_median_s == 3.5
    assert result.false_events_per_minute(30) == 4.0


def test_one_event_across_two_truths_finds_the_one_it_overlaps_most() -> None:
    truths = [interval(0, 4), interval(5, 7)]
    result = compare([interval(0, 7, announced=1.0)], truths)
    assert [truth for truth, _ in result.found] == truths[:1]
    assert result.missed == truths[1:]
    assert result.false == []


def test_nothing_found_has_no_delay() -> None:
    result = compare([], [interval(0, 1)])
    assert result.delay_median_s is None
    assert result.false_events_per_minute(60) == 0
    assert result.false_events_per_minute(0) is None
    assert compare([interval(0, 1)], [interval(0, 1)]).delay_median_s is None  # found, but never announced


def test_intervals_join_the_phases_of_an_event() -> None:
    def event(phase: Phase, stamp: float, event_id: str, end: float, confidence: float) -> Event:
        ns = 1_700_000_000 * 10**9
        times = [ns + int(seconds * 1e9) for seconds in (stamp, 2.0, end)]
        return Event(times[0], "camera", phase, event_id, "p1", "wave", confidence, times[1], times[2], (0, 0, 2))

    events = [
        event(Phase.STARTED, 2.5, "e1", 2.5, 0.6),
        event(Phase.STARTED, 3.0, "e2", 3.0, 0.5),
        event(Phase.ONGOING, 3.0, "e1", 3.0, 0.7),
        event(Phase.ENDED, 4.5, "e1", 4.25, 0.8),
        event(Phase.ONGOING, 3.5, "e2", 3.5, 0.55),
    ]
    first, running = intervals_of_events("bag", events, 1_700_000_000 * 10**9)
    assert (first.recording, first.action, first.person_id) == ("bag", "wave", "p1")
    assert (first.start, first.end, first.score) == (2.0, 4.25, 0.8)
    assert first.announced == 2.5
    assert (running.end, running.score, running.announced) == (3.5, 0.55, 3.0)
