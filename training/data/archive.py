"""A data set prepared for training: one directory whose joints are memory-mapped, so that it need not fit in memory.

    archive.json   name, actions, joint set, people, version
    index.npz      the recordings and their segments (plain arrays)
    joints.f32     (F, M, V, 3) float32: all recordings' frames, one after another; NaN where unseen
    stamps.f64     (F,) float64: seconds, on each recording's own clock

Joints are in NTU-25 order, metres, in the frame that they were recorded in; those of 2D sets stay in their own layout
(V = 17: x, y, score). Frames in which the main person is not there are left out.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from training.data.errors import DatasetError
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.layouts import load_layout

VERSION = 1
FARTHEST_M = 100.0
"""No camera sees a person's joints from farther away."""
FROZEN_FRAMES = 30
"""A recording of this many frames in which no joint moves at all is no recording of a person."""
SEGMENT = np.dtype(
    [
        ("recording", np.int64),
        ("first", np.int64),
        ("length", np.int64),
        ("action", np.int64),
        ("start", np.float64),
        ("end", np.float64),
    ]
)
"""A segment: its recording, first frame in the archive and number of frames, action, seconds on the stamps' clock."""


@dataclass(frozen=True)
class Clips:
    """Pieces of an archive's recordings, all arrays (C,): first frame, frames, action (-1: none), recording."""

    first: np.ndarray
    length: np.ndarray
    label: np.ndarray
    recording: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def select(self, choice: np.ndarray) -> Clips:
        """Some of them, by indices or by a mask (C,)."""
        return Clips(self.first[choice], self.length[choice], self.label[choice], self.recording[choice])


