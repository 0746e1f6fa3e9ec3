"""Turn a data set's recordings into bags with skeletons and ground truth: `python -m training.bags SET ...`.

python -m training.bags utkinect_action3d --root DATA --output bags
python -m training.bags ui_prmd --sessions archives/hri_2 --output bags    the test people's clips, joined
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from training.data.archive import Archive
from training.data.errors import DatasetError
from training.data.sets import SETS, load_set, read_each
from training.shipped.detection import recordings_of
from usdrl_ros.bags.reader import BagError
from usdrl_ros.bags.writer import write_recording


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.bags", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=SETS, metavar="SET", help=f"the data set: {', '.join(SETS)}")
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--root", type=Path, help="its directory")
    origin.add_argument("--sessions", type=Path, help="an archive of sessions that has the set")
    parser.add_argument("--output", type=Path, required=True, help="where the bags go, one directory a recording")
    parser.add_argument("--people", nargs="+", help="only these people, for instance s02 s04")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: %(default)s")
    options = parser.parse_args(arguments)
    skipped: list[str] = []
    written = 0
    try:
        if options.sessions:
            return _write_sessions(options)
        reader = load_set(options.set)
        if getattr(reader, "DIMENSIONS", 3) == 2:
            raise DatasetError(f"{reader.TITLE} has no depth; a bag holds skeletons in metres")
        sources = track(reader.find(options.root), description="writing bags", console=Console(stderr=True))
        for recording in read_each(reader, sources, lambda _, message: skipped.append(message)):
            if not options.people or recording.person in options.people:
                write_recording(recording, options.output / recording.name, storage=options.storage)
                written += 1
        if not written:
            of = f" of {', '.join(options.people)}" if options.people else ""
            raise DatasetError("\n".join([f"no recording{of} in {options.root} could be written", *skipped]))
    except (DatasetError, BagError) as error:
        print(f"training.bags: {error}", file=sys.stderr)
        return 1
    print("\n".join([f"wrote {written} bags to {options.output}", *(f"skipped: {message}" for message in skipped)]))
    return 0


def _write_sessions(options: argparse.Namespace) -> int:
    archive = Archive(options.sessions)
    recordings = recordings_of(archive, "test", f"{options.set}/", tuple(archive.actions))
    if not recordings:
        raise DatasetError(f"{options.sessions} has no test sessions of {options.set}")
    for recording in recordings:
        write_recording(recording, options.output / recording.name, storage=options.storage)
    print(f"wrote {len(recordings)} bags to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
