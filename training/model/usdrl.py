"""The whole network: modalities made from skeletons, the encoder, the detection and the recognition head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.model.encoder import instance_feature
from training.model.modalities import modality
from training.model.options import ModelOptions, encoder


class Head(nn.Linear):
    """One linear layer on features of width 2H; it may have no outputs (an encoder without actions)."""

    def reset_parameters(self) -> None:
        """Random weights, zero bias."""
        nn.init.trunc_normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)


class USDRL(nn.Module):
    """Skeletons to detection logits, recognition logits and the instance feature.

    Detection: y_t beside y_s, pooled from its M*V tokens to T, then one linear layer a frame; class 0 is background.
    Recognition: the instance feature (maximum over tokens of y_t and of y_s), then one linear layer.
    """

    pooling: Tensor

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = encoder(options)
        self.detection = Head(2 * options.width, len(options.actions) + 1)
        self.recognition = Head(2 * options.width, len(options.actions))
        tokens = options.people * options.joints
        self.register_buffer("pooling", pooling_matrix(tokens, options.frames), persistent=False)

    def tokens(self, skeletons: Tensor) -> tuple[Tensor, Tensor]:
        """Dense features of skeletons (N, 3, T, V, M): y_t (N, T, H) and y_s (N, M*V, H)."""
        return self.encoder({name: modality(skeletons, name) for name in self.options.modalities})

    def frame_features(self, temporal: Tensor, spatial: Tensor) -> Tensor:
        """y_t (N, T, H) and y_s (N, M*V, H) to what detection takes: (N, T, 2H)."""
        return torch.cat([temporal, (self.pooling @ spatial).type_as(temporal)], -1)

    def forward(self, skeletons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take (N, 3, T, V, M); give detection (N, T, K+1), recognition (N, K), embedding (N, 2H)."""
        temporal, spatial = self.tokens(skeletons)
        detection = self.detection(self.frame_features(temporal, spatial))
        embedding = instance_feature(temporal, spatial)
        return detection, self.recognition(embedding), embedding


def pooling_matrix(tokens: int, bins: int) -> Tensor:
    """Adaptive average pooling over tokens as one matrix (bins, tokens), which every exporter knows."""
    return nn.functional.adaptive_avg_pool1d(torch.eye(tokens), bins).T.contiguous()
