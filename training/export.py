"""Write a checkpoint as one self-describing `.onnx`: `python -m training.export --checkpoint X --output X.onnx`.

The checkpoint is one of this package's training, or an authors' `.pth.tar`. The file's input is `skeletons`
(N, 3, T, V, M), normalised as its metadata says, unseen joints 0, N free; its outputs are `embedding` (N, 2H), the
feature for retrieval, one-shot recognition and heads of one's own, and what the trained heads give:

- detection trained (`training.tasks.robot`, `training.tasks.detect`): `detection`, `recognition` and `embedding`, which
  runs on the robot. If recognition was not trained too, its probabilities are those of detection over all frames, given
  that an action is shown: its logits are log(mean over frames of softmax(detection)) of the actions.
- recognition alone (`training.tasks.recognize`): `recognition` and `embedding`.
- none (`training.tasks.pretrain`, the authors'): `embedding`.

The engine of the robot, which needs `detection`, refuses the last two and says what to train; ONNX Runtime alone runs
any of them. The graph is that of `training.model.folded`; it is checked against PyTorch on random skeletons before the
file is put in place. `--people 1` leaves out the place of the second person: the robot gives windows of one person
each, and what zeros in the other place become is computed at export. `--build` then builds the TensorRT engine of this
machine's GPU from the file, as `ros2 run usdrl_ros build_engine` does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from training.checkpoints import Checkpoint, read_checkpoint
from training.model.folded import FoldedUSDRL, fold
from training.model.modalities import MODALITIES
from training.model.usdrl import USDRL
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelError, ModelInfo
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.normalize import NORMALIZATION

TOLERANCE = 1e-4
"""Largest difference between PyTorch's and ONNX Runtime's outputs, relative to their largest value."""


class Outputs(nn.Module):
    """A network whose outputs are those that its trained heads give, in the order of `names`."""

    def __init__(self, model: USDRL | FoldedUSDRL, heads: Sequence[str]) -> None:
        super().__init__()
        self.model, self.heads = model, tuple(heads)
        self.names = OUTPUTS if "detection" in heads else (*heads, "embedding")
        self._recognition_follows = "recognition" not in heads

    def forward(self, skeletons: Tensor) -> tuple[Tensor, ...]:
        """Take (N, 3, T, V, M); give what `names` says."""
        detection, recognition, embedding = self.model(skeletons)
        if self._recognition_follows:
            recognition = detection.log_softmax(-1)[..., 1:].logsumexp(1)
        found = {"detection": detection, "recognition": recognition, "embedding": embedding}
        return tuple(found[name] for name in self.names)


def export(model: Outputs, info: ModelInfo, output: Path) -> float:
    """Write the model file; returns the largest relative difference to PyTorch's outputs. Nothing half-written is left.

    Args:
        model: As trained.
        info: What the file says of itself. With fewer people than the model's, the file gives what the model gives with
            zeros in the other places.
        output: The file.

    Raises:
        ValueError: The outputs differ by more than `TOLERANCE`, or the model has not as many places for people.
    """
    example = torch.randn(2, 3, info.frames, info.joints, info.people)  # two: an example of one would freeze the batch
    model = model.eval()
    assert isinstance(model.model, USDRL)
    graph = Outputs(fold(model.model, info.people), model.heads).eval()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as directory:
        path = Path(directory) / "model.onnx"
        batch = torch.export.Dim("batch", min=1, max=256)
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=18,
            input_names=[INPUT],
            output_names=list(model.names),
            dynamic_shapes={INPUT: {0: batch}},
            verbose=False,
        )
        assert program is not None
        proto = program.model_proto
        forget_where_it_was_made(proto)
        onnx.helper.set_model_props(proto, info.to_metadata())
        onnx.save(proto, path)
        error = largest_error(model, info, path)
        if error > TOLERANCE:
            raise ValueError(
                f"the exported model's outputs differ from PyTorch's by {error:.1e}; allowed is {TOLERANCE}"
            )
        os.replace(path, output)
    return error


def forget_where_it_was_made(proto: onnx.ModelProto) -> None:
    """Remove what the exporter notes of each node: call stacks, with the paths of this machine."""
    graph = proto.graph
    for noted in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")


def largest_error(model: Outputs, info: ModelInfo, path: Path) -> float:
    """Largest difference of a model file's outputs to PyTorch's, relative to the largest value, at batch 1 and 3."""
    worst = 0.0
    rng = np.random.default_rng(0)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        skeletons = rng.normal(0.0, 0.5, (count, 3, info.frames, info.joints, info.people)).astype(np.float32)
        others = np.zeros((*skeletons.shape[:-1], model.model.options.people - info.people), np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(np.concatenate([skeletons, others], -1)))
        for found, value in zip(session.run(list(model.names), {INPUT: skeletons}), expected, strict=True):
            worst = max(worst, float(np.abs(found - value.numpy()).max() / value.abs().max()))
    return worst


def model_info(checkpoint: Checkpoint) -> ModelInfo:
    """What the model file of a checkpoint says of itself.

    Raises:
        ValueError: Detection was trained, but the checkpoint does not say on windows of how many seconds.
    """
    options, training = checkpoint.options, checkpoint.training
    detects = "detection" in checkpoint.trained_heads
    window_s = training.get("window_s") if detects else 0.0
    if not isinstance(window_s, int | float):
        raise ValueError(f"{checkpoint.path} does not say how many seconds a window is: 'window_s' is {window_s}")
    return ModelInfo(
        name=str(training["name"]),
        actions=options.actions if checkpoint.trained_heads else (),
        window_s=float(window_s),
        normalization=NORMALIZATION if options.joints == len(NTU_25) else "none",
        training_data=training_data(training),
        frames=options.frames,
        joints=options.joints,
        people=options.people,
    )


def training_data(training: Mapping[str, Any]) -> str:
    """What a checkpoint was trained on, in words, from what it says of its training."""
    data = training.get("data", "")
    if isinstance(data, Mapping):
        return ", ".join(f"{name} ({split})" for name, split in data.items())
    split = f" ({training['split']})" if training.get("split") else ""
    begun = f"; begun with {training['checkpoint']}" if training.get("checkpoint") else ""
    return f"{data}{split}{begun}"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.export",
        description=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of this package's training, or the authors'")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--name", help="the model's name; default: the training run's")
    parser.add_argument(
        "--modality", choices=MODALITIES, default="joint", help="what an authors' checkpoint was trained on (joint)"
    )
    parser.add_argument("--people", type=int, help="places for people in a window, at most the model's (the model's)")
    parser.add_argument("--heads", type=int, default=1, help="attention heads of an authors' checkpoint (1)")
    parser.add_argument(
        "--build", action="store_true", help="build its TensorRT engine, for this machine's GPU, as well"
    )
    options = parser.parse_args(arguments)
    try:
        checkpoint = read_checkpoint(options.checkpoint, modality=options.modality, heads=options.heads)
        model = Outputs(checkpoint.network(), checkpoint.trained_heads)
        info = model_info(checkpoint)
        info = replace(info, name=options.name or info.name, people=options.people or info.people)
        difference = export(model, info, options.output)
    except ValueError as error:
        print(f"training.export: {error}", file=sys.stderr)
        return 1
    size = options.output.stat().st_size / 1e6
    print(
        f"wrote {options.output}: {size:.1f} MB, {len(info.actions)} actions, outputs {', '.join(model.names)}; "
        f"largest difference to PyTorch {difference:.1e}"
    )
    return _build(options.output) if options.build else 0


def _build(path: Path) -> int:
    """Build the engine of a file into the cache; returns the exit code."""
    from usdrl_ros.inference.build import build  # only when wanted

    try:
        built = build(path)
    except ModelError as error:
        print(f"training.export: the file is written, but its engine is not built: {error}", file=sys.stderr)
        return 1
    print(f"engine {built.path}: {built.size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
