"""rosbag2 bags, read without ROS (by rosbags), in sqlite3 and in MCAP; `bag_writer` writes them.

Skeletons travel on `/skeletons` (usdrl_ros/msg/SkeletonArray), the true actions on `/usdrl/ground_truth`
(usdrl_ros/msg/ActionEvent, ENDED, written at their end). Types of other packages are read by the definitions that the
bag carries. A bag that is damaged is refused with a `BagError` that says how; nothing of it is skipped in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from usdrl_ros.actions.events import Event
from usdrl_ros.messages import MessageTypes, message_to_event, numpy_floats
from usdrl_ros.resources import data_directory

SKELETONS = "/skeletons"
TRUTH = "/usdrl/ground_truth"
EVENTS = "/usdrl/actions"

_OURS = "usdrl_ros/msg/"
_MCAP_MAGIC = b"\x89MCAP0\r\n"
_SQLITE_MAGIC = b"SQLite format 3\0"
_IDL_SEPARATOR = "=" * 80 + "\n"


class BagError(Exception):
    """A bag cannot be read or written. The message is one line that names the bag, the fault and what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its message type, how many messages it has, and whether late subscribers got the last one."""

    type: str
    count: int
    latched: bool = False


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """ROS 2's common types and ours."""
    store = get_typestore(Stores.ROS2_JAZZY)
    ours: dict = {}
    for file in sorted(data_directory("interfaces").glob("*.msg")):
        ours.update(get_types_from_msg(file.read_text(encoding="utf-8"), _OURS + file.stem))
    store.register(ours)
    return store


@lru_cache(maxsize=1)
def bag_message_types() -> MessageTypes:
    """The message classes of bags."""
    return MessageTypes.lookup(typestore().types.__getitem__, numpy_floats)


def read_topics(path: Path | str) -> dict[str, Topic]:
    """The topics of a bag, by name.

    Raises:
        BagError: The bag is missing, is none, or is damaged.
    """
    with Bag(path) as bag:
        return bag.topics


def read_messages(path: Path | str, topics: Collection[str] | None = None) -> Iterator[tuple[str, int, Any]]:
    """Yield (topic, record stamp in ns, message) in the order of recording, one message in memory at a time.

    Args:
        path: A bag's directory, or one storage file (.mcap, .db3).
        topics: Only these; None for all.

    Raises:
        BagError: The bag is missing, is none, is damaged, or lacks one of the topics.
    """
    with Bag(path) as bag:
        yield from bag.messages(topics)


def read_events(path: Path | str, topic: str = EVENTS) -> list[Event]:
    """The action events of a topic: what was recorded live, or with `TRUTH` what is true.

    Raises:
        BagError: As `read_messages`; also if the topic holds something else than action events.
    """
    found = read_topics(path).get(topic)
    if found is not None and found.type != f"{_OURS}ActionEvent":
        raise BagError(f"{path}: topic {topic} has type {found.type}, expected {_OURS}ActionEvent")
    events = []
    for _, stamp_ns, message in read_messages(path, [topic]):
        try:
            events.append(message_to_event(message))
        except ValueError as error:
            raise BagError(f"{path}: event of {stamp_ns} ns on {topic} is not valid: {error}") from error
    return events


