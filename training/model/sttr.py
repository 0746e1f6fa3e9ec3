"""STTR, the plain Spatio-Temporal Transformer encoder of USDRL (arXiv 2412.09220; authors' code, MIT).

Each stream: an embedding, a position code, then post-norm transformer layers (Vaswani et al., NeurIPS 2017) without
dropout whose feed-forward part is as wide as the stream.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.encoder import Attention, Encoder, Stream, sinusoids


class Layer(nn.Module):
    """A post-norm transformer layer: attention, then Linear, ReLU, Linear, each added and normalised."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.attention = Attention(width, heads, causal)
        self.linear1, self.linear2 = nn.Linear(width, width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.linear2(functional.relu(self.linear1(x))))


class PlainStream(Stream):
    """A stream whose position code is added once."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        tokens = tokens + self.position
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class STTR(Encoder):
    """The plain encoder.

    Args:
        modalities, width, frames, joints, people: As of `Encoder`.
        heads: Heads of the attention.
        layers: Layers a stream.
        attention: "full", or "causal" in the temporal stream.
    """

    def __init__(
        self,
        modalities: tuple[str, ...] = ("joint",),
        width: int = 1024,
        heads: int = 1,
        layers: int = 2,
        frames: int = 64,
        joints: int = 25,
        people: int = 2,
        attention: str = "full",
    ) -> None:
        causal = attention == "causal"
        spatial_position = nn.init.trunc_normal_(torch.empty(1, people * joints, width), std=0.02)
        super().__init__(
            modalities,
            width,
            frames,
            joints,
            people,
            PlainStream(sinusoids(frames, width), False, [Layer(width, heads, causal) for _ in range(layers)]),
            PlainStream(spatial_position, True, [Layer(width, heads, False) for _ in range(layers)]),
        )
