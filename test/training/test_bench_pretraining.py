"""The benchmark of pretraining compares two ways that compute the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from bench.pretraining import Ours, Published, check_equal, covered, made_up, main, pad  # noqa: E402
from bench.published import PublishedModel, PublishedViews, augmented, cropped, published_loss  # noqa: E402
from training.data.archive import Archive  # noqa: E402
from training.data.augmentations import centre_crop  # noqa: E402
from training.data.clips import ClipDataset  # noqa: E402
from training.model.dste import DSTE  # noqa: E402
from training.model.weights import encoder_from_authors, projectors_from_authors  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return made_up(tmp_path_factory.mktemp("bench") / "made_up", clips=24)


@pytest.fixture
def ways(archive: Archive, tmp_path: Path) -> tuple[Ours, Published]:
    pad(archive, tmp_path)
    return (
        Ours(archive, width=16, batch=8, views=3, workers=0, device=CPU, half=False),
        Published(tmp_path, width=16, batch=8, views=3, workers=0, device=CPU, half=False),
    )


def test_the_published_way_equals_the_authors_outputs(shared_data: Path) -> None:
    with np.load(shared_data / "reference" / "official_dste_hidden64.npz") as arrays:
        reference = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    encoder = PublishedModel(64).eval().backbone
    state = {
        key.removeprefix("weight/").removeprefix("backbone."): v for key, v in reference.items() if "weight/" in key
    }
    known = encoder.state_dict()
    encoder.load_state_dict({name: state.get(name, value) for name, value in known.items()})
    assert set(known) - set(state) == {"pe"}
    x = reference["io/input"]
    temporal, spatial = x.permute(0, 2, 4, 3, 1).flatten(2), x.permute(0, 4, 3, 2, 1).flatten(3).flatten(1, 2)
    for found, name in zip(encoder(temporal, spatial), ("temporal_tokens", "spatial_tokens"), strict=True):
        torch.testing.assert_close(found, reference[f"io/joint.{name}"], rtol=0, atol=1e-5)


def test_the_published_loss_equals_the_authors(shared_data: Path) -> None:
    with np.load(shared_data / "reference" / "official_losses.npz") as arrays:
        views = tuple(torch.from_numpy(arrays[f"z{i}"]) for i in range(4))
        expected = 2 * (5 * arrays["similarity"] + arrays["vac"].sum() + 1e-3 * arrays["xcorr_all"])
    assert published_loss((views, views, views)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_both_encoders_give_the_same_features_and_gradients() -> None:
    torch.manual_seed(0)
    published = PublishedModel(16, drop_path=0.0).train()
    ours = DSTE(width=16, drop_path=0.0).train()
    ours.load_state_dict(encoder_from_authors(published.state_dict()))
    x = torch.randn(4, 3, 64, 25, 2)
    tokens = ours({"joint": x}), published.tokens(x)
    for found, expected in zip(*tokens, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for each in tokens:
        (each[0].square().mean() + each[1].square().mean()).backward()
    gradients = encoder_from_authors(
        {name: parameter.grad for name, parameter in published.named_parameters() if parameter.grad is not None}
    )
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_both_ways_have_the_same_loss_in_training(ways: tuple[Ours, Published]) -> None:
    ours, published = ways
    check_equal(ours, published, views=3)
    for way in ways:
        for module in way.network.modules():
            if hasattr(module, "probability"):
                module.probability = 0.0
    x = torch.randn(3, 8, 3, 64, 25, 2)
    assert ours.module.loss(x)[0].item() == pytest.approx(published_loss(published.model(*x)).item(), rel=1e-4)
    trained = projectors_from_authors(published.model.state_dict())
    for name, value in ours.module.projectors.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-4, atol=1e-5, msg=name)  # BatchNorm's statistics


def test_a_difference_is_noticed(ways: tuple[Ours, Published]) -> None:
    ours, published = ways
    with torch.no_grad():
        published.model.backbone.t_tr.DSA.gap = 3
    with pytest.raises(ValueError, match=r"y_t differs by up to .* between the two ways"):
        check_equal(ours, published, views=3)


def test_both_ways_step(ways: tuple[Ours, Published]) -> None:
    for way in ways:
        before = [parameter.detach().clone() for parameter in way.network.parameters()]
        for _ in range(4):  # more than an epoch
            next(way.steps)
        changed = [not torch.equal(a, b) for a, b in zip(before, way.network.parameters(), strict=True)]
        untrained = sum(not parameter.requires_grad for parameter in way.network.parameters())
        assert changed.count(False) == untrained


def test_padded_samples_are_the_clips(archive: Archive, tmp_path: Path) -> None:
    """Resized whole, they are what our centre crop gives."""
    pad(archive, tmp_path)
    joints, lengths = np.load(tmp_path / "joints.npy"), np.load(tmp_path / "lengths.npy")
    clips = archive.clips()
    assert lengths.tolist() == clips.length.tolist()
    batch = ClipDataset([(archive, clips)], 2).__getitems__([0, 11])
    for row, index in enumerate((0, 11)):
        piece = torch.from_numpy(joints[index][:, : lengths[index]]).permute(0, 2, 3, 1).flatten(0, 2)[None]
        resized = torch.nn.functional.interpolate(piece, 64, mode="linear", align_corners=False)
        found = resized[0].view(3, 25, 2, 64).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, centre_crop(batch)[row], rtol=0, atol=1e-4)
        assert (joints[index][:, lengths[index] :] == 0).all()


def test_published_views_are_crops_and_corruptions(archive: Archive, tmp_path: Path) -> None:
    pad(archive, tmp_path)
    views = PublishedViews(tmp_path / "joints.npy", tmp_path / "lengths.npy", 4)[3]
    assert [view.shape for view in views] == [(3, 64, 25, 2)] * 4
    counting = np.arange(200.0, dtype=np.float32)[None, :, None, None] * np.ones((3, 1, 25, 2), np.float32)
    for _ in range(50):
        crop = cropped(counting, 150)[0, :, 0, 0]
        assert 0 <= crop[0] < crop[-1] <= 149
        assert crop[-1] - crop[0] >= 62
    np.random.seed(0)
    view = np.random.default_rng(0).normal(size=(3, 64, 25, 2)).astype(np.float32)
    changed = [int((augmented(view) != view).any((0, 1, 3)).sum()) for _ in range(200)]
    assert set(changed) == {15, 25}
    assert 70 < changed.count(15) < 130


def test_spans_that_overlap_are_counted_once() -> None:
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.75), (3.0, 4.0)]) == 5.0
    assert covered([]) == 0.0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--width", "8", "--batch", "4", "--views", "2", "--steps", "1", "--turns", "1", "--workers", "0"]
    output = tmp_path / "new" / "result.json"
    assert main([*words, "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    assert (found["width"], found["batch"], found["views"]) == (8, 4, 2)
    ours, published = found["ways"]["ours"], found["ways"]["published"]
    assert found["ratios"]["ours"] == pytest.approx(ours["median"] / published["median"])
    assert "published" in capsys.readouterr().out
    assert main([*words, "--archive", str(tmp_path)]) == 1
    assert "holds no archive" in capsys.readouterr().err
