"""Recordings survive: whatever moment a recorder is killed at, what it wrote until a second before can be read."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rosbags.rosbag2 import Reader

from usdrl_ros.bags import durable
from usdrl_ros.bags.durable import DurableWriter
from usdrl_ros.bags.interrupted import complete
from usdrl_ros.bags.reader import Bag
from usdrl_ros.bags.types import BagError, typestore

pytestmark = pytest.mark.slow

STORAGES = ("mcap", "sqlite3")
TYPES = {"/a": "std_msgs/msg/String", "/b": "std_msgs/msg/Int32"}

# Writes numbered messages for ever, and prints after each how many there are.
RECORDER = """
import sys, time
from pathlib import Path
from usdrl_ros.bags.durable import DurableWriter
from usdrl_ros.bags.types import typestore
writer = DurableWriter(Path(sys.argv[1]), sys.argv[2])
connection = writer.add_connection("/a", "std_msgs/msg/String", typestore())
for number in range(10**9):
    writer.write(connection, number * 10**6, number.to_bytes(4, "little") + bytes(2000))
    print(number + 1, time.monotonic(), flush=True)
    time.sleep(0.001)
"""


def numbers(path: Path) -> list[int]:
    with Bag(path) as bag:
        return [int.from_bytes(data[:4], "little") for _, _, data in bag.raw_messages()]


def write(path: Path, storage: str, count: int, monkeypatch) -> DurableWriter:
    """A bag with so many messages of two topics, each written out at once, that is not closed."""
    monkeypatch.setattr(durable, "SYNC_S", 0.0)
    writer = DurableWriter(path, storage)
    connections = [writer.add_connection(topic, kind, typestore()) for topic, kind in TYPES.items()]
    for number in range(count):
        stamp_ns = (number - (number == 5)) * 10**6  # the clock may be set back
        writer.write(connections[number % 2], stamp_ns, number.to_bytes(4, "little") + bytes(50))
    return writer


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_that_is_not_closed_is_read_as_one_that_is(tmp_path, monkeypatch, storage):
    writer = write(tmp_path / "bag", storage, 20, monkeypatch)
    shutil.copytree(tmp_path / "bag", tmp_path / "copy")
    assert sorted(numbers(tmp_path / "bag")) == list(range(20))  # while it is being recorded
    writer.close()
    for name in ("bag", "copy"):
        with Bag(tmp_path / name) as bag:
            assert {topic: found.count for topic, found in bag.topics.items()} == {"/a": 10, "/b": 10}
            assert {topic: found.type for topic, found in bag.topics.items()} == TYPES
    assert numbers(tmp_path / "copy") == numbers(tmp_path / "bag")
    with Reader(tmp_path / "bag") as reader:  # rosbags itself
        assert reader.message_count == 20


def test_an_mcap_file_cut_anywhere_gives_what_is_whole(tmp_path, monkeypatch):
    write(tmp_path / "bag", "mcap", 12, monkeypatch).abort()
    file = tmp_path / "bag" / "bag.mcap"
    content, before = file.read_bytes(), []
    for size in (*range(60), *range(60, len(content) + 1, 29)):
        file.write_bytes(content[:size])
        found = numbers(tmp_path / "bag")
        assert found[: len(before)] == before
        assert len(found) <= 12
        before = found
    assert len(before) >= 10


def test_a_transaction_that_was_not_finished_is_rolled_back(tmp_path, monkeypatch):
    """Of an sqlite3 bag with a hot journal: the database is half written when the recorder dies."""
    bag = tmp_path / "bag"
    write(bag, "sqlite3", 10, monkeypatch).abort()
    child = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA cache_size=1')\n"
        "insert = 'INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 0, zeroblob(3000))'\n"
        "for _ in range(500): c.execute(insert)\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", child, str(bag / "bag.db3")], check=False)
    assert (bag / "bag.db3-journal").stat().st_size > 0
    assert sorted(numbers(bag)) == list(range(10))
    assert (bag / "bag.db3-journal").stat().st_size > 0  # the bag itself is as it was


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("seconds", [0.3, 1.2, 2.7])
def test_a_kill_takes_the_last_second_at_most(tmp_path, storage, seconds):
    bag = tmp_path / "bag"
    process = subprocess.Popen([sys.executable, "-c", RECORDER, str(bag), storage], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = [line.split() for line in process.stdout.read().splitlines() if line.count(" ") == 1]
    process.wait()
    found = numbers(bag)
    assert found == list(range(len(found)))
    lost = [float(at) for number, at in lines if int(number) > len(found)]
    print(f"{storage}: {len(lines) + 1} written, {len(found)} read, {lost[-1] - lost[0] if lost else 0:.2f} s lost")
    assert not lost or lost[-1] - lost[0] < 1.0


def test_files_that_are_whole_are_read_where_they_are(tmp_path, monkeypatch):
    for storage, suffix in zip(STORAGES, (".mcap", ".db3"), strict=True):
        writer = write(tmp_path / storage, storage, 3, monkeypatch)
        writer.close()
        file = tmp_path / storage / f"{storage}{suffix}"
        assert complete(file, tmp_path) == file


@pytest.mark.parametrize("storage", STORAGES)
def test_a_bag_that_cannot_be_written_is_refused_in_one_line(tmp_path, storage):
    (tmp_path / "there").mkdir()
    with pytest.raises(BagError, match="exists already"):
        DurableWriter(tmp_path / "there", storage)
    (tmp_path / "file").touch()
    with pytest.raises(BagError, match=r"cannot be written: (Not a directory|File exists)$"):
        DurableWriter(tmp_path / "file" / "bag", storage)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line_and_keeps_what_was_written(tmp_path, monkeypatch):
    writer = write(tmp_path / "bag", "mcap", 10, monkeypatch)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._files.bio.fileno())
    connection = writer._connections[0]
    with pytest.raises(BagError, match="bag: cannot be written: No space left on device; what was written before"):
        writer.write(connection, 10, bytes(1_000_000))
    writer.abort()
    os.close(full)
    assert sorted(numbers(tmp_path / "bag")) == list(range(10))


def test_sqlite_keeps_its_pages_until_a_transaction_is_whole(tmp_path):
    writer = DurableWriter(tmp_path / "bag", "sqlite3")
    connection = writer.add_connection("/a", TYPES["/a"], typestore())
    size = (tmp_path / "bag" / "bag.db3").stat().st_size
    writer._synced_at = time.monotonic() + 1000.0
    for number in range(3000):
        writer.write(connection, number, bytes(4000))  # 12 MB: more than SQLite's cache
    assert (tmp_path / "bag" / "bag.db3").stat().st_size == size
    writer.close()
    database = sqlite3.connect(tmp_path / "bag" / "bag.db3")
    assert database.execute("SELECT count(*) FROM messages").fetchone() == (3000,)
    database.close()
