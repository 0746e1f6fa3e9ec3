"""What the encoders share: embeddings of tokens, one set a modality, and two streams that do not talk to each other.

One token a frame (T of them, the temporal stream) and one token a joint and person (M * V, the spatial stream).
Letters: N batch, C coordinates, T frames, V joints, M people, L tokens, H width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

COORDINATES = 3
ATTENTION = ("full", "causal")


class Attention(nn.Module):
    """Multi-head self-attention without dropout; parameters shaped as in `nn.MultiheadAttention`.

    Args:
        width: H.
        heads: Heads, of H / heads channels each.
        causal: Token t attends to tokens 0..t only.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        return self.folded()(x)

    def folded(self) -> Callable[[Tensor], Tensor]:
        """The same as `forward`, ready to be called several times.

        With one head, scores and values each meet two projections with nothing between them, which are multiplied here
        beforehand: (x Wq' + bq) (x Wk' + bk)' = (x Wq' Wk + bq Wk) x' + what is the same for all keys and so leaves
        softmax as it is; and, weights of a token summing to 1, the bias of the values adds Wo bv. That leaves two
        products of tokens with an (H, H) matrix instead of four.
        """
        if self.heads > 1:
            return self._several_heads
        weight, bias = self.in_proj.weight.unflatten(0, (3, -1)), self.in_proj.bias.unflatten(0, (3, -1))
        scale = weight.shape[1] ** -0.5
        query_weight, query_bias = scale * (weight[1].T @ weight[0]), scale * (bias[0] @ weight[1])
        value_weight, value_bias = self.out_proj.weight @ weight[2], self.out_proj(bias[2])

        def attend(x: Tensor) -> Tensor:
            scores = torch.bmm(functional.linear(x, query_weight, query_bias), x.transpose(1, 2))
            if self.causal:
                later = torch.ones(scores.shape[1:], dtype=torch.bool, device=x.device).triu(1)
                scores = scores.masked_fill(later, float("-inf"))
            return functional.linear(torch.bmm(scores.softmax(-1), x), value_weight, value_bias)

        return attend

    def _several_heads(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.in_proj(x).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Embedding(nn.Sequential):
    """Linear, LayerNorm, ReLU, Linear: a raw token to the width of the stream."""

    def __init__(self, token_size: int, width: int) -> None:
        super().__init__(
            nn.Linear(token_size, width), nn.LayerNorm(width), nn.ReLU(inplace=True), nn.Linear(width, width)
        )


class Stream(nn.Module):
    """One stream's layers and position code (1, L, H), learned or fixed; each encoder joins them its own way."""

    def __init__(self, position: Tensor, learned: bool, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        if learned:
            self.position = nn.Parameter(position)
        else:
            self.register_buffer("position", position, persistent=False)
        self.layers = nn.ModuleList(layers)


class Encoder(nn.Module):
    """Skeletons of one or more modalities to dense temporal and spatial features.

    Each modality has embeddings of its own, and the streams take their mean (one model for joint, bone and motion,
    after UmURL, Sun et al., ACM MM 2023); any subset of the modalities may be given.

    With causal attention, y_t of frame t follows from the embedded frames 0..t only (the spatial stream, whose tokens
    span all frames, never is causal). Of the modalities, motion[t] = x[t + 1] - x[t] looks one frame ahead: with it,
    y_t of frame t follows from frames 0..t + 1, a prefix of k frames gives k - 1 final ones, and the last changes when
    the next frame comes.

    Args:
        modalities: Names of the inputs, in order.
        width: H.
        frames, joints, people: T, V, M of the input.
        temporal, spatial: The streams, (N, T, H) to (N, T, H) and (N, M*V, H) to (N, M*V, H).
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        width: int,
        frames: int,
        joints: int,
        people: int,
        temporal: nn.Module,
        spatial: nn.Module,
    ) -> None:
        super().__init__()
        self.modalities, self.width = tuple(modalities), width
        sizes = people * joints * COORDINATES, frames * COORDINATES
        self.temporal_embedding = nn.ModuleDict({name: Embedding(sizes[0], width) for name in modalities})
        self.spatial_embedding = nn.ModuleDict({name: Embedding(sizes[1], width) for name in modalities})
        self.temporal, self.spatial = temporal, spatial
        self.apply(_initialise)

    def embed(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embed (N, C, T, V, M) a modality: temporal (N, T, H) and spatial (N, M*V, H), means over those given.

        Raises:
            ValueError: No modality is given, or one that the encoder has no embedding for.
        """
        if not inputs or set(inputs) - set(self.modalities):
            raise ValueError(f"the encoder takes {', '.join(self.modalities)}; given: {', '.join(inputs) or 'nothing'}")
        temporal = [self.temporal_embedding[name](temporal_tokens(x)) for name, x in inputs.items()]
        spatial = [self.spatial_embedding[name](spatial_tokens(x)) for name, x in inputs.items()]
        return _mean(temporal), _mean(spatial)

    def streams(self, temporal: Tensor, spatial: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded tokens to dense features of the same shapes: y_t (N, T, H) and y_s (N, M*V, H)."""
        return self.temporal(temporal), self.spatial(spatial)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Encode, for each modality given, (N, C, T, V, M): y_t (N, T, H) and y_s (N, M*V, H)."""
        return self.streams(*self.embed(inputs))


def instance_feature(temporal: Tensor, spatial: Tensor) -> Tensor:
    """y_t (N, T, H) and y_s (N, M*V, H) to one feature a clip (N, 2H): their maxima over tokens, side by side."""
    return torch.cat([temporal.amax(1), spatial.amax(1)], -1)


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


def _mean(embeddings: list[Tensor]) -> Tensor:
    return embeddings[0] if len(embeddings) == 1 else torch.stack(embeddings).mean(0)


def _initialise(module: nn.Module) -> None:
    """Random weights as in the authors' code, where attention and convolution are no `nn.Linear` and keep their own."""
    if type(module) is nn.Linear:
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):  # after its parts
        nn.init.xavier_uniform_(module.in_proj.weight)
