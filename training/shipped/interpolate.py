"""Weights between two checkpoints: what the later one learned, without forgetting so much of what the earlier one knew.

    python -m training.shipped.interpolate runs/hri_1/last.ckpt runs/hri_2_longer/last.ckpt --share 0.8 \\
        --output runs/hri_2_between

The later one must have been trained from the earlier one, so that both lie in one valley of the loss (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022). The share is chosen on validation people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoints import CheckpointError, read_checkpoint
from training.configuration import RunOptions
from training.tasks.recognize import save_checkpoint


def between(one: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1 - share) of the first weights and `share` of the others.

    Raises:
        CheckpointError: They are not of one network.
    """
    differing = {name for name in one.keys() | other.keys() if name not in one or name not in other}
    differing |= {name for name in one.keys() & other.keys() if one[name].shape != other[name].shape}
    if differing:
        raise CheckpointError(f"the checkpoints are not of one network: '{min(differing)}' differs")
    return {name: torch.lerp(one[name].float(), other[name].float(), share) for name in other}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.interpolate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("earlier", type=Path, help="checkpoint that the training began with")
    parser.add_argument(
        "later", type=Path, help="checkpoint that it gave; the result says of itself what this one says"
    )
    parser.add_argument("--share", type=float, required=True, help="of the later one, 0 to 1")
    parser.add_argument("--output", type=Path, required=True, help="directory of last.ckpt")
    options = parser.parse_args(arguments)
    try:
        earlier, later = read_checkpoint(options.earlier), read_checkpoint(options.later)
        network = later.network()
        network.load_state_dict(between(earlier.state, later.state, options.share))
    except ValueError as error:
        print(f"training.shipped.interpolate: {error}", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    save_checkpoint(network, later.training | {"interpolated": options.share}, RunOptions(options.output))
    print(f"wrote {options.output / 'last.ckpt'}: {options.share:g} of {options.later}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
