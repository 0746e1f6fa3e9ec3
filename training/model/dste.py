"""DSTE, the Dense Spatio-Temporal Encoder of USDRL (arXiv 2412.09220, section "DSTE"; authors' code, MIT).

Two streams that do not talk to each other: one token a frame (T of them), one token a joint and person (M * V). Each
stream: an embedding, then layers that mix convolutional attention (CA) with dense shift attention (DSA).
Letters: N batch, L tokens, H width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class DropPath(nn.Module):
    """Leave out a residual branch for a random share of the samples (stochastic depth, Huang et al., ECCV 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Scale what is kept, so that the expectation stays: (N, L, H) to (N, L, H)."""
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        return x * x.new_empty(x.shape[0], 1, 1).bernoulli_(keep) / keep


class Attention(nn.Module):
    """Multi-head self-attention without dropout; parameters shaped as in `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.in_proj(x).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Sequential):
    """Linear, GELU, Linear: width to twice the width and back."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class ConvolutionalAttention(nn.Module):
    """CA: a convolution of kernel 1 before attention; the block's input joins after attention, none after the MLP."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.convolution = nn.Linear(width, width)  # a Conv1d of kernel 1 over tokens
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        convolved = x + functional.relu(self.convolution(x))
        attended = self.drop_path(attention(self.norm1(convolved))) + x
        return self.drop_path(self.mlp(self.norm2(attended)))


class DenseShiftAttention(nn.Module):
    """DSA: a transformer block on the tokens and on tokens mixed along their axis, averaged.

    Every `gap`-th token of the mixed ones stays as it was: an anchor for the shifted ones.
    """

    def __init__(self, width: int, tokens: int, gap: int, drop_path: float) -> None:
        super().__init__()
        self.mix1, self.mix2 = nn.Linear(tokens, tokens), nn.Linear(tokens, tokens)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)
        self.register_buffer("shifted", (torch.arange(tokens) % gap != 0).float(), persistent=False)

    def forward(self, x: Tensor, attention: Attention) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        mixed = self.mix2(functional.relu(self.mix1(x.transpose(1, 2)))) * self.shifted
        return (self._block(x + mixed.transpose(1, 2), attention) + self._block(x, attention)) / 2

    def _block(self, x: Tensor, attention: Attention) -> Tensor:
        x = x + self.drop_path(attention(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class DenseLayer(nn.Module):
    """One DSTE layer: alpha * CA + (1 - alpha) * DSA, both with the layer's one attention."""

    def __init__(self, width: int, heads: int, tokens: int, gap: int, alpha: float, drop_path: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.attention = Attention(width, heads)
        self.ca = ConvolutionalAttention(width, drop_path)
        self.dsa = DenseShiftAttention(width, tokens, gap, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        return self.alpha * self.ca(x, self.attention) + (1.0 - self.alpha) * self.dsa(x, self.attention)


class Embedding(nn.Sequential):
    """Linear, LayerNorm, ReLU, Linear: a raw token to the width of the stream."""

    def __init__(self, token_size: int, width: int) -> None:
        super().__init__(
            nn.Linear(token_size, width), nn.LayerNorm(width), nn.ReLU(inplace=True), nn.Linear(width, width)
        )


class Stream(nn.Module):
    """The layers of one stream, over embedded tokens; its position code is added before every layer."""

    def __init__(self, position: Tensor, learned: bool, layers: int, **layer_options: float) -> None:
        """Take a position code (1, L, H), learned or fixed, and the options of `DenseLayer`."""
        super().__init__()
        if learned:
            self.position = nn.Parameter(position)
        else:
            self.register_buffer("position", position, persistent=False)
        _, tokens, width = position.shape
        self.layers = nn.ModuleList(DenseLayer(width, tokens=tokens, **layer_options) for _ in range(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        for layer in self.layers:
            tokens = layer(tokens + self.position)
        return tokens


class DSTE(nn.Module):
    """The encoder: skeletons of one or more modalities to dense temporal and spatial features.

    With several modalities each has embeddings of its own and the streams take their mean (one model for joint, bone
    and motion, after UmURL, Sun et al., ACM MM 2023).

    Args:
        modalities: Names of the inputs, in order.
        width: H. Published: 1024.
        heads: Heads of the attention.
        layers: Layers a stream.
        frames, joints, people: T, V, M of the input.
        gap: Every how many tokens DSA keeps one as it was.
        alpha: Share of CA in a layer.
        drop_path: Share of samples for which a residual branch is left out in training.
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
        gap: int = 4,
        alpha: float = 0.5,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.modalities, self.width = tuple(modalities), width
        self.temporal_embedding = nn.ModuleDict({m: Embedding(people * joints * 3, width) for m in modalities})
        self.spatial_embedding = nn.ModuleDict({m: Embedding(frames * 3, width) for m in modalities})
        options = dict(layers=layers, heads=heads, gap=gap, alpha=alpha, drop_path=drop_path)
        self.temporal = Stream(sinusoids(frames, width), learned=False, **options)
        spatial_position = nn.init.trunc_normal_(torch.empty(1, people * joints, width), std=0.02)
        self.spatial = Stream(spatial_position, learned=True, **options)
        self.apply(_initialise)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Encode, for each modality, (N, 3, T, V, M): gives y_t (N, T, H) and y_s (N, M*V, H)."""
        temporal = [self.temporal_embedding[m](temporal_tokens(inputs[m])) for m in self.modalities]
        spatial = [self.spatial_embedding[m](spatial_tokens(inputs[m])) for m in self.modalities]
        return (
            self.temporal(torch.stack(temporal).mean(0)),
            self.spatial(torch.stack(spatial).mean(0)),
        )


def temporal_tokens(x: Tensor) -> Tensor:
    """(N, C, T, V, M) to (N, T, M*V*C): a token a frame; person slowest, then joint, then coordinate."""
    return x.permute(0, 2, 4, 3, 1).flatten(2)


def spatial_tokens(x: Tensor) -> Tensor:
    """(N, C, T, V, M) to (N, M*V, T*C): a token a joint of a person; frame slowest, then coordinate."""
    return x.permute(0, 4, 3, 2, 1).flatten(3).flatten(1, 2)


def sinusoids(length: int, width: int) -> Tensor:
    """Fixed position code (1, length, width) (Vaswani et al., NeurIPS 2017): sines on even, cosines on odd channels."""
    angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[None]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
