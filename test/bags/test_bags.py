"""Bags: what is written comes back, from both storages; damaged bags are refused with one line that says how."""

from __future__ import annotations

import math
import shutil
import sqlite3
import tracemalloc
from array import array
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.bags.reader import (
    EVENTS,
    SKELETONS,
    TRUTH,
    BagError,
    Topic,
    bag_message_types,
    read_events,
    read_messages,
    read_topics,
)
from usdrl_ros.bags.writer import START_NS, STORAGES, BagWriter, write_recording
from usdrl_ros.messages import (
    MessageTypes,
    array_floats,
    event_to_message,
    message_to_event,
    scores_to_message,
    skeletons_to_message,
    vocabulary_to_message,
)
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.person import Person

EVENT = Event(
    stamp_ns=1_700_000_003_123_456_789,
    frame_id="camera",
    phase=Phase.ONGOING,
    event_id="e7",
    person_id="p1",
    action="wave",
    confidence=0.75,
    start_ns=1_700_000_001_000_000_001,
    end_ns=1_700_000_003_000_000_002,
    position=(0.5, -1.25, 3.0),
)


def make_recording(frames: int = 40) -> Recording:
    random = np.random.default_rng(0)
    joints = {name: random.normal(size=(frames, 20, 3)) for name in ("alice", "bob")}
    joints["alice"][3, 5] = np.nan
    joints["bob"][:10] = np.nan
    return Recording(
        name="take",
        layout="kinect_v1_20",
        stamps=np.arange(frames) / 30,
        joints=joints,
        segments=(
            Segment(0.2, 1.1, "wave", "bob"),
            Segment(0.1, 0.5, "sit", "alice"),
            Segment(1.0, 9.0, "wave", "bob"),
        ),
    )


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def bag(tmp_path: Path, storage: str) -> Path:
    write_recording(make_recording(), tmp_path / "bag", storage=storage)
    return tmp_path / "bag"


def storage_file(bag: Path) -> Path:
    (file,) = (file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))
    return file


def refusal(bag: Path, topics: list[str] | None = None) -> str:
    """The one line with which the bag is refused."""
    with pytest.raises(BagError) as caught:
        list(read_messages(bag, topics))
    line = str(caught.value)
    assert line.startswith(f"{bag}: ")
    assert "\n" not in line
    return line


def test_recording_comes_back(bag: Path) -> None:
    recording = make_recording()
    messages = list(read_messages(bag, [SKELETONS]))
    assert len(messages) == 40
    for index, (topic, stamp_ns, message) in enumerate(messages):
        assert topic == SKELETONS
        assert stamp_ns == START_NS + round(index / 30 * 1e9)
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp_ns
        assert message.header.frame_id == "camera"
        assert message.layout == "kinect_v1_20"
        there = ["alice"] if index < 10 else ["alice", "bob"]
        assert [skeleton.person_id for skeleton in message.skeletons] == there
        for skeleton in message.skeletons:
            expected = recording.joints[skeleton.person_id][index].astype(np.float32).ravel()
            np.testing.assert_array_equal(skeleton.positions, expected)
            assert len(skeleton.confidences) == 0


def test_truth_comes_back(bag: Path) -> None:
    events = read_events(bag, TRUTH)
    found = [(e.person_id, e.action, (e.start_ns - START_NS) / 1e9, (e.end_ns - START_NS) / 1e9) for e in events]
    assert found == [("alice", "sit", 0.1, 0.5), ("bob", "wave", 0.2, 1.1), ("bob", "wave", 1.0, 9.0)]
    assert len({event.event_id for event in events}) == 3
    for event in events:
        assert event.phase == Phase.ENDED
        assert event.stamp_ns == event.end_ns
        assert event.confidence == 1.0
        assert math.isnan(event.position[0])


def test_messages_come_in_the_order_of_time(bag: Path) -> None:
    messages = list(read_messages(bag))
    stamps = [stamp_ns for _, stamp_ns, _ in messages]
    assert stamps == sorted(stamps)
    assert {topic for topic, _, _ in messages} == {SKELETONS, TRUTH}


