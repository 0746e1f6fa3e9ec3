"""Files that are whole or as they were, and files from elsewhere that are read with care.

Written: beside their place, and moved into it when they are complete. A full disk, an error or an interruption leaves
the old file (or none), never half of a new one. A rename within a directory is atomic (POSIX, rename(2)); the data is
synchronised to the disk before it.

Read: what is no regular file (a FIFO would block for ever), what is too large, and what is no text is refused with one
line that names the cause.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEXT_LIMIT = 64 * 2**20
"""Bytes of a text file, at most."""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


class ReadError(Exception):
    """A file cannot be read. `str()` is one line that names the file and the reason."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: cannot be read: {reason}")


class WriteError(OSError):
    """A file cannot be written. `str()` is one line that names the file, the reason, and what to do."""

    def __init__(self, path: Path | str, cause: OSError) -> None:
        super().__init__(cause.errno or errno.EIO, cause.strerror or str(cause) or type(cause).__name__, str(path))

    def __str__(self) -> str:
        advice = "; make room and try again" if self.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return f"{self.filename}: cannot be written: {self.strerror}{advice}"


def expanded(path: Path | str) -> Path:
    """The path with ~ and ~user replaced by the home directory; as it is where there is no such user."""
    return Path(os.path.expanduser(path))


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give the path of a temporary file beside `path`; what the block has written there then becomes `path`.

    Use it with whatever writes by path (`torch.save`, `numpy.savez`, `figure.savefig`): the temporary file has the
    same suffix. A symbolic link stays, and the file that it points to is replaced. What is no regular file
    (/dev/stdout, a FIFO) is written to directly.

    Raises:
        WriteError: The file cannot be written; `path` is as it was.
    """
    final = Path(path)
    target = Path(os.path.realpath(final))
    try:
        found = target.stat() if target.exists() else None
        if found is not None and not stat.S_ISREG(found.st_mode):
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            yield final
            return
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        beside = Path(name)
        try:
            yield beside
            os.chmod(beside, stat.S_IMODE(found.st_mode) if found else 0o666 & ~_umask())
            _synchronise(beside)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, WriteError) or (error.filename and Path(error.filename).parent != target.parent):
            raise  # of another file than this one
        raise WriteError(final, error) from error


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        WriteError: It cannot be written; what was there still is.
    """
    with atomic_file(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all. Lone surrogates, which UTF-8 has no place for, become "?".

    Raises:
        WriteError: It cannot be written; what was there still is.
    """
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_json(path: Path | str, content: Any) -> None:
    """Write a JSON file, indented, whole or not at all; NaN and infinity are refused.

    Raises:
        WriteError: It cannot be written; what was there still is.
        ValueError: The content holds NaN or infinity.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Give a temporary directory beside `path`; the files that the block has written there are then moved into `path`.

    Other files in `path` stay; those of the same name are replaced, at the end, all together. Where the block fails,
    `path` is as it was.

    Raises:
        WriteError: Something cannot be written.
    """
    final = Path(path)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        workspace = Path(tempfile.mkdtemp(prefix=f".{final.name[:100]}.", dir=final.parent))
        try:
            yield workspace
            files = sorted(file for file in workspace.rglob("*") if file.is_file())
            for file in files:
                _synchronise(file)
            final.mkdir(exist_ok=True)
            for file in files:
                target = final / file.relative_to(workspace)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
    except OSError as error:
        if error.filename and final.parent.resolve() not in Path(error.filename).resolve().parents:
            raise  # of another file than those of this directory
        raise WriteError(final, error) from error


def _synchronise(file: Path) -> None:
    """Wait until the data is on the disk: some file systems report that they are full only then."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def read_bytes(path: Path | str, limit: int = TEXT_LIMIT) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        ReadError: It is not there, is no regular file, is larger, or cannot be read.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise ReadError(path, f"it is {_KINDS.get(stat.S_IFMT(found.st_mode), 'a device')}, expected a file")
        if found.st_size > limit:
            raise ReadError(path, f"it is larger than {limit / 2**20:g} MB")
        with open(path, "rb") as stream:
            return stream.read(found.st_size)
    except OSError as error:
        raise ReadError(path, error.strerror or str(error)) from error
    except ValueError as error:  # a NUL in the path
        raise ReadError(path, str(error)) from error


def read_text(path: Path | str, limit: int = TEXT_LIMIT) -> str:
    """The text of a UTF-8 file, or of a UTF-16 file that begins with a byte order mark, as spreadsheets write them.

    Raises:
        ReadError: As `read_bytes`; also where it is no such text.
    """
    content = read_bytes(path, limit)
    encoding = "utf-8"
    for mark, name in _MARKS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], name
            break
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ReadError(path, f"it is no UTF-8 text (line {line}); save it as UTF-8") from error
