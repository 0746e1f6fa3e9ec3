"""A bag's messages as they were recorded, serialized: what the replay node publishes without decoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2 import Reader

from usdrl_ros.evaluation.bags import BagError, read_messages, read_topics


@dataclass(frozen=True)
class RawTopic:
    """A topic of a bag: its message type, how many messages, and whether late subscribers got the last one."""

    type: str
    count: int
    latched: bool


class RawBag:
    """An open bag; a context manager.

    Args:
        path: A bag's directory, or one storage file (.mcap, .db3).

    Raises:
        BagError: On entering: the bag is missing, is none, or is seen to be damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).expanduser()

    def __enter__(self) -> RawBag:
        read_topics(self._path)  # refuses what is missing or cut off
        self._reader = Reader(self._path)
        self._reader.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def topics(self) -> dict[str, RawTopic]:
        """By name."""
        latched = {
            connection.topic
            for connection in self._reader.connections
            if isinstance(connection.ext, ConnectionExtRosbag2)
            for qos in connection.ext.offered_qos_profiles
            if qos.durability.name == "TRANSIENT_LOCAL"
        }
        return {
            name: RawTopic(info.msgtype or "several types", info.msgcount, name in latched)
            for name, info in sorted(self._reader.topics.items())
        }

    @property
    def duration_s(self) -> float:
        """Seconds from the first message to the last."""
        return self._reader.duration * 1e-9

    def check(self, topics: Collection[str]) -> None:
        """Look at the first message of each of the topics.

        Raises:
            BagError: One cannot be read, or was recorded with another definition of our types.
        """
        for topic in topics:
            next(read_messages(self._path, [topic]), None)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, record stamp in ns, serialized message) in the order of recording.

        Raises:
            BagError: The bag is damaged, after all that could be read.
        """
        connections = [connection for connection in self._reader.connections if connection.topic in topics]
        read: Counter[str] = Counter()
        source = self._reader.messages(connections)
        while True:
            try:
                connection, stamp_ns, data = next(source)
            except StopIteration:
                break
            except Exception as error:  # whatever rosbags and its decoders raise on damaged data
                reason = " ".join(str(error).split()) or type(error).__name__
                raise BagError(f"{self._path}: damaged after {read.total()} messages: {reason}") from error
            read[connection.topic] += 1
            yield connection.topic, stamp_ns, bytes(data)
        for topic, info in self.topics.items():
            if topic in topics and read[topic] != info.count:
                raise BagError(
                    f"{self._path}: {topic} should hold {info.count} messages, {read[topic]} were found: "
                    f"a part is missing"
                )