def test_topics_are_listed(bag: Path) -> None:
    assert read_topics(bag) == {
        SKELETONS: Topic("usdrl_ros/msg/SkeletonArray", 40),
        TRUTH: Topic("usdrl_ros/msg/ActionEvent", 3),
    }


def test_one_storage_file_is_a_bag_too(bag: Path) -> None:
    assert len(list(read_messages(storage_file(bag), [SKELETONS]))) == 40


def test_plain_rosbags_reads_it_with_the_definitions_it_carries(bag: Path) -> None:
    with Reader(bag) as reader:
        connection = next(c for c in reader.connections if c.topic == SKELETONS)
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(connection.msgdef.data, connection.msgtype))
        _, _, data = next(reader.messages([connection]))
        message = store.deserialize_cdr(data, connection.msgtype)
    first = make_recording().joints["alice"][0].astype(np.float32)
    np.testing.assert_array_equal(message.skeletons[0].positions.reshape(20, 3), first)


def test_reading_is_flat_in_memory(tmp_path: Path, storage: str) -> None:
    frames = 3000
    joints = {"p": np.random.default_rng(0).normal(size=(frames, 25, 3))}
    write_recording(Recording("long", "ntu_25", np.arange(frames) / 30, joints), tmp_path / "long", storage=storage)
    for _ in read_messages(tmp_path / "long"):  # imports and caches
        break
    tracemalloc.start()
    count = sum(1 for _ in read_messages(tmp_path / "long"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == frames
    size = storage_file(tmp_path / "long").stat().st_size
    chunk = 2**20  # rosbags reads MCAP a chunk of 1 MiB at a time, as bytes and as messages
    assert peak < (4 * chunk if storage == "mcap" else size / 4)


def test_every_message_type_is_written_and_read(tmp_path: Path, storage: str) -> None:
    types = bag_message_types()
    joints = np.arange(75, dtype=np.float32).reshape(25, 3)
    person = Person("p1", "ntu_25", joints, np.linspace(0, 1, 25))
    scores = SimpleNamespace(
        stamp_ns=5, frame_id="camera", person_id="p1", detection=[0.25, 0.75], recognition=np.array([1.0])
    )
    with BagWriter(tmp_path / "bag", storage=storage) as writer:
        writer.write(SKELETONS, 1, skeletons_to_message(types, -1, "camera", "ntu_25", [person]))
        writer.write(EVENTS, 2, event_to_message(types, EVENT))
        writer.write("/usdrl/scores", 3, scores_to_message(types, scores))
        writer.write("/usdrl/vocabulary", 4, vocabulary_to_message(types, "small", ("wave", "sit")))
    skeletons, event, read_scores, vocabulary = (message for _, _, message in read_messages(tmp_path / "bag"))
    assert (skeletons.header.stamp.sec, skeletons.header.stamp.nanosec) == (-1, 999_999_999)
    np.testing.assert_array_equal(skeletons.skeletons[0].positions, joints.ravel())
    np.testing.assert_allclose(skeletons.skeletons[0].confidences, np.linspace(0, 1, 25), rtol=1e-6)
    assert message_to_event(event) == EVENT
    assert list(read_scores.detection) == [0.25, 0.75]
    assert list(read_scores.recognition) == [1.0]
    assert (vocabulary.model, vocabulary.actions) == ("small", ["wave", "sit"])
    assert read_events(tmp_path / "bag") == [EVENT]


def rclpy_like(name: str) -> type:
    """A class as rosidl generates it: named by its package's module, without __msgtype__."""
    package, _, kind = name.split("/")
    return type(kind, (SimpleNamespace,), {"__module__": f"{package}.msg._{kind.lower()}"})


def test_messages_of_rclpy_are_written_alike(tmp_path: Path) -> None:
    classes: dict[str, type] = {}
    types = MessageTypes.lookup(lambda name: classes.setdefault(name, rclpy_like(name)), array_floats)
    joints = np.random.default_rng(0).normal(size=(17, 3))
    skeletons = skeletons_to_message(types, 9, "camera", "coco_17", [Person("p1", "coco_17", joints)])
    assert isinstance(skeletons.skeletons[0].positions, array)
    assert skeletons.skeletons[0].positions.typecode == "f"
    with BagWriter(tmp_path / "bag") as writer:
        writer.write(SKELETONS, 9, skeletons)
        writer.write(EVENTS, 10, event_to_message(types, EVENT))
    (_, _, read), _ = read_messages(tmp_path / "bag")
    np.testing.assert_array_equal(read.skeletons[0].positions, joints.astype(np.float32).ravel())
    assert read_events(tmp_path / "bag") == [EVENT]


def test_people_of_two_layouts_do_not_fit_one_message() -> None:
    people = [Person("p1", "ntu_25", np.zeros((25, 3))), Person("p2", "coco_17", np.zeros((17, 3)))]
    with pytest.raises(ValueError, match=r"'p2' has layout 'coco_17' in a message of 'ntu_25'"):
        skeletons_to_message(bag_message_types(), 0, "camera", "ntu_25", people)


def test_types_of_other_packages_are_read_by_what_the_bag_carries(tmp_path: Path, storage: str) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg("float32[3] kp\nstring name", "other_msgs/msg/Keypoint"))
    store.register(get_types_from_msg("std_msgs/Header header\nKeypoint[] keypoints", "other_msgs/msg/Body"))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connection = writer.add_connection("/bodies", "other_msgs/msg/Body", typestore=store)
        keypoint = store.types["other_msgs/msg/Keypoint"](kp=np.array([1, 2, 3], np.float32), name="nose")
        time = store.types["builtin_interfaces/msg/Time"](sec=4, nanosec=5)
        header = store.types["std_msgs/msg/Header"](stamp=time, frame_id="zed")
        body = store.types["other_msgs/msg/Body"](header=header, keypoints=[keypoint, keypoint])
        writer.write(connection, 7, store.serialize_cdr(body, "other_msgs/msg/Body"))
    ((topic, stamp_ns, message),) = read_messages(tmp_path / "bag")
    assert (topic, stamp_ns, message.header.frame_id) == ("/bodies", 7, "zed")
    assert [keypoint.name for keypoint in message.keypoints] == ["nose", "nose"]
    np.testing.assert_array_equal(message.keypoints[1].kp, [1, 2, 3])


def test_an_event_recorded_without_a_partner_is_read(tmp_path: Path, storage: str) -> None:
    """A bag of the time before ActionEvent had the field."""
    definition = (Path(__file__).parents[2] / "msg/ActionEvent.msg").read_text(encoding="utf-8")
    store, name = get_typestore(Stores.ROS2_JAZZY), "usdrl_ros/msg/ActionEvent"
    store.register(get_types_from_msg(definition.replace("string partner_id\n", ""), name))
    assert "partner_id" not in store.types[name].__dataclass_fields__
    ours = event_to_message(bag_message_types(), EVENT)
    fields = {key: value for key, value in vars(ours).items() if key != "partner_id"}
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connection = writer.add_connection(EVENTS, name, typestore=store)
        writer.write(connection, 7, store.serialize_cdr(store.types[name](**fields), name))
    assert read_events(tmp_path / "bag") == [EVENT]
    assert read_events(tmp_path / "bag")[0].partner_id == ""


def test_our_type_with_other_fields_is_refused(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    name = "usdrl_ros/msg/ActionVocabulary"
    store.register(get_types_from_msg("string[] actions", name))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/usdrl/vocabulary", name, typestore=store)
        writer.write(connection, 7, store.serialize_cdr(store.types[name](actions=["wave"]), name))
    assert "version of usdrl_ros with other fields" in refusal(tmp_path / "bag")


def test_existing_path_is_not_overwritten(tmp_path: Path, storage: str) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "mine.txt").write_text("keep")
    with pytest.raises(BagError, match="exists already"):
        write_recording(make_recording(), tmp_path / "bag", storage=storage)
    assert [file.name for file in (tmp_path / "bag").iterdir()] == ["mine.txt"]


def test_nothing_half_written_is_left(tmp_path: Path, storage: str) -> None:
    def write_and_stop() -> None:
        with BagWriter(tmp_path / "deep" / "bag", storage=storage) as writer:
            writer.write(EVENTS, 1, event_to_message(bag_message_types(), EVENT))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_stop()
    assert list((tmp_path / "deep").iterdir()) == []


def test_unknown_storage_and_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="unknown storage 'tape', expected one of mcap, sqlite3"):
        BagWriter(tmp_path / "bag", storage="tape")
    (tmp_path / "file").write_text("")
    with pytest.raises(BagError, match="cannot be written"):
        write_recording(make_recording(), tmp_path / "file" / "bag")
    with (
        pytest.raises(BagError, match=r"cannot write type 'strange_msgs/msg/Thing' on /thing"),
        BagWriter(tmp_path / "bag") as writer,
    ):
        writer.write("/thing", 0, rclpy_like("strange_msgs/msg/Thing")())


