"""Storage files whose recording was interrupted, completed in a copy: the recording may still go on.

An MCAP file gets its end, with an index of the chunks that are whole (https://mcap.dev/spec); what follows them is
left out. In an sqlite3 file the transaction that was not finished is rolled back, as SQLite does it
(https://sqlite.org/atomiccommit.html).
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX, _DATA_END = 1, 2, 3, 4, 6, 7, 8, 15
_LARGEST_RECORD = 1 << 31


def complete(path: Path, folder: Path) -> Path:
    """A copy of a storage file in a folder, with what is whole of it; the same file where it is whole.

    Raises:
        OSError, sqlite3.Error: It cannot be read, or the copy cannot be written.
    """
    if path.suffix == ".mcap":
        return path if _ends_well(path) else _complete_mcap(path, folder / path.name)
    journals = [path.with_name(f"{path.name}{suffix}") for suffix in ("-journal", "-wal")]
    if not any(journal.is_file() and journal.stat().st_size for journal in journals):
        return path
    for file in (path, *journals):
        if file.is_file():
            shutil.copy(file, folder)
    copy = folder / path.name
    connection = sqlite3.connect(copy)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")  # reads, so that the journal is played back, and removed
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        connection.close()
    for journal in journals:  # one that is not hot belongs to a transaction that had not reached the database
        (folder / journal.name).unlink(missing_ok=True)
    return copy


def _ends_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_MAGIC)))
        return path.stat().st_size > len(_MAGIC) and file.read() == _MAGIC


@dataclass
class _Chunk:
    """A chunk record of a file and the message indexes that follow it."""

    start: int
    length: int
    body: bytes
    indexes: dict[int, int]
    end: int

    def index(self) -> bytes:
        """The body of its chunk index record."""
        first_ns, last_ns, size, _ = struct.unpack_from("<QQQI", self.body)
        (name_size,) = struct.unpack_from("<I", self.body, 28)
        name = self.body[32 : 32 + name_size]
        (compressed,) = struct.unpack_from("<Q", self.body, 32 + name_size)
        offsets = b"".join(struct.pack("<HQ", channel, offset) for channel, offset in self.indexes.items())
        return (
            struct.pack("<QQQQI", first_ns, last_ns, self.start, self.length, len(offsets))
            + offsets
            + struct.pack("<QI", self.end - self.start - self.length, name_size)
            + name
            + struct.pack("<QQ", compressed, size)
        )

    def definitions(self) -> Iterator[tuple[int, bytes]]:
        """The schemas and channels in it: kind and body. Our recorder does not compress."""
        (name_size,) = struct.unpack_from("<I", self.body, 28)
        place = 40 + name_size
        while place + 9 <= len(self.body):
            kind, size = struct.unpack_from("<BQ", self.body, place)
            if kind in (_SCHEMA, _CHANNEL):
                yield kind, self.body[place + 9 : place + 9 + size]
            place += 9 + size


def _complete_mcap(path: Path, copy: Path) -> Path:
    chunks: list[_Chunk] = []
    definitions: dict[tuple[int, bytes], bytes] = {}  # by kind and id
    with path.open("rb") as file:
        begin = file.read(len(_MAGIC))
        end = 0
        for kind, start, body in _records(file):
            if kind in (_SCHEMA, _CHANNEL):
                definitions[kind, body[:2]] = body
            elif kind == _CHUNK:
                chunks.append(_Chunk(start, file.tell() - start, body, {}, file.tell()))
            elif kind == _MESSAGE_INDEX and chunks:
                chunks[-1].indexes[struct.unpack_from("<H", body)[0]] = start
                chunks[-1].end = file.tell()
            elif kind in (_DATA_END, _FOOTER):
                break
            end = file.tell()
        for chunk in chunks:
            definitions |= {(kind, body[:2]): body for kind, body in chunk.definitions()}
    with path.open("rb") as source, copy.open("wb") as target:
        _copy(source, target, end)
        if not end and _MAGIC.startswith(begin):  # a recorder may die before the first record is on the disk
            target.write(_MAGIC)
            _write(target, _HEADER, struct.pack("<I4sI", 4, b"ros2", 0))
        _write(target, _DATA_END, struct.pack("<I", 0))
        summary = target.tell()
        for (kind, _), body in sorted(definitions.items()):
            _write(target, kind, body)
        for chunk in chunks:
            if chunk.indexes:
                _write(target, _CHUNK_INDEX, chunk.index())
        _write(target, _FOOTER, struct.pack("<QQI", summary, 0, 0))
        target.write(_MAGIC)
    return copy


def _records(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """The records that are whole: kind, where it starts, body."""
    while True:
        start = file.tell()
        head = file.read(9)
        if len(head) < 9:
            return
        kind, size = struct.unpack("<BQ", head)
        body = file.read(size) if size < _LARGEST_RECORD else b""
        if len(body) < size:
            return
        yield kind, start, body


def _write(file: BinaryIO, kind: int, body: bytes) -> None:
    file.write(struct.pack("<BQ", kind, len(body)) + body)


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    while size and (part := source.read(min(size, 1 << 20))):
        target.write(part)
        size -= len(part)
