"""From the outputs of a model to probabilities of the actions in use.

`Recognizer` asks a classifier at each step. The actions in use need not be those of the model: they may grow or shrink
while the robot runs, so each posterior names the actions that it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Posterior:
    """Probabilities for N windows of T frames, over the K' actions in use.

    Args:
        actions: K' names, in the order of the arrays.
        detection: (N, T, K'+1) probabilities in each frame, background first; each row sums to 1.
        recognition: (N, K') probabilities if the window shows exactly one action; each row sums to 1.
    """

    actions: tuple[str, ...]
    detection: np.ndarray
    recognition: np.ndarray


class Classifier:
    """Turns model outputs into a posterior: here, the softmax of both heads over the actions of the model."""

    def __init__(self, actions: Sequence[str]) -> None:
        """Take the names of the model's K actions, in its order."""
        self._actions = tuple(actions)

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions in use, in the order of the posterior."""
        return self._actions

    def classify(self, detection: np.ndarray, recognition: np.ndarray, embedding: np.ndarray) -> Posterior:
        """The posterior of N windows.

        Args:
            detection: (N, T, K+1) logits of each frame, background first.
            recognition: (N, K) logits of each window.
            embedding: (N, D) features of each window; this classifier does not need them.
        """
        return Posterior(self._actions, softmax(detection), softmax(recognition))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(-1, keepdims=True)
    return shifted
