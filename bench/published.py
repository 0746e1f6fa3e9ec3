"""USDRL's pretraining the way its authors run it (arXiv 2412.09220), written anew: what ours is compared with.

Samples lie in one array, padded to one length and normalised beforehand, in a memory map. A data set makes the views of
each sample with NumPy in the loader's processes. The model passes the views one after another; attention is
`nn.MultiheadAttention`, called for each use; the convolution is a Conv1d; the loss standardises the views anew for each
pair. Parameters have the names of the released checkpoints, so that `training.model.weights` reads them.
"""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

FRAMES = 64


class PublishedViews(Dataset[tuple[np.ndarray, ...]]):
    """Augmented views, each (3, 64, V, M), of each sample of a padded array (N, 3, T, V, M) with lengths (N,)."""

    def __init__(self, joints: Path, lengths: Path, views: int = 4) -> None:
        self._joints = np.load(joints, mmap_mode="r")
        self._lengths = np.load(lengths)
        self._views = views

    def __len__(self) -> int:
        return len(self._joints)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        sample, length = np.array(self._joints[index]), int(self._lengths[index])
        return tuple(augmented(cropped(sample, length)) for _ in range(self._views))


def cropped(sample: np.ndarray, length: int) -> np.ndarray:
    """A random crop of (3, T, V, M), at least 64 frames or all `length`, resized to 64 frames."""
    span = min(max(int(length * np.random.uniform(0.1, 1.0)), FRAMES), length)
    start = np.random.randint(0, length - span + 1)
    piece = torch.from_numpy(sample[:, start : start + span]).float()
    rows = piece.permute(0, 2, 3, 1).reshape(1, -1, span, 1)
    resized = functional.interpolate(rows, size=(FRAMES, 1), mode="bilinear", align_corners=False)
    coordinates, _, joints, people = piece.shape
    return resized.view(coordinates, joints, people, FRAMES).permute(0, 3, 1, 2).contiguous().numpy()


def augmented(view: np.ndarray) -> np.ndarray:
    """Joint corruption or a shear of (3, 64, V, M), evenly."""
    view = view.copy()
    if random.random() < 0.5:
        chosen = np.random.choice(view.shape[2], 15, replace=False)
        if random.random() < 0.5:
            view[:, :, chosen] = 0.0
        else:
            matrix = np.random.uniform(-1.0, 1.0, (3, 3))
            view[:, :, chosen] = np.dot(view[:, :, chosen].transpose(1, 2, 3, 0), matrix).transpose(3, 0, 1, 2)
        return view
    shear = np.random.uniform(-1.0, 1.0, (3, 3))
    np.fill_diagonal(shear, 1.0)
    return np.dot(view.transpose(1, 2, 3, 0), shear.T).transpose(3, 0, 1, 2)


class DropPath(nn.Module):
    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if self.probability == 0.0 or not self.training:
            return x
        keep = 1.0 - self.probability
        mask = (keep + torch.rand((len(x), 1, 1), dtype=x.dtype, device=x.device)).floor_()
        return x.div(keep) * mask


class Feedforward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class ConvolutionalAttention(nn.Module):
    def __init__(self, width: int, attention: nn.MultiheadAttention, drop_path: float) -> None:
        super().__init__()
        self.attn = attention
        self.conv1 = nn.Conv1d(width, width, 1)
        self.drop = DropPath(drop_path)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = Feedforward(width)

    def forward(self, x: Tensor) -> Tensor:
        channels_first = x.permute(0, 2, 1)
        convolved = (channels_first + functional.relu(self.conv1(channels_first))).permute(0, 2, 1)
        query = self.norm1(convolved)
        attended = self.drop(self.attn(query, query, query)[0]) + x
        return self.drop(self.mlp(self.norm2(attended)))


class DenseShiftAttention(nn.Module):
    def __init__(self, tokens: int, width: int, gap: int, attention: nn.MultiheadAttention, drop_path: float) -> None:
        super().__init__()
        self.attn, self.gap = attention, gap
        self.wt1, self.wt2 = nn.Linear(tokens, tokens), nn.Linear(tokens, tokens)
        self.drop = DropPath(drop_path)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = Feedforward(width)

    def forward(self, x: Tensor) -> Tensor:
        along_tokens = x.permute(0, 2, 1)
        mixed = self.wt2(functional.relu(self.wt1(along_tokens))) + along_tokens
        kept = torch.arange(0, x.shape[1], self.gap, device=x.device)
        mixed[:, :, kept] = along_tokens[:, :, kept]
        return (self._block(mixed.permute(0, 2, 1)) + self._block(x)) * 0.5

    def _block(self, x: Tensor) -> Tensor:
        query = self.norm1(x)
        x = self.drop(self.attn(query, query, query)[0]) + x
        return x + self.drop(self.mlp(self.norm2(x)))


