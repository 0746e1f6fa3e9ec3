"""The projectors of pretraining, on the encoder's features; thrown away after it (arXiv 2412.09220, "MG-FD")."""

from __future__ import annotations

from torch import Tensor, nn


class Projector(nn.Sequential):
    """Three linear layers, the first two followed by BatchNorm and ReLU: (N, inputs) to (N, outputs)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(
            nn.Linear(inputs, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, outputs),
        )


class Projectors(nn.Module):
    """One projector a domain: temporal and spatial H to 2H, instance 2H to 4H.

    Args:
        width: H, the encoder's.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.temporal = Projector(width, 2 * width, 2 * width)
        self.spatial = Projector(width, 2 * width, 2 * width)
        self.instance = Projector(2 * width, 2 * width, 4 * width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, instance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Instance features (N, 2H), temporal and spatial side by side, to z_t (N, 2H), z_s (N, 2H) and z_i (N, 4H)."""
        z_t, z_s = (
            project(half) for project, half in zip((self.temporal, self.spatial), instance.chunk(2, -1), strict=True)
        )
        return z_t, z_s, self.instance(instance)
