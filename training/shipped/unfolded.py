"""A network that learns, from the folded one that runs on the robot: `training.model.folded` the other way round.

    python -m training.shipped.unfolded usdrl_ros/models/hri_2.onnx --output runs/hri_2/last.ckpt

Folding multiplies matrices that meet with nothing between them and adds up biases that meet. What it multiplied or
added cannot be separated again, and need not be: any factors with the same product give the same outputs. Products of
attention are split evenly by their singular values, as two learned factors of equal size would be; of biases that were
added, one takes all. The optimiser's state is not in a model file and begins anew.

Letters: T frames, V joints, M people, H width.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from training.configuration import RunOptions
from training.model.dste import DenseLayer
from training.model.folded import _frame_matrix, _joint_matrix
from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from usdrl_ros.inference.model_file import read_model_file

Weights = Mapping[str, Tensor]


def unfold(weights: Weights, options: ModelOptions) -> USDRL:
    """A trainable network with the outputs of a folded one.

    Args:
        weights: State of a `FoldedUSDRL` with as many places for people as the network has.
        options: Of the network: DSTE with one head of attention.

    Raises:
        ValueError: The options are of another architecture, or a weight is missing or has another shape.
    """
    if options.architecture != "dste" or options.heads != 1:
        raise ValueError(f"only DSTE with one head can be unfolded, not {options.architecture}, {options.heads} heads")
    model = USDRL(options).double()
    encoder: Any = model.encoder
    given = _Given({name: value.double() for name, value in weights.items()})
    with torch.no_grad():
        matrices = {
            "temporal": {
                n: _frame_matrix(n, options.joints, options.people, options.people) for n in options.modalities
            },
            "spatial": {n: _joint_matrix(n, options.frames) for n in options.modalities},
        }
        for stream in ("temporal", "spatial"):
            position = _embedding(
                given, stream, getattr(encoder, f"{stream}_embedding"), matrices[stream], getattr(encoder, stream)
            )
            layers = getattr(encoder, stream).layers
            for number, layer in enumerate(layers):
                _layer(given, f"{stream}.{number}", layer, position if number + 1 < len(layers) else None)
        width = options.width
        model.detection.weight[:, :width] = given("detection.weight").T
        model.detection.weight[:, width:] = given("detection_of_spatial.weight").T
        model.detection.bias.copy_(given("detection.bias"))
        _linear(model.recognition, given("recognition.weight"), given("recognition.bias"))
    return model.float().eval()


class _Given:
    """Weights by name; one that is missing is an error that says so."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights

    def __call__(self, name: str) -> Tensor:
        if name not in self._weights:
            raise ValueError(f"the folded network has no weight '{name}': it is of another architecture or size")
        return self._weights[name]


