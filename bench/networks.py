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
EAGER, FOLDED, AUTHORS, COMPILED = "eager", "eager, folded", "eager, authors'", "torch.compile, folded"
"""PyTorch's ways: the network as it is trained, which multiplies its projections at each run; the network as it is
exported; the authors' network (`bench.published`), which takes joints only and has no heads; the exported one through
`torch.compile`."""


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
        """PyTorch's eager ways, on windows (N, 3, 64, 25, M)."""
        kind = torch.float16 if half else torch.float32
        x = torch.from_numpy(skeletons).to(device, kind)
        return {
            name + _suffix(device, half): _way(copy.deepcopy(module).to(device, kind), x)
            for name, module in self.modules.items()
        }

    def compiled(
        self, skeletons: np.ndarray, device: str = "cpu", half: bool = False
    ) -> dict[str, Callable[[], object]]:
        """The exported network through `torch.compile`, on windows (N, 3, 64, 25, M); compiled here.

        Raises:
            RuntimeError: PyTorch cannot compile it here; the message is one line.
        """
        kind = torch.float16 if half else torch.float32
        x = torch.from_numpy(skeletons).to(device, kind)
        mode = "default" if device == "cpu" else "reduce-overhead"  # with CUDA graphs
        module = torch.compile(copy.deepcopy(self.modules[FOLDED]).to(device, kind), mode=mode, dynamic=False)
        way = _way(module, x)
        try:
            for _ in range(3):  # graphs are recorded by the runs after the first
                way()
        except Exception as error:  # the compilers that it calls raise whatever they like
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise RuntimeError(f"torch.compile fails here: {lines[0]}") from error
        return {COMPILED + _suffix(device, half): way}


def _suffix(device: str, half: bool) -> str:
    return "" if device == "cpu" else f", {'fp16' if half else 'fp32'} on the GPU"


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


class ProductRate:
    """How fast PyTorch multiplies matrices here, float32, with its threads: the best of several moments.

    One measurement is worth nothing while other programs run, so it is repeated between the others, and `steady` says
    whether the best ones agree.
    """

    def __init__(self, size: int = 1024, rows: int = 256) -> None:
        self._rows, self._weight = torch.randn(rows, size), torch.randn(size, size)
        self.rates: list[float] = []

    def measure(self, runs: int = 50) -> None:
        """Add a moment: the best of some runs."""
        best = float("inf")
        for _ in range(runs):
            began = time.perf_counter()
            self._rows @ self._weight
            best = min(best, time.perf_counter() - began)
        self.rates.append(2 * self._rows.numel() * self._weight.shape[1] / best)

    @property
    def best(self) -> float:
        """Floating-point operations a second."""
        return max(self.rates)

    @property
    def steady(self) -> bool:
        """Whether the two best moments are within 5 % of each other, so that the best is the machine's own limit."""
        ordered = sorted(self.rates)
        return len(ordered) > 1 and ordered[-2] > 0.95 * ordered[-1]


def _way(module: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.inference_mode():
            module(x)
            if x.is_cuda:
                torch.cuda.synchronize()

    return run