def test_missing_path(tmp_path: Path) -> None:
    assert "no such bag" in refusal(tmp_path / "nowhere")


def test_not_a_bag(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    assert "not a bag" in refusal(file)
    for suffix in (".mcap", ".db3"):
        shutil.copy(file, tmp_path / f"notes{suffix}")
        assert "damaged or not supported" in refusal(tmp_path / f"notes{suffix}")


def test_no_metadata(bag: Path) -> None:
    (bag / "metadata.yaml").unlink()
    line = refusal(bag)
    assert "no metadata.yaml" in line
    assert "ros2 bag reindex" in line


def test_unknown_storage(bag: Path) -> None:
    file = bag / "metadata.yaml"
    metadata = yaml.safe_load(file.read_text())
    metadata["rosbag2_bagfile_information"]["storage_identifier"] = "tape"
    file.write_text(yaml.safe_dump(metadata))
    assert "'tape'" in refusal(bag)


@pytest.mark.parametrize("text", ["", "{", "a: 1", "rosbag2_bagfile_information: 3"])
def test_unreadable_metadata(bag: Path, text: str) -> None:
    (bag / "metadata.yaml").write_text(text)
    assert "damaged or not supported" in refusal(bag)


def test_missing_storage_file(bag: Path) -> None:
    file = storage_file(bag)
    file.unlink()
    assert file.name in refusal(bag)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.5, 0.999])
