"""The storage files of a bag, joined into one stream.

The storage files hold the truth of a bag; metadata.yaml says which they are, how they are
compressed, and how many messages there should be. It may differ in the rest: people edit its QoS
for playback, converted and old bags have it so, and `ros2 bag reindex` leaves counts of zero and no
storage identifier (ros2/rosbag2#2175). So topics are those of the storage files, paired by name and
type; `ros2 bag play` reads such bags, too.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2 import Reader

from usdrl_ros.bags.damage import STORAGE_SUFFIXES, check_whole
from usdrl_ros.bags.interrupted import complete
from usdrl_ros.bags.types import BagError
from usdrl_ros.configuration import ConfigurationError, read_yaml

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # rosbags needs it, too

UNFINISHED = "usdrl_ros.unfinished"
"""Key of metadata.yaml's custom_data in a bag that is being recorded, or whose recorder was killed."""
METADATA_LIMIT = 64 * 2**20
"""Bytes of a metadata.yaml, at most: a long recording in small parts has a large one."""
_COMPRESSIONS = ("", "none", "message", "file")
_STORAGES = ("mcap", "sqlite3")


@dataclass(frozen=True)
class Metadata:
    """What metadata.yaml says of a bag.

    Args:
        files: Names of the storage files, in order.
        compression: "", "message" or "file" (always zstd).
        counts: Messages that each topic should have; absent where it says 0 or nothing.
        latched: Topics whose last message late subscribers get.
        hashes: The hash of each type's definition (REP 2011); absent where it is not noted.
        unfinished: Whether our recorder did not come to close the bag.
    """

    files: tuple[str, ...]
    compression: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    latched: frozenset[str] = frozenset()
    hashes: Mapping[str, str] = field(default_factory=dict)
    unfinished: bool = False


