"""Networks to measure: the same weights as a model file, and as PyTorch runs them."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.published import PublishedModel
from training.export import Outputs, export
from training.model.folded import fold
from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.skeleton.normalize import NORMALIZATION

ACTIONS = tuple(f"action_{number}" for number in range(37))
EAGER, FOLDED, AUTHORS = "eager", "eager, folded", "eager, authors'"
"""PyTorch's ways: the network as it is trained, which multiplies its projections at each run; the network as it is
exported; the authors' network (`bench.published`), which takes joints only and has no heads."""


@dataclass(frozen=True)
class Network:
    """One width.

    Args:
        path: The model file.
        weights: Numbers in the file's graph.
        flops: Of one window, in the file's graph: multiplications and additions.
        modules: By what they are called: the same, or in the authors' case a smaller, network in PyTorch.
    """

    path: Path
    weights: int
    flops: int
    modules: dict[str, nn.Module]

    def ways(self, skeletons: np.ndarray, device: str = "cpu", half: bool = False) -> dict[str, Callable[[], object]]:
        """PyTorch's ways, on windows (N, 3, 64, 25, M)."""
        kind = torch.float16 if half else torch.float32
        x = torch.from_numpy(skeletons).to(device, kind)
        suffix = "" if device == "cpu" else f", {'fp16' if half else 'fp32'} on the GPU"
        return {name + suffix: _way(copy.deepcopy(module).to(device, kind), x) for name, module in self.modules.items()}


class _Encoder(nn.Module):
    """The encoder of the authors' network, as `bench.published` writes it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = PublishedModel(width)
        del self.model.t_proj, self.model.s_proj, self.model.i_proj

    def forward(self, skeletons: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.tokens(skeletons)


def make(width: int, directory: Path) -> Network:
    """A network of joint, bone and motion for two people, with random weights; the file is written there."""
    torch.manual_seed(0)
    model = USDRL(ModelOptions(ACTIONS, width=width)).eval()
    path = directory / f"width_{width}.onnx"
    info = ModelInfo(f"random weights, H={width}", ACTIONS, 4.0, NORMALIZATION, "nothing")
    export(Outputs(model, ("detection", "recognition")), info, path)
    folded = fold(model)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        folded(torch.zeros(1, *info.window_shape))
    modules = {EAGER: model, FOLDED: folded, AUTHORS: _Encoder(width).eval()}
    weights = sum(parameter.numel() for parameter in folded.parameters())
    return Network(path, weights, int(counter.get_total_flops()), modules)


def product_rate(size: int = 1024) -> float:
    """Floating-point operations a second of PyTorch's matrix product of 256 rows, float32, with its threads."""
    rows, weight = torch.randn(256, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(50):
        began = time.perf_counter()
        rows @ weight
        best = min(best, time.perf_counter() - began)
    return 2 * 256 * size * size / best


def _way(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.inference_mode():
            module(x)
            if x.is_cuda:
                torch.cuda.synchronize()

    return run
