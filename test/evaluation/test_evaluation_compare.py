"""Requirements, and two models side by side: what is chance, what is not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from usdrl_ros.evaluation import command as tool
from usdrl_ros.evaluation.comparison import compare_models
from usdrl_ros.evaluation.document import Document, DocumentError, read_document
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.metrics.values import METRICS, Estimate, evaluate
from usdrl_ros.evaluation.requirements import Requirement
from usdrl_ros.evaluation.tables import comparison_table

RECORDINGS = 12


def document(name: str, found: float, seed: int = 0, where: str = "/a") -> Document:
    """A model that finds this share of the actions, and of each recording a little more or less than of others."""
    outcomes = []
    for number in range(RECORDINGS):
        random = np.random.default_rng([seed, number])
        recording = f"{where}/take_{number}"
        truths = tuple(Interval(recording, "wave", 10 * i, 10 * i + 4, person_id="p") for i in range(10))
        share = found + 0.1 * np.sin(number)
        events = tuple(
            dataclasses.replace(truth, score=0.8, announced=truth.start + 1.0)
            for truth in truths
            if random.uniform() < share
        )
        outcomes.append(Outcome(recording, 100.0, events, truths))
    return Document(Path(f"{name}.json"), name, tuple(outcomes))


def metric(two, name: str):
    return next(each for each in two.differences if each.metric == name)


def test_a_model_equals_itself() -> None:
    two = compare_models(document("a", 0.6), document("b", 0.6))
    for each in two.differences:
        assert each.difference.value in (0.0, None)
        assert not each.beyond_chance
        assert each.better == ""


def test_a_better_model_is_better_beyond_chance() -> None:
    two = compare_models(document("worse", 0.5), document("better", 0.85, where="/b/elsewhere"))
    found = metric(two, "found")
    assert found.difference.value == pytest.approx(found.second.value - found.first.value)
    assert found.difference.value == pytest.approx(0.35, abs=0.1)
    assert 0 < found.difference.low < found.difference.value < found.difference.high
    assert found.better == "second"
    assert metric(compare_models(document("b", 0.85), document("w", 0.5)), "found").better == "first"


def test_the_difference_is_judged_in_pairs() -> None:
    """Recordings of very different difficulty, of which one model always finds one action more: each metric's own
    interval is wide, that of the difference is not."""

    def outcome(number: int, more: int) -> Outcome:
        name = f"r{number}"
        truths = tuple(Interval(name, "wave", 10 * i, 10 * i + 4) for i in range(20))
        return Outcome(name, 200.0, truths[: number + more], truths)

    documents = [Document(Path("x"), "x", tuple(outcome(n, more) for n in range(1, 17))) for more in (0, 1)]
    found = metric(compare_models(*documents), "found")
    assert found.difference.value == pytest.approx(1 / 20)
    assert found.difference.high - found.difference.low < 1e-9
    assert found.first.high - found.first.low > 0.15
    assert found.better == "second"


def test_chance_alone_seldom_counts() -> None:
    """Two models that are equally good, on recordings of their own luck: a 95 % interval misses one time in twenty."""
    beyond = sum(
        metric(compare_models(document("a", 0.6, seed), document("b", 0.6, seed + 1000), 200), "found").beyond_chance
        for seed in range(6)
    )
    assert beyond <= 2


def test_lower_is_better_where_it_is() -> None:
    def with_false(count: int) -> Document:
        outcomes = [
            Outcome(f"r{n}", 60.0, tuple(Interval(f"r{n}", "wave", i, i + 0.5) for i in range(count)), ())
            for n in range(5)
        ]
        return Document(Path("x"), "x", tuple(outcomes))

    assert metric(compare_models(with_false(5), with_false(2)), "false_events_per_minute").better == "second"


def test_only_common_recordings_count_and_their_truth_must_agree() -> None:
    first, second = document("a", 0.6), document("b", 0.6)
    fewer = dataclasses.replace(second, outcomes=second.outcomes[2:])
    two = compare_models(first, fewer)
    assert two.left_out == ("take_0", "take_1")
    expected = {name: estimate.value for name, estimate in evaluate(fewer.outcomes, draws=0).items()}
    assert {each.metric: each.second.value for each in two.differences} == pytest.approx(expected)
    with pytest.raises(DocumentError, match="no recording with truth in common"):
        compare_models(first, dataclasses.replace(second, outcomes=()))
    moved = tuple(dataclasses.replace(truth, start=truth.start + 1) for truth in second.outcomes[0].truths)
    changed = dataclasses.replace(second.outcomes[0], truths=moved)
    with pytest.raises(DocumentError, match=r"take_0: its truth in a\.json is not that in b\.json"):
        compare_models(first, dataclasses.replace(second, outcomes=(changed, *second.outcomes[1:])))


def test_actions_that_one_model_does_not_know_are_missed_by_it() -> None:
    truths = (Interval("r", "wave", 0, 2), Interval("r", "sit", 5, 7))
    knows_both = Outcome("r", 10, truths, truths)
    knows_one = Outcome("r", 10, truths[:1], truths[:1], truths[1:])
    two = compare_models(Document(Path("a"), "a", (knows_one,)), Document(Path("b"), "b", (knows_both,)))
    assert (metric(two, "found").first.value, metric(two, "found").second.value) == (0.5, 1.0)
    assert not metric(two, "found").beyond_chance  # one recording does not show what is chance


def test_table_names_who_is_better() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(comparison_table(compare_models(document("old", 0.5), document("new", 0.85))))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines[:3] == ["A: old", "B: new", f"{RECORDINGS} recordings; the difference is B minus A"]
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split() for line in lines[4:]}
    assert set(rows) == set(METRICS)
    assert rows["found"][-1] == "B"
    assert rows["onset_error_s"][-1] not in ("A", "B")


def write(path: Path, found: int, number: int = 3) -> Path:
    """A file as --json writes it, as far as it is read."""
    truth = [{"person_id": "p", "action": "wave", "start": 5.0 * i, "end": 5.0 * i + 2} for i in range(4)]
    event = {"confidence": 0.9, "started": 1.0}
    content = {
        "format": number,
        "model": path.stem,
        "actions_known": ["wave"],
        "truth": {f"/x/{n}": truth for n in range(3)} | {"/x/none": None},
        "events": {f"/x/{n}": [{**each, **event} for each in truth[:found]] for n in range(3)},
        "bags": {f"/x/{n}": {"bag_seconds": 20.0} for n in range(3)},
    }
    path.write_text(json.dumps(content))
    return path


def test_tool_compares_files(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The older file has the format of the version before."""
    files = [str(write(tmp_path / f"{n}.json", found, number)) for n, found, number in (("old", 1, 2), ("new", 3, 3))]
    assert tool.main(["--compare", *files, "--json", str(tmp_path / "both.json")]) == 0
    both = json.loads((tmp_path / "both.json").read_text())
    assert both["recordings"] == ["0", "1", "2"]
    assert both["metrics"]["found"] == {
        "first": 0.25,
        "second": 0.75,
        "difference": 0.5,
        "low": 0.5,
        "high": 0.5,
        "better": "second",
    }
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed[:3] == ["A: old", "B: new", "3 recordings; the difference is B minus A"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file"),
        ("{", "it is no JSON"),
        ("[]", "is no file of this tool"),
        ('{"format": 1}', "its format is 1, expected 3"),
        ('{"format": 2, "model": "m"}', "is no file of this tool"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path: Path, capsys, content: str | None, expected: str) -> None:
    bad = tmp_path / "bad.json"
    if content is not None:
        bad.write_text(content)
    with pytest.raises(DocumentError, match=expected):
        read_document(bad)
    assert tool.main(["--compare", str(bad), str(bad)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "value", "kept"),
    [
        ("mAP_action@0.5>=0.7", 0.7, True),
        ("mAP_action@0.5>=0.7", 0.69, False),
        ("mAP_action@0.5 > 0.7", 0.7, False),
        ("delay_median_s<=1.5", 1.2, True),
        ("delay_median_s<1.2", 1.2, False),
        ("false_events_per_minute<=1e1", 9.0, True),
        ("found>=0", None, False),
    ],
)
def test_requirements(text: str, value: float | None, kept: bool) -> None:
    requirement = Requirement.parse(text)
    fault = requirement.fault({requirement.metric: Estimate(value)})
    assert (fault is None) == kept
    if not kept:
        assert fault.endswith("not defined" if value is None else f"it is {value:.4g}")


def test_every_metric_can_be_required() -> None:
    for name in METRICS:
        assert Requirement.parse(f"{name}>=0.5").metric == name


def test_unknown_metrics_are_reported_with_what_was_meant() -> None:
    with pytest.raises(ValueError, match=r"there is no metric mAP_acton@0\.5; did you mean mAP_action@0\.5\?"):
        Requirement.parse("mAP_acton@0.5>=0.7")
