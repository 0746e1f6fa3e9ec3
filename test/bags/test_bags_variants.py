"""Bags as rosbag2 may have written them: compressed in three ways, and split into several files."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml
from evaluation_bags import HandEngine, make_recording
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from usdrl_ros.bags.reader import Bag, BagError
from usdrl_ros.bags.writer import write_recording
from usdrl_ros.evaluation.run import run_bag

pytestmark = pytest.mark.usefixtures("same_run")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "bag"
    write_recording(make_recording({"alice": [(2.0, 4.0)]}, 7.0), path)
    return path


def copy(bag: Path, target: Path, storage: str, mode: CompressionMode | None = None, part: slice = slice(None)) -> Path:
    """A copy of a bag's messages, or of a part of them."""
    writer = Writer(target, version=9, storage_plugin=StoragePlugin[storage])
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with Bag(bag) as source, writer:
        connections = {}
        for connection, stamp_ns, data in list(source.raw_messages())[part]:
            if connection.topic not in connections:
                connections[connection.topic] = writer.add_connection(
                    connection.topic, connection.msgtype, msgdef=connection.msgdef.data, rihs01=connection.digest
                )
            writer.write(connections[connection.topic], stamp_ns, data)
    return target


def split(bag: Path, target: Path, storage: str) -> Path:
    """The same bag in two files."""
    count = sum(topic.count for topic in Bag(bag).__enter__().topics.values())
    parts = [(slice(0, count // 2), "one"), (slice(count // 2, None), "two")]
    halves = [copy(bag, target.with_name(f"{target.name}_{name}"), storage, part=part) for part, name in parts]
    target.mkdir()
    metadata = [yaml.safe_load((half / "metadata.yaml").read_text())["rosbag2_bagfile_information"] for half in halves]
    files = [half / information["relative_file_paths"][0] for half, information in zip(halves, metadata, strict=True)]
    for file in files:
        shutil.copy(file, target)
    whole = metadata[1] | {"relative_file_paths": [file.name for file in files]}
    whole["files"] = metadata[0]["files"] + metadata[1]["files"]
    whole["message_count"] = count
    whole["duration"]["nanoseconds"] += metadata[0]["duration"]["nanoseconds"]
    whole["starting_time"] = metadata[0]["starting_time"]
    names = {entry["topic_metadata"]["name"]: entry for entry in whole["topics_with_message_count"]}
    for entry in metadata[0]["topics_with_message_count"]:
        if entry["topic_metadata"]["name"] in names:
            names[entry["topic_metadata"]["name"]]["message_count"] += entry["message_count"]
        else:
            whole["topics_with_message_count"].append(entry)
    (target / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": whole}))
    return target


def same_as(plain: Path, other: Path) -> None:
    expected, found = (run_bag(bag, HandEngine()) for bag in (plain, other))
    assert found.events == expected.events
    assert len(found.events) >= 2
    assert found.bag_s == expected.bag_s
    times = [(truth.action, truth.start, truth.end) for truth in found.truth_intervals]
    assert times == [(truth.action, truth.start, truth.end) for truth in expected.truth_intervals]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        ("MCAP", CompressionMode.STORAGE),
        ("MCAP", CompressionMode.FILE),
        ("SQLITE3", CompressionMode.FILE),
        ("SQLITE3", CompressionMode.MESSAGE),
    ],
)
def test_compressed_bags_give_the_same(plain: Path, tmp_path: Path, storage: str, mode: CompressionMode) -> None:
    same_as(plain, copy(plain, tmp_path / "compressed", storage, mode))


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_split_bags_give_the_same(plain: Path, tmp_path: Path, storage: str) -> None:
    same_as(plain, split(plain, tmp_path / "split", storage))


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_missing_part_is_reported(plain: Path, tmp_path: Path, storage: str) -> None:
    bag = split(plain, tmp_path / "split", storage)
    next(file for file in bag.iterdir() if "_two" in file.name).unlink()
    with pytest.raises(BagError, match=str(bag)):
        run_bag(bag, HandEngine())


QOS = """- history: 1
  depth: 10
  reliability: 1
  durability: {durability}
  deadline: {{sec: 9223372036, nsec: 854775807}}
  lifespan: {{sec: 9223372036, nsec: 854775807}}
  liveliness: 1
  liveliness_lease_duration: {{sec: 9223372036, nsec: 854775807}}
  avoid_ros_namespace_conventions: false
"""
"""As rosbag2 up to metadata version 8 writes it."""


def changed(bag: Path, target: Path, storage: str, change) -> Path:
    """A copy of a bag whose metadata.yaml has been changed."""
    copy(bag, target, storage)
    file = target / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    change(content["rosbag2_bagfile_information"])
    file.write_text(yaml.safe_dump(content))
    return target


def set_qos(information: dict, profiles: object) -> None:
    for entry in information["topics_with_message_count"]:
        entry["topic_metadata"]["offered_qos_profiles"] = profiles


def set_counts_to_zero(information: dict) -> None:
    information["message_count"] = 0
    information["duration"]["nanoseconds"] = 0
    for entry in information["topics_with_message_count"]:
        entry["message_count"] = 0


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
@pytest.mark.parametrize(
    "change",
    [
        lambda information: set_qos(information, QOS.format(durability=2)),
        lambda information: set_qos(information, yaml.safe_load(QOS.format(durability="volatile"))),
        lambda information: set_qos(information, "- history: 1\n  depth: 1"),
        lambda information: information.update(storage_identifier=""),
        lambda information: information.update(version=4, storage_identifier=None),
        lambda information: information.update(version=99),
        lambda information: information.pop("files"),
        lambda information: information["topics_with_message_count"].clear(),
        set_counts_to_zero,
    ],
    ids=["qos_of_7", "qos_of_9", "qos_in_part", "no_identifier", "old", "new", "no_files", "no_topics", "no_counts"],
)
def test_metadata_may_differ_from_the_storage(plain: Path, tmp_path: Path, storage: str, change) -> None:
    same_as(plain, changed(plain, tmp_path / "changed", storage, change))


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
@pytest.mark.parametrize("durability", [1, "transient_local"])
def test_latched_topics_are_those_of_the_metadata(
    plain: Path, tmp_path: Path, storage: str, durability: int | str
) -> None:
    profiles = QOS.format(durability=durability)
    given = profiles if durability == 1 else yaml.safe_load(profiles)
    with Bag(changed(plain, tmp_path / "latched", storage, lambda content: set_qos(content, given))) as bag:
        assert all(topic.latched for topic in bag.topics.values())
    with Bag(plain) as bag:
        assert not any(topic.latched for topic in bag.topics.values())


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_files_are_read_in_the_order_of_time(plain: Path, tmp_path: Path, storage: str) -> None:
    """`ros2 bag reindex` names them in the order of their names."""
    bag = split(plain, tmp_path / "split", storage)
    file = bag / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    content["rosbag2_bagfile_information"]["relative_file_paths"].reverse()
    file.write_text(yaml.safe_dump(content))
    same_as(plain, bag)


def test_paths_of_old_bags_hold_the_directory(plain: Path, tmp_path: Path) -> None:
    """Up to version 3, metadata.yaml names the files from the directory above."""

    def change(information: dict) -> None:
        information["relative_file_paths"] = [f"old/{name}" for name in information["relative_file_paths"]]

    same_as(plain, changed(plain, tmp_path / "changed", "SQLITE3", change))


@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_messages_that_metadata_declares_and_storage_lacks_are_missed(
    plain: Path, tmp_path: Path, storage: str
) -> None:
    def change(information: dict) -> None:
        for entry in information["topics_with_message_count"]:
            entry["message_count"] += 5

    with pytest.raises(BagError, match=r"should hold \d+ messages, \d+ were found: a part is missing"):
        run_bag(changed(plain, tmp_path / "changed", storage, change), HandEngine())


def test_bag_without_messages_is_read(tmp_path: Path) -> None:
    for storage in ("MCAP", "SQLITE3"):
        with Writer(tmp_path / storage, version=9, storage_plugin=StoragePlugin[storage]):
            pass
        with Bag(tmp_path / storage) as bag:
            assert (bag.topics, bag.duration_s, list(bag.messages())) == ({}, 0.0, [])


def test_topic_of_another_serialization_is_refused_and_the_others_are_read(plain: Path, tmp_path: Path) -> None:
    """As in rosbag2's own wrong_rmw_test; only sqlite3 notes it for each topic."""
    bag = copy(plain, tmp_path / "bag", "SQLITE3")
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("UPDATE topics SET serialization_format = 'wrong' WHERE name = '/usdrl/ground_truth'")
    database.close()
    with Bag(bag) as opened:
        assert len(list(opened.messages(["/skeletons"]))) == opened.topics["/skeletons"].count
        with pytest.raises(BagError, match="are serialized as 'wrong', expected cdr"):
            list(opened.messages())


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_databases_of_old_distributions_are_read(plain: Path, tmp_path: Path, schema: int) -> None:
    """Before Iron, databases carry no definitions; before Foxy, no QoS (rosbag2_storage_sqlite3's migrations)."""
    bag = copy(plain, tmp_path / "bag", "SQLITE3")
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
        if schema == 3:
            database.execute("UPDATE schema SET schema_version = 3")
        else:
            database.execute("DROP TABLE schema")
        if schema == 1:
            database.execute("ALTER TABLE topics DROP COLUMN offered_qos_profiles")
    database.close()
    same_as(plain, bag)
