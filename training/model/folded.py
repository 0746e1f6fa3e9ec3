"""The network as it is exported: the same outputs from fewer and larger products.

What follows from the weights alone is computed once, in double precision: products of projections, CA's identity, the
shares of CA and of DSA, position codes, the modalities. CA and the two halves of DSA go through the layer's attention
as one batch. Tokens lie in rows, (N * L, H), so that a linear layer is one Gemm with its bias, or with what is added to
it. Only for running: a folded network does not learn, and does not follow a change of the weights it was made from.

Letters: N batch, C coordinates, T frames, V joints, M people, L tokens, H width.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from training.model.dste import DenseLayer
from training.model.encoder import Attention, spatial_tokens, temporal_tokens
from training.model.modalities import modality
from training.model.usdrl import USDRL


def fold(model: USDRL, people: int | None = None) -> FoldedUSDRL:
    """The network for running; the given one stays as it is.

    Args:
        model: As trained.
        people: Places for people in the input, at most those of the model: what it gives with zeros in the others. What
            zeros become does not depend on the input, and is computed here. Default: all.

    Raises:
        ValueError: There are not as many places.
    """
    if people is not None and not 1 <= people <= model.options.people:
        raise ValueError(f"people is {people}; the model was trained with {model.options.people}, give 1 to that many")
    return FoldedUSDRL(copy.deepcopy(model).double().requires_grad_(False), people or model.options.people).eval()


class FoldedUSDRL(nn.Module):
    """Takes skeletons (N, 3, T, V, M), gives what `USDRL` gives; made by `fold`."""

    pooling: Tensor

    def __init__(self, model: USDRL, people: int) -> None:
        super().__init__()
        options = model.options
        encoder: Any = model.encoder
        self.options = options
        self.frames, self.tokens, self.people = options.frames, options.people * options.joints, people
        names = options.modalities
        self.temporal_embedding = FoldedEmbedding(
            {name: encoder.temporal_embedding[name] for name in names},
            {name: _frame_matrix(name, options.joints, people, options.people) for name in names},
            {name: _motion_over_frames(options.frames) if name == "motion" else None for name in names},
            torch.eye(options.frames),
            encoder.temporal.position[0],
        )
        self.spatial_embedding = FoldedEmbedding(
            {name: encoder.spatial_embedding[name] for name in names},
            {name: _joint_matrix(name, options.frames) for name in names},
            {name: _bones_over_joints(options.joints, people) if name == "bone" else None for name in names},
            torch.eye(self.tokens)[:, : people * options.joints],
            encoder.spatial.position[0],
        )
        self.temporal, self.spatial = (
            nn.ModuleList(_folded_layers(stream.layers, stream.position[0]))
            for stream in (encoder.temporal, encoder.spatial)
        )
        of_temporal, of_spatial = model.detection.weight.T.split(options.width)
        self.detection = Rows(of_temporal, model.detection.bias)
        self.detection_of_spatial = Rows(of_spatial)
        self.recognition = Rows(model.recognition.weight.T, model.recognition.bias)
        self.register_buffer("pooling", model.pooling.float())

    def forward(self, skeletons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take (N, 3, T, V, M); give detection (N, T, K+1), recognition (N, K), embedding (N, 2H)."""
        frames = skeletons.transpose(1, 2).flatten(2)
        # In two steps, which copy whole rows, and not number by number as one step would.
        joints = skeletons.flatten(1, 2).flatten(2).transpose(1, 2)
        if self.people > 1:
            joints = joints.unflatten(1, (-1, self.people)).transpose(1, 2).flatten(1, 2)
        temporal, spatial = self.temporal_embedding(frames), self.spatial_embedding(joints)
        for layer in self.temporal:
            temporal = layer(temporal)
        for layer in self.spatial:
            spatial = layer(spatial)
        pooled = self.pooling @ _tokens(self.detection_of_spatial(spatial), self.tokens)
        detection = _tokens(self.detection(temporal), self.frames) + pooled
        maxima = [_tokens(temporal, self.frames).amax(1), _tokens(spatial, self.tokens).amax(1)]
        embedding = torch.cat(maxima, -1)
        return detection, self.recognition(embedding), embedding


class Rows(nn.Module):
    """A linear layer on rows, with constant weights: x W + b, or x W + what is given instead of b."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Take weight (inputs, outputs) and bias (outputs)."""
        super().__init__()
        self.weight = _constant(weight)
        self.bias = None if bias is None else _constant(bias)

    def forward(self, x: Tensor, added: Tensor | None = None, share: float = 1.0) -> Tensor:
        """(rows, inputs) to (rows, outputs); `added`, times `share`, takes the place of the bias."""
        added = self.bias if added is None else added
        return x @ self.weight if added is None else torch.addmm(added, x, self.weight, beta=share)