class Archive:
    """A prepared data set, opened for reading.

    Attributes:
        name, actions: Of the data set; the actions in the order of their class numbers.
        joints: (F, M, V, 3) memory map.
        stamps: (F,) memory map, seconds.
        names, persons, views: (R,) strings, of each recording.
        first, length: (R,) frames of each recording.
        labelled: (R,) whether the true actions of a recording are known; where not, it serves pretraining alone.
        segments: (S,) of `SEGMENT`.
    """

    def __init__(self, directory: Path | str) -> None:
        """Open.

        Raises:
            DatasetError: The directory holds no archive, or one that is damaged.
        """
        self.directory = Path(directory)
        header_file = self.directory / "archive.json"
        if not header_file.is_file():
            raise DatasetError(
                f"{self.directory} holds no archive; write one with `python -m training.prepare SET --root DATA "
                f"--output {self.directory}`"
            )
        try:
            header = json.loads(header_file.read_text(encoding="utf-8"))
            if header["version"] != VERSION:
                raise DatasetError(
                    f"{header_file} is of version {header['version']}, expected {VERSION}: prepare it again"
                )
            self.name, self.actions = str(header["name"]), tuple(header["actions"])
            self.dimensions = int(header["dimensions"])
            shape = (int(header["frames"]), int(header["people"]), int(header["joints"]), 3)
            self.joints = np.memmap(self.directory / "joints.f32", np.float32, "r", shape=shape)
            self.stamps = np.memmap(self.directory / "stamps.f64", np.float64, "r", shape=shape[:1])
            with np.load(self.directory / "index.npz", allow_pickle=False) as stored:
                index = dict(stored)
            self.names, self.persons, self.views = (index[key] for key in ("names", "persons", "views"))
            self.first, self.length, self.segments = (index[key] for key in ("first", "length", "segments"))
            self.labelled = index.get("labelled", np.ones(len(self.names), bool))  # missing in archives before 0.2
            self._protocols = {key.partition(":")[2]: index[key] for key in index if key.startswith("protocol:")}
        except DatasetError:
            raise
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise DatasetError(f"the archive {self.directory} is damaged ({error}): prepare it again") from error
        self._check_index()

    def __len__(self) -> int:
        """Recordings."""
        return len(self.names)

    def _check_index(self) -> None:
        """Refuse an index that does not fit its frames.

        Raises:
            DatasetError: Names the recording.
        """
        frames, count = len(self.stamps), len(self.names)
        for name, expected in (("joints.f32", self.joints.nbytes), ("stamps.f64", self.stamps.nbytes)):
            if (size := (self.directory / name).stat().st_size) != expected:
                raise self._damage(f"{name} has {size} bytes, expected {expected}")
        ends = self.first + self.length
        if bad := np.flatnonzero((self.first < 0) | (self.length < 2) | (ends > frames)).tolist():
            raise self._damage(f"recording '{self.names[bad[0]]}' has frames that are not there")
        segments = self.segments
        stray = (segments["recording"] < 0) | (segments["recording"] >= count)
        if stray.any():
            raise self._damage(f"a segment is of recording {segments['recording'][stray][0]}, of {count}")
        owner = segments["recording"]
        beyond = (segments["first"] < self.first[owner]) | (segments["length"] < 1)
        beyond |= segments["first"] + segments["length"] > ends[owner]
        unknown = (segments["action"] < 0) | (segments["action"] >= len(self.actions))
        for wrong, fault in ((beyond, "has frames that are not its recording's"), (unknown, "has no known action")):
            if wrong.any():
                raise self._damage(f"a segment of recording '{self.names[owner[wrong][0]]}' {fault}")

    def _damage(self, fault: str) -> DatasetError:
        return DatasetError(f"the archive {self.directory} is damaged: {fault}: prepare it again")

    def check(self) -> None:
        """Look at all content: what is infinite, out of range or frozen would train silently to nonsense.

        Raises:
            DatasetError: Names the first recording of that kind, and what is wrong with it.
        """
        for index in range(len(self)):
            stamps, joints, _ = self.recording_of(index)
            if fault := _content_fault(stamps, joints, self.dimensions):
                raise DatasetError(f"the archive {self.directory}: recording '{self.names[index]}' {fault}")

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the splits that the archive knows, the data set's usual one first."""
        return tuple(self._protocols)

    def split(self, protocol: str | None = None, part: str = "train") -> np.ndarray:
        """Indices of the recordings of one part, "train" or "test", of a protocol (None: the data set's first).

        Raises:
            DatasetError: The archive has no such protocol, or nothing is in that part of it.
        """
        if protocol is None:
            if not self._protocols:
                raise DatasetError(f"{self.name} ({self.directory}) is not split: name its test people")
            protocol = self.protocols[0]
        if protocol not in self._protocols:
            raise DatasetError(
                f"{self.name} ({self.directory}) has no split '{protocol}'; it has "
                f"{', '.join(self.protocols) or 'none'}"
            )
        found = np.flatnonzero(self._protocols[protocol] == part)
        if not len(found):
            raise DatasetError(f"no recording of {self.directory} is in the part '{part}' of its split '{protocol}'")
        return found

    def labelled_only(self, recordings: np.ndarray) -> np.ndarray:
        """Those of some recordings (indices) whose true actions are known."""
        return recordings[self.labelled[recordings]]

    def of_people(self, people: Sequence[str]) -> np.ndarray:
        """Mask (R,) of the recordings of some people.

        Raises:
            DatasetError: There is no recording of one of them.
        """
        if missing := sorted(set(people) - set(self.persons.tolist())):
            there = ", ".join(sorted(set(self.persons.tolist())))
            raise DatasetError(f"{self.name} has no recording of {', '.join(missing)}; there are {there}")
        return np.isin(self.persons, list(people))

    def clips(self, recordings: np.ndarray | None = None) -> Clips:
        """The labelled segments of some recordings (indices; None: of all)."""
        chosen = self.segments
        if recordings is not None:
            chosen = chosen[np.isin(chosen["recording"], recordings)]
        return Clips(chosen["first"], chosen["length"], chosen["action"], chosen["recording"])

    def windows(self, recordings: np.ndarray, span_s: float) -> Clips:
        """Unlabelled pieces of `span_s` seconds, one after another, of whole recordings; shorter ones are one piece."""
        pieces = []
        for recording in recordings:
            first, length = int(self.first[recording]), int(self.length[recording])
            stamps = self.stamps[first : first + length]
            count = max(int((stamps[-1] - stamps[0]) // span_s), 1)
            edges = np.searchsorted(stamps, stamps[0] + span_s * np.arange(count))
            for start, stop in zip(edges, [*edges[1:], length], strict=True):
                if stop - start >= 2:
                    pieces.append((first + start, stop - start, -1, recording))
        return Clips(*np.array(pieces, np.int64).reshape(-1, 4).T)

    def recording_of(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One recording: stamps (T,), joints (T, M, V, 3), and its segments."""
        frames = slice(int(self.first[index]), int(self.first[index] + self.length[index]))
        return self.stamps[frames], self.joints[frames], self.segments[self.segments["recording"] == index]


def _content_fault(stamps: np.ndarray, joints: np.ndarray, dimensions: int) -> str:
    """What is wrong with a recording's stamps (T,) and joints (T, M, V, 3), in words; "" if nothing is."""
    if not (np.isfinite(stamps).all() and (np.diff(stamps) > 0.0).all()):
        return "has stamps that do not increase"
    if np.isinf(joints).any():
        return f"has infinite joints (frame {int(np.isinf(joints).any((1, 2, 3)).argmax())})"
    seen = joints[np.isfinite(joints)]
    if not len(seen):
        return "shows nobody: all joints are unseen"
    if dimensions == 3 and (farthest := float(np.abs(seen).max())) > FARTHEST_M:
        return f"has a joint {farthest:g} m away, farther than {FARTHEST_M:g} m: are the positions in metres?"
    if len(joints) >= FROZEN_FRAMES and np.array_equal(joints[:-1], joints[1:], equal_nan=True):
        return f"is frozen: all {len(joints)} frames are the same"
    return ""


class ArchiveWriter:
    """Write an archive; it appears, whole, when the context ends without an exception."""

    def __init__(
        self,
        directory: Path | str,
        *,
        name: str,
        actions: Sequence[str],
        people: int = 1,
        joints: int = 25,
        dimensions: int = 3,
    ) -> None:
        """Prepare to write.

        Args:
            directory: Where the archive is to be; an archive that is there is replaced.
            name: Of the data set.
            actions: Its actions, in the order of their class numbers.
            people: M. 1: each person of a recording is a recording of their own; 2: the first two belong together.
            joints: V: 25, to which all layouts are mapped, or 17 (2D sets, which are kept as they are).
            dimensions: 3, or 2 where the third coordinate is a score.

        Raises:
            DatasetError: The directory is there and holds something else than an archive.
        """
        self.directory = Path(directory)
        if self.directory.exists() and not (self.directory / "archive.json").is_file():
            if not self.directory.is_dir() or any(self.directory.iterdir()):
                raise DatasetError(f"{self.directory} exists and is no archive: choose another place or remove it")
        self._name, self._actions = name, tuple(actions)
        self._people, self._joints, self._dimensions = people, joints, dimensions
        self._frames = 0
        self._recordings: list[tuple[str, str, str, int, int, bool]] = []
        self._segments: list[tuple[int, int, int, int, float, float]] = []
        self._protocols: list[Mapping[str, str]] = []

    def __enter__(self) -> ArchiveWriter:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(prefix=f".{self.directory.name}.", dir=self.directory.parent))
        self._joints_file = (self._temporary / "joints.f32").open("wb")
        self._stamps_file = (self._temporary / "stamps.f64").open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._joints_file.close()
        self._stamps_file.close()
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def add(self, recording: Recording, protocols: Mapping[str, str] | None = None) -> list[str]:
        """Append a recording, with the part of each protocol that it is in ("train", "test" or "").

        Returns:
            What could not be kept, in words: a person who is hardly seen, a segment that is shorter than two frames, or
            of somebody who is absent or the second of two.

        Raises:
            DatasetError: Nothing of the recording can be used, or a label is not among the actions.
        """
        unknown = {segment.action for segment in recording.segments} - set(self._actions)
        if unknown:
            raise DatasetError(f"{recording.name}: no action of {self._name} is called {', '.join(sorted(unknown))}")
        joints = {person: self._mapped(recording, values) for person, values in recording.joints.items()}
        people = list(joints)
        groups = [people[: self._people]] if self._people > 1 else [[person] for person in people]
        main = {group[0] for group in groups}
        complaints = [
            f"the segment '{segment.action}' at {segment.start:g} s is of '{segment.person_id}', "
            "who is not the main person"
            for segment in recording.segments
            if segment.person_id not in main
        ]
        kept = 0
        for group in groups:
            there = np.isfinite(joints[group[0]]).any((1, 2))
            if there.sum() < 2:
                complaints.append(f"'{group[0]}' is seen in {there.sum()} frames, fewer than 2")
                continue
            if fault := _content_fault(recording.stamps[there], joints[group[0]][there][:, None], self._dimensions):
                complaints.append(f"'{group[0]}' {fault}")
                continue
            stacked = np.full((int(there.sum()), self._people, self._joints, 3), np.nan, np.float32)
            for slot, person in enumerate(group):
                stacked[:, slot] = joints[person][there]
            name = recording.name if len(groups) == 1 else f"{recording.name}/{group[0]}"
            segments = [segment for segment in recording.segments if segment.person_id == group[0]]
            complaints += self._append(name, recording, recording.stamps[there], stacked, segments)
            self._protocols.append(dict(protocols or {}))
            kept += 1
        if not kept:
            raise DatasetError(f"{recording.name}: {'; '.join(complaints) or 'nobody is in it'}")
        return complaints

    def _mapped(self, recording: Recording, joints: np.ndarray) -> np.ndarray:
        if self._dimensions == 3:
            joints = load_layout(recording.layout).to_ntu25(joints)[0]
        if joints.shape[1] != self._joints:
            raise DatasetError(f"{recording.name} has {joints.shape[1]} joints, {self._name} {self._joints}")
        return joints

    def _append(
        self, name: str, recording: Recording, stamps: np.ndarray, joints: np.ndarray, segments: Sequence[Segment]
    ) -> list[str]:
        complaints = []
        index = len(self._recordings)
        for segment in sorted(segments, key=lambda s: s.start):
            begin, stop = np.searchsorted(stamps, [segment.start, segment.end])
            if len(segments) == 1 and segment.end >= stamps[-1]:
                stop = len(stamps)  # a trimmed clip: its last frame is at its end
            if stop - begin < 2:
                complaints.append(f"the segment '{segment.action}' at {segment.start:g} s has {stop - begin} frames")
                continue
            action = self._actions.index(segment.action)
            self._segments.append((index, self._frames + begin, stop - begin, action, segment.start, segment.end))
        self._recordings.append((name, recording.person, recording.view, self._frames, len(stamps), recording.labelled))
        self._joints_file.write(np.ascontiguousarray(joints, np.float32).tobytes())
        self._stamps_file.write(np.ascontiguousarray(stamps, np.float64).tobytes())
        self._frames += len(stamps)
        return complaints

    def _finish(self) -> None:
        if not self._recordings:
            raise DatasetError(f"nothing to write to {self.directory}: no recording could be used")
        names, persons, views, first, length, labelled = zip(*self._recordings, strict=True)
        order = dict.fromkeys(key for row in self._protocols for key in row)
        arrays: dict[str, Any] = {
            f"protocol:{key}": np.array([row.get(key, "") for row in self._protocols], str) for key in order
        }
        arrays |= {"names": np.array(names, str), "persons": np.array(persons, str), "views": np.array(views, str)}
        arrays |= {"first": np.array(first, np.int64), "length": np.array(length, np.int64)}
        arrays["labelled"] = np.array(labelled, bool)
        np.savez(self._temporary / "index.npz", segments=np.array(self._segments, SEGMENT), **arrays)
        header = {
            "version": VERSION,
            "name": self._name,
            "actions": self._actions,
            "frames": self._frames,
            "people": self._people,
            "joints": self._joints,
            "dimensions": self._dimensions,
        }
        (self._temporary / "archive.json").write_text(json.dumps(header, indent=1), encoding="utf-8")
        self._temporary.chmod(0o755)
        if self.directory.exists():
            shutil.rmtree(self.directory)
        self._temporary.rename(self.directory)
