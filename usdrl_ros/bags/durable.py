"""A bag that is written while it is recorded: whoever kills the recorder takes the last second of it, no more.

rosbags keeps up to a megabyte (MCAP) or everything (sqlite3) in memory until a bag is closed. Here what has come is
written out every `SYNC_S` seconds, and metadata.yaml is there from the start, with a mark that the bag is unfinished;
`usdrl_ros.bags.interrupted` reads such bags.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys.store import Typestore

from usdrl_ros.bags.storage import UNFINISHED
from usdrl_ros.bags.types import BagError
from usdrl_ros.files import atomic_file

SYNC_S = 0.5
"""Seconds of wall time that a message stays in memory at most, while `write` or `sync` is called often enough."""
_VERSION: Any = 9


class DurableWriter:
    """Write a bag as it is recorded; from one thread.

    Args:
        path: The bag's directory; its parents are made.
        storage: "mcap" or "sqlite3".

    Raises:
        BagError: The path exists, or cannot be written.
    """

    def __init__(self, path: Path, storage: str) -> None:
        self._path, self._storage = path, storage
        if path.exists():
            raise BagError(f"{path}: exists already; remove it or choose another path")
        self._writer = Writer(path, version=_VERSION, storage_plugin=StoragePlugin[storage.upper()])
        self._connections: list[Connection] = []
        self._synced_at = time.monotonic()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer.open()
            if storage == "sqlite3":  # nothing reaches the database but whole transactions
                self._files.conn.execute("PRAGMA cache_spill=OFF")
            else:
                self._files.bio.flush()
            self._write_metadata()
        except (OSError, sqlite3.Error, WriterError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BagError(f"{path}: cannot be written: {reason}") from error

    def add_connection(self, topic: str, kind: str, store: Typestore, qos: Sequence[Qos] = ()) -> Connection:
        """Add a topic.

        Raises:
            BagError: The bag cannot be written.
        """
        try:
            connection = self._writer.add_connection(topic, kind, typestore=store, offered_qos_profiles=list(qos))
            self._connections.append(connection)
            self._write_metadata()
        except (OSError, sqlite3.Error) as error:
            raise self._fault(error) from error
        return connection

    def write(self, connection: Connection, stamp_ns: int, data: bytes) -> None:
        """Append a serialized message.

        Raises:
            BagError: The bag cannot be written.
        """
        try:
            self._writer.write(connection, stamp_ns, data)
        except (OSError, sqlite3.Error) as error:
            raise self._fault(error) from error
        self.sync()

    def sync(self) -> None:
        """Write out what waits, if it has waited long enough; call it often.

        Raises:
            BagError: The bag cannot be written.
        """
        if time.monotonic() - self._synced_at < SYNC_S:
            return
        try:
            if self._storage == "sqlite3":
                self._files.conn.commit()
            else:
                if self._files.chunk.bio.tell():
                    self._files.close_chunk()
                self._files.bio.flush()
        except (OSError, sqlite3.Error) as error:
            raise self._fault(error) from error
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Finish the bag.

        Raises:
            BagError: It cannot be written; what has been written before stays readable.
        """
        try:
            self._writer.close()
        except (OSError, sqlite3.Error) as error:
            raise self._fault(error) from error

    def abort(self) -> None:
        """Leave the bag unfinished."""
        with suppress(OSError, sqlite3.Error):
            self._writer.abort()

    @property
    def _files(self) -> Any:
        """The storage of rosbags: its writers of MCAP and sqlite3 have no public way to write out what they hold."""
        return self._writer.storage

    def _write_metadata(self) -> None:
        topics = [
            {
                "topic_metadata": {
                    "name": connection.topic,
                    "type": connection.msgtype,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [],  # the storage has them
                    "type_description_hash": connection.digest,
                },
                "message_count": 0,
            }
            for connection in self._connections
        ]
        name = self._files.path.name
        span: dict[str, Any] = {"starting_time": {"nanoseconds_since_epoch": 0}, "duration": {"nanoseconds": 0}}
        content = {
            "version": _VERSION,
            "storage_identifier": self._storage,
            "relative_file_paths": [name],
            **span,
            "message_count": 0,
            "topics_with_message_count": topics,
            "compression_format": "",
            "compression_mode": "",
            "files": [{"path": name, **span, "message_count": 0}],
            "custom_data": {UNFINISHED: "true"},
            "ros_distro": "rosbags",
        }
        with atomic_file(self._path / "metadata.yaml") as beside:
            beside.write_text(yaml.safe_dump({"rosbag2_bagfile_information": content}, sort_keys=False), "utf-8")

    def _fault(self, error: Exception) -> BagError:
        reason = getattr(error, "strerror", None) or str(error)
        return BagError(f"{self._path}: cannot be written: {reason}; what was written before stays readable")
