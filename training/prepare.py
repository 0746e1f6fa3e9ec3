"""Prepare a data set for training: `python -m training.prepare SET --root DATA --output ARCHIVE`.

Reads all of the set's files, several at a time, and writes one memory-mapped archive. What cannot be used is skipped,
counted and reported, in ARCHIVE/skipped.txt too; with `--strict` the exit code is then 3. Frames that look wrong
(left-handed, upside down, not in metres) are reported as well. The archive appears when it is complete; an interrupted
run leaves nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from rich.console import Console
from rich.progress import track

from training.data.archive import Archive, ArchiveWriter
from training.data.errors import DatasetError
from training.data.sets import SETS, actions_of, load_set, protocols_of
from usdrl_ros.parallel import ParallelError, default_jobs, parallel_map
from usdrl_ros.problems import Problem
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.body import BodyCheck
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

SHOWN = 20
"""How many skipped files are named one by one on the screen."""
SKIPPED = 3
"""Exit code of `--strict` where something was skipped."""
FEW = 200
"""Fewer recordings than this are read in one process, unless `--jobs` says otherwise: starting more takes longer."""
_PERIOD_S = 0.1


@dataclass
class Skipped:
    """What could not be used, and what looks wrong: a short cause to count by, and the whole message."""

    entries: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, cause: str, message: str) -> None:
        self.entries.append((cause, message))

    def write(self, output: TextIO, shown: int | None = None) -> None:
        """The counts of causes, then the messages, at most `shown` of them."""
        for heading, entries in (("skipped", self.entries), ("looks wrong", self.notes)):
            if not entries:
                continue
            print(f"{heading} {len(entries)}:", file=output)
            for cause, count in Counter(cause for cause, _ in entries).most_common():
                print(f"  {count} {cause}", file=output)
            for _, message in entries[:shown]:
                print(message, file=output)
            if shown is not None and len(entries) > shown:
                print(f"and {len(entries) - shown} more", file=output)


@dataclass(frozen=True)
class _Read:
    """What came of one source: a recording and what looks wrong with it, or why there is none."""

    recording: Recording | None
    problems: tuple[Problem, ...] = ()


def prepare(
    name: str,
    root: Path,
    output: Path,
    skipped: Skipped,
    *,
    people: int | None = None,
    limit: int | None = None,
    jobs: int | None = None,
    dask: str = "",
) -> None:
    """Write a set's archive.

    Args:
        name: The set, see `training.data.sets.SETS`.
        root: Its directory.
        output: The archive's directory.
        skipped: Collects what cannot be used.
        people: 1: each person of a recording is one of their own; 2: the first two belong together; None: as is usual
            for the set.
        limit: Read so many recordings only.
        jobs: Recordings that are read at a time; None: as many as there are cores, for a large set.
        dask: Address of a Dask scheduler whose workers read, instead.

    Raises:
        DatasetError: `root` does not hold the set, nothing of it can be used, or `output` holds something else.
        ParallelError: Workers were lost, or cannot be reached.
    """
    reader = load_set(name)
    sources = reader.find(root)[:limit]
    protocols = protocols_of(reader, root)
    dimensions = getattr(reader, "DIMENSIONS", 3)
    joints = len(NTU_25) if dimensions == 3 else len(load_layout(reader.LAYOUT).joint_names)
    if jobs is None:
        jobs = default_jobs(len(sources)) if len(sources) >= FEW else 1
    with ArchiveWriter(
        output,
        name=name,
        actions=actions_of(reader, root),
        people=people or int(getattr(reader, "PEOPLE", 1)),
        joints=joints,
        dimensions=dimensions,
    ) as writer:
        results = parallel_map(_read, [(name, source) for source in sources], jobs=jobs, dask=dask)
        console = Console(stderr=True)
        for result in track(results, f"reading {reader.TITLE}", total=len(sources), console=console):
            _add(writer, result, protocols, skipped)
    if skipped.entries or skipped.notes:
        with (output / "skipped.txt").open("w", encoding="utf-8") as file:
            skipped.write(file)


def _read(item: tuple[str, Any]) -> _Read:
    """One recording of a set, from its source."""
    name, source = item
    reader = load_set(name)
    try:
        recording = reader.read(source)
    except DatasetError as error:
        return _Read(None, (Problem(error.cause, str(error)),))
    return _Read(recording, () if getattr(reader, "DIMENSIONS", 3) == 2 else tuple(frame_problems(recording)))


def frame_problems(recording: Recording) -> list[Problem]:
    """What looks wrong with the frame of a recording's skeletons as a whole, each cause once."""
    layout = load_layout(recording.layout)
    found: dict[str, Problem] = {}
    step = max(int(_PERIOD_S / max(float(np.median(np.diff(recording.stamps))), 1e-6)), 1)
    for person, joints in recording.joints.items():
        mapped, check = layout.to_ntu25(joints[::step].astype(float))[0], BodyCheck()
        for stamp, frame in zip(recording.stamps[::step], mapped, strict=True):
            problems: list[Problem] = []
            if np.isfinite(frame).all(-1).any():
                check.check(round(stamp * 1e9), frame[None], [person], problems)
            found |= {each.cause: each for each in problems if each.cause in check.faults and each.cause not in found}
    return list(found.values())


