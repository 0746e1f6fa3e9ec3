"""One posterior from both heads: what the detection head says of each frame, and the recognition head of the window.

On a sensor that training never saw, the detection head takes known actions for background while the recognition head
names the same window rightly: it learned from actions alone and has no background to flee to. Their logarithms are
mixed, as in a product of experts (Hinton, Neural Computation 2002):

    posterior[t, action]     ~ detection[t, action]^(1 - share) * recognition[action]^share
    posterior[t, background] ~ detection[t, background]^(1 - share) * odds^share

`odds` stands for the recognition head's missing opinion on background. For comparing by
`training.shipped.thresholds` and `training.shipped.leave_one_out`: on validation people it found no
more at the same false events, so the robot has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from usdrl_ros.actions.classifier import softmax
from usdrl_ros.inference.contract import Engine, Predictions


@dataclass(frozen=True)
class Fusion:
    """How much the recognition head takes part.

    Args:
        share: 0: not at all; 0.5: a geometric mean.
        odds: The recognition head's probability of background, as it is taken to be.
    """

    share: float = 0.0
    odds: float = 0.2


def fused_logits(detection: np.ndarray, recognition: np.ndarray, fusion: Fusion) -> np.ndarray:
    """Logits (N, T, K+1) of one posterior, from those of detection (N, T, K+1) and of recognition (N, K)."""
    of_frames = np.log(np.maximum(softmax(np.array(detection, float)), 1e-12))
    of_windows = np.log(np.maximum(softmax(np.array(recognition, float)), 1e-12))
    background = np.full((len(of_windows), 1), np.log(fusion.odds))
    of_windows = np.concatenate([background, of_windows], -1)[:, None]
    return ((1.0 - fusion.share) * of_frames + fusion.share * of_windows).astype(np.float32)


class FusedEngine:
    """An engine whose detection is the posterior of both heads."""

    def __init__(self, engine: Engine, fusion: Fusion) -> None:
        self.info = engine.info
        self._engine, self._fusion = engine, fusion

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """As the engine's, with `detection` fused."""
        found = self._engine.infer(skeletons)
        if not self._fusion.share:
            return found
        return replace(found, detection=fused_logits(found.detection, found.recognition, self._fusion))
