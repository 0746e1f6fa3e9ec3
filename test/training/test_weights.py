"""The authors' released weights against the outputs of their code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import Tensor  # noqa: E402

from training.model.encoder import instance_feature  # noqa: E402
from training.model.modalities import MODALITIES, modality  # noqa: E402
from training.model.options import ModelOptions, encoder  # noqa: E402
from training.model.projectors import Projectors  # noqa: E402
from training.model.weights import (  # noqa: E402
    encoder_from_authors,
    options_of_encoder,
    projectors_from_authors,
)

ARCHITECTURES = ("dste", "sttr")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def reference(request: pytest.FixtureRequest, shared_data: Path) -> dict[str, np.ndarray]:
    with np.load(shared_data / "reference" / f"official_{request.param}_hidden64.npz") as arrays:
        return dict(arrays) | {"architecture": request.param}


def authors_state(reference: dict[str, np.ndarray], prefix: str = "") -> dict[str, Tensor]:
    return {
        prefix + key.removeprefix("weight/"): torch.from_numpy(value)
        for key, value in reference.items()
        if key.startswith("weight/")
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", MODALITIES)
def test_equals_the_authors_outputs(reference: dict[str, np.ndarray], name: str, prefix: str) -> None:
    authors = authors_state(reference, prefix)
    state = encoder_from_authors(authors, name)
    options = options_of_encoder(state, name)
    assert options == ModelOptions(modalities=(name,), architecture=str(reference["architecture"]), width=64)
    model, projectors = encoder(options).eval(), Projectors(64).eval()
    model.load_state_dict(state)
    projectors.load_state_dict(projectors_from_authors(authors))
    with torch.no_grad():
        temporal, spatial = model({name: modality(torch.from_numpy(reference["io/input"]), name)})
        projections = projectors(instance_feature(temporal, spatial))
    np.testing.assert_allclose(temporal, reference[f"io/{name}.temporal_tokens"], atol=1e-5)
    np.testing.assert_allclose(spatial, reference[f"io/{name}.spatial_tokens"], atol=1e-5)
    for domain, projection in zip("tsi", projections, strict=True):
        np.testing.assert_allclose(projection, reference[f"io/{name}.z_{domain}"], atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        ModelOptions(modalities=("joint",), width=8, layers=1, frames=32, joints=17, people=1),
        ModelOptions(modalities=("motion",), width=16, layers=2, joints=17, people=2),
        ModelOptions(modalities=("bone",), width=8, layers=3, frames=20, joints=25, people=1),
    ],
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_options_follow_from_shapes(architecture: str, options: ModelOptions) -> None:
    options = ModelOptions.from_dict(options.as_dict() | {"architecture": architecture})
    assert options_of_encoder(encoder(options).state_dict(), options.modalities[0]) == options


def test_heads_are_as_configured() -> None:
    state = encoder(ModelOptions(modalities=("joint",), width=8)).state_dict()
    assert options_of_encoder(state, heads=4).heads == 4
    with pytest.raises(ValueError, match=r"width is 8, must be even and a multiple of heads \(3\)"):
        options_of_encoder(state, heads=3)


def test_tokens_of_no_known_skeleton_are_refused() -> None:
    state = encoder(ModelOptions(modalities=("joint",), width=8, layers=1)).state_dict()
    state["spatial.position"] = torch.zeros(1, 36, 8)
    with pytest.raises(ValueError, match="36 spatial tokens are not 25 or 17 joints a person"):
        options_of_encoder(state)


def test_two_attentions_in_a_layer_are_refused(reference: dict[str, np.ndarray]) -> None:
    if reference["architecture"] != "dste":
        pytest.skip("STTR stores its attention once")
    state = authors_state(reference)
    key = next(key for key in state if ".DSA.attn.in_proj_weight" in key)
    state[key] = state[key] + 1.0
    with pytest.raises(ValueError, match="do not share their attention"):
        encoder_from_authors(state)


def test_files_without_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="no encoder of USDRL among the 1 entries"):
        encoder_from_authors({"fc.weight": torch.zeros(2)})
    assert projectors_from_authors({"fc.weight": torch.zeros(2)}) == {}


def test_projectors_have_the_published_widths() -> None:
    torch.manual_seed(0)
    z_t, z_s, z_i = Projectors(8)(torch.randn(5, 16))
    assert (z_t.shape, z_s.shape, z_i.shape) == ((5, 16), (5, 16), (5, 32))
