"""Turn a data set's recordings into bags with skeletons and ground truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import track

from training.data import utkinect
from usdrl_ros.evaluation.bag_writer import write_recording
from usdrl_ros.evaluation.bags import BagError

READERS = {"utkinect_action3d": utkinect.read}
"""The data sets that can be read: name and reader."""


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.bags", description=__doc__)
    parser.add_argument("set", choices=sorted(READERS), help="the data set")
    parser.add_argument("--root", type=Path, required=True, help="its directory")
    parser.add_argument("--output", type=Path, required=True, help="where the bags go, one directory a recording")
    parser.add_argument("--people", nargs="+", help="only these people, for instance s02 s04")
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        recordings = READERS[options.set](options.root, tuple(options.people) if options.people else None)
        if not recordings:
            raise utkinect.DatasetError(f"no recording of {', '.join(options.people)} in {options.root}")
        for recording in track(recordings, description="writing bags"):
            write_recording(recording, options.output / recording.name, storage=options.storage)
    except (utkinect.DatasetError, BagError) as error:
        print(f"training.bags: {error}", file=sys.stderr)
        return 1
    print(f"wrote {len(recordings)} bags to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
