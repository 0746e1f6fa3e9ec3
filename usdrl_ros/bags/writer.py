"""rosbag2 bags, written without ROS (by rosbags), in sqlite3 or MCAP: whole, or not at all."""

from __future__ import annotations

import heapq
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinitionFormat, Nodetype
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from usdrl_ros.bags.types import SKELETONS, TRUTH, BagError, bag_message_types, typestore
from usdrl_ros.messages import skeletons_to_message, truth_to_message
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.person import Person

STORAGES = ("mcap", "sqlite3")
START_NS = 1_700_000_000 * 10**9
"""Second 0 of a recording, by default."""


class BagWriter:
    """Write a bag; use as a context manager, from one thread.

    The bag appears at `path` when the context ends, whole; an exception in the context leaves nothing there.

    Args:
        path: The bag's directory; its parents are made.
        storage: "mcap" or "sqlite3".

    Raises:
        BagError: The path exists, or the storage is unknown.
    """

    def __init__(self, path: Path | str, *, storage: str = "mcap") -> None:
        self._path = Path(path)
        if storage not in STORAGES:
            raise BagError(f"{path}: unknown storage '{storage}', expected one of {', '.join(STORAGES)}")
        if self._path.exists():
            raise BagError(f"{path}: exists already; remove it or choose another path")
        self._storage = StoragePlugin[storage.upper()]
        self._connections: dict[tuple[str, str], Connection] = {}

    def __enter__(self) -> BagWriter:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._workspace = Path(tempfile.mkdtemp(prefix=".bag_", dir=self._path.parent))
        except OSError as error:
            raise BagError(f"{self._path}: cannot be written: {error.strerror}") from error
        self._writer = Writer(self._workspace / self._path.name, version=9, storage_plugin=self._storage)
        try:
            self._writer.open()
        except BaseException:
            shutil.rmtree(self._workspace)
            raise
        return self

    def declare(self, topic: str, type_name: str) -> None:
        """Add a topic of a known type, which may stay without a message.

        Raises:
            BagError: It cannot be written.
        """
        with self._faults():
            self._connection(topic, type_name)

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Append a message recorded at `stamp_ns`: one made by `bag_message_types()`, or one of rclpy's.

        Raises:
            BagError: The message's type is neither ours nor among ROS 2's common ones.
        """
        store = typestore()
        name = _type_name(message)
        if name not in store.types:
            raise BagError(f"{self._path}: cannot write type '{name}' on {topic}: its definition is not known")
        if not isinstance(message, store.types[name]):
            message = _copy(store, message, name)
        with self._faults():
            self._writer.write(self._connection(topic, name), stamp_ns, store.serialize_cdr(message, name))

    def _connection(self, topic: str, name: str) -> Connection:
        connection = self._connections.get((topic, name))
        if connection is None:
            connection = self._writer.add_connection(topic, name, typestore=typestore())
            self._connections[topic, name] = connection
        return connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """What the operating system and SQLite raise, a full disk above all, comes out as a BagError."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise BagError(f"{self._path}: cannot be written: {reason}") from error

    def copy(
        self, connection: Connection, stamp_ns: int, data: bytes, typestore_of: Callable[[Connection], Typestore]
    ) -> None:
        """Append a serialized message of another bag, of whatever type, as it is.

        Args:
            connection: Of the other bag.
            stamp_ns: When it was recorded.
            data: The message.
            typestore_of: Tells the types of a connection, where the other bag does not carry their definition.

        Raises:
            BagError: Nobody knows the type.
        """
        topic, name = connection.topic, connection.msgtype
        written = self._connections.get((topic, name))
        if written is None:
            whole = bool(connection.digest) and connection.msgdef.format != MessageDefinitionFormat.NONE
            extra: Any = connection.ext if isinstance(connection.ext, ConnectionExtRosbag2) else None
            written = self._writer.add_connection(
                topic,
                name,
                typestore=None if whole else typestore_of(connection),
                msgdef=connection.msgdef.data if whole else None,
                rihs01=connection.digest if whole else None,
                serialization_format=extra.serialization_format if extra else "cdr",
                offered_qos_profiles=extra.offered_qos_profiles if extra else (),
            )
            self._connections[topic, name] = written
        with self._faults():
            self._writer.write(written, stamp_ns, data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._faults():
                self._writer.__exit__(kind, error, traceback)
                if kind is None:
                    if self._path.exists():
                        raise BagError(f"{self._path}: was made by another program meanwhile; choose another path")
                    self._writer.path.rename(self._path)
        finally:
            shutil.rmtree(self._workspace, ignore_errors=True)


def write_recording(
    recording: Recording,
    path: Path | str,
    *,
    storage: str = "mcap",
    frame_id: str = "camera",
    start_ns: int = START_NS,
    cameras: Mapping[str, tuple[str, Recording]] | None = None,
) -> None:
    """Write a recording as a bag with its skeletons and its true actions, in the order of time.

    A person whose joints are all NaN in a frame is left out of its message.

    Args:
        recording: Its stamps, in seconds, are counted from `start_ns`.
        path: The bag's directory, which must not exist.
        storage: "mcap" or "sqlite3".
        frame_id: The frame of the positions.
        start_ns: When second 0 was, in nanoseconds since the epoch.
        cameras: What further cameras saw of the same: topic -> frame of the positions, and recording.

    Raises:
        BagError: The path exists, or the storage is unknown.
    """
    types = bag_message_types()

    def skeletons(topic: str, frame_id: str, recording: Recording) -> Iterator[tuple[int, str, Any]]:
        for index, seconds in enumerate(recording.stamps):
            people = [
                Person(person_id, recording.layout, joints[index])
                for person_id, joints in recording.joints.items()
                if not np.isnan(joints[index]).all()
            ]
            stamp_ns = start_ns + seconds_to_ns(seconds)
            yield stamp_ns, topic, skeletons_to_message(types, stamp_ns, frame_id, recording.layout, people)

    def truth() -> Iterator[tuple[int, str, Any]]:
        for number, segment in enumerate(sorted(recording.segments, key=lambda segment: segment.end)):
            end_ns = start_ns + seconds_to_ns(segment.end)
            message = truth_to_message(
                types,
                frame_id=frame_id,
                event_id=f"truth_{number}",
                person_id=segment.person_id,
                action=segment.action,
                start_ns=start_ns + seconds_to_ns(segment.start),
                end_ns=end_ns,
            )
            yield end_ns, TRUTH, message

    streams = [truth(), skeletons(SKELETONS, frame_id, recording)]
    streams += [skeletons(topic, frame, other) for topic, (frame, other) in (cameras or {}).items()]
    with BagWriter(path, storage=storage) as writer:
        for stamp_ns, topic, message in heapq.merge(*streams, key=lambda entry: entry[0]):
            writer.write(topic, stamp_ns, message)


def seconds_to_ns(seconds: float) -> int:
    """Nanoseconds, rounded."""
    return round(float(seconds) * 1e9)


def _type_name(message: Any) -> str:
    """Such as "usdrl_ros/msg/ActionEvent", of a message of rosbags or of rclpy."""
    kind = type(message)
    return getattr(kind, "__msgtype__", None) or f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _copy(store: Typestore, message: Any, name: str) -> Any:
    """The message that rosbags can serialize, with the fields of one from elsewhere."""

    def convert(value: Any, description: Any) -> Any:
        kind, detail = description
        if kind == Nodetype.NAME:
            return _copy(store, value, detail)
        if kind == Nodetype.BASE:
            return value
        element = detail[0]
        if element[0] == Nodetype.BASE and element[1][0] != "string":
            return np.asarray(value, dtype={"octet": "uint8", "byte": "uint8"}.get(element[1][0], element[1][0]))
        return [convert(item, element) for item in value]

    fields = store.fielddefs[name][1]
    return store.types[name](**{field: convert(getattr(message, field), description) for field, description in fields})