def read_metadata(bag: Path) -> Metadata:
    """Read a bag's metadata.yaml.

    Raises:
        BagError: It cannot be read, names no storage file that is there, or wants what is not supported.
    """
    try:
        file = bag / "metadata.yaml"
        size = min(file.stat().st_size, METADATA_LIMIT)
        content = read_yaml(file, max_bytes=size)["rosbag2_bagfile_information"]
        storage = str(content.get("storage_identifier") or "")
        files = tuple(PurePosixPath(str(file)).name for file in content["relative_file_paths"])
        format_, compression = (str(content.get(f"compression_{key}") or "").lower() for key in ("format", "mode"))
        topics = [(entry["topic_metadata"], entry["message_count"]) for entry in content["topics_with_message_count"]]
        counts: Counter[str] = Counter()
        for topic, count in topics:
            counts[str(topic["name"])] += int(count)
        latched = frozenset(str(topic["name"]) for topic, _ in topics if _is_latched(topic))
        unfinished = UNFINISHED in (content.get("custom_data") or {})
        hashes = {str(topic["type"]): str(topic.get("type_description_hash") or "") for topic, _ in topics}
    except ConfigurationError as error:
        raise BagError(f"{bag}: damaged or not supported: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else "is no description of a bag"
        raise BagError(
            f"{bag}: damaged or not supported: metadata.yaml {reason}; move it away, and 'ros2 bag reindex {bag}' "
            f"makes it again"
        ) from error
    if storage not in ("", *_STORAGES):
        raise BagError(f"{bag}: its storage '{storage[:80]}' is not supported, expected one of {', '.join(_STORAGES)}")
    if compression not in _COMPRESSIONS or (compression in ("message", "file") and format_ != "zstd"):
        raise BagError(f"{bag}: its compression '{format_[:80]}' ({compression[:80]}) is not supported, expected zstd")
    missing = [file for file in files if not (bag / file).is_file()]
    if missing or not files:
        names = ", ".join(missing) or "any"
        raise BagError(f"{bag}: a part is missing: metadata.yaml names {names}, which is not in the directory")
    return Metadata(files, compression.replace("none", ""), +counts, latched, hashes, unfinished)


def _is_latched(topic: Mapping[str, Any]) -> bool:
    """Whether the QoS that metadata.yaml notes of a topic is transient local, as text, as numbers or as words."""
    profiles = topic.get("offered_qos_profiles") or ""
    text = profiles if isinstance(profiles, str) else "\n".join(f"durability: {p['durability']}" for p in profiles)
    durabilities = [line.partition(":")[2].strip() for line in text.splitlines() if "durability:" in line]
    return any(durability.lower() in ("1", "transient_local") for durability in durabilities)


class Storage:
    """The open storage files of a bag; a context manager.

    Args:
        bag: A directory with metadata.yaml, or one storage file.

    Attributes:
        metadata: What metadata.yaml says; of a storage file without one, its name alone.
        connections: One for each topic and type, with the count of its messages in all files.

    Raises:
        BagError: On entering: a file is missing, or not whole.
        Exception: On entering and on reading: whatever rosbags raises on damaged data.
    """

    def __init__(self, bag: Path) -> None:
        self._bag = bag
        self.metadata = Metadata((bag.name,))
        self.connections: list[Connection] = []

    def __enter__(self) -> Storage:
        folder = self._bag.parent
        if self._bag.is_dir():
            folder, self.metadata = self._bag, read_metadata(self._bag)
        with ExitStack() as stack:
            paths = [folder / name for name in self.metadata.files]
            if self.metadata.compression == "file":
                paths = _decompress(paths, Path(stack.enter_context(TemporaryDirectory(prefix="usdrl_bag_"))))
            if self.metadata.unfinished:
                copies = Path(stack.enter_context(TemporaryDirectory(prefix="usdrl_bag_")))
                paths = [complete(path, copies) for path in paths]
            for path in paths:
                if path.suffix not in STORAGE_SUFFIXES:
                    raise BagError(f"{self._bag}: {path.name} is no storage file, expected .mcap or .db3")
                check_whole(self._bag, path)
            self._readers = [stack.enter_context(Reader(path)) for path in paths]
            self._stack = stack.pop_all()
        # A reindexed bag may name its files in another order than they were recorded in.
        self._readers.sort(key=lambda reader: reader.start_time)
        merged: dict[tuple[str, str], Connection] = {}
        for reader in self._readers:
            for found in reader.connections:
                first = merged.get((found.topic, found.msgtype))
                count = found.msgcount + (first.msgcount if first else 0)
                digest = found.digest or self.metadata.hashes.get(found.msgtype, "")  # MCAP has no place for it
                merged[found.topic, found.msgtype] = (first or found)._replace(msgcount=count, digest=digest)
        self.connections = list(merged.values())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def duration_ns(self) -> int:
        """Nanoseconds from the first message to the last."""
        times = [(reader.start_time, reader.end_time) for reader in self._readers if reader.message_count]
        return max(end for _, end in times) - min(start for start, _ in times) if times else 0

    def is_latched(self, topic: str) -> bool:
        """Whether late subscribers of a topic got its last message."""
        return topic in self.metadata.latched or any(
            qos.durability.name == "TRANSIENT_LOCAL"
            for connection in self.connections
            if connection.topic == topic and isinstance(connection.ext, ConnectionExtRosbag2)
            for qos in connection.ext.offered_qos_profiles
        )

    def messages(self, connections: list[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield (connection, record stamp in ns, serialized message) of some of the connections, in order of time."""
        wanted = {(connection.topic, connection.msgtype): connection for connection in connections}
        packed = self.metadata.compression == "message"
        for reader in self._readers:
            own = [each for each in reader.connections if (each.topic, each.msgtype) in wanted]
            for found, stamp_ns, data in reader.messages(own) if own else ():
                data = zstd.decompress(data) if packed else bytes(data)
                yield wanted[found.topic, found.msgtype], stamp_ns, data


def _decompress(files: list[Path], folder: Path) -> list[Path]:
    """Copies of compressed files, decompressed: `one.db3.zstd` becomes `one.db3`."""
    copies = []
    for file in files:
        copy = folder / file.name.removesuffix(".zstd")
        with zstd.open(file, "rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        copies.append(copy)
    return copies
