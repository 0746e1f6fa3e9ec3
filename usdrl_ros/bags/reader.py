"""rosbag2 bags, read without ROS (by rosbags), in sqlite3 and in MCAP; `writer` writes them.

Skeletons travel on `/skeletons` (usdrl_ros/msg/SkeletonArray), the true actions on `/usdrl/ground_truth`
(usdrl_ros/msg/ActionEvent, ENDED, written at their end). Types of other packages are read by the definitions that the
bag carries. A bag that is damaged is refused with a `BagError` that says how; nothing of it is skipped in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.typesys import TypesysError, get_types_from_idl, get_types_from_msg
from rosbags.typesys.store import Typestore

from usdrl_ros.actions.events import Event
from usdrl_ros.bags.damage import check_bag, unreadable
from usdrl_ros.bags.storage import Storage
from usdrl_ros.bags.types import (
    EVENT_TYPE,
    EVENTS,
    OURS,
    SKELETONS,
    TRUTH,
    BagError,
    bag_message_types,
    typestore,
)
from usdrl_ros.files import expanded
from usdrl_ros.messages import message_to_event

__all__ = [
    "EVENTS",
    "EVENT_TYPE",
    "SKELETONS",
    "TRUTH",
    "Bag",
    "BagError",
    "Topic",
    "bag_message_types",
    "read_events",
    "read_messages",
    "read_topics",
    "typestore",
]

_ADDED = {f"{OURS}ActionEvent": "partner_id"}
"""Fields that messages lack which were recorded before the field was there."""
_IDL_SEPARATOR = "=" * 80 + "\n"


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its message type, how many messages it has, and whether late subscribers got the last one."""

    type: str
    count: int
    latched: bool = False


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
    if found is not None and found.type != EVENT_TYPE:
        raise BagError(f"{path}: topic {topic} has type {found.type}, expected {EVENT_TYPE}")
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
        self._path = expanded(path)

    def __enter__(self) -> Bag:
        with ExitStack() as stack:
            try:
                check_bag(self._path)
                self._storage = stack.enter_context(Storage(self._path))
            except Exception as error:  # rosbags and its decoders have no common base but Exception
                raise unreadable(self._path, error) from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def topics(self) -> dict[str, Topic]:
        """By name. The counts are those of the storage files."""
        found: dict[str, Topic] = {}
        for connection in sorted(self._storage.connections, key=lambda connection: connection.topic):
            name, other = connection.topic, found.get(connection.topic)
            kind = connection.msgtype if other is None else "several types"
            count = connection.msgcount + (other.count if other else 0)
            found[name] = Topic(kind, count, self._storage.is_latched(name))
        return found

    @property
    def duration_s(self) -> float:
        """Seconds from the first message to the last."""
        return self._storage.duration_ns * 1e-9

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
                raise unreadable(self._path, error, f" after {number} messages") from error
            yield connection.topic, stamp_ns, message

    def raw_messages(self, topics: Collection[str] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield (connection, record stamp in ns, serialized message) in the order of recording, without decoding.

        Raises:
            BagError: The bag lacks one of the topics, or is damaged, after all that could be read.
        """
        connections = self._connections(topics)
        read: Counter[str] = Counter()
        source = self._storage.messages(connections)
        while True:
            try:
                connection, stamp_ns, data = next(source)
            except StopIteration:
                break
            except Exception as error:  # as above
                raise unreadable(self._path, error, f" after {read.total()} messages") from error
            read[connection.topic] += 1
            yield connection, stamp_ns, data
        present, declared = self.topics, self._storage.metadata.counts
        for topic in sorted({connection.topic for connection in connections}):
            expected = max(present[topic].count, declared.get(topic, 0))
            if read[topic] < expected:
                raise BagError(
                    f"{self._path}: {topic} should hold {expected} messages, {read[topic]} were found: "
                    f"a part is missing"
                )

    def _connections(self, topics: Collection[str] | None) -> list[Connection]:
        present = {connection.topic for connection in self._storage.connections}
        for topic in topics or ():
            if topic not in present:
                held = ", ".join(sorted(present)) or "none"
                raise BagError(f"{self._path}: no topic {topic}; topics of the bag: {held}")
        return [c for c in self._storage.connections if topics is None or c.topic in topics]

    def typestore_of(self, connection: Connection) -> Typestore:
        """What can decode a connection: our definitions for our types, else the bag's, else ROS 2's common ones.

        Raises:
            BagError: Nothing can.
        """
        store = typestore()
        where = f"on {connection.topic}, type {connection.msgtype}"
        serialization = getattr(connection.ext, "serialization_format", "cdr")
        if serialization != "cdr":
            raise BagError(f"{self._path}: messages {where} are serialized as '{serialization}', expected cdr")
        older: set[str] = set()  # our types that lack fields which they have now
        embedded = connection.msgdef.format != MessageDefinitionFormat.NONE
        try:
            definitions = _parse_definition(connection) if embedded else {}
            if connection.msgtype.startswith(OURS):
                ours = {name: found[1] for name, found in definitions.items() if name.startswith(OURS)}
                older = {name for name, fields in ours.items() if fields != store.fielddefs[name][1]}
                for name in older:
                    if ours[name] != [field for field in store.fielddefs[name][1] if field[0] != _ADDED.get(name)]:
                        raise BagError(
                            f"{self._path}: its {name} on {connection.topic} was recorded by a version of usdrl_ros "
                            f"with other fields; convert the bag, or read it with that version"
                        )
            if definitions and (older or not connection.msgtype.startswith(OURS)):
                store = Typestore()
                store.register(definitions)
            if connection.msgtype not in store.types:
                raise BagError(
                    f"{self._path}: type {connection.msgtype} on {connection.topic} is not known, and the bag carries "
                    f"no definition of it"
                )
        except (TypesysError, KeyError) as error:
            raise unreadable(self._path, error, f" {where}") from error
        return store


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
