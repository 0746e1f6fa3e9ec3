"""What is wrong with a bag, found before it is read, in one line that says how to save what is in it."""

from __future__ import annotations

from pathlib import Path

from usdrl_ros.bags.types import BagError

STORAGE_SUFFIXES = (".mcap", ".db3")
_MCAP_MAGIC = b"\x89MCAP0\r\n"
_SQLITE_MAGIC = b"SQLite format 3\0"


def check_bag(path: Path) -> None:
    """Refuse what is no bag.

    Raises:
        BagError: The path is not there, or is neither a rosbag2 directory nor a storage file.
    """
    if not path.exists():
        raise BagError(f"{path}: no such bag")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise BagError(
            f"{path}: no metadata.yaml: not a rosbag2 bag, or its recording was interrupted "
            f"(then 'ros2 bag reindex {path}' makes it)"
        )
    if not path.is_dir() and (path.suffix not in STORAGE_SUFFIXES or not path.is_file()):
        raise BagError(f"{path}: not a bag: expected a rosbag2 directory, or a file .mcap or .db3")


def check_whole(bag: Path, file: Path) -> None:
    """Refuse a storage file that was cut off, or whose last part is still in a journal beside it.

    Raises:
        BagError: It is not whole.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(100)
        stream.seek(max(0, size - len(_MCAP_MAGIC)))
        tail = stream.read()
    cut_off = size == 0
    if file.suffix == ".mcap":
        cut_off |= _MCAP_MAGIC.startswith(head[:8]) and tail != _MCAP_MAGIC
        advice = f"'mcap recover {file.name} -o WHOLE.mcap' saves what is in it"
    else:
        cut_off |= _SQLITE_MAGIC.startswith(head[:16]) and size < _database_size(head)
        advice = f"'sqlite3 {file.name} .recover | sqlite3 WHOLE.db3' saves what is in it"
        for journal in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-journal")):
            if journal.is_file() and journal.stat().st_size:
                raise BagError(
                    f"{bag}: its recording was interrupted, a part is still in {journal.name}; "
                    f"open {file.name} once with the sqlite3 program to merge it"
                )
    if cut_off:
        raise BagError(f"{bag}: cut off: {file.name} stops after {size} bytes, its end is missing; {advice}")


def unreadable(bag: Path, error: Exception, where: str = "") -> BagError:
    """The error for what rosbags, a decoder or the operating system raised on a bag."""
    if isinstance(error, BagError):
        return error
    reason = " ".join(str(error).split()).removesuffix("; please report issue.")[:300] or type(error).__name__
    if isinstance(error, KeyError):
        reason = f"unknown key {reason}"
    return BagError(f"{bag}: damaged or not supported{where}: {reason}")


def _database_size(head: bytes) -> int:
    """Bytes of an SQLite database by its header; 0 where it does not say (https://sqlite.org/fileformat2.html)."""
    if len(head) < 100:
        return 100
    pages = int.from_bytes(head[28:32], "big")
    page_size = int.from_bytes(head[16:18], "big")
    known = head[24:28] == head[92:96]
    return pages * (65536 if page_size == 1 else page_size) if known else 0