class Bag:
    """An open bag; a context manager. What rosbags and its decoders raise on damaged data comes out as a BagError.

    Args:
        path: A bag's directory, or one storage file (.mcap, .db3).

    Raises:
        BagError: On entering: the bag is missing, is none, or is seen to be damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).expanduser()

    def __enter__(self) -> Bag:
        path = self._path
        if not path.exists():
            raise BagError(f"{path}: no such bag")
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            raise BagError(
                f"{path}: no metadata.yaml: not a rosbag2 bag, or its recording was interrupted "
                f"(then 'ros2 bag reindex {path}' makes it)"
            )
        if path.is_file() and path.suffix not in (".mcap", ".db3"):
            raise BagError(f"{path}: not a bag: expected a rosbag2 directory, or a file .mcap or .db3")
        try:
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                self._check_whole(file)
            self._reader = Reader(path)
            self._reader.open()
        except BagError:
            raise
        except Exception as error:  # rosbags and its decoders have no common base but Exception
            raise self._unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def topics(self) -> dict[str, Topic]:
        """By name."""
        latched = {
            connection.topic
            for connection in self._reader.connections
            if isinstance(connection.ext, ConnectionExtRosbag2)
            for qos in connection.ext.offered_qos_profiles
            if qos.durability.name == "TRANSIENT_LOCAL"
        }
        return {
            name: Topic(info.msgtype or "several types", info.msgcount, name in latched)
            for name, info in sorted(self._reader.topics.items())
        }

    @property
    def duration_s(self) -> float:
        """Seconds from the first message to the last."""
        return self._reader.duration * 1e-9

    def messages(self, topics: Collection[str] | None = None) -> Iterator[tuple[str, int, Any]]:
        """Yield (topic, record stamp in ns, message) in the order of recording.

        Raises:
            BagError: The bag is damaged, lacks one of the topics, or has one of a type that cannot be decoded.
        """
        stores = {c.msgtype: self.typestore_of(c) for c in self._connections(topics)}
        for number, (connection, stamp_ns, data) in enumerate(self.raw_messages(topics)):
            try:
                message = stores[connection.msgtype].deserialize_cdr(data, connection.msgtype)
            except Exception as error:  # as above
                raise self._unreadable(error, f" after {number} messages") from error
            yield connection.topic, stamp_ns, message

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield (connection, record stamp in ns, serialized message) in the order of recording, without decoding.

        Raises:
            BagError: The bag lacks one of the topics, or is damaged, after all that could be read.
        """
        connections = self._connections(topics)
        if not connections:
            return
        read: Counter[str] = Counter()
        source = self._reader.messages(connections)
        while True:
            try:
                connection, stamp_ns, data = next(source)
            except StopIteration:
                break
            except Exception as error:  # as above
                raise self._unreadable(error, f" after {read.total()} messages") from error
            read[connection.topic] += 1
            yield connection, stamp_ns, bytes(data)
        present = self.topics
        for topic in sorted({connection.topic for connection in connections}):
            if read[topic] != present[topic].count:
                raise BagError(
                    f"{self._path}: {topic} should hold {present[topic].count} messages, {read[topic]} were found: "
                    f"a part is missing"
                )

    def _connections(self, topics: Collection[str] | None) -> list[Connection]:
        present = self._reader.topics
        for topic in topics or ():
            if topic not in present:
                held = ", ".join(sorted(present)) or "none"
                raise BagError(f"{self._path}: no topic {topic}; topics of the bag: {held}")
        return [c for c in self._reader.connections if topics is None or c.topic in topics]

    def typestore_of(self, connection: Connection) -> Typestore:
        """What can decode a connection: our definitions for our types, else the bag's, else ROS 2's common ones.

        Raises:
            BagError: Nothing can.
        """
        store = typestore()
        embedded = connection.msgdef.format != MessageDefinitionFormat.NONE
        try:
            definitions = _parse_definition(connection) if embedded else {}
            if connection.msgtype.startswith(_OURS):
                for name, definition in definitions.items():
                    if name.startswith(_OURS) and definition[1] != store.fielddefs[name][1]:
                        raise BagError(
                            f"{self._path}: its {name} on {connection.topic} was recorded by a version of usdrl_ros "
                            f"with other fields; convert the bag, or read it with that version"
                        )
            elif definitions:
                store = Typestore()
                store.register(definitions)
            if connection.msgtype not in store.types:
                raise BagError(
                    f"{self._path}: type {connection.msgtype} on {connection.topic} is not known, and the bag carries "
                    f"no definition of it"
                )
        except (TypesysError, KeyError) as error:
            raise self._unreadable(error, f" on {connection.topic}, type {connection.msgtype}") from error
        return store

    def _check_whole(self, file: Path) -> None:
        """Refuse a storage file that was cut off, or whose last part is still in a journal beside it."""
        if file.suffix not in (".mcap", ".db3"):
            return
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(100)
            stream.seek(max(0, size - len(_MCAP_MAGIC)))
            tail = stream.read()
        cut_off = size == 0
        advice = f"'mcap recover {file.name} -o WHOLE.mcap' saves what is in it"
        if file.suffix == ".mcap":
            cut_off |= _MCAP_MAGIC.startswith(head[:8]) and tail != _MCAP_MAGIC
        else:
            advice = f"'sqlite3 {file.name} .recover | sqlite3 WHOLE.db3' saves what is in it"
            cut_off |= _SQLITE_MAGIC.startswith(head[:16]) and size < _database_size(head)
            for journal in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-journal")):
                if journal.is_file() and journal.stat().st_size:
                    raise BagError(
                        f"{self._path}: its recording was interrupted, a part is still in {journal.name}; "
                        f"open {file.name} once with the sqlite3 program to merge it"
                    )
        if cut_off:
            raise BagError(f"{self._path}: cut off: {file.name} stops after {size} bytes, its end is missing; {advice}")

    def _unreadable(self, error: Exception, where: str = "") -> BagError:
        reason = " ".join(str(error).split()).removesuffix("; please report issue.") or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"unknown key {reason}"
        return BagError(f"{self._path}: damaged or not supported{where}: {reason}")


def _database_size(head: bytes) -> int:
    """Bytes of an SQLite database by its header; 0 where it does not tell (https://sqlite.org/fileformat2.html)."""
    if len(head) < 100:
        return 100
    pages = int.from_bytes(head[28:32], "big")
    page_size = int.from_bytes(head[16:18], "big")
    told = head[24:28] == head[92:96]
    return pages * (65536 if page_size == 1 else page_size) if told else 0


def _parse_definition(connection: Connection) -> dict[str, Any]:
    """The types in the definition that a connection carries."""
    text = connection.msgdef.data
    if connection.msgdef.format == MessageDefinitionFormat.MSG:
        return get_types_from_msg(text, connection.msgtype)
    if not text.startswith(f"{_IDL_SEPARATOR}IDL: "):
        return get_types_from_idl(text)
    types: dict[str, Any] = {}
    for part in text.split(_IDL_SEPARATOR)[1:]:
        types.update(get_types_from_idl(part.split("\n", 1)[1]))
    return types