def _linear(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Set a linear layer to rows of x W + b, W (inputs, outputs)."""
    layer.weight.copy_(weight.T)
    layer.bias.copy_(bias)


def _norm(given: _Given, name: str, norm: nn.LayerNorm) -> None:
    norm.weight.copy_(given(f"{name}.weight"))
    norm.bias.copy_(given(f"{name}.bias"))


def _embedding(given: _Given, stream: str, embeddings: Any, inside: dict[str, Tensor], of: Any) -> Tensor:
    """Set a stream's embeddings; returns its position code (L, H)."""
    prefix, count = f"{stream}_embedding", len(inside)
    second = given(f"{prefix}.second.weight").chunk(count)
    added = given(f"{prefix}.added")
    for number, (name, matrix) in enumerate(inside.items()):
        embedding = embeddings[name]
        # A bone's matrix is singular (its root has none): the smallest solution, for what it maps to nothing is free.
        first = torch.linalg.pinv(matrix) @ given(f"{prefix}.first.{number}.weight")
        _linear(embedding[0], first, given(f"{prefix}.first.{number}.bias"))
        _norm(given, f"{prefix}.norms.{number}", embedding[1])
        embedding[3].weight.copy_(second[number].T * count)
    if isinstance(of.position, nn.Parameter):
        bias = added.mean(0)
        of.position.copy_((added - bias)[None])
    else:
        bias = (added - of.position[0]).mean(0)
    for name in inside:
        embeddings[name][3].bias.copy_(bias)
    return of.position[0]


def _layer(given: _Given, name: str, layer: DenseLayer, after: Tensor | None) -> None:
    """Set one DSTE layer; `after` (L, H) is the position code that folding added to its output."""
    ca: Any = layer.ca
    dsa: Any = layer.dsa
    share = 0.5 * (1.0 - layer.alpha)
    identity = torch.eye(ca.convolution.weight.shape[0])
    _linear(ca.convolution, given(f"{name}.convolution.weight") - identity, given(f"{name}.convolution.bias"))
    for mix in ("mix1", "mix2"):
        getattr(dsa, mix).weight.copy_(given(f"{name}.{mix}"))
        getattr(dsa, mix).bias.copy_(given(f"{name}.{mix}_bias")[:, 0])
    for block, part in (("ca", ca), ("dsa", dsa)):
        _norm(given, f"{name}.{block}_norm1", part.norm1)
        _norm(given, f"{name}.{block}_norm2", part.norm2)
        _linear(part.mlp[0], given(f"{name}.{block}_hidden.weight"), given(f"{name}.{block}_hidden.bias"))
    added = given(f"{name}.added")
    bias = added if after is None else (added - after).mean(0)
    for block, part, scale in (("ca", ca, layer.alpha), ("dsa", dsa, share)):
        # Shares of the two blocks sum to 1, so each gets the whole of the bias.
        _linear(part.mlp[2], given(f"{name}.{block}_output.weight") / scale, bias / (layer.alpha + 2.0 * share))
    _attention(given, f"{name}.attention", layer.attention)


def _attention(given: _Given, name: str, attention: Any) -> None:
    query, query_bias = given(f"{name}.query.weight"), given(f"{name}.query.bias")
    width = query.shape[0]
    asked, wanted = _evenly(query * width**0.5)  # x Wq' Wk x' = x (asked wanted) x'
    value, output = _evenly(given(f"{name}.value.weight"))
    projections = attention.in_proj.weight.unflatten(0, (3, -1))
    projections[0], projections[1], projections[2] = asked.T, wanted, value.T
    attention.in_proj.bias.zero_()
    attention.in_proj.bias[:width] = torch.linalg.lstsq(wanted.T, query_bias * width**0.5).solution
    attention.out_proj.weight.copy_(output.T)
    attention.out_proj.bias.copy_(given(f"{name}.value.bias"))


def _evenly(product: Tensor) -> tuple[Tensor, Tensor]:
    """Two factors (H, H) of a product, of equal singular values."""
    left, size, right = torch.linalg.svd(product)
    root = size.sqrt()
    return left * root, root[:, None] * right


def unfolded_model_file(path: Path) -> USDRL:
    """The trainable network of a model file that `training.export` wrote.

    Raises:
        ValueError: The file's network is not one that can be unfolded.
    """
    info = read_model_file(path).info
    prefix = "model."
    weights = {
        tensor.name.removeprefix(prefix): torch.from_numpy(np.array(onnx.numpy_helper.to_array(tensor)))
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.startswith(prefix)
    }
    names = ("joint", "bone", "motion")
    bias = weights.get("recognition.weight", torch.zeros(0, 0))
    options = ModelOptions(
        actions=info.actions,
        modalities=names[: sum(name.startswith("temporal_embedding.norms.") for name in weights) // 2],
        width=len(bias) // 2,
        layers=sum(name.startswith("temporal.") and name.endswith(".added") for name in weights),
        frames=info.frames,
        joints=info.joints,
        people=info.people,
    )
    return unfold(weights, replace(options, drop_path=0.1))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    from training.tasks.recognize import save_checkpoint  # which knows Lightning

    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.unfolded",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a .onnx file of DSTE that training.export wrote")
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint: DIRECTORY/last.ckpt")
    options = parser.parse_args(arguments)
    try:
        model = unfolded_model_file(options.model)
        info = read_model_file(options.model).info
    except ValueError as error:
        print(f"training.shipped.unfolded: {error}", file=sys.stderr)
        return 1
    training = {"name": info.name, "data": info.training_data, "window_s": info.window_s}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(model, training, RunOptions(options.output.parent))
    print(f"wrote {options.output}: {len(info.actions)} actions, width {model.options.width}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