class FoldedEmbedding(nn.Module):
    """Raw tokens (N, L, size) of skeletons to embedded ones with their position added, (N * L, H).

    Args:
        embeddings: The modalities' embeddings.
        inside: A modality's matrix from the raw token to the modality's one.
        over: A modality's matrix over tokens (L, L), where it is made of several tokens.
        places: Matrix (all tokens, L) that puts the tokens given among all; the others are those of zeros.
        position: (all tokens, H).
    """

    def __init__(
        self,
        embeddings: dict[str, Any],
        inside: dict[str, Tensor],
        over: dict[str, Tensor | None],
        places: Tensor,
        position: Tensor,
    ) -> None:
        super().__init__()
        count = len(embeddings)
        self.over = nn.ParameterList(
            [_constant(torch.empty(0) if matrix is None else matrix) for matrix in over.values()]
        )
        self.first = nn.ModuleList(
            Rows(inside[name] @ embedding[0].weight.T, embedding[0].bias) for name, embedding in embeddings.items()
        )
        self.norms = nn.ModuleList(_norm(embedding[1]) for embedding in embeddings.values())
        self.second = Rows(torch.cat([embedding[3].weight.T for embedding in embeddings.values()]) / count)
        bias = sum(embedding[3].bias for embedding in embeddings.values()) / count
        of_zeros = sum(embedding(torch.zeros_like(embedding[0].weight[0])) for embedding in embeddings.values()) / count
        given = places.sum(1, keepdim=True)
        self.given = places.shape[1]
        self.places = _constant(places) if len(places) > self.given else None
        self.added = _constant(position + given * bias + (1.0 - given) * of_zeros)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, size) to (N * all tokens, H)."""
        size = tokens.shape[-1]
        hidden = []
        for over, first, norm in zip(self.over, self.first, self.norms, strict=True):
            seen = over @ tokens if over.numel() else tokens
            hidden.append(norm(first(seen.reshape(-1, size))))
        embedded = _tokens(self.second(torch.cat(hidden, -1).relu()), self.given)
        if self.places is not None:
            embedded = self.places @ embedded
        return (embedded + self.added).flatten(0, 1)


class FoldedAttention(nn.Module):
    """Self-attention on tokens in rows, without what is added to it afterwards."""

    later: Tensor

    def __init__(self, attention: Attention, tokens: int) -> None:
        super().__init__()
        self.tokens, self.heads, self.causal = tokens, attention.heads, attention.causal
        weight, bias = attention.in_proj.weight.unflatten(0, (3, -1)), attention.in_proj.bias.unflatten(0, (3, -1))
        if self.heads == 1:  # as in Attention.folded
            scale = weight.shape[1] ** -0.5
            self.query = Rows(scale * (weight[0].T @ weight[1]), scale * (bias[0] @ weight[1]))
            self.value = Rows((attention.out_proj.weight @ weight[2]).T, attention.out_proj(bias[2]))
            if self.causal:
                self.register_buffer("later", torch.full((tokens, tokens), float("-inf")).triu(1))
        else:
            self.attention = copy.deepcopy(attention).float()

    def forward(self, x: Tensor) -> Tensor:
        """(N * L, H) to the same."""
        together = _tokens(x, self.tokens)
        if self.heads > 1:
            return self.attention(together).flatten(0, 1)
        scores = torch.bmm(_tokens(self.query(x), self.tokens), together.transpose(1, 2))
        if self.causal:
            scores = scores + self.later
        return self.value(torch.bmm(scores.softmax(-1), together).flatten(0, 1))


class FoldedDenseLayer(nn.Module):
    """One DSTE layer, and what is added before the next one, on tokens in rows."""

    def __init__(self, layer: DenseLayer, after: Tensor | None) -> None:
        """Take a layer in double precision and the position (L, H) that is added after it."""
        super().__init__()
        ca: Any = layer.ca
        dsa: Any = layer.dsa
        share = 0.5 * (1.0 - layer.alpha)
        mix1, mix2 = (mix.weight.tril() if dsa.causal else mix.weight for mix in (dsa.mix1, dsa.mix2))
        self.tokens, self.share = len(mix1), share
        # x + relu(x W + b) is the larger of x and x (W + I) + b.
        identity = torch.eye(ca.convolution.weight.shape[0])
        self.convolution = Rows(ca.convolution.weight.T + identity, ca.convolution.bias)
        self.mix1, self.mix1_bias = _constant(mix1), _constant(dsa.mix1.bias[:, None])
        self.mix2, self.mix2_bias = _constant(mix2 * dsa.shifted), _constant(dsa.mix2.bias[:, None] * dsa.shifted)
        self.attention = FoldedAttention(layer.attention, self.tokens)
        self.ca_norm1, self.ca_norm2, self.dsa_norm1, self.dsa_norm2 = (
            _norm(norm) for norm in (ca.norm1, ca.norm2, dsa.norm1, dsa.norm2)
        )
        self.ca_hidden, self.dsa_hidden = (Rows(mlp[0].weight.T, mlp[0].bias) for mlp in (ca.mlp, dsa.mlp))
        self.ca_output, self.dsa_output = (
            Rows(part * mlp[2].weight.T) for part, mlp in ((layer.alpha, ca.mlp), (share, dsa.mlp))
        )
        bias = layer.alpha * ca.mlp[2].bias + 2.0 * share * dsa.mlp[2].bias
        self.added = _constant(bias if after is None else bias + after)

    def forward(self, x: Tensor) -> Tensor:
        """(N * L, H) to the same."""
        width = x.shape[1]
        tokens = _tokens(x, self.tokens)
        mixed = tokens + (self.mix2 @ (self.mix1 @ tokens + self.mix1_bias).relu() + self.mix2_bias)
        halves = torch.cat([mixed.flatten(0, 1), x])
        convolved = torch.maximum(x, self.convolution(x))
        attended = self.attention(torch.cat([self.dsa_norm1(halves), self.ca_norm1(convolved)]))
        of_halves, of_convolved = attended.view(3, -1, width).split([2, 1])
        halves = halves + of_halves.reshape(-1, width)
        convolved = x + of_convolved.reshape(-1, width)
        ca_hidden = gelu(self.ca_hidden(self.ca_norm2(convolved)))
        dsa_hidden = _sum_of_halves(gelu(self.dsa_hidden(self.dsa_norm2(halves))))
        output = self.dsa_output(dsa_hidden, self.ca_output(ca_hidden, _sum_of_halves(halves), self.share))
        if self.added.dim() == 1:
            return output + self.added
        return (_tokens(output, self.tokens) + self.added).flatten(0, 1)


class FoldedPlainLayer(nn.Module):
    """One STTR layer on tokens in rows."""

    def __init__(self, layer: Any, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.attention = FoldedAttention(layer.attention, tokens)
        self.norm1, self.norm2 = _norm(layer.norm1), _norm(layer.norm2)
        self.linear1, self.linear2 = (Rows(linear.weight.T, linear.bias) for linear in (layer.linear1, layer.linear2))

    def forward(self, x: Tensor) -> Tensor:
        """(N * L, H) to the same."""
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


def gelu(x: Tensor) -> Tensor:
    """GELU in operations that every parser knows, in the order in which engines recognise it."""
    return x * ((x / math.sqrt(2.0)).erf() + 1.0) * 0.5


def _folded_layers(layers: Any, position: Tensor) -> list[nn.Module]:
    if not isinstance(layers[0], DenseLayer):
        return [FoldedPlainLayer(layer, len(position)) for layer in layers]
    return [FoldedDenseLayer(layer, position if layer is not layers[-1] else None) for layer in layers]


def _tokens(rows: Tensor, tokens: int) -> Tensor:
    """(N * L, H) to (N, L, H)."""
    return rows.view(-1, tokens, rows.shape[-1])


def _sum_of_halves(rows: Tensor) -> Tensor:
    """(2 * rows, size) to (rows, size); engines are slow at a sum over an axis, and fast at adding two tensors."""
    first, second = rows.view(2, -1, rows.shape[1]).split(1)
    return (first + second).view(-1, rows.shape[1])


def _constant(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach().float().contiguous(), requires_grad=False)


def _norm(norm: nn.LayerNorm) -> nn.LayerNorm:
    return copy.deepcopy(norm).float()


def _frame_matrix(name: str, joints: int, people: int, all_people: int) -> Tensor:
    """From a frame (C, V, M), flattened, to the temporal token of its joints or bones, people beyond M being zero."""
    size = 3 * joints * people
    frames = torch.zeros(size, 3, 1, joints, all_people, dtype=torch.double)
    frames[..., :people] = torch.eye(size, dtype=torch.double).view(size, 3, 1, joints, people)
    return temporal_tokens(frames if name == "motion" else modality(frames, name))[:, 0]


def _joint_matrix(name: str, frames: int) -> Tensor:
    """From the path (C, T) of a joint, flattened, to its spatial token of joints or motion."""
    size = 3 * frames
    paths = torch.eye(size, dtype=torch.double).view(size, 3, frames, 1, 1)
    return spatial_tokens(paths if name == "bone" else modality(paths, name))[:, 0]


def _motion_over_frames(frames: int) -> Tensor:
    return modality(torch.eye(frames).view(1, 1, frames, frames, 1), "motion").view(frames, frames)


def _bones_over_joints(joints: int, people: int) -> Tensor:
    bones = modality(torch.eye(joints).view(1, 1, joints, joints, 1), "bone").view(joints, joints).T
    return torch.block_diag(*[bones] * people)