def _add(writer: ArchiveWriter, result: _Read, protocols: Any, skipped: Skipped) -> None:
    recording = result.recording
    if recording is None:
        skipped(result.problems[0].cause, result.problems[0].message)
        return
    description = (recording.name, recording.person, recording.view)
    try:
        complaints = writer.add(recording, {key: part(*description) for key, part in protocols.items()})
    except DatasetError as error:
        skipped(error.cause, str(error))
        return
    for complaint in complaints:
        skipped("part of a recording", f"{recording.name}: {complaint}")
    skipped.notes += [(each.cause, f"{recording.name}: {each.message}") for each in result.problems]


def summary(archive: Archive) -> str:
    """What is in an archive, in one line."""
    length = np.diff(archive.stamps)[np.setdiff1d(np.arange(len(archive.stamps) - 1), archive.first - 1)]
    people = len(set(archive.persons.tolist()) - {""})
    return (
        f"{len(archive)} recordings of {people} subjects, {len(archive.segments)} segments, "
        f"{len(archive.stamps)} frames, {length.sum() / 60:.1f} minutes"
    )


class _Parser(argparse.ArgumentParser):
    """Imports the sets' modules, for their titles, only when help is asked for."""

    def format_help(self) -> str:
        self.epilog = "sets:\n" + "\n".join(f"  {name:22}{load_set(name).TITLE}" for name in SETS)
        return super().format_help()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _Parser(
        prog="python -m training.prepare",
        description=(__doc__ or "").replace("`", ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("set", choices=SETS, metavar="SET", help="the data set, one of those below")
    parser.add_argument("--root", type=Path, required=True, help="its directory")
    parser.add_argument("--output", type=Path, required=True, help="where the archive goes; an older one is replaced")
    parser.add_argument(
        "--people", type=int, choices=(1, 2),
        help="1: each person of a recording is one of their own; 2: two belong together; default: as usual for the set",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, help="read so many recordings only")
    parser.add_argument("--strict", action="store_true", help=f"exit code {SKIPPED} where something was skipped")
    parser.add_argument("--jobs", type=int, help="recordings that are read at a time (default: as many as cores)")
    parser.add_argument("--dask", default="", metavar="ADDRESS", help="read on a Dask cluster, e.g. tcp://host:8786")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit must be at least 1, not {options.limit}")
    skipped = Skipped()
    try:
        prepare(
            options.set, options.root, options.output, skipped,
            people=options.people, limit=options.limit, jobs=options.jobs, dask=options.dask,
        )  # fmt: skip
        print(f"wrote {options.output}: {summary(Archive(options.output))}")
    except (DatasetError, ParallelError, OSError) as error:
        print(f"training.prepare: {error}", file=sys.stderr)
        skipped.write(sys.stderr, SHOWN)
        return 1
    except KeyboardInterrupt:
        print("training.prepare: interrupted, nothing was written", file=sys.stderr)
        return 130
    skipped.write(sys.stdout, SHOWN)
    return SKIPPED if options.strict and skipped.entries else 0


if __name__ == "__main__":
    sys.exit(main())
