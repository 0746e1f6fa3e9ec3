"""The whole network: modalities made from skeletons, the encoder, the detection and the recognition head."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from training.model.dste import DSTE

BONES = (
    (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11), (13, 1),
    (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (21, 21), (22, 23), (23, 8), (24, 25),
    (25, 12),
)  # fmt: skip
"""(joint, its parent), counted from 1: the bones of NTU-25 as the authors' feeder takes them."""
_PARENT = [parent - 1 for _, parent in sorted(BONES)]

MODALITIES = ("joint", "bone", "motion")


def modality(skeletons: Tensor, name: str) -> Tensor:
    """One view of skeletons (N, 3, T, 25, M), of the same shape: joint, bone or motion.

    bone[v] = x[v] - x[parent of v]; motion[t] = x[t + 1] - x[t], 0 in the last frame.
    """
    if name == "joint":
        return skeletons
    if name == "bone":
        return skeletons - skeletons[:, :, :, _PARENT]
    if name == "motion":
        motion = skeletons[:, :, 1:] - skeletons[:, :, :-1]
        return torch.cat([motion, torch.zeros_like(skeletons[:, :, :1])], 2)
    raise ValueError(f"unknown modality '{name}'; known are {', '.join(MODALITIES)}")


@dataclass(frozen=True)
class ModelOptions:
    """What a model is built from; stored in its checkpoint."""

    actions: tuple[str, ...]
    modalities: tuple[str, ...] = MODALITIES
    width: int = 256
    heads: int = 1
    layers: int = 2
    drop_path: float = 0.1

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a checkpoint that loads with `weights_only=True`."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelOptions:
        """From what `as_dict` gave."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


class USDRL(nn.Module):
    """Skeletons to detection logits, recognition logits and the instance feature.

    Detection: y_t beside y_s, pooled from its M*V tokens to T, then one linear layer a frame; class 0 is background.
    Recognition: the instance feature (maximum over tokens of y_t and of y_s), then one linear layer.
    """

    frames, joints, people = 64, 25, 2

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = DSTE(
            modalities=options.modalities,
            width=options.width,
            heads=options.heads,
            layers=options.layers,
            drop_path=options.drop_path,
            frames=self.frames,
            joints=self.joints,
            people=self.people,
        )
        self.detection = nn.Linear(2 * options.width, len(options.actions) + 1)
        self.recognition = nn.Linear(2 * options.width, len(options.actions))
        for head in (self.detection, self.recognition):
            nn.init.trunc_normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        self.register_buffer("pooling", pooling_matrix(self.people * self.joints, self.frames), persistent=False)

    def forward(self, skeletons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take (N, 3, 64, 25, 2); give detection (N, 64, K+1), recognition (N, K), embedding (N, 2H)."""
        temporal, spatial = self.encoder({name: modality(skeletons, name) for name in self.options.modalities})
        detection = self.detection(torch.cat([temporal, self.pooling @ spatial], -1))
        embedding = torch.cat([temporal.amax(1), spatial.amax(1)], -1)
        return detection, self.recognition(embedding), embedding


def pooling_matrix(tokens: int, bins: int) -> Tensor:
    """Adaptive average pooling over tokens as one matrix (bins, tokens), which every exporter knows."""
    return nn.functional.adaptive_avg_pool1d(torch.eye(tokens), bins).T.contiguous()
