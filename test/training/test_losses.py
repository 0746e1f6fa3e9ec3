"""MG-FD against arrays from the authors' code, against closed forms, and over two processes."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.model.losses import (  # noqa: E402
    DOMAINS,
    LossWeights,
    consistency,
    cross_correlation,
    feature_decorrelation,
    gather,
    modality_consistency,
    variance_and_covariance,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> dict[str, np.ndarray]:
    with np.load(shared_data / "reference" / "official_losses.npz") as arrays:
        return dict(arrays)


def random_views(count: int, samples: int = 12, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Projections of each view by domain."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"temporal": 6, "spatial": 6, "instance": 10}
    return [{name: torch.randn(samples, sizes[name], generator=generator) for name in DOMAINS} for _ in range(count)]


def test_equals_the_authors_losses(reference: dict[str, np.ndarray]) -> None:
    views = [torch.from_numpy(reference[f"z{i}"]) for i in range(4)]
    assert consistency(views).item() == pytest.approx(reference["similarity"].item(), abs=1e-5)
    found = [variance_and_covariance(view).item() for view in views]
    np.testing.assert_allclose(found, reference["vac"], atol=1e-5)
    assert cross_correlation(views[0], views[1]).item() == pytest.approx(reference["xcorr_01"].item(), rel=1e-5)
    pairs = sum(cross_correlation(*pair).item() for pair in combinations(views, 2))
    assert pairs == pytest.approx(reference["xcorr_all"].item(), rel=1e-5)


def test_the_sum_over_domains_is_the_published_one(reference: dict[str, np.ndarray]) -> None:
    """All three domains alike: instance + 0.5 * (temporal + spatial) is twice one domain."""
    views = [dict.fromkeys(DOMAINS, torch.from_numpy(reference[f"z{i}"])) for i in range(4)]
    terms = feature_decorrelation(views, LossWeights())
    for name, expected in (
        ("consistency", reference["similarity"]),
        ("variance", reference["vac"].sum()),
        ("correlation", reference["xcorr_all"]),
    ):
        assert terms[name].item() == pytest.approx(2.0 * expected.item(), rel=1e-5)


def test_each_domain_has_its_weight() -> None:
    views = random_views(3)
    apart = [dict.fromkeys(DOMAINS, torch.zeros(12, 6)) | {"instance": view["instance"]} for view in views]
    whole = feature_decorrelation(views, LossWeights(tokens=0.25))["consistency"].item()
    instance = feature_decorrelation(apart, LossWeights())["consistency"].item()
    tokens = [consistency([view[name] for view in views]).item() for name in ("temporal", "spatial")]
    assert whole == pytest.approx(instance + 0.25 * sum(tokens), rel=1e-6)


def test_equal_views_are_consistent_and_perfectly_correlated() -> None:
    view = random_views(1, samples=50)[0]["instance"]
    assert consistency([view] * 4).item() == pytest.approx(0.0, abs=1e-12)
    standardised = (view - view.mean(0)) / view.std(0)
    whitened = standardised @ torch.linalg.inv(torch.linalg.cholesky(standardised.T @ standardised / 49)).T
    # The unbiased deviation and the division by N leave 49/50 on the diagonal.
    assert cross_correlation(whitened, whitened).item() == pytest.approx(10 * (49 / 50 - 1) ** 2, abs=1e-5)
    assert cross_correlation(whitened, -whitened).item() == pytest.approx(10 * (49 / 50 + 1) ** 2, rel=1e-5)


def test_consistency_in_closed_form() -> None:
    """Views that are constants a, b and an anchor d: squares of differences."""
    a, b, d = (torch.full((5, 4), value) for value in (1.0, 3.0, 6.0))
    assert consistency([a, d]).item() == pytest.approx(25.0)
    assert consistency([a, b, d]).item() == pytest.approx(25 + 9 + 1 + 1)


def test_variance_and_covariance_in_closed_form() -> None:
    """Two dimensions, z and 2z with var(z) = v: off-diagonal covariance 2v twice, over D = 2."""
    column = torch.tensor([1.0, -1.0, 0.5, -0.5]) * 0.2
    variance = column.var().item()
    hinge = np.mean([1 - np.sqrt(variance + 1e-4), 1 - np.sqrt(4 * variance + 1e-4)])
    found = variance_and_covariance(torch.stack([column, 2 * column], 1), standard_deviation=3.0).item()
    assert found == pytest.approx(3.0 * hinge + (2 * variance) ** 2, rel=1e-5)
    spread = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    assert variance_and_covariance(spread).item() == 0.0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_number_of_views(count: int) -> None:
    """Each term by a loop in NumPy."""
    views = random_views(count)
    terms = feature_decorrelation(views, LossWeights())
    expected = dict.fromkeys(terms, 0.0)
    for domain in DOMAINS:
        share = 1.0 if domain == "instance" else 0.5
        z = [view[domain].double().numpy() for view in views]
        middle = sum(z[:-1]) / (count - 1)
        expected["consistency"] += share * sum(((x - z[-1]) ** 2).mean() + ((x - middle) ** 2).mean() for x in z[:-1])
        for x in z:
            covariance = np.cov(x.T)
            hinge = np.maximum(1 - np.sqrt(x.var(0, ddof=1) + 1e-4), 0).mean()
            off = covariance[~np.eye(len(covariance), dtype=bool)]
            expected["variance"] += share * (5 * hinge + (off**2).sum() / x.shape[1])
        for i in range(count):
            for j in range(i + 1, count):
                size = z[i].shape[1]
                matrix = np.corrcoef(z[i].T, z[j].T)[:size, size:] * (11 / 12)
                off = matrix[~np.eye(size, dtype=bool)]
                expected["correlation"] += share * (((matrix.diagonal() - 1) ** 2).sum() + 0.005 * (off**2).sum())
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name], rel=1e-4), name


def test_a_term_without_weight_is_not_computed() -> None:
    assert feature_decorrelation(random_views(2), LossWeights(correlation=0.0))["correlation"].item() == 0.0


def test_between_modalities() -> None:
    own, fused = random_views(2, seed=1), random_views(2, seed=2)
    weights = LossWeights()
    assert modality_consistency(fused, fused, weights).item() == 0.0
    squares = [
        {name: (a[name] - b[name]).square().mean().item() for name in DOMAINS} for a, b in zip(own, fused, strict=True)
    ]
    expected = np.mean([each["instance"] + 0.5 * (each["temporal"] + each["spatial"]) for each in squares])
    assert modality_consistency(own, fused, weights).item() == pytest.approx(expected, rel=1e-6)


def test_half_precision_features_do_not_make_a_half_precision_loss() -> None:
    views = random_views(4, samples=64)
    expected = feature_decorrelation(views, LossWeights())
    with torch.autocast("cpu", torch.bfloat16):
        found = feature_decorrelation(views, LossWeights())
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-6), name


def test_one_process_gathers_nothing() -> None:
    z = torch.randn(3, 2)
    assert gather(z) is z


def network() -> torch.nn.Module:
    """The same in every process; its BatchNorm needs the whole batch as well."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU())


