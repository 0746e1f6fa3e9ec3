"""The replay node over DDS: what it plays, when, what it leaves out, and bags that it cannot play."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from ros_fixtures import Peer, Program, perception, pose, wait_until, without_run, write_model
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from usdrl_ros.msg import ActionEvent, SkeletonArray

from usdrl_ros.bags.reader import bag_message_types
from usdrl_ros.bags.writer import BagWriter, write_recording
from usdrl_ros.evaluation.run import run_bag
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.messages import time_to_ns, vocabulary_to_message
from usdrl_ros.nodes.replay import main
from usdrl_ros.recording import Recording, Segment

pytestmark = pytest.mark.slow

SECOND = 10**9
SKELETONS, TRUTH = "/skeletons", "/usdrl/ground_truth"


def scene(seconds: float = 3.0, rate_hz: float = 30.0) -> Recording:
    """Two people who raise a hand, one after the other, with jitter in their stamps."""
    rng = np.random.default_rng(0)
    stamps = (np.arange(round(seconds * rate_hz)) + rng.uniform(-0.3, 0.3, round(seconds * rate_hz)) + 1) / rate_hz
    turns = {"ann": (0.3, 0.5), "bob": (0.6, 0.9)}  # from when to when, as parts of the whole
    joints, segments = {}, []
    for person, (start, end) in turns.items():
        up = (stamps >= start * seconds) & (stamps < end * seconds)
        joints[person] = np.stack([pose(right_hand_m=0.2 if raised else -0.4) for raised in up])
        segments.append(Segment(start * seconds, end * seconds, "raise_right_hand", person))
    return Recording("scene", "ntu_25", stamps, joints, tuple(segments))


def raw_messages(path: Path, topic: str) -> list[tuple[int, bytes]]:
    """Stamps and bytes, by rosbags alone."""
    with Reader(path) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        return [(stamp_ns, bytes(data)) for _, stamp_ns, data in reader.messages(connections)]


def replay(*arguments: str) -> Program:
    return Program("usdrl_ros.nodes.replay", *map(str, arguments))


def fails(capfd, *arguments: str | Path) -> str:
    """The one line with which the node ends."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if "[FATAL]" in line]
    assert len(lines) == 1
    return lines[0]


def test_plays_what_was_recorded_when_it_was_recorded(domain, tmp_path):
    write_recording(scene(), tmp_path / "bag", storage="sqlite3")
    recorded = raw_messages(tmp_path / "bag", SKELETONS)
    with Peer(domain, skeletons=False) as peer, replay(tmp_path / "bag", "--rate", "2") as program:
        peer.listen(SkeletonArray, SKELETONS, raw=True)
        peer.listen(ActionEvent, TRUTH)
        peer.listen(Clock, "/clock", qos_profile_sensor_data)
        assert program.wait() == 0
        wait_until(lambda: len(peer.heard[SKELETONS]) == len(recorded) and len(peer.heard[TRUTH]) == 2, what="messages")

    assert peer.heard[SKELETONS] == [data for _, data in recorded]
    assert {event.person_id for event in peer.heard[TRUTH]} == {"ann", "bob"}

    stamps = np.array([stamp_ns for stamp_ns, _ in recorded]) * 1e-9
    heard_at = np.array(peer.at[SKELETONS])
    late = (heard_at - heard_at[0]) - (stamps - stamps[0]) / 2.0
    assert abs(np.median(late)) < 0.05  # the machine may be busy, but errors do not add up
    assert late[-1] < 0.5

    times = [time_to_ns(message.clock) for message in peer.heard["/clock"]]
    assert times == sorted(times)
    assert recorded[0][0] <= times[0]
    assert times[-1] <= recorded[-1][0]
    assert len(times) > 1.2 * len(recorded)  # between the messages, too


def test_same_events_live_as_offline(domain, tmp_path):
    model = write_model(tmp_path / "hands.onnx")
    write_recording(scene(seconds=4.0), tmp_path / "bag", storage="mcap")
    with load_engine(model) as engine:
        offline = run_bag(tmp_path / "bag", engine).events
    with perception(f"model:={model}", "input_reliability:=reliable", "use_sim_time:=true") as node:
        with Peer(domain) as peer:
            peer.wait_for_perception()
            with replay(tmp_path / "bag", "--rate", "2") as program:
                assert program.wait() == 0
            assert node.end() == 0  # ends what runs, as the end of a bag does
            wait_until(lambda: len(peer.events) >= len(offline), 5.0, what=f"{len(offline)} events: {node.log}")
            live = peer.events

    def exact(events):
        return [
            (e.phase, without_run(e.event_id), e.person_id, e.action, e.stamp_ns, e.start_ns, e.end_ns) for e in events
        ]

    assert len({event.event_id for event in offline}) == 2
    assert exact(live) == exact(offline)
    assert [e.confidence for e in live] == pytest.approx([e.confidence for e in offline], abs=1e-6)
    assert [e.position for e in live] == [e.position for e in offline]


