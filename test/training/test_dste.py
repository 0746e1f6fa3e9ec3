"""The encoder and the network against the authors' outputs, and against formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.model.dste import DSTE, DropPath, sinusoids, spatial_tokens, temporal_tokens  # noqa: E402
from training.model.usdrl import BONES, MODALITIES, USDRL, ModelOptions, modality, pooling_matrix  # noqa: E402
from training.model.weights import encoder_from_authors  # noqa: E402


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> dict[str, np.ndarray]:
    with np.load(shared_data / "reference" / "official_dste_hidden64.npz") as arrays:
        return dict(arrays)


def authors_state(reference: dict[str, np.ndarray], prefix: str = "") -> dict[str, torch.Tensor]:
    return {
        prefix + key.removeprefix("weight/"): torch.from_numpy(value)
        for key, value in reference.items()
        if key.startswith("weight/")
    }


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", MODALITIES)
def test_equals_the_authors_outputs(reference: dict[str, np.ndarray], name: str, prefix: str) -> None:
    encoder = DSTE((name,), width=64).eval()
    missing, unexpected = encoder.load_state_dict(encoder_from_authors(authors_state(reference, prefix), name))
    assert missing == []
    assert unexpected == []
    skeletons = torch.from_numpy(reference["io/input"])
    with torch.no_grad():
        temporal, spatial = encoder({name: modality(skeletons, name)})
    np.testing.assert_allclose(temporal, reference[f"io/{name}.temporal_tokens"], atol=1e-5)
    np.testing.assert_allclose(spatial, reference[f"io/{name}.spatial_tokens"], atol=1e-5)


def test_two_attentions_in_a_layer_are_refused(reference: dict[str, np.ndarray]) -> None:
    state = authors_state(reference)
    key = next(key for key in state if ".DSA.attn.in_proj_weight" in key)
    state[key] = state[key] + 1.0
    with pytest.raises(ValueError, match="do not share their attention"):
        encoder_from_authors(state)


def test_what_is_no_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="no DSTE encoder among the 1 entries"):
        encoder_from_authors({"fc.weight": torch.zeros(2)})


def test_tokens_are_ordered_as_published() -> None:
    """x = 10000 c + 100 t + 25 m + v (as numbers that tell where they come from)."""
    c, t, v, m = np.meshgrid(np.arange(3), np.arange(64), np.arange(25), np.arange(2), indexing="ij")
    x = torch.from_numpy((10000 * c + 100 * t + 25 * m + v).astype(np.float64))[None]
    temporal, spatial = temporal_tokens(x)[0].numpy(), spatial_tokens(x)[0].numpy()
    assert temporal.shape == (64, 150)
    assert spatial.shape == (50, 192)
    for frame, person, joint, axis in ((5, 1, 7, 2), (63, 0, 24, 0), (0, 1, 0, 1)):
        value = 10000 * axis + 100 * frame + 25 * person + joint
        assert temporal[frame, 75 * person + 3 * joint + axis] == value
        assert spatial[25 * person + joint, 3 * frame + axis] == value


def test_position_code() -> None:
    code = sinusoids(64, 16)[0].numpy()
    for position in (0, 1, 63):
        for i in range(8):
            angle = position / 10000 ** (2 * i / 16)
            assert code[position, 2 * i] == pytest.approx(np.sin(angle), abs=1e-5)
            assert code[position, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-5)


def test_modalities_by_hand() -> None:
    x = torch.randn(2, 3, 64, 25, 2, dtype=torch.float64)
    bone, motion = modality(x, "bone"), modality(x, "motion")
    for joint, parent in BONES:
        assert torch.equal(bone[:, :, :, joint - 1], x[:, :, :, joint - 1] - x[:, :, :, parent - 1])
    for t in range(63):
        assert torch.equal(motion[:, :, t], x[:, :, t + 1] - x[:, :, t])
    assert (motion[:, :, 63] == 0).all()
    assert modality(x, "joint") is x
    with pytest.raises(ValueError, match="unknown modality 'angle'; known are joint, bone, motion"):
        modality(x, "angle")


def test_pooling_is_adaptive_average_pooling() -> None:
    tokens = torch.randn(2, 50, 7)
    expected = torch.nn.functional.adaptive_avg_pool1d(tokens.transpose(1, 2), 64).transpose(1, 2)
    torch.testing.assert_close(pooling_matrix(50, 64) @ tokens, expected)


def test_several_modalities_take_the_mean_of_their_embeddings() -> None:
    """With one set of weights for all modalities and the same input, the fused model is the single one."""
    single, fused = DSTE(("joint",), width=16).eval(), DSTE(("joint", "bone"), width=16).eval()
    state = single.state_dict()
    doubled = state | {key.replace(".joint.", ".bone."): value for key, value in state.items()}
    fused.load_state_dict(doubled)
    x = torch.randn(2, 3, 64, 25, 2)
    for found, expected in zip(fused({"joint": x, "bone": x}), single({"joint": x}), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_network_joins_its_parts() -> None:
    model = USDRL(ModelOptions(("wave", "sit"), width=16, drop_path=0.5)).eval()
    x = torch.randn(3, 3, 64, 25, 2)
    detection, recognition, embedding = model(x)
    assert detection.shape == (3, 64, 3)
    assert recognition.shape == (3, 2)
    assert embedding.shape == (3, 32)
    temporal, spatial = model.encoder({name: modality(x, name) for name in MODALITIES})
    pooled = torch.nn.functional.adaptive_avg_pool1d(spatial.transpose(1, 2), 64).transpose(1, 2)
    torch.testing.assert_close(detection, model.detection(torch.cat([temporal, pooled], -1)))
    torch.testing.assert_close(embedding, torch.cat([temporal.max(1).values, spatial.max(1).values], -1))
    torch.testing.assert_close(recognition, model.recognition(embedding))


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    layer = DropPath(0.25)
    x = torch.ones(20_000, 2, 3)
    dropped = layer.train()(x)
    per_sample = dropped.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert layer.eval()(x) is x


def test_options_survive_a_checkpoint() -> None:
    options = ModelOptions(("wave", "sit"), modalities=("joint",), width=32, heads=2)
    assert ModelOptions.from_dict(options.as_dict()) == options
    with pytest.raises(ValueError, match="width 30 is not a multiple of heads 4"):
        USDRL(ModelOptions(("wave",), width=30, heads=4))
