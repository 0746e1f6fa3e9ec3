"""A network of the field to stand beside ours: ST-GCN++, written from the paper, with random weights.

Duan et al., "PYSKL: Towards Good Practices for Skeleton Action Recognition", ACM MM 2022.

Ten blocks, each a spatial graph convolution and a temporal convolution of several branches. It recognises one action in
a clip from the joints alone; ours finds and recognises actions in each frame from joints, bones and motions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

PARENTS = (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11)
"""The joint next to each of NTU-25's on the way to the spine's top, which is its own."""

FRAMES = 64

_CHANNELS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)
_STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
"""Channels and temporal strides of the blocks (section 3.2, as ST-GCN's)."""

_DILATIONS = (1, 2, 3, 4)
"""Of the temporal branches of kernel 3; two more branches are a max-pooling and a 1 x 1 convolution."""


def adjacency() -> Tensor:
    """Matrices (3, 25, 25) of the spatial partition: from a joint itself, its parent, and the mean of its children."""
    size = len(PARENTS)
    inward = torch.zeros(size, size)
    for joint, parent in enumerate(PARENTS):
        if joint != parent:
            inward[parent, joint] = 1.0
    matrices = [torch.eye(size), inward, inward.T]
    return torch.stack([each / each.sum(0).clamp(min=1.0) for each in matrices])


class GraphConvolution(nn.Module):
    """Spatial convolution over the joints' neighbours, the adjacency learned, with a residual (figure 3, left)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(adjacency())
        self.convolution = nn.Conv2d(channels, 3 * out, 1)
        self.norm = nn.BatchNorm2d(out)
        same = channels == out
        self.residual = nn.Identity() if same else nn.Sequential(nn.Conv2d(channels, out, 1), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, T, V)."""
        n, _, frames, joints = x.shape
        parts = self.convolution(x).view(n, 3, -1, frames, joints)
        mixed = torch.einsum("nkctv,kvw->nctw", parts, self.adjacency)
        return torch.relu(self.norm(mixed) + self.residual(x))


class TemporalConvolution(nn.Module):
    """Six branches over time, joined by a 1 x 1 convolution (figure 3, right)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        kinds = len(_DILATIONS) + 2
        narrow = channels // kinds
        first = channels - (kinds - 1) * narrow
        self.branches = nn.ModuleList()
        for number, dilation in enumerate(_DILATIONS):
            width = narrow if number else first
            temporal = nn.Conv2d(width, width, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))
            self.branches.append(nn.Sequential(*_reduce(channels, width), temporal))
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.branches.append(nn.Sequential(*_reduce(channels, narrow), pool))
        self.branches.append(nn.Conv2d(channels, narrow, 1, (stride, 1)))
        self.join = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, T, V)."""
        return self.norm(self.join(torch.cat([branch(x) for branch in self.branches], 1)))


def _reduce(channels: int, width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.ReLU()


class Block(nn.Module):
    """A spatial and a temporal convolution, and a residual around both but in the first block."""

    def __init__(self, channels: int, out: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.spatial, self.temporal = GraphConvolution(channels, out), TemporalConvolution(out, stride)
        self.residual: nn.Module | None = nn.Identity() if residual else None
        if residual and (channels != out or stride != 1):
            self.residual = nn.Sequential(nn.Conv2d(channels, out, 1, (stride, 1)), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Take (N, C, T, V)."""
        y = self.temporal(self.spatial(x))
        return torch.relu(y if self.residual is None else y + self.residual(x))


class StGcnPlusPlus(nn.Module):
    """The network: clips (N, 3, T, 25, M) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3 * len(PARENTS))
        widths = (3, *_CHANNELS)
        self.blocks = nn.Sequential(
            *(Block(widths[i], widths[i + 1], stride, i > 0) for i, stride in enumerate(_STRIDES))
        )
        self.head = nn.Linear(_CHANNELS[-1], classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Recognise one action a clip."""
        n, _, frames, joints, people = clips.shape
        x = clips.permute(0, 4, 3, 1, 2).reshape(n * people, joints * 3, frames)
        x = self.norm(x).view(n * people, joints, 3, frames).permute(0, 2, 3, 1)
        features = self.blocks(x).mean((2, 3)).view(n, people, -1).mean(1)
        return self.head(features)


def export_peer(path: Path, classes: int, frames: int = FRAMES, people: int = 1) -> StGcnPlusPlus:
    """Write the network, with random weights, as ONNX with a free number of clips; returns it."""
    torch.manual_seed(0)
    network = StGcnPlusPlus(classes).eval()
    example = torch.zeros(2, 3, frames, len(PARENTS), people)
    shapes = ({0: torch.export.Dim("N", min=1, max=64)},)
    program = torch.onnx.export(
        network, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False, opset_version=18
    )
    assert program is not None
    program.save(str(path), external_data=False)
    return network


def open_peer(path: Path, threads: int, precision: str = "f32") -> Callable[[np.ndarray], np.ndarray]:
    """What runs the network's file in OpenVINO, set up as our own engine is: from clips to logits."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def run(clips: np.ndarray) -> np.ndarray:
        request.infer({0: clips}, share_inputs=True)
        return request.get_output_tensor(0).data.copy()

    return run