def batch_loss(features: list[torch.Tensor], projector: torch.nn.Module) -> torch.Tensor:
    """The loss of views' features, all three domains alike."""
    weights = LossWeights()
    views = [dict.fromkeys(DOMAINS, projector(each)) for each in features]
    terms = feature_decorrelation(views, weights)
    return weights.consistency * terms["consistency"] + terms["variance"] + 1e-3 * terms["correlation"]


def samples() -> torch.Tensor:
    """Four views of 12 samples of 5 numbers."""
    return torch.randn(4, 12, 5, generator=torch.Generator().manual_seed(1))


def projector() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 6))


def process(rank: int, directory: str) -> None:
    """One of two: its half of the samples, gathered, and gradients averaged as data-parallel training does."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{directory}/meeting", rank=rank, world_size=2)
    both = torch.nn.ModuleDict({"network": network(), "projector": projector()})
    half = samples().chunk(2, 1)[rank]
    loss = batch_loss([gather(both["network"](view)) for view in half], both["projector"])
    loss.backward()
    gradients = {}
    for name, parameter in both.named_parameters():
        torch.distributed.all_reduce(parameter.grad)
        gradients[name] = parameter.grad / 2
    torch.save({"loss": loss.detach(), "gradients": gradients}, f"{directory}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_take_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    both = torch.nn.ModuleDict({"network": network(), "projector": projector()})
    loss = batch_loss([both["network"](view) for view in samples()], both["projector"])
    loss.backward()
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["loss"], loss.detach(), rtol=1e-5, atol=0)
        for name, parameter in both.named_parameters():
            torch.testing.assert_close(found["gradients"][name], parameter.grad, rtol=1e-4, atol=2e-5)
