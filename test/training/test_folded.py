"""The network as it is exported against the one that was trained: the same outputs, to 1e-5 in float32."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import Tensor  # noqa: E402

from training.model.folded import fold, gelu  # noqa: E402
from training.model.options import ModelOptions  # noqa: E402
from training.model.usdrl import USDRL  # noqa: E402

OPTIONS = ModelOptions(("wave", "clap", "sit_down"), width=32)
VARIANTS = {
    "as shipped": OPTIONS,
    "one person": replace(OPTIONS, people=1),
    "three people, three layers": replace(OPTIONS, people=3, layers=3, gap=3, alpha=0.3),
    "one layer, joint": replace(OPTIONS, layers=1, modalities=("joint",)),
    "bone": replace(OPTIONS, modalities=("bone",), alpha=0.0),
    "motion and bone": replace(OPTIONS, modalities=("motion", "bone"), alpha=1.0),
    "causal": replace(OPTIONS, attention="causal"),
    "four heads, causal": replace(OPTIONS, heads=4, attention="causal"),
    "17 joints, 16 frames": replace(OPTIONS, joints=17, frames=16, people=1),
    "plain": replace(OPTIONS, architecture="sttr"),
    "plain, two heads, causal": replace(OPTIONS, architecture="sttr", heads=2, attention="causal", people=1),
    "no actions": replace(OPTIONS, actions=()),
}


def trained(options: ModelOptions, seed: int = 0) -> USDRL:
    """A network whose every parameter is away from its beginning, as after training."""
    torch.manual_seed(seed)
    model = USDRL(options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def skeletons(options: ModelOptions, count: int, people: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, 3, options.frames, options.joints, people or options.people)
    return 0.5 * torch.randn(shape, generator=generator)


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float = 1e-5) -> None:
    for f, e in zip(found, expected, strict=True):
        assert f.shape == e.shape
        assert f.dtype == torch.float32
        if e.numel():
            torch.testing.assert_close(f, e.to(f.dtype), rtol=0.0, atol=tolerance * float(e.abs().max()))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_outputs_stay(name: str, count: int) -> None:
    model, x = trained(VARIANTS[name]), skeletons(VARIANTS[name], count)
    with torch.no_grad():
        same(fold(model)(x), model(x))


def test_rounding_is_no_more_than_without() -> None:
    """Against double precision: what is multiplied beforehand costs no accuracy."""
    model, x = trained(OPTIONS), skeletons(OPTIONS, 4)
    with torch.no_grad():
        folded, plain = fold(model)(x), model(x)
        exact = model.double()(x.double())
    for f, p, e in zip(folded, plain, exact, strict=True):
        assert (f - e).abs().max() < 3.0 * (p - e).abs().max()


@pytest.mark.parametrize("name", ["as shipped", "three people, three layers", "causal", "plain"])
def test_places_that_are_never_taken_can_be_left_out(name: str) -> None:
    """With fewer places: what the network gives with zeros in the others."""
    options = VARIANTS[name]
    model, x = trained(options), skeletons(options, 3, people=1)
    zeros = torch.zeros(*x.shape[:-1], options.people - 1)
    with torch.no_grad():
        same(fold(model, people=1)(x), model(torch.cat([x, zeros], -1)))


def test_places_that_are_not_there() -> None:
    for people in (0, 3):
        with pytest.raises(ValueError, match=f"people is {people}; the model was trained with 2"):
            fold(USDRL(OPTIONS), people)


def test_the_trained_network_is_left_as_it_is() -> None:
    model = trained(OPTIONS).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold(model)
    assert model.training
    assert not folded.training
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_gelu_is_the_exact_one() -> None:
    x = torch.linspace(-6, 6, 1001)
    torch.testing.assert_close(gelu(x), torch.nn.functional.gelu(x), rtol=0.0, atol=1e-6)
