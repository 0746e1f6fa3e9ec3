"""A folded network made trainable again gives the same outputs, for every kind that can be unfolded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("lightning", reason="lightning is not installed")

from test_folded import OPTIONS, VARIANTS, same, skeletons, trained  # noqa: E402

from training.checkpoints import read_checkpoint  # noqa: E402
from training.model.folded import fold  # noqa: E402
from training.shipped.unfolded import main, unfold  # noqa: E402
from usdrl_ros.inference.factory import default_model  # noqa: E402

DENSE = {
    name: options
    for name, options in VARIANTS.items()
    if options.architecture == "dste" and options.heads == 1 and 0.0 < options.alpha < 1.0
}


@pytest.mark.parametrize("name", DENSE)
def test_outputs_equal_those_of_the_folded_network(name: str) -> None:
    options = DENSE[name]
    folded = fold(trained(options))
    found = unfold(folded.state_dict(), options)
    x = skeletons(options, 3)
    with torch.no_grad():
        same(found(x), folded(x), 1e-4)


def test_an_unfolded_network_learns_and_folds_again() -> None:
    found = unfold(fold(trained(OPTIONS)).state_dict(), OPTIONS)
    x = skeletons(OPTIONS, 2)
    detection, recognition, _ = found.train()(x)
    (detection.square().mean() + recognition.square().mean()).backward()
    silent = [n for n, p in found.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0.0]
    assert not [name for name in silent if not name.endswith("position")], "every weight gets a gradient"
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
        same(fold(found.eval())(x), found(x))


def test_other_architectures_are_refused() -> None:
    for changes in ({"architecture": "sttr"}, {"heads": 4}):
        options = replace(OPTIONS, **changes)
        with pytest.raises(ValueError, match="only DSTE with one head"):
            unfold(fold(trained(options)).state_dict(), options)
    with pytest.raises(ValueError, match="no weight"):
        unfold({}, OPTIONS)


def test_the_shipped_model_file_becomes_a_checkpoint_with_its_outputs(tmp_path: Path) -> None:
    assert main([str(default_model()), "--output", str(tmp_path / "run" / "last.ckpt")]) == 0
    network = read_checkpoint(tmp_path / "run" / "last.ckpt").network()
    x = np.random.default_rng(0).normal(0.0, 0.5, (3, 3, 64, 25, network.options.people)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(default_model()))
    expected = session.run(["detection", "recognition", "embedding"], {"skeletons": x})
    with torch.no_grad():
        same(network(torch.from_numpy(x)), tuple(map(torch.from_numpy, expected)), 1e-4)
