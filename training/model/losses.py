"""MG-FD, Multi-Grained Feature Decorrelation, and the multi-modal consistency of MPCT (USDRL, arXiv 2412.09220).

Views z^0 ... z^(n-1) of a domain are projections (N, D) of the same N samples. The published form has four views, the
last of which is the anchor of the others. The statistics are those of the whole batch: `gather` joins the processes'
shares, with gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training.configuration import configuration, option

DOMAINS = ("temporal", "spatial", "instance")


@configuration
class LossWeights:
    """Weights of the terms; the defaults are published (arXiv 2412.09220, the authors' code)."""

    consistency: float = option(5.0, "of the consistency of views", low=0.0)
    variance: float = option(1.0, "of variance and covariance", low=0.0)
    correlation: float = option(1e-3, "of the cross-correlation; the TPAMI code sets it to 0", low=0.0)
    tokens: float = option(0.5, "of the temporal and of the spatial domain, beside the instance's 1", low=0.0)
    standard_deviation: float = option(5.0, "of the hinge on deviations, beside the covariance's 1", low=0.0)
    redundancy: float = option(0.005, "of off-diagonal cross-correlation, beside the diagonal's 1", low=0.0)
    modalities: float = option(5.0, "of each modality's consistency with the fused features (unified model)", low=0.0)


def consistency(views: Sequence[Tensor]) -> Tensor:
    """MSE(z^i, z^last) + MSE(z^i, c), summed over all views but the last, c being the mean of those."""
    *others, last = views
    middle = torch.stack(others).mean(0)
    return torch.stack([functional.mse_loss(view, last) + functional.mse_loss(view, middle) for view in others]).sum()


def variance_and_covariance(z: Tensor, standard_deviation: float = 5.0) -> Tensor:
    """A hinge that keeps each dimension's deviation at 1, and the squared off-diagonal covariances over D."""
    hinge = functional.relu(1.0 - (z.var(0) + 1e-4).sqrt()).mean()
    centred = z - z.mean(0)
    covariance = centred.T @ centred / (len(z) - 1)
    off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
    return standard_deviation * hinge + off_diagonal / z.shape[1]


def cross_correlation(first: Tensor, second: Tensor, redundancy: float = 0.005) -> Tensor:
    """How far the correlation of two views is from the identity (Barlow Twins); unbiased deviations, divided by N."""
    return _distance_to_identity(_standardised(first), _standardised(second), redundancy)


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / z.std(0)


def _distance_to_identity(first: Tensor, second: Tensor, redundancy: float) -> Tensor:
    correlation = first.T @ second / len(first)
    diagonal = correlation.diagonal()
    off_diagonal = correlation.square().sum() - diagonal.square().sum()
    return (diagonal - 1.0).square().sum() + redundancy * off_diagonal


def feature_decorrelation(views: Sequence[Mapping[str, Tensor]], weights: LossWeights) -> dict[str, Tensor]:
    """MG-FD over the views' projections by domain, each (N, D of the domain); in single precision, always.

    Returns:
        "consistency", "variance" and "correlation", unweighted, each as instance + tokens * (temporal + spatial).
    """
    with torch.autocast(views[0]["instance"].device.type, enabled=False):
        return _feature_decorrelation(views, weights)


def _feature_decorrelation(views: Sequence[Mapping[str, Tensor]], weights: LossWeights) -> dict[str, Tensor]:
    terms = {"consistency": torch.zeros(()), "variance": torch.zeros(()), "correlation": torch.zeros(())}
    for domain in DOMAINS:
        share = 1.0 if domain == "instance" else weights.tokens
        z = [view[domain].float() for view in views]
        found = {
            "consistency": consistency(z),
            "variance": torch.stack([variance_and_covariance(x, weights.standard_deviation) for x in z]).sum(),
        }
        if weights.correlation:
            standardised = [_standardised(x) for x in z]
            found["correlation"] = torch.stack(
                [_distance_to_identity(*pair, weights.redundancy) for pair in combinations(standardised, 2)]
            ).sum()
        for name, value in found.items():
            terms[name] = terms[name].to(value.device) + share * value
    return terms


def modality_consistency(
    modality: Sequence[Mapping[str, Tensor]], fused: Sequence[Mapping[str, Tensor]], weights: LossWeights
) -> Tensor:
    """Mean over the views of the MSE between one modality's projections and the fused ones (inter-modal)."""
    total = torch.zeros((), device=fused[0]["instance"].device)
    for domain in DOMAINS:
        share = 1.0 if domain == "instance" else weights.tokens
        pairs = zip(modality, fused, strict=True)
        total = (
            total
            + share
            * torch.stack(
                [functional.mse_loss(own[domain].float(), joint[domain].float()) for own, joint in pairs]
            ).mean()
        )
    return total


def gather(z: Tensor) -> Tensor:
    """All processes' samples (N, D), with gradients; the tensor itself where there is one process.

    Every process, with as many samples each, then computes the same loss of the whole batch. Their gradients are summed
    on the way back and averaged over processes by data-parallel training, which leaves the gradient of that one loss.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return z
    return _Gather.apply(z)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, z: Tensor) -> Tensor:
        parts = [torch.empty_like(z) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, z.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]
