"""Reading checkpoints: ours, older ones and the authors', and refusing what is none of them or of another encoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training import checkpoints  # noqa: E402
from training.checkpoints import load_checkpoint, read_checkpoint  # noqa: E402
from training.model.options import ModelOptions, encoder  # noqa: E402
from training.model.projectors import Projectors  # noqa: E402
from training.model.usdrl import USDRL  # noqa: E402

OPTIONS = ModelOptions(("wave", "sit"), width=8, layers=1, frames=16, joints=17, people=1)
TRAINING = {"name": "tiny", "window_s": 4.0}
AUTHORS = {"attention.in_proj.": "attn.in_proj_", "attention.": "attn.", "mix": "wt", "convolution.": "conv1."}


def save(path: Path, model: USDRL, training: dict[str, Any] = TRAINING, **more: Any) -> Path:
    """As Lightning does."""
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    state |= {f"projectors.{key}": value for key, value in Projectors(model.options.width).state_dict().items()}
    hyper_parameters = {"model": model.options.as_dict(), "training": training}
    torch.save({"state_dict": state, "hyper_parameters": hyper_parameters, **more}, path)
    return path


def save_as_authors(path: Path, options: ModelOptions) -> Path:
    """The released format: names of the authors, "module." before them, attention twice."""
    state = {}
    for key, value in encoder(options).state_dict().items():
        stream, _, rest = key.partition(".")
        if stream.endswith("_embedding"):
            state[f"ske_emb.{stream[0]}_embedding.{rest.partition('.')[2]}"] = value
        elif rest == "position":
            state["spe"] = value
        else:
            _, layer, part = rest.split(".", 2)
            blocks = ("CA", "DSA") if part.startswith("attention.") else (part.split(".")[0].upper(),)
            part = part if part.startswith("attention.") else part.partition(".")[2]
            for ours, theirs in AUTHORS.items():
                part = part.replace(ours, theirs)
            part = part.replace("mlp.0.", "mlp.fc1.").replace("mlp.2.", "mlp.fc2.")
            for block in blocks:
                state[f"{stream[0]}_tr{int(layer) or ''}.{block}.{part}"] = value
    state = {f"module.backbone.{key}": v[..., None] if "conv1.weight" in key else v for key, v in state.items()}
    torch.save({"epoch": 450, "state_dict": state, "optimizer": {"lr": 1e-3}}, path)
    return path


def test_ours_come_back_as_they_were(tmp_path: Path) -> None:
    model = USDRL(OPTIONS)
    path = save(tmp_path / "last.ckpt", model, optimizer_states=[{"lr": 0.1}])
    found, training = load_checkpoint(path)
    assert found.options == OPTIONS
    assert training == TRAINING
    assert not found.training
    for key, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key
    projectors = Projectors(8)
    projectors.load_state_dict(read_checkpoint(path).projectors)


def test_older_ones_load(tmp_path: Path) -> None:
    """Before architecture, sizes and causal attention were options."""
    model = USDRL(ModelOptions(("wave",), width=8))
    path = save(tmp_path / "last.ckpt", model)
    content = torch.load(path, weights_only=True)
    known = ("actions", "modalities", "width", "heads", "layers", "drop_path")
    content["hyper_parameters"]["model"] = {key: content["hyper_parameters"]["model"][key] for key in known}
    torch.save(content, path)
    assert load_checkpoint(path)[0].options == model.options


def test_which_heads_were_trained(tmp_path: Path) -> None:
    model = USDRL(OPTIONS)
    path = tmp_path / "last.ckpt"
    assert read_checkpoint(save(path, model)).trained_heads == ()
    torch.nn.functional.cross_entropy(
        model(torch.randn(2, 3, 16, 17, 1))[0].flatten(0, 1), torch.ones(32).long()
    ).backward()
    torch.optim.AdamW(model.parameters()).step()
    assert read_checkpoint(save(path, model)).trained_heads == ("detection",)
    with torch.no_grad():
        model.recognition.bias[0] = 1e-3
    assert read_checkpoint(save(path, model)).trained_heads == ("detection", "recognition")
    with torch.no_grad():
        model.detection.bias.zero_()
    assert read_checkpoint(save(path, model)).trained_heads == ("recognition",)
    bare = USDRL(replace(OPTIONS, actions=()))
    assert read_checkpoint(save(path, bare)).trained_heads == ()


def test_the_authors_load_as_an_encoder_without_heads(tmp_path: Path) -> None:
    options = replace(OPTIONS, actions=(), modalities=("bone",), layers=2, heads=2)
    torch.manual_seed(1)
    path = save_as_authors(tmp_path / "epoch450.pth.tar", options)
    torch.manual_seed(1)
    expected = encoder(options).eval()
    found = read_checkpoint(path, modality="bone", heads=2)
    assert found.options == options
    assert found.trained_heads == ()
    assert found.training["name"] == "epoch450"
    x = {"bone": torch.randn(2, 3, 16, 17, 1)}
    for value, exact in zip(found.network().encoder(x), expected(x), strict=True):
        assert torch.equal(value, exact)


class Payload:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("where", ["beside", "in the hyper-parameters", "alone"])
def test_a_pickle_with_a_payload_is_refused_and_does_not_run(tmp_path: Path, where: str) -> None:
    payload = Payload(tmp_path / "ran")
    path = tmp_path / "evil.ckpt"
    if where == "beside":
        save(path, USDRL(OPTIONS), callbacks=payload)
    elif where == "alone":
        torch.save(payload, path)
    else:
        save(path, USDRL(OPTIONS), TRAINING | {"people": payload})
    with pytest.raises(ValueError, match=r"evil.ckpt: its pickle wants to call \w+.system, which could run any code"):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)  # the payload works where it is let
    assert (tmp_path / "ran").exists()


NO_WEIGHTS = {"hyper_parameters": {"model": {"actions": ["a"], "width": 16}, "training": {}}, "state_dict": {}}
UNKNOWN_KEY = {"hyper_parameters": {"model": {"kernel": 3}, "training": {}}, "state_dict": {"model.encoder.x": 1}}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "last.ckpt is no checkpoint: it cannot be read: No such file"),
        (b"text", "last.ckpt is no checkpoint: it is a text file"),
        (b"\x80\x02broken", "cannot load the checkpoint .*last.ckpt: "),
        (b"", "last.ckpt is no checkpoint: it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:a", "it is a Git LFS pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html>", "it is a web page"),
        (b"\x08\x07\x12\x07pytorch", "it is an ONNX model, which runs and does not train"),
        (b'\x40\0\0\0\0\0\0\0{"a":1}', "it is a safetensors file"),
        (b"PK\x03\x04" + bytes(600), "last.ckpt is no checkpoint: it is cut off"),
        ({"hyper_parameters": {"lr": 0.1}, "state_dict": {}}, "of another Lightning program, with hyper_parameters lr"),
        ([1], "last.ckpt is no checkpoint: it holds a list, expected a dictionary"),
        (
            {"state_dict": {}},
            "last.ckpt is no checkpoint of this package or .*: no encoder of USDRL among the 0 entries",
        ),
        ({"state_dict": 3}, "last.ckpt is no checkpoint of this package"),
        ({"hyper_parameters": {}, "state_dict": {}}, "hyper_parameters that are empty"),
        (NO_WEIGHTS, "last.ckpt is no checkpoint of this package .*: no weights under 'model.encoder.'"),
        (UNKNOWN_KEY, "last.ckpt is no checkpoint of this package .*: the model's options: unknown key kernel"),
    ],
)
def test_other_files_are_named_by_kind(tmp_path: Path, content: object, fault: str) -> None:
    path = tmp_path / "last.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=fault) as raised:
        load_checkpoint(path)
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model.encoder.spatial.position": torch.zeros(1, 17, 4)}, "size mismatch for encoder.spatial.position"),
        ({"model.encoder.spatial.position": None}, "'encoder.spatial.position' is missing"),
        ({"model.encoder.extra": torch.zeros(1)}, "'encoder.extra' is unknown"),
    ],
)
def test_weights_that_disagree_with_their_options_are_named(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    path = save(tmp_path / "last.ckpt", USDRL(OPTIONS))
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {k: v for k, v in (content["state_dict"] | change).items() if v is not None}
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"last.ckpt: its weights do not fit its options: .*{fault}"):
        load_checkpoint(path)


def test_shipped_checkpoints_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    save(tmp_path / "hri_9.ckpt", USDRL(OPTIONS))
    assert read_checkpoint(Path("hri-9")).options == OPTIONS
    assert read_checkpoint(Path("hri_9")).path == tmp_path / "hri_9.ckpt"
    with pytest.raises(ValueError, match=r"no checkpoint hri-7: give a file, or the name of a shipped one \(hri-9\)"):
        read_checkpoint(Path("hri-7"))
    with pytest.raises(ValueError, match=r"hri-9.ckpt is no checkpoint: it cannot be read"):
        read_checkpoint(Path("hri-9.ckpt"))
