"""What a lower numeric precision costs in accuracy: the shipped model on test people, in each precision.

    python -m bench.precisions --archives archives

Prints a table and writes docs/results/precisions.json, from which docs/engines.md quotes; delete it to
measure the same model again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.shipped.brief import collect, measure, people_of_test
from training.shipped.conditions import CONDITIONS
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError, read_model_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.precisions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archives", default="archives", help="where the archives are (%(default)s)")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], help="in this order (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/results/precisions.json"), help="(%(default)s)")
    options = parser.parse_args(arguments)

    def run(precision: str) -> dict[str, Any]:
        with load_engine(options.model, engine="openvino", precision=precision) as engine:
            clips, takes = people_of_test(options.archives, engine.info.actions)
            return measure(engine, clips, takes, CONDITIONS["clean"])

    try:
        collect(options.output, read_model_file(options.model).info.name, options.precisions, run)
    except (ModelError, ValueError) as error:
        print(f"bench.precisions: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
