"""Few-shot recognition on made-up features whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.actions.few_shot import (
    POSE_WEIGHT,
    FewShot,
    Statistics,
    TeachingError,
    pose_statistics,
    statistics_path,
)

D = 6


def statistics(rivals: np.ndarray | None = None) -> Statistics:
    """Of a model whose embedding needs no whitening."""
    poses = pose_statistics(np.zeros((1, 3, 8, 25, 1), np.float32)).shape[1]
    width = D + poses
    rivals = np.eye(2, width, dtype=np.float32) if rivals is None else rivals
    return Statistics(
        "ab" * 32, ("wave", "walk"), np.zeros(D, np.float32), np.eye(D, dtype=np.float32),
        np.zeros(poses, np.float32), np.eye(poses, dtype=np.float32), rivals, np.arange(len(rivals)),
        scale=10.0, least=0.5, gate=(0.0, 20.0, -20.0, 0.0, 0.0, 0.0), known=(-4.0, 0.0, 0.0, 8.0),
    )  # fmt: skip


def few_shot(prototypes: list[int], counters: list[int]) -> FewShot:
    own = statistics()
    basis = np.eye(own.rivals.shape[1], dtype=np.float32)
    return FewShot(
        own, tuple(f"taught_{i}" for i in prototypes), basis[prototypes], np.arange(len(prototypes)),
        ("wave",) * len(counters), basis[counters],
    )  # fmt: skip


def test_features_are_two_unit_vectors_whose_product_is_the_similarity() -> None:
    rng = np.random.default_rng(0)
    skeletons = rng.normal(size=(4, 3, 16, 25, 1)).astype(np.float32)
    features = statistics().features(rng.normal(size=(4, D)), skeletons)
    np.testing.assert_allclose(np.linalg.norm(features[:, :D], axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose((features**2).sum(1), 1.0 + POSE_WEIGHT, rtol=1e-5)
    prototype = statistics().prototype(features)
    assert (prototype**2).sum() == pytest.approx(1.0 + POSE_WEIGHT, rel=1e-5)


def test_pose_statistics_do_not_depend_on_size_or_order() -> None:
    rng = np.random.default_rng(1)
    skeletons = rng.normal(size=(1, 3, 16, 25, 1)).astype(np.float32)
    skeletons[:, :, :, 0] = 0.0
    skeletons[:, :, :, 20] = np.array([0.0, 0.0, 0.5])[None, :, None, None]
    np.testing.assert_allclose(pose_statistics(1.7 * skeletons), pose_statistics(skeletons), rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(pose_statistics(skeletons[:, :, ::-1]), pose_statistics(skeletons), atol=1e-5)


def test_a_clip_is_what_it_is_most_like() -> None:
    shot = few_shot([2, 3], [])
    queries = np.eye(shot.prototypes.shape[1], dtype=np.float32)[[2, 3, 0]]
    taught, counter, unknown = shot.probabilities(queries, np.array([[0, 0, 0.0], [0, 0, 0.0], [0, 0, 1.0]]))
    assert counter.shape == (3, 0)
    assert taught[0].argmax() == 0
    assert taught[1].argmax() == 1
    assert taught[[0, 1], [0, 1]].min() > 0.99
    assert taught[2].sum() < 0.01  # it is the built-in "wave"
    assert (taught.sum(1) <= 1.0 + 1e-6).all()
    np.testing.assert_allclose(unknown, 1.0 / (1.0 + np.exp([-4.0, -4.0, 4.0])), rtol=1e-5)


def test_a_counter_example_quietens_what_is_like_it() -> None:
    shot = few_shot([2], [3])
    queries = np.eye(shot.prototypes.shape[1], dtype=np.float32)[[2, 3]]
    taught, counter, _ = shot.probabilities(queries, np.zeros((2, 3)))
    assert counter[0, 0] < 0.01
    assert counter[1, 0] > 0.99
    assert taught[0, 0] > 0.98
    assert taught[1, 0] < 0.01


def test_nothing_taught_gives_nothing() -> None:
    shot = few_shot([], [])
    taught, counter, unknown = shot.probabilities(np.zeros((2, shot.prototypes.shape[1]), np.float32), np.zeros((2, 3)))
    assert taught.shape == counter.shape == (2, 0)
    assert np.isfinite(unknown).all()


def test_statistics_are_read_again_and_only_with_their_model(tmp_path: Path) -> None:
    path = statistics_path(tmp_path / "hri.onnx")
    assert path.name == "hri.teaching.npz"
    with pytest.raises(TeachingError, match="is not there"):
        Statistics.load(path)
    own = replace(statistics(), mean=np.linspace(0, 1, D).astype(np.float32))
    own.save(path)
    loaded = Statistics.load(path, own.model)
    assert (loaded.actions, loaded.scale, loaded.gate, loaded.known) == (own.actions, own.scale, own.gate, own.known)
    np.testing.assert_allclose(loaded.mean, own.mean, atol=1e-3)
    np.testing.assert_array_equal(loaded.rival_classes, own.rival_classes)
    with pytest.raises(TeachingError, match="another model file"):
        Statistics.load(path, "cd" * 32)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TeachingError, match="cannot be read"):
        Statistics.load(path)
