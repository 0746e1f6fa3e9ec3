"""DSTE, the Dense Spatio-Temporal Encoder of USDRL (arXiv 2412.09220, section "DSTE"; authors' code, MIT).

Two streams that do not talk to each other: one token a frame (T of them), one token a joint and person (M * V). Each
stream: an embedding, then layers that mix convolutional attention (CA) with dense shift attention (DSA).
Letters: N batch, L tokens, H width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.encoder import Attention, Encoder, Stream, sinusoids


class DropPath(nn.Module):
    """Leave out a residual branch for a random share of the samples (stochastic depth, Huang et al., ECCV 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def scale(self, x: Tensor) -> Tensor | float:
        """What to multiply a branch of x (N, L, H) by: (N, 1, 1), 0 or so large that the expectation stays."""
        if not self.training or self.probability == 0.0:
            return 1.0
        keep = 1.0 - self.probability
        return x.new_empty(x.shape[0], 1, 1).bernoulli_(keep) / keep

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + branch, both (N, L, H), in one pass over them."""
        scale = self.scale(x)
        return torch.addcmul(x, branch, scale) if isinstance(scale, Tensor) else x + branch


class MLP(nn.Sequential):
    """Linear, GELU, Linear: width to twice the width and back."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def hidden(self, x: Tensor) -> Tensor:
        """(N, L, H) to (N, L, 2H): all but the last layer."""
        return self[1](self[0](x))


class PointwiseConvolution(nn.Linear):
    """A convolution of kernel 1 over tokens; a type of its own, as it begins with other weights than linear layers."""


class ConvolutionalAttention(nn.Module):
    """CA: a convolution of kernel 1 before attention; the block's input joins after attention, none after the MLP."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.convolution = PointwiseConvolution(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        convolved = x + functional.relu(self.convolution(x))
        attended = self.drop_path.add(x, attend(self.norm1(convolved)))
        return self.mlp(self.norm2(attended)) * self.drop_path.scale(x)


class DenseShiftAttention(nn.Module):
    """DSA: a transformer block on the tokens and on tokens mixed along their axis, averaged.

    Every `gap`-th token of the mixed ones stays as it was: an anchor for the shifted ones.
    """

    shifted: Tensor

    def __init__(self, width: int, tokens: int, gap: int, drop_path: float, causal: bool) -> None:
        super().__init__()
        self.mix1, self.mix2 = nn.Linear(tokens, tokens), nn.Linear(tokens, tokens)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.drop_path = DropPath(drop_path)
        self.causal = causal
        self.register_buffer("shifted", (torch.arange(tokens) % gap != 0).float()[:, None], persistent=False)

    def forward(self, x: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        (first, hidden1), (second, hidden2) = self._half(self._mix(x), attend), self._half(x, attend)
        # The MLP's second layer is linear: once, on the mean of the two, gives what twice would.
        scale1, scale2 = 0.5 * self.drop_path.scale(x), 0.5 * self.drop_path.scale(x)
        weight, bias = self.mlp[2].parameters()
        branches = functional.linear(hidden1 * scale1 + hidden2 * scale2, weight) + (scale1 + scale2) * bias
        return torch.lerp(first, second, 0.5) + branches

    def _mix(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self._along_tokens(x, self.mix1.weight, self.mix1.bias[:, None]))
        return x + self._along_tokens(hidden, self.mix2.weight * self.shifted, self.mix2.bias[:, None] * self.shifted)

    def _along_tokens(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # Weights on the left spare the two transpositions that nn.Linear would need.
        weight = weight.tril() if self.causal else weight
        return torch.baddbmm(bias, weight.expand(x.shape[0], -1, -1), x)

    def _half(self, x: Tensor, attend: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        x = self.drop_path.add(x, attend(self.norm1(x)))
        return x, self.mlp.hidden(self.norm2(x))


class DenseLayer(nn.Module):
    """One DSTE layer: alpha * CA + (1 - alpha) * DSA, both with the layer's one attention."""

    def __init__(
        self, width: int, heads: int, tokens: int, gap: int, alpha: float, drop_path: float, causal: bool
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.attention = Attention(width, heads, causal)
        self.ca = ConvolutionalAttention(width, drop_path)
        self.dsa = DenseShiftAttention(width, tokens, gap, drop_path, causal)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        attend = self.attention.folded()
        dense = self.dsa(x, attend)
        return torch.lerp(dense, self.ca(x, attend).type_as(dense), self.alpha)


class DenseStream(Stream):
    """A stream whose position code is added before every layer."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, H) to (N, L, H)."""
        for layer in self.layers:
            tokens = layer(tokens + self.position)
        return tokens


class DSTE(Encoder):
    """The dense encoder.

    Args:
        modalities, width, frames, joints, people: As of `Encoder`.
        heads: Heads of the attention.
        layers: Layers a stream.
        attention: "full", or "causal" in the temporal stream: attention is masked, and DSA mixes a frame with earlier
            ones only (the lower triangle of its matrices; the upper one is kept, unused).
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
        attention: str = "full",
        gap: int = 4,
        alpha: float = 0.5,
        drop_path: float = 0.1,
    ) -> None:
        def stack(tokens: int, causal: bool) -> list[DenseLayer]:
            return [DenseLayer(width, heads, tokens, gap, alpha, drop_path, causal) for _ in range(layers)]

        joint_tokens = people * joints
        spatial_position = nn.init.trunc_normal_(torch.empty(1, joint_tokens, width), std=0.02)
        super().__init__(
            modalities,
            width,
            frames,
            joints,
            people,
            DenseStream(sinusoids(frames, width), False, stack(frames, attention == "causal")),
            DenseStream(spatial_position, True, stack(joint_tokens, False)),
        )
