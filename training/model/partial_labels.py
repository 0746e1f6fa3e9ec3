"""Losses for labels that say little: background of sets that label few actions; embeddings by action."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy_within(
    logits: Tensor,
    labels: Tensor,
    spaces: Tensor,
    *,
    ignore: int,
    label_smoothing: float = 0.0,
    background_weight: float = 1.0,
) -> Tensor:
    """Cross-entropy in which background means: none of the actions that the set has labels for.

    Where a frame is labelled as background, the probability of background and of all actions outside the set's label
    space count as right together (a partial label, Cour et al., JMLR 2011). Actions are as in ordinary cross-entropy.

    Args:
        logits: (N, C), class 0 is background.
        labels: (N,) classes; `ignore` is left out.
        spaces: (N, C) true for the classes that the sample's set has labels for.
        ignore: The label that is left out.
        label_smoothing: Share of a label that is spread over all classes.
        background_weight: Of the samples of background, beside 1 of those of actions.

    Returns:
        The weighted mean over the labelled samples; 0 without any.
    """
    known = labels != ignore
    logits, labels, spaces = logits[known].float(), labels[known], spaces[known]
    if not len(labels):
        return logits.sum()
    log = logits.log_softmax(-1)
    right = functional.one_hot(labels, logits.shape[-1]).bool()
    right = right | ((labels == 0)[:, None] & ~spaces)
    own = log.masked_fill(~right, float("-inf")).logsumexp(-1)
    losses = -((1.0 - label_smoothing) * own + label_smoothing * log.mean(-1))
    weights = torch.where(labels == 0, background_weight, 1.0)
    return (weights * losses).sum() / weights.sum()


def supervised_contrastive(embeddings: Tensor, labels: Tensor, *, ignore: int, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, L_out): samples of one label near, all others far.

    Args:
        embeddings: (N, D), of any length.
        labels: (N,); samples with `ignore` take no part.
        ignore: The label that is left out.
        temperature: Of the cosine similarities.

    Returns:
        The mean over the samples that share their label with another one; 0 without any.
    """
    known = labels != ignore
    unit, labels = functional.normalize(embeddings[known].float(), dim=-1), labels[known]
    if not len(labels):
        return embeddings.float().sum() * 0.0
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    log = (unit @ unit.T / temperature).masked_fill(itself, float("-inf")).log_softmax(-1)
    same = (labels[:, None] == labels) & ~itself
    shared = same.any(-1)
    total = log.masked_fill(~same, 0.0).sum(-1)[shared] / same.sum(-1)[shared]
    return -total.mean() if len(total) else unit.sum() * 0.0
