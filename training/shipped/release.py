"""The files of the shipped model, from its calibrated checkpoint: the ONNX file, and a checkpoint to fine-tune.

    python -m training.shipped.release runs/hri_2_calibrated/last.ckpt --output usdrl_ros/models

The checkpoint holds the weights alone, in half precision, and loads without running any code. `--checkpoint hri-2`
stands for it in every task.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from training.checkpoints import Checkpoint, read_checkpoint
from training.configuration import load
from training.export import Outputs, export, model_info
from training.shipped.sessions import SessionsConfig

CONFIG = Path(__file__).parents[1] / "configs" / "hri_2_sessions.yaml"


def data_in_words(config: SessionsConfig) -> str:
    """What the model was trained on: the training people of which sets."""
    acted = "; takes of the package's own actor" if config.acted else ""
    return f"training people of {', '.join(config.sets)}{acted}"


def write_checkpoint(found: Checkpoint, name: str, data: str, output: Path) -> None:
    """Write the weights in half precision, with what a task needs to begin with them.

    Args:
        found: The checkpoint of the training.
        name: Of the model.
        data: What it was trained on, in words.
        output: The file.
    """
    content = {
        "hyper_parameters": {
            "model": found.options.as_dict(),
            "training": {"name": name, "data": data, "window_s": float(found.training["window_s"])},
        },
        "state_dict": {f"model.{key}": value.half() for key, value in found.state.items()},
    }
    unfinished = output.with_suffix(".part")
    torch.save(content, unfinished)
    unfinished.replace(output)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="of training.shipped.calibrate")
    parser.add_argument("--output", type=Path, required=True, help="directory of the files")
    parser.add_argument("--name", default="hri-2", help="the model's name (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="of the sessions (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        found = read_checkpoint(options.checkpoint)
        data = data_in_words(load(SessionsConfig, options.config))
        info = replace(model_info(found), name=options.name, training_data=data)
        stem = options.output / options.name.replace("-", "_")
        difference = export(Outputs(found.network(), found.trained_heads), info, stem.with_suffix(".onnx"))
        write_checkpoint(found, options.name, data, stem.with_suffix(".ckpt"))
    except ValueError as error:
        print(f"training.shipped.release: {error}", file=sys.stderr)
        return 1
    for suffix in (".onnx", ".ckpt"):
        file = stem.with_suffix(suffix)
        print(f"wrote {file}: {file.stat().st_size / 1e6:.1f} MB")
    print(f"largest difference of the ONNX file to PyTorch {difference:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
