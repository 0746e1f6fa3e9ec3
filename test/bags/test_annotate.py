"""Marking: events out as a CSV, the corrected CSV into a copy of the bag."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import EVENTS, SKELETONS, TRUTH, Bag, bag_message_types, read_events, read_messages
from usdrl_ros.bags.writer import START_NS, BagWriter, write_recording
from usdrl_ros.evaluation import annotate
from usdrl_ros.messages import event_to_message
from usdrl_ros.recording import Recording, Segment


def write_bag(path: Path, *, storage: str = "mcap", events: tuple[tuple[str, float, float], ...] = ()) -> Path:
    """Four seconds of one person who stands, marked with one action, and with recorded events."""
    stamps = np.arange(40) / 10
    joints = {"alice": np.random.default_rng(0).normal(size=(40, 25, 3))}
    write_recording(
        Recording("take", "ntu_25", stamps, joints, (Segment(0, 1, "old", "alice"),)), path, storage=storage
    )
    if not events:
        return path
    target = path.with_name(f"{path.name}_with_events")
    with BagWriter(target, storage=storage) as writer, Bag(path) as bag:
        for connection, stamp_ns, data in bag.raw_messages():
            writer.copy(connection, stamp_ns, data, bag.typestore_of)
        for number, (action, start, end) in enumerate(events):
            for phase, seconds in ((Phase.STARTED, start + 0.5), (Phase.ENDED, end + 0.2)):
                stamp, begin, stop = (START_NS + round(second * 1e9) for second in (seconds, start, end))
                event = Event(stamp, "camera", phase, f"e{number}", "alice", action, 0.8, begin, stop, (0, 0, 1))
                writer.write(EVENTS, stamp, event_to_message(bag_message_types(), event))
    return target


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_events_come_out_and_corrections_go_in(tmp_path: Path, storage: str) -> None:
    bag = write_bag(tmp_path / "bag", storage=storage, events=(("sit", 2.0, 3.0), ("wave", 0.5, 1.5)))
    marks, marked = tmp_path / "marks.csv", tmp_path / "marked"
    assert annotate.main([str(bag), "--export", str(marks)]) == 0
    lines = [line for line in marks.read_text().splitlines() if not line.startswith("#")]
    assert lines == ["start,end,action,person", "0.50,1.50,wave,alice", "2.00,3.00,sit,alice"]

    marks.write_text(marks.read_text().replace("2.00,3.00,sit", "2.1,3.25,stand"))
    assert annotate.main([str(bag), str(marks), str(marked), "--storage", storage]) == 0
    truth = [
        (e.action, e.person_id, e.phase, e.start_ns - START_NS, e.end_ns - START_NS) for e in read_events(marked, TRUTH)
    ]
    ns = 10**9
    assert truth == [
        ("wave", "alice", Phase.ENDED, ns // 2, 3 * ns // 2),
        ("stand", "alice", Phase.ENDED, 21 * ns // 10, 13 * ns // 4),
    ]


def test_all_else_is_copied_as_it_is(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", events=(("sit", 2.0, 3.0),))
    marks, marked = tmp_path / "marks.csv", tmp_path / "marked"
    marks.write_text("0,1,wave\n")
    assert annotate.main([str(bag), str(marks), str(marked)]) == 0
    with Bag(bag) as before, Bag(marked) as after:
        for topic in (SKELETONS, EVENTS):
            old, new = (
                [(stamp, bytes(data)) for _, stamp, data in each.raw_messages([topic])] for each in (before, after)
            )
            assert old == new
            assert before.topics[topic] == after.topics[topic]
    stamps = [stamp for _, stamp, _ in read_messages(marked)]
    assert stamps == sorted(stamps)
    assert [event.person_id for event in read_events(marked, TRUTH)] == [""]


def test_event_ids_that_come_again_are_events_of_their_own(tmp_path: Path) -> None:
    """The node was restarted while its bag was recorded: two waves have one id."""
    bag = write_bag(tmp_path / "bag")
    with BagWriter(tmp_path / "twice") as writer, Bag(bag) as plain:
        for connection, stamp_ns, data in plain.raw_messages([SKELETONS]):
            writer.copy(connection, stamp_ns, data, plain.typestore_of)
        for start in (0.5, 2.0):
            for phase, seconds in (
                (Phase.STARTED, start + 0.3),
                (Phase.ONGOING, start + 0.6),
                (Phase.ENDED, start + 1),
            ):
                stamp, begin = START_NS + round(seconds * 1e9), START_NS + round(start * 1e9)
                event = Event(stamp, "camera", phase, "alice/wave/1", "alice", "wave", 0.9, begin, stamp, (0, 0, 1))
                writer.write(EVENTS, stamp, event_to_message(bag_message_types(), event))
    assert annotate.main([str(tmp_path / "twice"), "--export", str(tmp_path / "marks.csv")]) == 0
    lines = [line for line in (tmp_path / "marks.csv").read_text().splitlines() if not line.startswith("#")]
    assert lines[1:] == ["0.50,1.50,wave,alice", "2.00,3.00,wave,alice"]


def test_nothing_happens_is_a_mark_too(tmp_path: Path) -> None:
    bag, marks = write_bag(tmp_path / "bag"), tmp_path / "marks.csv"
    marks.write_text("start,end,action,person\n")
    assert annotate.main([str(bag), str(marks), str(tmp_path / "marked")]) == 0
    with Bag(tmp_path / "marked") as marked:
        assert marked.topics[TRUTH].count == 0


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_full_disk_is_one_line_and_no_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, storage: str
) -> None:
    from rosbags.rosbag2 import Writer

    bag, marks = write_bag(tmp_path / "bag"), tmp_path / "marks.csv"
    marks.write_text("0,1,wave,alice\n")
    error = (
        sqlite3.OperationalError("database or disk is full") if storage == "sqlite3" else OSError(28, os.strerror(28))
    )

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(Writer, "write", full)
    assert annotate.main([str(bag), str(marks), str(tmp_path / "marked"), "--storage", storage]) == 1
    printed = capsys.readouterr().err
    assert printed.strip().startswith(f"{tmp_path}/marked: cannot be written: ")
    assert printed.strip().count("\n") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "marks.csv"]


def test_marks_may_be_stamps(tmp_path: Path) -> None:
    bag, marks = write_bag(tmp_path / "bag"), tmp_path / "marks.csv"
    marks.write_text(f"{START_NS / 1e9 + 1},{START_NS / 1e9 + 2},wave,alice\n")
    assert annotate.main([str(bag), str(marks), str(tmp_path / "marked")]) == 0
    (event,) = read_events(tmp_path / "marked", TRUTH)
    assert (event.start_ns, event.end_ns) == (START_NS + 10**9, START_NS + 2 * 10**9)


def test_without_events_the_model_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from evaluation_bags import make_recording, use_hand_engine

    write_recording(make_recording({"alice": [(3.0, 6.0)]}), tmp_path / "bag")
    use_hand_engine(monkeypatch)
    assert annotate.main([str(tmp_path / "bag"), "--export", str(tmp_path / "marks.csv")]) == 0
    (line,) = (tmp_path / "marks.csv").read_text().splitlines()[3:]
    start, end, action, person = line.split(",")
    assert (action, person) == ("wave", "alice")
    assert (float(start), float(end)) == (pytest.approx(3, abs=0.25), pytest.approx(6, abs=0.25))
    assert "1 event of model hand" in capsys.readouterr().out


def test_exported_marks_are_never_overwritten(tmp_path: Path, capsys) -> None:
    bag, marks = write_bag(tmp_path / "bag", events=(("sit", 2.0, 3.0),)), tmp_path / "marks.csv"
    marks.write_text("mine")
    assert annotate.main([str(bag), "--export", str(marks)]) == 1
    assert marks.read_text() == "mine"
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("start,stop,action\n1,2,wave\n", "line 1: its heading lacks end"),
        ("1,2,wave\n3,x,sit\n", "line 2: 'x' is no time"),
        ("1,2,wave\n3,2.5,sit\n", "line 2: the end of 'sit' is not after its start"),
        ("1,2\n", "line 1: '1,2' has no action"),
        ("1,nan,wave\n", "'nan' is no time"),
        ("1,1700000001,wave\n", "must both be seconds from the start"),
        ("9,12,wave\n", "1 true action outside the recording, 0 to 3.90 s"),
        ("1,2,wave,Alice\n", "1 true action of people whom no skeletons show (there: alice)"),
        ("", "is empty; where nothing happens in the recording, write the heading"),
    ],
)
def test_wrong_marks_are_reported_and_nothing_is_written(tmp_path: Path, capsys, text: str, expected: str) -> None:
    bag, marks = write_bag(tmp_path / "bag"), tmp_path / "marks.csv"
    marks.write_text(text)
    assert annotate.main([str(bag), str(marks), str(tmp_path / "marked")]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert str(marks) in printed
    assert expected in printed
    assert not (tmp_path / "marked").exists()


def test_missing_files(tmp_path: Path, capsys) -> None:
    bag = write_bag(tmp_path / "bag")
    assert annotate.main([str(bag), str(tmp_path / "no.csv"), str(tmp_path / "marked")]) == 1
    assert "no.csv: cannot be read: No such file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        annotate.main([str(bag)])
    assert ended.value.code == 2


def test_marked_bag_is_what_the_evaluation_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation_bags import make_recording, use_hand_engine

    from usdrl_ros.evaluation import command as tool

    write_recording(make_recording({"alice": [(3.0, 6.0)]}), tmp_path / "bag")
    (tmp_path / "marks.csv").write_text("3,6,wave,alice\n9,10,wave,alice\n")
    assert annotate.main([str(tmp_path / "bag"), str(tmp_path / "marks.csv"), str(tmp_path / "marked")]) == 0
    use_hand_engine(monkeypatch)
    assert tool.main([str(tmp_path / "marked"), "--json", str(tmp_path / "out.json")]) == 0
    (action,) = json.loads((tmp_path / "out.json").read_text())["actions"].values()
    assert (action["true"], action["found"], action["missed"]) == (2, 1, 1)