class Layer(nn.Module):
    def __init__(self, tokens: int, width: int, drop_path: float) -> None:
        super().__init__()
        attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.CA = ConvolutionalAttention(width, attention, drop_path)
        self.DSA = DenseShiftAttention(tokens, width, 4, attention, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.CA(x) + 0.5 * self.DSA(x)


class Embeddings(nn.Module):
    def __init__(self, sizes: tuple[int, int], width: int) -> None:
        super().__init__()
        self.t_embedding, self.s_embedding = (
            nn.Sequential(nn.Linear(size, width), nn.LayerNorm(width), nn.ReLU(True), nn.Linear(width, width))
            for size in sizes
        )

    def forward(self, temporal: Tensor, spatial: Tensor) -> tuple[Tensor, Tensor]:
        return self.t_embedding(temporal), self.s_embedding(spatial)


class Encoder(nn.Module):
    """DSTE of two layers: tokens (N, 64, 150) and (N, 50, 192) to features (N, 64, H) and (N, 50, H)."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.ske_emb = Embeddings((150, 192), width)
        self.spe = nn.Parameter(nn.init.trunc_normal_(torch.zeros(1, 50, width), std=0.02))
        angle = torch.arange(FRAMES)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], -1).reshape(1, FRAMES, width))
        self.t_tr, self.t_tr1 = Layer(FRAMES, width, drop_path), Layer(FRAMES, width, drop_path)
        self.s_tr, self.s_tr1 = Layer(50, width, drop_path), Layer(50, width, drop_path)

    def forward(self, temporal: Tensor, spatial: Tensor) -> tuple[Tensor, Tensor]:
        t, s = self.ske_emb(temporal, spatial)
        t = self.t_tr1(self.t_tr(t + self.pe) + self.pe)
        position = self.spe.expand(len(s), -1, -1)
        return t, self.s_tr1(self.s_tr(s + position) + position)


def projector(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Three linear layers with BatchNorm and ReLU between them."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(True),
        nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(True),
        nn.Linear(hidden, outputs),
    )  # fmt: skip


class PublishedModel(nn.Module):
    """Encoder (joint modality, two people) and projectors, one forward pass a view."""

    def __init__(self, width: int, drop_path: float = 0.1) -> None:
        super().__init__()
        self.backbone = Encoder(width, drop_path)
        self.t_proj, self.s_proj = (projector(width, 2 * width, 2 * width) for _ in range(2))
        self.i_proj = projector(2 * width, 2 * width, 4 * width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def tokens(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Dense features of a view (N, 3, 64, 25, 2)."""
        count = len(view)
        temporal = view.permute(0, 2, 4, 3, 1).reshape(count, FRAMES, -1)
        spatial = view.permute(0, 4, 3, 2, 1).reshape(count, 50, -1)
        return self.backbone(temporal, spatial)

    def forward(self, *views: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """Views (N, 3, 64, 25, 2) to temporal, spatial and instance projections, each of all views."""
        projections = []
        for view in views:
            y_t, y_s = (tokens.amax(1) for tokens in self.tokens(view))
            projections.append((self.t_proj(y_t), self.s_proj(y_s), self.i_proj(torch.cat([y_t, y_s], -1))))
        return tuple(zip(*projections, strict=True))


def published_loss(projections: tuple[tuple[Tensor, ...], ...]) -> Tensor:
    """MG-FD over views: 5 * consistency + variance and covariance + 1e-3 * cross-correlation."""
    total = projections[0][0].new_zeros(())
    for share, views in zip((0.5, 0.5, 1.0), projections, strict=True):
        *others, last = views
        middle = torch.stack(others).mean(0)
        near = sum(functional.mse_loss(z, last) + functional.mse_loss(z, middle) for z in others)
        spread = sum(_variance_and_covariance(z) for z in views)
        correlation = sum(_cross_correlation(*pair) for pair in combinations(views, 2))
        total = total + share * (5.0 * near + spread + 1e-3 * correlation)
    return total


def _off_diagonal(matrix: Tensor) -> Tensor:
    size = len(matrix)
    return matrix.flatten()[1:].view(size - 1, size + 1)[:, :-1]


def _variance_and_covariance(z: Tensor) -> Tensor:
    hinge = functional.relu(1.0 - torch.sqrt(z.var(0) + 1e-4)).mean()
    centred = z - z.mean(0)
    return 5.0 * hinge + _off_diagonal(centred.T @ centred / (len(z) - 1)).pow(2).sum() / z.shape[1]


def _cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    first, second = (first - first.mean(0)) / first.std(0), (second - second.mean(0)) / second.std(0)
    matrix = first.T @ second / len(first)
    return (torch.diagonal(matrix) - 1.0).pow(2).sum() + 0.005 * _off_diagonal(matrix).pow(2).sum()