def test_leaves_out_and_reports_what_it_does_not_play(domain, tmp_path):
    foreign = get_typestore(Stores.EMPTY)
    foreign.register(get_types_from_msg("int32 number", "no_such_package/msg/Number"))
    write_recording(scene(seconds=0.5), tmp_path / "part")
    kinds = bag_message_types()
    with BagWriter(tmp_path / "ours") as writer:
        writer.write("/usdrl/vocabulary", SECOND, vocabulary_to_message(kinds, "old", ["wave"]))
    with Reader(tmp_path / "part") as part, Reader(tmp_path / "ours") as ours:
        with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
            number = writer.add_connection("/number", "no_such_package/msg/Number", typestore=foreign)
            writer.write(number, SECOND, foreign.serialize_cdr(foreign.types[number.msgtype](1), number.msgtype))
            for reader in (part, ours):
                connections = {
                    connection.id: writer.add_connection(
                        connection.topic, connection.msgtype, msgdef=connection.msgdef.data, rihs01=connection.digest
                    )
                    for connection in reader.connections
                }
                for connection, _, data in reader.messages():
                    writer.write(connections[connection.id], 2 * SECOND, data)

    with Peer(domain, skeletons=False) as peer, replay("--ros-args", "-p", f"bag:={tmp_path / 'bag'}") as program:
        peer.listen(SkeletonArray, SKELETONS)
        assert program.wait() == 0
    assert len(peer.heard[SKELETONS]) == 15
    assert not peer.heard["usdrl/vocabulary"]
    assert "left out: /usdrl/vocabulary" in program.log
    assert "/number cannot be played: its type no_such_package/msg/Number is not installed" in program.log


def test_signals_end_a_loop_with_code_0(domain, tmp_path):
    write_recording(scene(seconds=0.5), tmp_path / "bag")
    with Peer(domain, skeletons=False) as peer:
        peer.listen(SkeletonArray, SKELETONS)
        programs = [replay(tmp_path / "bag", "--loop", "--rate", "5") for _ in range(2)]
        with programs[0] as first, programs[1] as second:
            for program in programs:
                program.wait_for_log(r"playing[\s\S]*played[\s\S]*playing")
            began = time.monotonic()
            assert first.end(signal.SIGINT) == 0
            assert second.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < 5.0
            assert "Traceback" not in first.log + second.log


def test_plays_on_when_nobody_listens(domain, tmp_path, capfd):
    write_recording(scene(seconds=0.5), tmp_path / "bag")
    began = time.monotonic()
    assert main([str(tmp_path / "bag"), "--ros-args", "-p", "wait_for_subscribers_s:=0.3"]) == 0
    assert time.monotonic() - began < 5.0
    assert "playing on after 0.3 s without all subscribers (connected: /skeletons 0 of 0)" in capfd.readouterr().err


def test_damage_in_the_middle_is_reported_after_what_can_be_played(domain, tmp_path, capfd):
    write_recording(scene(), tmp_path / "bag")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + bytes(4096) + content[middle + 4096 :])
    with Peer(domain, skeletons=False) as peer:
        peer.listen(SkeletonArray, SKELETONS)
        line = fails(capfd, tmp_path / "bag", "--rate", "100")
        found = re.search(rf"{SKELETONS} should hold 90 messages, (\d+) were found: a part is missing", line)
        assert found
        played = int(found.group(1))
        assert 30 < played < 60
        wait_until(lambda: len(peer.heard[SKELETONS]) == played, what="all messages before the damage")


def test_bags_that_cannot_be_played_end_with_one_clear_line(domain, tmp_path, capfd):
    write_recording(scene(seconds=0.5), tmp_path / "bag")
    (file,) = (tmp_path / "bag").glob("*.mcap")
    shutil.copytree(tmp_path / "bag", tmp_path / "cut")
    (tmp_path / "cut" / file.name).write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mcap").write_text("This is no bag.\n" * 100)

    assert "no bag: give its path" in fails(capfd)
    assert "missing: no such bag" in fails(capfd, tmp_path / "missing")
    assert "cut off" in fails(capfd, tmp_path / "cut")
    assert "no metadata.yaml" in fails(capfd, tmp_path / "empty")
    assert "text.mcap: damaged or not supported" in fails(capfd, tmp_path / "text.mcap")
    topics = ("--ros-args", "-p", "topics:=[/joints]")
    assert f"no topic /joints; topics of the bag: {SKELETONS}" in fails(capfd, tmp_path / "bag", *topics)
    assert "parameter rate is 0.0, must be a number from 0.01 to 1000" in fails(capfd, tmp_path / "bag", "--rate", "0")
