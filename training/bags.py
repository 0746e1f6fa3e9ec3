"""Turn a data set's recordings into bags with skeletons and ground truth: `python -m training.bags SET ...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from training.data.errors import DatasetError
from training.data.sets import SETS, load_set, read_each
from usdrl_ros.bags.reader import BagError
from usdrl_ros.bags.writer import write_recording


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.bags", description=(__doc__ or "").split(":")[0])
    parser.add_argument("set", choices=SETS, metavar="SET", help=f"the data set: {', '.join(SETS)}")
    parser.add_argument("--root", type=Path, required=True, help="its directory")
    parser.add_argument("--output", type=Path, required=True, help="where the bags go, one directory a recording")
    parser.add_argument("--people", nargs="+", help="only these people, for instance s02 s04")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: %(default)s")
    options = parser.parse_args(arguments)
    skipped: list[str] = []
    written = 0
    try:
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


if __name__ == "__main__":
    sys.exit(main())
