"""The dense encoder and the network against the paper's formulas, written out again; causality; the options."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from training.model.dste import DSTE, DenseLayer, DropPath  # noqa: E402
from training.model.encoder import Attention, instance_feature, sinusoids, spatial_tokens, temporal_tokens  # noqa: E402
from training.model.modalities import MODALITIES, modality  # noqa: E402
from training.model.options import ModelOptions, encoder  # noqa: E402
from training.model.usdrl import USDRL, pooling_matrix  # noqa: E402

Network = TypeVar("Network", bound=nn.Module)


def shake(module: Network) -> Network:
    """As after training: no weight is where it began."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def multi_head(attention: Attention) -> nn.MultiheadAttention:
    """PyTorch's own module with the same weights."""
    width = attention.out_proj.in_features
    theirs = nn.MultiheadAttention(width, attention.heads, batch_first=True, dtype=attention.out_proj.weight.dtype)
    theirs.load_state_dict(
        {key.replace("in_proj.", "in_proj_"): value for key, value in attention.state_dict().items()}
    )
    return theirs


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_that_of_pytorch(heads: int, causal: bool) -> None:
    """Values and gradients; with one head ours multiplies the projections beforehand."""
    torch.manual_seed(0)
    ours = shake(Attention(8, heads, causal)).double()
    theirs = multi_head(ours)
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    expected = theirs(x, x, x, attn_mask=mask, need_weights=False)[0]
    found = ours(x)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.in_proj.weight.grad, theirs.in_proj_weight.grad)
    torch.testing.assert_close(ours.in_proj.bias.grad, theirs.in_proj_bias.grad, atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(ours.out_proj.weight.grad, theirs.out_proj.weight.grad)


def published_layer(layer: DenseLayer, x: Tensor, gap: int) -> Tensor:
    """One layer in evaluation mode, as the paper and the authors' code have it: nothing shared, nothing folded."""
    attention = multi_head(layer.attention)

    def attend(n: Tensor) -> Tensor:
        return attention(n, n, n, need_weights=False)[0]

    ca, dsa = layer.ca, layer.dsa
    convolved = x + functional.relu(ca.convolution(x))
    attended = attend(ca.norm1(convolved)) + x
    y_ca = ca.mlp(ca.norm2(attended))

    along = x.transpose(1, 2)
    shifted = dsa.mix2(functional.relu(dsa.mix1(along))) + along
    shifted[:, :, ::gap] = along[:, :, ::gap]
    halves = []
    for u in (shifted.transpose(1, 2), x):
        u = u + attend(dsa.norm1(u))
        halves.append(u + dsa.mlp(dsa.norm2(u)))
    return layer.alpha * y_ca + (1.0 - layer.alpha) * (halves[0] + halves[1]) / 2


@pytest.mark.parametrize(("heads", "gap", "alpha"), [(1, 4, 0.5), (2, 3, 0.2)])
def test_layer_is_the_published_one(heads: int, gap: int, alpha: float) -> None:
    torch.manual_seed(0)
    layer = shake(DenseLayer(8, heads, 10, gap, alpha, 0.1, causal=False)).double().eval()
    x = torch.randn(3, 10, 8, dtype=torch.float64)
    expected = published_layer(layer, x, gap)
    torch.testing.assert_close(layer(x), expected)
    gradients = [
        torch.autograd.grad(y.square().sum(), list(layer.parameters()), allow_unused=True) for y in (layer(x), expected)
    ]
    for (name, _), ours, theirs in zip(layer.named_parameters(), *gradients, strict=True):
        if theirs is not None:  # the attention's, whose weights are copies, are compared above
            torch.testing.assert_close(ours, theirs, msg=name)


def test_drop_path_in_the_layer_keeps_the_expectation_of_its_branches() -> None:
    """Where attention gives 0, the layer is linear in its other branches, so that their expectation is exact."""
    torch.manual_seed(0)
    layer = shake(DenseLayer(4, 1, 6, 4, 0.5, 0.3, causal=False)).double()
    nn.init.zeros_(layer.attention.out_proj.weight)
    nn.init.zeros_(layer.attention.out_proj.bias)
    x = torch.randn(1, 6, 4, dtype=torch.float64)
    expected = layer.eval()(x)
    found = layer.train()(x.expand(20_000, -1, -1))
    error = 5.0 * found.std(0) / 20_000**0.5 + 1e-9
    assert ((found.mean(0) - expected[0]).abs() < error).all()
    assert (found.std(0) > 1e-3).all()


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    layer = DropPath(0.25).train()
    x = torch.zeros(20_000, 2, 3)
    scale = layer.scale(x)
    assert isinstance(scale, Tensor)
    assert scale.shape == (20_000, 1, 1)
    assert sorted(scale.unique().tolist()) == [0.0, pytest.approx(1 / 0.75)]
    assert scale.mean().item() == pytest.approx(1.0, abs=0.02)
    added = layer.add(x + 1.0, torch.ones_like(x)).flatten(1)
    assert (added == added[:, :1]).all()
    assert layer.eval().scale(x) == 1.0
    assert (layer.add(x, x + 1.0) == 1.0).all()


def test_tokens_are_ordered_as_published() -> None:
    """x = 10000 c + 100 t + 25 m + v (as numbers that say where they come from)."""
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


def test_pooling_is_adaptive_average_pooling() -> None:
    tokens = torch.randn(2, 50, 7)
    expected = functional.adaptive_avg_pool1d(tokens.transpose(1, 2), 64).transpose(1, 2)
    torch.testing.assert_close(pooling_matrix(50, 64) @ tokens, expected)


def test_several_modalities_take_the_mean_of_the_embeddings_given() -> None:
    torch.manual_seed(0)
    fused = shake(DSTE(MODALITIES, width=16)).eval()
    inputs = {name: torch.randn(2, 3, 64, 25, 2) for name in MODALITIES}
    alone = {name: fused.embed({name: x}) for name, x in inputs.items()}
    for given in (("joint",), ("motion", "bone"), MODALITIES):
        found = fused.embed({name: inputs[name] for name in given})
        for stream in (0, 1):
            torch.testing.assert_close(found[stream], sum(alone[name][stream] for name in given) / len(given))
    for found, expected in zip(fused(inputs), fused.streams(*fused.embed(inputs)), strict=True):
        assert torch.equal(found, expected)
    with pytest.raises(ValueError, match="the encoder takes joint, bone, motion; given: nothing"):
        fused.embed({})
    with pytest.raises(ValueError, match="the encoder takes joint; given: joint, bone"):
        DSTE(width=16)({name: inputs[name] for name in ("joint", "bone")})


@pytest.mark.parametrize("architecture", ["dste", "sttr"])
def test_causal_frames_follow_from_earlier_ones_only(architecture: str) -> None:
    """Changing frame k changes y_t from k on, and of motion's from k - 1 on; with full attention, all of it."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 12, 17, 1, dtype=torch.float64)
    for attention in ("causal", "full"):
        for name, first in (("joint", 0), ("bone", 0), ("motion", 1)):
            options = ModelOptions(
                modalities=(name,),
                architecture=architecture,
                width=8,
                frames=12,
                joints=17,
                people=1,
                attention=attention,
            )
            model = shake(encoder(options)).double().eval()
            before = model({name: modality(x, name)})[0]
            for k in (1, 6, 11):
                changed = x.clone()
                changed[:, :, k] += torch.randn(2, 3, 17, 1)
                moved = (model({name: modality(changed, name)})[0] - before).abs().amax((0, 2)) > 1e-12
                expected = torch.arange(12) >= k - first if attention == "causal" else torch.ones(12, dtype=torch.bool)
                assert torch.equal(moved, expected), (attention, name, k)


def test_a_full_checkpoint_begins_a_causal_model() -> None:
    full, causal = (encoder(ModelOptions(width=16, attention=attention)) for attention in ("full", "causal"))
    causal.load_state_dict(full.state_dict())
    x = {name: torch.randn(1, 3, 64, 25, 2) for name in MODALITIES}
    (full_t, full_s), (causal_t, causal_s) = full.eval()(x), causal.eval()(x)
    assert torch.equal(full_s, causal_s)  # the spatial stream is the same
    assert not torch.allclose(full_t, causal_t)


@pytest.mark.parametrize("options", [{}, {"joints": 17, "people": 2}, {"joints": 17, "people": 1, "frames": 32}])
@pytest.mark.parametrize("architecture", ["dste", "sttr"])
def test_the_network_joins_its_parts(architecture: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = shake(USDRL(ModelOptions(("wave", "sit"), architecture=architecture, width=16, **options))).eval()
    sizes = model.options
    x = torch.randn(3, 3, sizes.frames, sizes.joints, sizes.people)
    detection, recognition, embedding = model(x)
    temporal, spatial = model.encoder({name: modality(x, name) for name in MODALITIES})
    assert temporal.shape == (3, sizes.frames, 16)
    assert spatial.shape == (3, sizes.people * sizes.joints, 16)
    pooled = functional.adaptive_avg_pool1d(spatial.transpose(1, 2), sizes.frames).transpose(1, 2)
    torch.testing.assert_close(detection, model.detection(torch.cat([temporal, pooled], -1)))
    torch.testing.assert_close(embedding, torch.cat([temporal.max(1).values, spatial.max(1).values], -1))
    assert torch.equal(embedding, instance_feature(temporal, spatial))
    torch.testing.assert_close(recognition, model.recognition(embedding))
    assert detection.shape == (3, sizes.frames, 3)


@pytest.mark.parametrize("architecture", ["dste", "sttr"])
def test_the_second_person_of_a_clip_is_not_the_first(architecture: str) -> None:
    torch.manual_seed(0)
    model = encoder(ModelOptions(("joint",), ("joint",), architecture, width=16)).eval()
    x = torch.randn(2, 3, 64, 25, 2)
    for found, swapped in zip(model({"joint": x}), model({"joint": x.flip(-1)}), strict=True):
        assert not torch.allclose(found, swapped)


def test_mixed_precision_runs_in_training_and_evaluation() -> None:
    torch.manual_seed(0)
    for architecture in ("dste", "sttr"):
        model = encoder(ModelOptions(modalities=("joint",), architecture=architecture, width=16))
        x = {"joint": torch.randn(2, 3, 64, 25, 2)}
        expected = model.eval()(x)
        for training in (True, False):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = model.train(training)(x)
        for value, exact in zip(found, expected, strict=True):
            torch.testing.assert_close(value.float(), exact, atol=0.05, rtol=0.05)


def test_weights_begin_as_the_authors() -> None:
    """Linear layers at 0.02; attention (Xavier) and convolution (uniform to 1 / sqrt(H)) as PyTorch has them."""
    torch.manual_seed(0)
    model = USDRL(ModelOptions(("a", "b"), width=64))
    layer = next(module for module in model.encoder.modules() if isinstance(module, DenseLayer))
    assert layer.dsa.mlp.state_dict()["0.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert layer.attention.out_proj.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert layer.attention.in_proj.weight.abs().max().item() == pytest.approx((6 / (4 * 64)) ** 0.5, rel=0.01)
    assert layer.ca.convolution.weight.abs().max().item() == pytest.approx(1 / 8, rel=0.01)
    assert model.encoder.state_dict()["spatial.position"].std().item() == pytest.approx(0.02, rel=0.1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and "convolution" not in name:
            assert (parameter == 0).all(), name


def test_options_survive_a_checkpoint() -> None:
    options = ModelOptions(("wave", "sit"), modalities=("joint",), width=32, heads=2, joints=17, attention="causal")
    assert ModelOptions.from_dict(options.as_dict()) == options
    old = {"actions": ["a"], "modalities": ["joint"], "width": 192, "heads": 1, "layers": 2, "drop_path": 0.1}
    assert ModelOptions.from_dict(old) == ModelOptions(("a",), ("joint",), width=192)
    with pytest.raises(ValueError, match="the model's options: unknown key kernel"):
        ModelOptions.from_dict({"kernel": 3})


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"width": 30, "heads": 4}, "width is 30, must be even and a multiple of heads .4."),
        ({"width": 15}, "width is 15, must be even"),
        ({"width": 0}, "width is 0, must be a whole number at least 2"),
        ({"layers": 1.5}, "layers is 1.5, must be a whole number"),
        ({"people": 0}, "people is 0, must be a whole number at least 1"),
        ({"joints": 18}, "joints is 18, must be one of 25, 17"),
        ({"architecture": "gcn"}, "architecture is 'gcn', must be one of dste, sttr"),
        ({"attention": "sparse"}, "attention is 'sparse', must be one of full, causal"),
        ({"modalities": ()}, "modalities .*: give one or more distinct ones"),
        ({"modalities": ("bone", "bone")}, "modalities .*distinct"),
        ({"modalities": ("angle",)}, "modalities.0 is 'angle', must be one of joint, bone, motion"),
        ({"actions": ("a", "a")}, "actions are not distinct: a, a"),
        ({"alpha": 1.1}, "alpha is 1.1, must be a number from 0 to 1"),
        ({"drop_path": 1.0}, "drop_path is 1.0, must be a number at least 0 and below 1"),
    ],
)
def test_options_that_are_not_allowed_are_named(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ModelOptions(**options)
