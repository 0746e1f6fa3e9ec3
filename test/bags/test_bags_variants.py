"""Bags as rosbag2 may have written them: compressed in three ways, and split into several files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from evaluation_bags import HandEngine, make_recording
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from usdrl_ros.bags.reader import Bag, BagError
from usdrl_ros.bags.writer import write_recording
from usdrl_ros.evaluation.run import run_bag


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
def test_a_part_that_is_missing_is_told(plain: Path, tmp_path: Path, storage: str) -> None:
    bag = split(plain, tmp_path / "split", storage)
    next(file for file in bag.iterdir() if "_two" in file.name).unlink()
    with pytest.raises(BagError, match=str(bag)):
        run_bag(bag, HandEngine())
