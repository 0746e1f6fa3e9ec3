"""Skeletons and scores of a recording, on disk, so that one can look at any moment of it afterwards.

A recording of many hours does not fit in memory, and reading a bag twice would need its people's ids to come out the
same. So skeletons, five a second, and the model's probabilities are written to temporary files as they come.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import numpy as np

from usdrl_ros.actions.scores import Scores
from usdrl_ros.skeleton.person import Person

PERIOD_S = 0.2
"""Least time between two skeletons of a person that are kept."""
_BUFFERED = 256  # records written at a time


class _Table:
    """Records of one type in a temporary file, in the order in which they came."""

    def __init__(self, record: np.dtype) -> None:
        self._file = tempfile.TemporaryFile(prefix="usdrl_journal_")
        self._buffer = np.zeros(_BUFFERED, record)
        self._used = self._written = 0

    def add(self, *values: object) -> None:
        self._buffer[self._used] = values
        self._used += 1
        if self._used == _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        self._file.seek(0, 2)
        self._file.write(self._buffer[: self._used].tobytes())
        self._written += self._used
        self._used = 0

    def records(self) -> np.ndarray:
        """All, read from disk as they are looked at."""
        self._flush()
        self._file.flush()
        if not self._written:
            return self._buffer[:0]
        return np.memmap(self._file, self._buffer.dtype, "r", shape=(self._written,))

    def close(self) -> None:
        self._file.close()


class Journal:
    """Takes skeletons and scores; a context manager, empty again afterwards.

    Args:
        actions: The model's, in its order.
    """

    def __init__(self, actions: Sequence[str]) -> None:
        self.actions = tuple(actions)
        person = [("stamp_ns", np.int64), ("person", np.int32)]
        self._skeletons = _Table(np.dtype([*person, ("joints", np.float32, (25, 3))]))
        self._scores = _Table(np.dtype([*person, ("probability", np.float16, (len(actions),))]))
        self._people: dict[str, int] = {}
        self._last_ns: dict[int, int] = {}

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._skeletons.close()
        self._scores.close()

    def add_people(self, stamp_ns: int, people: Sequence[Person]) -> None:
        """Keep the people of a message, in NTU-25 as `Recognizer.observe` returns them, if it is time."""
        for person in people:
            number = self._people.setdefault(person.person_id, len(self._people))
            if 0 <= stamp_ns - self._last_ns.get(number, -(2**62)) < PERIOD_S * 1e9 * 0.98:
                continue
            self._last_ns[number] = stamp_ns
            self._skeletons.add(stamp_ns, number, person.joints)

    def add_scores(self, scores: Sequence[Scores]) -> None:
        """Keep the model's output in a step."""
        for each in scores:
            number = self._people.setdefault(each.person_id, len(self._people))
            self._scores.add(each.stamp_ns, number, each.detection[1:])

    def skeletons(self, person_id: str, begin_ns: int, end_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (n,) ns and NTU-25 joints (n, 25, 3), NaN unseen, of a person between two stamps, both included."""
        return self._between(self._skeletons.records(), "joints", person_id, begin_ns, end_ns)

    def scores(self, person_id: str, begin_ns: int, end_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (n,) ns and probabilities (n, K) of a person between two stamps, both included."""
        return self._between(self._scores.records(), "probability", person_id, begin_ns, end_ns)

    def most_seen(self, begin_ns: int, end_ns: int) -> str:
        """The person who was seen most between two stamps; "" if nobody was."""
        records = self._skeletons.records()
        stamps = records["stamp_ns"]
        there = records["person"][(stamps >= begin_ns) & (stamps <= end_ns)]
        if not len(there):
            return ""
        return list(self._people)[int(np.bincount(there).argmax())]

    def _between(
        self, records: np.ndarray, field: str, person_id: str, begin_ns: int, end_ns: int
    ) -> tuple[np.ndarray, np.ndarray]:
        stamps = records["stamp_ns"]
        number = self._people.get(person_id, -1)
        chosen = np.flatnonzero((stamps >= begin_ns) & (stamps <= end_ns) & (records["person"] == number))
        chosen = chosen[np.argsort(stamps[chosen], kind="stable")]
        return np.array(stamps[chosen]), np.array(records[field][chosen], np.float32)


@contextmanager
def optional_journal(actions: Sequence[str], wanted: bool) -> Iterator[Journal | None]:
    """A journal, or None where nobody will look at it."""
    if not wanted:
        yield None
        return
    with Journal(actions) as journal:
        yield journal
