"""What a plain camera costs: the shipped model on test people as MediaPipe would see them.

    python -m training.shipped.monocular --archives archives

The recordings of depth sensors are put through MediaPipe's 33 joints, with its kind of error
(`conditions.monocular`): depth about the hips is scaled and off by some centimetres that change slowly, the person's
distance is off, and everything goes through the filters of `make webcam`. Prints a table and writes
docs/results/monocular.json; delete it to measure the same model again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.shipped.brief import collect, measure, people_of_test
from training.shipped.conditions import CONDITIONS, Condition, monocular
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError

SEEN: dict[str, Condition] = {
    "depth sensor": CONDITIONS["clean"],
    "5 cm": monocular(0.05),
    "10 cm": monocular(0.10),
}
"""By how much a joint's depth is off."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.monocular",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--archives", default="archives", help="where the archives are (%(default)s)")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--output", type=Path, default=Path("docs/results/monocular.json"), help="(%(default)s)")
    options = parser.parse_args(arguments)
    try:
        with load_engine(options.model, precision="fp32") as engine:
            clips, takes = people_of_test(options.archives, engine.info.actions)
            collect(options.output, engine.info.name, SEEN, lambda name: measure(engine, clips, takes, SEEN[name]))
    except (ModelError, ValueError) as error:
        print(f"training.shipped.monocular: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