def test_cut_off_in_the_middle(bag: Path, kept: float) -> None:
    file = storage_file(bag)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    line = refusal(bag)
    assert "cut off" in line
    assert f"{file.name} stops after {int(kept * len(whole))} bytes" in line
    assert "recover" in line


def test_damaged_in_the_middle(bag: Path) -> None:
    file = storage_file(bag)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle - 6000 : middle + 6000] = b"\xff" * 12000
    file.write_bytes(data)
    assert "damaged or not supported" in refusal(bag)


def test_recording_that_was_interrupted_before_its_journal_was_merged(tmp_path: Path) -> None:
    write_recording(make_recording(), tmp_path / "bag", storage="sqlite3")
    file = storage_file(tmp_path / "bag")
    file.with_name(f"{file.name}-wal").write_bytes(b"\0" * 32)
    assert f"{file.name}-wal" in refusal(tmp_path / "bag")


def test_fewer_messages_than_declared(tmp_path: Path) -> None:
    write_recording(make_recording(), tmp_path / "bag", storage="sqlite3")
    with sqlite3.connect(storage_file(tmp_path / "bag")) as database:
        database.execute("DELETE FROM messages WHERE id > 20")
    database.close()
    assert "/skeletons should hold 40 messages" in refusal(tmp_path / "bag", [SKELETONS])


def test_topic_absent_names_those_that_are_there(bag: Path) -> None:
    line = refusal(bag, ["/people"])
    assert "no topic /people" in line
    assert "/skeletons, /usdrl/ground_truth" in line


def test_events_of_another_type(bag: Path) -> None:
    with pytest.raises(BagError, match="has type usdrl_ros/msg/SkeletonArray, expected usdrl_ros/msg/ActionEvent"):
        read_events(bag, SKELETONS)


def test_event_with_an_unknown_phase(tmp_path: Path) -> None:
    message = event_to_message(bag_message_types(), EVENT)
    message.phase = 9
    with BagWriter(tmp_path / "bag") as writer:
        writer.write(EVENTS, 1, message)
    with pytest.raises(BagError, match="9 is not a valid Phase"):
        read_events(tmp_path / "bag")
