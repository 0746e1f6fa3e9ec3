"""Where the truth comes from, and how faults in truth and bags are reported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from evaluation_bags import make_recording, use_hand_engine

from usdrl_ros.bags.reader import SKELETONS, TRUTH, read_messages
from usdrl_ros.bags.writer import START_NS, BagWriter, write_recording
from usdrl_ros.evaluation import command as tool
from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.evaluation.truth import check_truths
from usdrl_ros.recording import Segment
from usdrl_ros.sources.reader import load_source

WAVES = {"alice": [(3.0, 6.0)], "bob": [(5.0, 8.0)]}
SECONDS = 10.0


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    write_recording(make_recording(WAVES, SECONDS), tmp_path / "bag")
    return tmp_path / "bag"


@pytest.fixture(autouse=True)
def hand_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hand_engine(monkeypatch)


def evaluate(*arguments: object) -> tuple[int, dict]:
    out = Path(str(arguments[0])).parent / "out.json"
    code = tool.main([*map(str, arguments), "--json", str(out)])
    return code, json.loads(out.read_text())


def counts(document: dict) -> dict[str, tuple[int, int, int]]:
    return {name: (a["true"], a["found"], a["false"]) for name, a in document["actions"].items()}


# Where the truth comes from


@pytest.mark.slow
@pytest.mark.parametrize("stamps", [False, True])
def test_evaluation_by_a_csv_equals_that_by_the_topic(bag: Path, tmp_path: Path, stamps: bool) -> None:
    labels = tmp_path / "bag.csv"
    offset = START_NS // 10**9 if stamps else 0
    lines = [f"{a + offset},{b + offset},wave,{who}\n" for who, times in WAVES.items() for a, b in times]
    labels.write_text("".join(lines))
    code, by_topic = evaluate(bag)
    code_labels, by_labels = evaluate(bag, "--labels", tmp_path)
    assert code == code_labels == 0
    assert by_labels["metrics"] == by_topic["metrics"]
    assert counts(by_labels) == {"wave": (2, 2, 0)}


def test_evaluation_by_pku_mmd_labels(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "bag.txt").write_text("13,90,180,1\n13,150,240,1\n")
    code, document = evaluate(bag, "--labels", tmp_path / "bag.txt", "--frame-rate", 30)
    assert counts(document) == {"wave": (2, 2, 0)}
    assert code == 1  # alice's and bob's waves overlap, and the labels do not say whose they are


# What is not right


def test_checks_by_hand() -> None:
    def truth(start: float, end: float, person_id: str = "p", action: str = "wave") -> Interval:
        return Interval("r", action, start, end, person_id=person_id)

    fine = [truth(0, 2), truth(2, 4), truth(1, 3, "q"), truth(9.5, 12)]
    assert check_truths(fine, 10.0) == (fine, [])
    kept, (fault,) = check_truths([*fine, truth(10, 11), truth(-3, 0)], 10.0)
    assert kept == fine
    assert fault.startswith("2 true actions outside the recording, 0 to 10.00 s, left out, first: 'wave' of p 10.00")
    crossing = truth(3, 5, action="sit")
    kept, (fault,) = check_truths([*fine, crossing], 10.0)
    assert kept == [*fine, crossing]
    assert fault.startswith("1 pair of true actions of one person overlap, all are counted, first: 'wave' of p 2.00")


def test_truth_outside_and_overlapping_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recording = make_recording(WAVES, SECONDS)
    segments = (*recording.segments, Segment(5, 7, "wave", "alice"), Segment(20, 21, "wave", "bob"))
    write_recording(dataclasses.replace(recording, segments=segments), tmp_path / "bag")
    code, document = evaluate(tmp_path / "bag")
    assert code == 1
    outside, overlapping = capsys.readouterr().err.splitlines()
    assert outside.startswith(f"{tmp_path}/bag: 1 true action outside the recording")
    assert overlapping.startswith(f"{tmp_path}/bag: 1 pair of true actions of one person overlap")
    assert counts(document)["wave"] == (3, 2, 0)
    assert document["faults"] == [outside, overlapping]


def test_people_who_are_not_in_the_skeletons_are_reported(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bag.csv").write_text("3,6,wave,Alice\n5,8,wave,bob\n")
    code, document = evaluate(bag, "--labels", tmp_path / "bag.csv")
    assert code == 1
    assert capsys.readouterr().err == (
        f"{bag}: 1 true action of people whom no skeletons show (there: alice, bob), counted as missed, first: 'wave' "
        f"of Alice 3.00 to 6.00 s; correct the name, or leave it out where anyone's event may match\n"
    )
    assert counts(document) == {"wave": (2, 1, 1)}


def test_names_are_compared_in_one_unicode_spelling(tmp_path: Path) -> None:
    write_recording(make_recording({"Zoe\u0308": [(3.0, 6.0)]}, SECONDS), tmp_path / "bag")
    (tmp_path / "marks.csv").write_text("3,6,wave,Zo\u00eb\n")
    code, document = evaluate(tmp_path / "bag", "--labels", tmp_path / "marks.csv")
    assert code == 0
    assert counts(document) == {"wave": (1, 1, 0)}


@pytest.mark.parametrize(("scale", "unit"), [(1000, "milliseconds"), (10**6, "microseconds")])
def test_times_in_another_unit_are_named(bag: Path, tmp_path: Path, capsys, scale: int, unit: str) -> None:
    (tmp_path / "marks.csv").write_text(f"{3 * scale},{6 * scale},wave,alice\n")
    code, _ = evaluate(bag, "--labels", tmp_path / "marks.csv")
    assert code == 1
    assert f"left out, first: 'wave' of alice {3 * scale}.00 to {6 * scale}.00 s; are the times in {unit}?" in (
        capsys.readouterr().err
    )


def test_labels_that_say_nothing_happens_are_a_truth(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_text("start,end,action\n")
    code, document = evaluate(bag, "--labels", tmp_path / "marks.csv")
    assert code == 0
    assert document["truth"][str(bag)] == []
    assert document["metrics"]["false_events_per_minute"]["value"] == pytest.approx(2 * 60 / (SECONDS - 1 / 30))
    (tmp_path / "marks.csv").write_text("")
    code = tool.main([str(bag), "--labels", str(tmp_path / "marks.csv")])
    assert code == 1


def test_two_people_with_one_id_are_reported(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with BagWriter(tmp_path / "twins") as writer:
        for topic, stamp_ns, message in read_messages(bag):
            if topic == SKELETONS:
                for skeleton in message.skeletons:
                    skeleton.person_id = "alice"
            writer.write(topic, stamp_ns, message)
    code, document = evaluate(tmp_path / "twins")
    assert code == 1
    absent, line = capsys.readouterr().err.splitlines()
    assert absent.startswith(f"{tmp_path}/twins: 1 true action of people whom no skeletons show (there: alice)")
    assert line.startswith(f"{tmp_path}/twins: 300 x repeated_person, first: person 'alice'")
    assert document["problems"] == {"repeated_person": 300}


def test_unknown_storage_does_not_stop_other_bags(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = tmp_path / "other"
    write_recording(make_recording(WAVES, SECONDS), other)
    metadata = other / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("storage_identifier: mcap", "storage_identifier: octopus"))
    code, document = evaluate(other, bag)
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{other}: ")
    assert "octopus" in line
    assert counts(document) == {"wave": (2, 2, 0)}
    assert list(document["failed"]) == [str(other)]


def test_truth_that_ends_before_it_starts_is_reported(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with BagWriter(tmp_path / "turned") as writer:
        for topic, stamp_ns, message in read_messages(bag):
            if topic == TRUTH and message.person_id == "bob":
                message.start, message.end = message.end, message.start
            writer.write(topic, stamp_ns, message)
    code, document = evaluate(tmp_path / "turned")
    assert code == 1
    assert "1 x bad_truth, first: 'wave' on /usdrl/ground_truth ignored" in capsys.readouterr().err
    assert counts(document) == {"wave": (1, 1, 1)}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ([], "give bags, or --compare"),
        (["BAG", "--compare", "a", "b"], "not both"),
        (["BAG", "--labels", "nowhere"], "labels nowhere: no such file"),
        (["BAG", "--labels", ".", "--truth", "/t"], "one place only"),
        (["BAG", "--no-truth", "--require", "edit>0"], "--no-truth leaves nothing"),
        (["BAG", "--require", "mAP>=0.5"], "there is no metric mAP"),
        (["BAG", "--require", "mAP_action@0.5=0.5"], "is no requirement"),
        (["BAG", "--set", "start=0.5"], "there is no such setting"),
        (["BAG", "--set", "start_threshold=high"], "'high' is no number"),
        (["BAG", "--set", "start_threshold=2"], "start_threshold is 2.0, must be from"),
        (["BAG", "--rename", "wave"], "--rename 'wave': expected NAME=VALUE"),
        (["BAG", "--jobs", "0"], "jobs is 0, must be a whole number from 1 to 512"),
        (["BAG", "--params", "nowhere.yaml"], "--params nowhere.yaml: cannot be read"),
    ],
)
def test_wrong_options_end_with_one_line(arguments: list[str], fault: str, capsys: pytest.CaptureFixture) -> None:
    assert tool.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert fault in printed.err


def test_unknown_source_is_reported(bag: Path, capsys: pytest.CaptureFixture) -> None:
    assert tool.main([str(bag), "--source", "octopus"]) == 1
    assert "octopus" in capsys.readouterr().err


def test_names_come_from_a_file(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "bag.csv").write_text("3,6,greet,alice\n5,8,hello,bob\n")
    (tmp_path / "names.yaml").write_text("greet: wave\nhello: wave\n")
    code, document = evaluate(bag, "--labels", tmp_path, "--rename", tmp_path / "names.yaml")
    assert code == 0
    assert counts(document) == {"wave": (2, 2, 0)}
    (tmp_path / "names.yaml").write_text("greet: [wave]\n")
    assert tool.main([str(bag), "--rename", str(tmp_path / "names.yaml")]) == 2


def test_settings_come_from_the_nodes_parameters(bag: Path, tmp_path: Path) -> None:
    params = tmp_path / "robot.yaml"
    params.write_text("/perception:\n  ros__parameters:\n    min_observed_s: 7.0\n    markers: true\n")
    _, document = evaluate(bag, "--params", params)
    starts = [event["started"] for events in document["events"].values() for event in events]
    assert starts
    assert min(starts) >= 7.0
    _, document = evaluate(bag, "--params", params, "--set", "min_observed_s=0.5")
    assert min(event["started"] for events in document["events"].values() for event in events) < 5.0


def test_topic_is_found_by_its_type(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with BagWriter(tmp_path / "robot") as writer:
        for topic, stamp_ns, message in read_messages(bag):
            writer.write("/robot_1/people" if topic == SKELETONS else topic, stamp_ns, message)
    code, document = evaluate(tmp_path / "robot")
    assert code == 0
    assert counts(document) == {"wave": (2, 2, 0)}
    assert load_source("skeletons").message_types[0] == "usdrl_ros/msg/SkeletonArray"
