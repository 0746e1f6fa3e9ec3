"""Write a trained checkpoint as the model file that the robot runs.

The contract of the file is in `usdrl_ros.inference.engine`. The export is checked against PyTorch on random skeletons
before it is put in place.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch

from training.checkpoints import load_checkpoint
from training.model.usdrl import USDRL
from usdrl_ros.inference.engine import INPUT, OUTPUTS, ModelInfo, load_engine
from usdrl_ros.skeleton.normalize import NORMALIZATION

TOLERANCE = 1e-4
"""Largest difference between PyTorch's and ONNX Runtime's outputs, relative to their largest value."""


def export(model: USDRL, info: ModelInfo, output: Path) -> float:
    """Write the model file; returns the largest relative difference to PyTorch's outputs. Nothing half-written is left.

    Raises:
        ValueError: The outputs differ by more than `TOLERANCE`.
    """
    example = torch.randn(2, 3, info.frames, info.joints, info.people)  # two: an example of one would freeze the batch
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as directory:
        path = Path(directory) / "model.onnx"
        batch = torch.export.Dim("batch", min=1, max=256)
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=18,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={INPUT: {0: batch}},
            verbose=False,
        )
        proto = program.model_proto
        onnx.helper.set_model_props(proto, info.to_metadata())
        onnx.save(proto, path)
        error = largest_error(model, path)
        if error > TOLERANCE:
            raise ValueError(
                f"the exported model's outputs differ from PyTorch's by {error:.1e}; allowed is {TOLERANCE}"
            )
        os.replace(path, output)
    return error


def largest_error(model: USDRL, path: Path) -> float:
    """Largest difference of a model file's outputs to PyTorch's, relative to the largest value, at batch 1 and 3."""
    worst = 0.0
    rng = np.random.default_rng(0)
    with load_engine(path) as engine:
        for count in (1, 3):
            skeletons = rng.normal(0.0, 0.5, (count, 3, 64, 25, 2)).astype(np.float32)
            with torch.no_grad():
                expected = model(torch.from_numpy(skeletons))
            found = engine.infer(skeletons)
            for name, value in zip(OUTPUTS, expected, strict=True):
                difference = np.abs(getattr(found, name) - value.numpy()).max()
                worst = max(worst, float(difference / value.abs().max()))
    return worst


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("checkpoint", type=Path, help="last.ckpt of training.fit")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    options = parser.parse_args(arguments)
    try:
        model, training = load_checkpoint(options.checkpoint)
        data = f"UTKinect-Action3D, people {' '.join(training['people'])}"
        if training["actor_takes"]:
            data += f"; {training['actor_takes']} takes of the kinematic actor"
        info = ModelInfo(training["name"], model.options.actions, training["window_s"], NORMALIZATION, data)
        error = export(model, info, options.output)
    except ValueError as error:
        print(f"training.export: {error}", file=sys.stderr)
        return 1
    size = options.output.stat().st_size / 1e6
    print(
        f"wrote {options.output}: {size:.1f} MB, {len(info.actions)} actions, largest difference to PyTorch {error:.1e}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
