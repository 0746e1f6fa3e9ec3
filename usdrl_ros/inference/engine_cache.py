"""Built TensorRT engines on disk, found by what they were built from and for.

A file is one line of JSON (what the engine was built from and for, its largest batch, its size, its hash) and then the
engine as TensorRT serialised it. An engine is code that runs in this process, so a file is refused that is damaged or
that another user may have written. Files may be deleted at any time; a missing engine is built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FORMAT = 1
"""Version of the files and of how engines are built; a higher one makes all engines be built again."""


class CacheError(Exception):
    """A file of the cache cannot be used or written; the message says why."""


@dataclass(frozen=True)
class EngineKey:
    """What an engine was built from and for; it serves for nothing else.

    Args:
        model: SHA-256 of the model file.
        library: TensorRT and its version.
        gpu: Name of the GPU; for TensorRT-RTX, whose engines serve all of a kind, the compute capability.
        precision: "fp16" or "fp32".
    """

    model: str
    library: str
    gpu: str
    precision: str

    def as_dict(self) -> dict[str, Any]:
        """What the file's first line says of it."""
        return {"format": _FORMAT, **asdict(self)}

    def file_name(self, stem: str) -> str:
        """Name of its file: readable, and different for each key."""
        digest = hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]
        return file_name(stem, self.library, self.gpu, self.precision, digest, suffix=".engine")


def file_name(*parts: str, suffix: str) -> str:
    """A file name of these parts, without characters that a shell or a file system treats in a special way."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts)) + suffix


def cache_directory() -> Path:
    """The default directory of engines: `usdrl_ros` in XDG_CACHE_HOME, by default ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification ignores paths that are not absolute.
    return (Path(root) if os.path.isabs(root) else Path("~/.cache").expanduser()) / "usdrl_ros"


def read_trusted(path: Path) -> bytes:
    """Content of a file that nobody but this user and root could have written.

    Raises:
        FileNotFoundError: There is no such file.
        CacheError: It cannot be read, or another user may write to it or to its directory.
    """
    try:
        with path.open("rb") as file:
            for place, found in ((path, os.fstat(file.fileno())), (path.parent, path.parent.stat())):
                _check_trusted(place, found)
            return file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error}") from error


def _check_trusted(path: Path, found: os.stat_result) -> None:
    user = os.geteuid()
    if found.st_uid not in (0, user):
        raise CacheError(
            f"{path} belongs to the user {found.st_uid}, not to this one ({user}), so engines there are not trusted: "
            "remove it, or name another directory for engines"
        )
    # In a directory with the sticky bit, as /tmp, others cannot replace files.
    guarded = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not guarded:
        raise CacheError(
            f"other users may write to {path} (mode {stat.S_IMODE(found.st_mode):04o}), so engines there are not "
            f"trusted: chmod go-w {path}"
        )


def read_plan(path: Path, key: EngineKey, max_batch: int) -> bytes:
    """The engine in a file, if it takes batches as large as this.

    Raises:
        FileNotFoundError: There is no such file.
        CacheError: It cannot be read, is not trusted, is cut off or damaged, or was built from or for something else.
    """
    content = read_trusted(path)
    line, _, plan = content.partition(b"\n")
    try:
        header = json.loads(line)
        built, largest, size, digest = header["key"], int(header["max_batch"]), header["size"], header["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise CacheError(f"engine {path} was not written by this program, or is damaged") from error
    if built != key.as_dict():
        expected = key.as_dict()
        found = built if isinstance(built, dict) else {}
        other = [
            f"{name} {found.get(name)}, here {value}" for name, value in expected.items() if found.get(name) != value
        ]
        raise CacheError(f"engine {path} was built for another use: {'; '.join(other)}")
    if largest < max_batch:
        raise CacheError(f"engine {path} was built for batches of up to {largest}, here {max_batch}")
    if len(plan) != size:
        raise CacheError(f"engine {path} is cut off: it has {len(plan)} bytes of {size}")
    if hashlib.sha256(plan).hexdigest() != digest:
        raise CacheError(
            f"engine {path} is damaged: its content does not have the hash that it had when it was written"
        )
    return plan


def write_plan(path: Path, key: EngineKey, max_batch: int, plan: bytes) -> None:
    """Write an engine, built for batches of up to this, to its file, whole or not at all.

    Other processes may read or write it at the same time.

    Raises:
        CacheError: The disk is full, or the directory may not be written.
    """
    digest = hashlib.sha256(plan).hexdigest()
    header = {"key": key.as_dict(), "max_batch": max_batch, "size": len(plan), "sha256": digest}
    write_atomically(path, json.dumps(header).encode() + b"\n" + plan)


def ensure_writable(directory: Path) -> None:
    """Check before a long build that its engine can be kept.

    Raises:
        CacheError: Files cannot be made in the directory, nor can it be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise CacheError(f"directory {directory} cannot be written: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write content to a file, whole or not at all: beside it first, then moved into place.

    Raises:
        CacheError: The disk is full, or the directory may not be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a robot may be switched off at any moment
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise CacheError(f"{path} cannot be written: {error}") from error
