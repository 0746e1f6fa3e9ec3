"""Prepare a data set for training: `python -m training.prepare SET --root DATA --output ARCHIVE`.

Reads all of the set's files and writes one memory-mapped archive. What cannot be used is skipped, counted and told, in
ARCHIVE/skipped.txt too. The archive appears when it is complete; an interrupted run leaves nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.progress import track

from training.data.archive import Archive, ArchiveWriter
from training.data.errors import DatasetError
from training.data.sets import SETS, actions_of, load_set, protocols_of, read_each
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

SHOWN = 20
"""How many skipped files are told one by one on the screen."""


@dataclass
class Skipped:
    """What could not be used: a short cause to count by, and the whole message."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, cause: str, message: str) -> None:
        self.entries.append((cause, message))

    def write(self, output: TextIO, shown: int | None = None) -> None:
        """The counts of causes, then the messages, at most `shown` of them."""
        if not self.entries:
            return
        print(f"skipped {len(self.entries)}:", file=output)
        for cause, count in Counter(cause for cause, _ in self.entries).most_common():
            print(f"  {count} {cause}", file=output)
        for _, message in self.entries[:shown]:
            print(message, file=output)
        if shown is not None and len(self.entries) > shown:
            print(f"and {len(self.entries) - shown} more", file=output)


def prepare(
    name: str, root: Path, output: Path, skipped: Skipped, *, people: int | None = None, limit: int | None = None
) -> None:
    """Write a set's archive.

    Args:
        name: The set, see `training.data.sets.SETS`.
        root: Its directory.
        output: The archive's directory.
        skipped: Is given what cannot be used.
        people: 1: each person of a recording is one of their own; 2: the first two belong together; None: as is usual
            for the set.
        limit: Read so many recordings only.

    Raises:
        DatasetError: `root` does not hold the set, nothing of it can be used, or `output` holds something else.
    """
    reader = load_set(name)
    sources = reader.find(root)[:limit]
    protocols = protocols_of(reader, root)
    dimensions = getattr(reader, "DIMENSIONS", 3)
    joints = len(NTU_25) if dimensions == 3 else len(load_layout(reader.LAYOUT).joint_names)
    with ArchiveWriter(
        output,
        name=name,
        actions=actions_of(reader, root),
        people=people or int(getattr(reader, "PEOPLE", 1)),
        joints=joints,
        dimensions=dimensions,
    ) as writer:
        shown = track(sources, description=f"reading {reader.TITLE}", console=Console(stderr=True))
        for recording in read_each(reader, shown, skipped):
            said = (recording.name, recording.person, recording.view)
            try:
                complaints = writer.add(recording, {key: part(*said) for key, part in protocols.items()})
            except DatasetError as error:
                skipped(error.cause, str(error))
            else:
                for complaint in complaints:
                    skipped("part of a recording", f"{recording.name}: {complaint}")
    if skipped.entries:
        with (output / "skipped.txt").open("w", encoding="utf-8") as file:
            skipped.write(file)


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


def main(arguments: list[str] | None = None) -> int:
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
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit must be at least 1, not {options.limit}")
    skipped = Skipped()
    try:
        prepare(options.set, options.root, options.output, skipped, people=options.people, limit=options.limit)
        print(f"wrote {options.output}: {summary(Archive(options.output))}")
    except DatasetError as error:
        print(f"training.prepare: {error}", file=sys.stderr)
        skipped.write(sys.stderr, SHOWN)
        return 1
    except KeyboardInterrupt:
        print("training.prepare: interrupted, nothing was written", file=sys.stderr)
        return 130
    skipped.write(sys.stdout, SHOWN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
