"""The library over bags, its table, picture and JSON, and the command line tool, with an engine that watches a hand."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation_bags import RATE_HZ, HandEngine, make_recording, use_hand_engine
from matplotlib import image
from rich.console import Console
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import SKELETONS, TRUTH, BagError, bag_message_types, read_messages
from usdrl_ros.bags.writer import START_NS, STORAGES, BagWriter, write_recording
from usdrl_ros.demo.actor import play
from usdrl_ros.evaluation import command as tool
from usdrl_ros.evaluation.document import json_document
from usdrl_ros.evaluation.metrics.assessment import assess
from usdrl_ros.evaluation.metrics.detection import Interval, mean_average_precision_by_action
from usdrl_ros.evaluation.metrics.outcome import Outcome
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.evaluation.report.timeline import save_timeline
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.evaluation.tables import summary_table
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.messages import ns_to_time
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.resources import data_directory
from usdrl_ros.skeleton.person import Frame, Person

TWO_PEOPLE = {"alice": [(3.0, 6.0), (9.0, 11.0)], "bob": [(5.0, 8.0)]}


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    write_recording(make_recording(TWO_PEOPLE), tmp_path / "bag")
    return tmp_path / "bag"


@pytest.fixture
def hand_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hand_engine(monkeypatch)


def rewrite(bag: Path, target: Path, change) -> Path:
    """Copy a bag; `change` takes each skeleton message and gives those to be written instead."""
    with BagWriter(target, storage="sqlite3") as writer:
        for topic, stamp_ns, message in read_messages(bag):
            for changed in change(message) if topic == SKELETONS else [message]:
                writer.write(topic, stamp_ns, changed)
    return target


def without_truth(bag: Path, target: Path) -> Path:
    with BagWriter(target) as writer:
        for topic, stamp_ns, message in read_messages(bag, [SKELETONS]):
            writer.write(topic, stamp_ns, message)
    return target


def ended(events: list[Event]) -> list[tuple[str, str, float, float]]:
    found = [event for event in events if event.phase == Phase.ENDED]
    return sorted((e.person_id, e.action, (e.start_ns - START_NS) / 1e9, (e.end_ns - START_NS) / 1e9) for e in found)


def test_events_are_those_that_were_acted(bag: Path) -> None:
    run = run_bag(bag, HandEngine())
    expected = [("alice", 3, 6), ("alice", 9, 11), ("bob", 5, 8)]
    assert [(person, action) for person, action, _, _ in ended(run.events)] == [(p, "wave") for p, _, _ in expected]
    for (_, _, start, end), (_, true_start, true_end) in zip(ended(run.events), expected, strict=True):
        assert start == pytest.approx(true_start, abs=0.25)
        assert end == pytest.approx(true_end, abs=0.25)
    assert run.origin_ns == START_NS
    assert run.bag_s == pytest.approx(14 - 1 / RATE_HZ)
    assert run.processing_s > 0
    assert run.problems == {}
    assert {(t.person_id, round(t.start, 6), round(t.end, 6)) for t in run.truth_intervals} == set(expected)


@pytest.mark.usefixtures("same_run")
def test_events_are_those_of_the_recognizer_without_a_bag(bag: Path) -> None:
    recording = make_recording(TWO_PEOPLE)
    recognizer = Recognizer(HandEngine())
    events: list[Event] = []
    for index, seconds in enumerate(recording.stamps):
        people = [Person(name, "ntu_25", joints[index].astype(np.float32)) for name, joints in recording.joints.items()]
        recognizer.observe(Frame(START_NS + round(seconds * 1e9), "camera", people))
        while recognizer.due:
            events += recognizer.step().events
    events += recognizer.finish()
    assert run_bag(bag, HandEngine()).events == events


def test_action_that_runs_when_the_bag_ends_is_ended(tmp_path: Path) -> None:
    write_recording(make_recording({"alice": [(3.0, 6.0)]}, seconds=5.0), tmp_path / "bag")
    ((_, _, _, end),) = ended(run_bag(tmp_path / "bag", HandEngine()).events)
    assert end == pytest.approx(5.0, abs=0.15)


@pytest.mark.usefixtures("same_run")
def test_unstamped_messages_get_the_record_time(bag: Path, tmp_path: Path) -> None:
    def unstamp(message):
        message.header.stamp = ns_to_time(bag_message_types(), 0)
        return [message]

    run = run_bag(rewrite(bag, tmp_path / "unstamped", unstamp), HandEngine())
    assert run.events == run_bag(bag, HandEngine()).events
    assert run.problems == {"no_stamp": 14 * RATE_HZ}
    assert "stamp 0" in run.first_problems["no_stamp"].message


def test_malformed_messages_are_reported_and_others_used(bag: Path, tmp_path: Path) -> None:
    count = 0

    def spoil(message):
        nonlocal count
        count += 1
        if count % 60 == 7:  # one person of two
            message.skeletons[0].positions = message.skeletons[0].positions[:-1]
        if count % 60 == 9:
            message.layout = "octopus"
        return [message]

    run = run_bag(rewrite(bag, tmp_path / "spoiled", spoil), HandEngine())
    assert run.problems == {"wrong_size": 7, "unknown_layout": 7}
    assert "74 position values" in run.first_problems["wrong_size"].message
    assert "octopus" in run.first_problems["unknown_layout"].message
    for spoiled, whole in zip(ended(run.events), ended(run_bag(bag, HandEngine()).events), strict=True):
        assert spoiled[:2] == whole[:2]
        assert spoiled[2:] == pytest.approx(whole[2:], abs=0.2)


def test_nobody_there(tmp_path: Path) -> None:
    write_recording(Recording("empty", "ntu_25", np.arange(90) / 30, {}), tmp_path / "bag")
    run = run_bag(tmp_path / "bag", HandEngine())
    assert run.events == []
    assert run.truth_intervals is None
    assert run.bag_s == pytest.approx(89 / 30)


def test_topic_without_messages_is_reported(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for name in ("Skeleton", "SkeletonArray"):
            text = (data_directory("interfaces") / f"{name}.msg").read_text()
            store.register(get_types_from_msg(text, f"usdrl_ros/msg/{name}"))
        writer.add_connection(SKELETONS, "usdrl_ros/msg/SkeletonArray", typestore=store)
    run = run_bag(tmp_path / "bag", HandEngine())
    assert run.problems == {"no_messages": 1}
    assert run.bag_s == 0


def test_progress_reaches_the_end(bag: Path) -> None:
    seen: list[tuple[int, int]] = []
    run_bag(bag, HandEngine(), progress=lambda done, total: seen.append((done, total)))
    total = 14 * RATE_HZ
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_topics_that_are_absent_or_of_another_type(bag: Path) -> None:
    with pytest.raises(BagError, match="no topic /people"):
        run_bag(bag, HandEngine(), EvaluationOptions(topic="/people"))
    with pytest.raises(BagError, match="no topic /labels"):
        run_bag(bag, HandEngine(), EvaluationOptions(truth="/labels"))
    with pytest.raises(BagError, match="has type usdrl_ros/msg/ActionEvent, expected usdrl_ros/msg/SkeletonArray"):
        run_bag(bag, HandEngine(), EvaluationOptions(source="skeletons", topic=TRUTH))


def counts(action: dict) -> tuple[int, int, int, int]:
    return action["true"], action["found"], action["missed"], action["false"]


def test_tool_writes_every_figure(bag: Path, tmp_path: Path, hand_engine: None, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out.json"
    assert tool.main([str(bag), "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert document["model"] == "hand"
    assert document["versions"].keys() >= {"usdrl_ros", "python", "numpy", "onnxruntime", "rosbags"}
    assert document["mAP_action"] == {f"0.{i}": 1.0 for i in range(1, 8)}
    assert document["mAP_video"] == document["mAP_action"]
    assert document["false_events_per_minute"] == 0
    assert counts(document["actions"]["wave"]) == (3, 3, 0, 0)
    assert document["actions"]["wave"]["AP_0.5"] == 1.0
    assert document["actions"]["wave"]["delay_median_s"] == document["delay_median_s"]
    assert document["problems"] == {}
    assert document["failed"] == {}
    assert document["bag_seconds"] == pytest.approx(14 - 1 / RATE_HZ)
    assert document["processing_seconds"] > 0
    truth = document["truth"][str(bag)]
    assert [(t["person_id"], t["action"]) for t in truth] == [("alice", "wave"), ("bob", "wave"), ("alice", "wave")]
    assert [(t["start"], t["end"]) for t in truth] == [pytest.approx(times) for times in ((3, 6), (5, 8), (9, 11))]
    delays = []
    for event in document["events"][str(bag)]:
        onset = 5.0 if event["person_id"] == "bob" else 3.0 if event["start"] < 8 else 9.0
        assert event["verdict"] == "found"
        assert event["delay"] == pytest.approx(event["started"] - onset)
        assert 0 < event["delay"] < 1.5
        assert 0.5 < event["confidence"] <= 1
        delays.append(event["delay"])
    assert document["delay_median_s"] == pytest.approx(sorted(delays)[1])
    printed = capsys.readouterr().out
    assert "wave" in printed
    assert "mAP_action by overlap  0.1: 1.000" in printed


def test_tool_counts_what_was_not_found_and_apart_what_is_unknown(
    tmp_path: Path, hand_engine: None, capsys: pytest.CaptureFixture
) -> None:
    recording = make_recording(TWO_PEOPLE)
    segments = (Segment(3, 6, "wave", "alice"), Segment(9, 11, "jumpp", "alice"), Segment(1, 2, "wave", "bob"))
    write_recording(dataclasses.replace(recording, segments=segments), tmp_path / "bag")
    out = tmp_path / "out.json"
    assert tool.main([str(tmp_path / "bag"), "--json", str(out)]) == 1
    document = json.loads(out.read_text())
    assert {name: counts(action) for name, action in document["actions"].items()} == {"wave": (2, 1, 1, 2)}
    assert document["unknown"] == {"jumpp": 1}
    assert document["mAP_action"]["0.5"] == pytest.approx(document["actions"]["wave"]["AP_0.5"])
    assert document["false_events_per_minute"] == pytest.approx(2 * 60 / (14 - 1 / RATE_HZ))
    assert document["people"] == [
        {**person, "recording": str(tmp_path / "bag"), "person_id": name}
        for name, person in zip(("alice", "bob"), document["people"], strict=True)
    ]
    assert [counts(person) for person in document["people"]] == [(1, 1, 0, 1), (1, 0, 1, 1)]
    verdicts = sorted(event["verdict"] for event in document["events"][str(tmp_path / "bag")])
    assert verdicts == ["false", "false", "found"]
    printed = capsys.readouterr()
    assert "the model does not know  jumpp (1, meant jump?): counted in no metric" in printed.out
    assert printed.err.endswith(
        "labels are spelt as no action of the model, and counted in no metric: --rename 'jumpp=jump' or correct them\n"
    )


def test_tool_takes_other_names_for_actions(bag: Path, tmp_path: Path, hand_engine: None) -> None:
    recording = dataclasses.replace(make_recording(TWO_PEOPLE), segments=(Segment(3, 6, "greet", "alice"),))
    write_recording(recording, tmp_path / "greeting")
    out = tmp_path / "out.json"
    arguments = [str(tmp_path / "greeting"), "--rename", "greet=wave", "--json", str(out)]
    assert tool.main(arguments) == 0
    document = json.loads(out.read_text())
    assert counts(document["actions"]["wave"]) == (1, 1, 0, 2)
    assert document["unknown"] == {}


def test_tool_takes_a_bag_without_truth(
    bag: Path, tmp_path: Path, hand_engine: None, capsys: pytest.CaptureFixture
) -> None:
    bare = without_truth(bag, tmp_path / "bare")
    out = tmp_path / "out.json"
    assert tool.main([str(bare), "--no-truth", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    for metric in ("mAP_action", "mAP_video", "delay_median_s", "false_events_per_minute"):
        assert document[metric] is None
    assert document["truth"] == {str(bare): None}
    assert [event["verdict"] for event in document["events"][str(bare)]] == [None] * 3
    printed = capsys.readouterr().out
    assert "3 events, no truth" in printed
    assert printed.count("alice  wave") == 2
    assert printed.count("bob  wave") == 1


def test_missing_truth_is_reported(bag: Path, tmp_path: Path, hand_engine: None, capsys: pytest.CaptureFixture) -> None:
    bare = without_truth(bag, tmp_path / "bare")
    assert tool.main([str(bare), str(bag)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{bare}: no truth")


def test_tool_counts_time_only_of_bags_with_truth(bag: Path, tmp_path: Path, hand_engine: None) -> None:
    bare = without_truth(bag, tmp_path / "bare")
    labelled = tmp_path / "labelled"
    write_recording(dataclasses.replace(make_recording(TWO_PEOPLE), segments=(Segment(0, 1, "jump", "bob"),)), labelled)
    out = tmp_path / "out.json"
    assert tool.main([str(labelled), str(bare), "--json", str(out)]) == 1
    document = json.loads(out.read_text())
    assert document["false_events_per_minute"] == pytest.approx(3 * 60 / (14 - 1 / RATE_HZ))
    assert document["bag_seconds"] == pytest.approx(2 * (14 - 1 / RATE_HZ))


def test_bad_bags_do_not_stop_the_others(
    bag: Path, tmp_path: Path, hand_engine: None, capsys: pytest.CaptureFixture
) -> None:
    cut = tmp_path / "cut"
    write_recording(make_recording(TWO_PEOPLE), cut)
    data = (cut / "cut.mcap").read_bytes()
    (cut / "cut.mcap").write_bytes(data[: len(data) // 2])
    other = tmp_path / "other"
    with BagWriter(other) as writer:
        for _, stamp_ns, message in read_messages(bag, [TRUTH]):
            writer.write("/else", stamp_ns, message)
    nowhere = tmp_path / "nowhere"
    out = tmp_path / "out.json"
    assert tool.main([*map(str, (cut, nowhere, other, bag)), "--json", str(out)]) == 1
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{cut}: cut off: cut.mcap stops after {len(data) // 2} bytes")
    assert lines[1] == f"{nowhere}: no such bag"
    assert lines[2] == f"{other}: no topic /skeletons; topics of the bag: /else"
    document = json.loads(out.read_text())
    assert document["failed"] == dict(zip(map(str, (cut, nowhere, other)), lines, strict=True))
    assert list(document["events"]) == [str(bag)]
    assert len(document["events"][str(bag)]) == 3


def test_tool_draws_each_bag(bag: Path, tmp_path: Path, hand_engine: None) -> None:
    assert tool.main([str(bag), "--timelines", str(tmp_path / "pictures")]) == 0
    assert image.imread(tmp_path / "pictures" / "bag.png").shape[1] > 1000


def test_tool_refuses_an_output_that_has_no_place(
    bag: Path, tmp_path: Path, hand_engine: None, capsys: pytest.CaptureFixture
) -> None:
    assert tool.main([str(bag), "--json", str(tmp_path / "no" / "out.json")]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"{tmp_path}/no/out.json: the directory {tmp_path}/no is not there; make it first\n"
    assert printed.out == ""
    assert tool.main([str(bag), "--json", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_tool_ends_with_one_line_on_a_bad_model(bag: Path, tmp_path: Path, content: bytes | None) -> None:
    model = tmp_path / "model.onnx"
    if content is not None:
        model.write_bytes(content)
    command = [sys.executable, "-m", "usdrl_ros.evaluation", str(bag), "--model", str(model)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert str(model) in ran.stderr


def test_json_has_no_nan_and_no_infinity(bag: Path) -> None:
    run = run_bag(bag, HandEngine())
    json.dumps(json_document(HandEngine.info, [run], None, {}), allow_nan=False)
    json.dumps(json_document(HandEngine.info, [run], assess([run.outcome(("wave",))]), {}), allow_nan=False)
    json.dumps(json_document(HandEngine.info, [run], assess([Outcome("a", 0, (), ())]), {}), allow_nan=False)


def test_table_shows_the_counts() -> None:
    truths = (Interval("a", "wave", 0, 2), Interval("a", "wave", 4, 6), Interval("a", "sit", 8, 9))
    events = (Interval("a", "wave", 0, 2), Interval("a", "sit", 0, 1), Interval("a", "sit", 20, 21))
    console = Console(width=100)
    with console.capture() as capture:
        console.print(summary_table(assess([Outcome("a", 60, events, truths)])))
    lines = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    rows = {cells[0]: cells[1:] for cells in lines if len(cells) == 7}
    assert rows["wave"] == ["2", "1", "1", "0", "-", "0.500"]
    assert rows["sit"] == ["1", "0", "1", "2", "-", "0.000"]
    assert rows["all"] == ["3", "1", "2", "2", "-", "0.250"]


def bars(picture: Path, rgb: tuple[int, int, int], tolerance: float = 0.02) -> list[tuple[int, int]]:
    """The first and last column of each bar of a colour, over all rows that hold enough of it."""
    pixels = image.imread(picture)[..., :3]
    same = np.abs(pixels - np.array(rgb) / 255).max(-1) < tolerance
    columns = np.flatnonzero(np.r_[False, same.sum(0) > 15, False])
    pieces = np.split(columns, np.flatnonzero(np.diff(columns) > 12) + 1)
    return [(int(piece[0]), int(piece[-1])) for piece in pieces if len(piece)]


BLUE, ORANGE = (0x4E, 0x79, 0xA7), (0xF2, 0x8E, 0x2B)


def test_timeline_is_to_scale(tmp_path: Path) -> None:
    truths = [Interval("a", "a", 10, 12, person_id="p"), Interval("a", "b", 20, 26, person_id="p")]
    save_timeline(tmp_path / "t.png", truths, [], title="scale")
    (blue_start, blue_end), *_ = (bar for bar in bars(tmp_path / "t.png", BLUE) if bar[0] > 200)
    (orange_start, orange_end), *_ = (bar for bar in bars(tmp_path / "t.png", ORANGE) if bar[0] > 200)
    second = (orange_start - blue_start) / 10
    assert blue_end - blue_start == pytest.approx(2 * second, abs=4)
    assert orange_end - orange_start == pytest.approx(6 * second, abs=4)


def test_timeline_shows_confidence_and_what_overlaps(tmp_path: Path) -> None:
    events = [
        Interval("a", "a", 10, 20, 0.2, "p", announced=11.0),
        Interval("a", "b", 12, 18, 1.0, "p", announced=13.0),
    ]
    save_timeline(tmp_path / "t.png", [], events)
    (start, end), *_ = (bar for bar in bars(tmp_path / "t.png", ORANGE) if bar[0] > 200)
    page = np.array([0xF4, 0xF5, 0xF7])  # the band behind every other person
    pale = 0.4 * np.array(BLUE) + 0.6 * page
    (pale_start, pale_end), *_ = (bar for bar in bars(tmp_path / "t.png", tuple(pale)) if bar[0] > 200)
    assert pale_start < start < end < pale_end
    assert (end - start) / (pale_end - pale_start) == pytest.approx(0.6, abs=0.02)


@pytest.mark.slow
@pytest.mark.skipif(not default_model().is_file(), reason="no model is shipped yet")
def test_shipped_model_over_the_actor(tmp_path: Path) -> None:
    """The command as a user runs it, a process a bag; its metrics follow from the events and truths that it writes."""
    for number, storage in enumerate(STORAGES):
        recording = play(["wave", "clap"], seed=number, layout="kinect_v1_20")
        write_recording(recording, tmp_path / storage, storage=storage)
    bags = [str(tmp_path / storage) for storage in STORAGES]
    command = [sys.executable, "-m", "usdrl_ros.evaluation", *bags, "--json", str(tmp_path / "out.json")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    document = json.loads((tmp_path / "out.json").read_text())
    events, truths = (
        [
            Interval(bag, entry["action"], entry["start"], entry["end"], entry.get("confidence", 1), entry["person_id"])
            for bag in bags
            for entry in document[kind][bag]
        ]
        for kind in ("events", "truth")
    )
    assert len(truths) == 4
    for theta, value in document["mAP_action"].items():
        assert mean_average_precision_by_action(events, truths, float(theta)) == pytest.approx(value)
    assert sum(action["found"] for action in document["actions"].values()) >= len(truths) / 2
    with load_engine(default_model(), precision="fp32") as engine:
        alone = run_bag(bags[0], engine).event_intervals
    assert [dataclasses.replace(event, announced=None, event_id="") for event in alone] == [
        event for event in events if event.recording == bags[0]
    ]
