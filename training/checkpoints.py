"""Checkpoints, read without trusting them: of this package's training and of USDRL's authors, by their content.

Ours are Lightning's: `hyper_parameters` holds {"model": `ModelOptions.as_dict()`, "training": plain values}, and
`state_dict` the network (`USDRL`) under "model.". The authors' `.pth.tar` hold an encoder (and projectors) in
`state_dict` and say nothing of how it is built; see `weights.py`. Nothing but tensors and plain values is ever
unpickled.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from training.model.weights import encoder_from_authors, options_of_encoder, projectors_from_authors
from usdrl_ros.resources import data_directory

_NETWORK, _ENCODER, _PROJECTORS = "model.", "model.encoder.", "projectors."
SHIPPED = data_directory("models")
"""Where the checkpoints of shipped models lie, beside the models."""
HEADS = ("detection", "recognition")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, what it holds, and what was wanted."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Args:
        path: The file.
        options: What the network is built from.
        state: Of `USDRL`, or of its encoder alone (keys "encoder. ...").
        projectors: Of `Projectors`; empty where there are none.
        training: How it was trained: plain values, at least "name".
    """

    path: Path
    options: ModelOptions
    state: dict[str, Tensor]
    projectors: dict[str, Tensor] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def trained_heads(self) -> tuple[str, ...]:
        """Which of `HEADS` were trained: a head begins with a bias of zeros, and only training changes it."""
        if not self.options.actions:
            return ()
        return tuple(name for name in HEADS if f"{name}.bias" in self.state and self.state[f"{name}.bias"].any())

    def network(self) -> USDRL:
        """The network in evaluation mode; heads that the checkpoint lacks are new.

        Raises:
            CheckpointError: The weights do not fit the options.
        """
        model = USDRL(self.options)
        fault = f"{self.path}: its weights do not fit its options: "
        try:
            missing, unexpected = model.load_state_dict(self.state, strict=False)
        except RuntimeError as error:
            raise CheckpointError(fault + _reason(error)) from error
        if wrong := unexpected + [key for key in missing if key.startswith("encoder.")]:
            raise CheckpointError(f"{fault}'{wrong[0]}' is {'unknown' if unexpected else 'missing'}")
        return model.eval()


def read_checkpoint(path: Path, *, modality: str = "joint", heads: int = 1) -> Checkpoint:
    """Read a checkpoint of this package or of the authors.

    Args:
        path: The file, or the name of a shipped model, such as "hri-2".
        modality: What an authors' checkpoint was trained on, which it does not say.
        heads: Attention heads of an authors' checkpoint, which it does not say either. Published: 1.

    Raises:
        CheckpointError: The file is missing, is no such checkpoint, or holds more than plain values and tensors.
    """
    path = find_checkpoint(path)
    content = read_plain(path)
    try:
        return _ours(path, content) if "hyper_parameters" in content else _authors(path, content, modality, heads)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint of this package or of USDRL's authors: {_reason(error)}"
        ) from error


def find_checkpoint(path: Path) -> Path:
    """The file of a checkpoint: the path itself, or the shipped checkpoint of this name ("hri-2").

    Raises:
        CheckpointError: There is neither.
    """
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.ckpt"))}
    if found := shipped.get(path.name.replace("-", "_")):
        return found
    names = ", ".join(name.replace("_", "-") for name in shipped) or "none"
    raise CheckpointError(f"there is no checkpoint {path}: give a file, or the name of a shipped one ({names})")


def read_plain(path: Path) -> dict[str, Any]:
    """The content of a checkpoint file: tensors and plain values.

    Raises:
        CheckpointError: The file is missing, is something else, is cut off, or holds more than that.
    """
    if kind := _other_kind(path):
        raise CheckpointError(f"{path} is no checkpoint: {kind}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"its pickle wants to call {wanted[1]}, which could run any code" if wanted else "its pickle is broken"
        raise CheckpointError(
            f"cannot load the checkpoint {path}: {reason}; only tensors and plain values are loaded"
        ) from error
    except Exception as error:  # broken bytes make the unpickler raise whatever they hit
        raise CheckpointError(f"cannot load the checkpoint {path}: it is damaged ({_reason(error)})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no checkpoint: it holds a {type(content).__name__}, expected a dictionary")
    return content


def _other_kind(path: Path) -> str:
    """What a file is, in words, if it is no checkpoint at all; "" if it may be one."""
    try:
        with path.open("rb") as file:
            begin = file.read(512)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if not begin:
        return "it is empty"
    if begin.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself: run 'git lfs pull', or download it"
    if begin.lstrip()[:1] == b"<":
        return "it is a web page: download the file itself"
    if path.suffix == ".onnx" or (begin[:1] == b"\x08" and b"\x12" in begin[:8]):
        return "it is an ONNX model, which runs and does not train: give the .ckpt that it was exported from"
    if begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") < 100_000_000:
        return "it is a safetensors file: give a .ckpt or .pth file"
    if begin.isascii() and begin.decode().isprintable():
        return "it is a text file"
    if begin.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "it is cut off: copy or download it again"
    return ""


def load_checkpoint(path: Path, *, modality: str = "joint", heads: int = 1) -> tuple[USDRL, dict[str, Any]]:
    """A checkpoint's network in evaluation mode, and how it was trained; arguments and errors as `read_checkpoint`."""
    found = read_checkpoint(path, modality=modality, heads=heads)
    return found.network(), found.training


def _ours(path: Path, content: dict[str, Any]) -> Checkpoint:
    given = content["hyper_parameters"]
    if not isinstance(given, dict) or not {"model", "training"} <= set(given):
        names = ", ".join(map(str, list(given)[:5])) if isinstance(given, dict) else type(given).__name__
        raise ValueError(f"it is of another Lightning program, with hyper_parameters {names or 'that are empty'}")
    options, training, state = given["model"], given["training"], content["state_dict"]
    if not any(key.startswith(_ENCODER) for key in state):
        raise KeyError(f"no weights under '{_ENCODER}'")
    return Checkpoint(
        path=path,
        options=ModelOptions.from_dict(options),
        state=_under(_NETWORK, state),
        projectors=_under(_PROJECTORS, state),
        training={"name": path.parent.name} | training,
    )


def _authors(path: Path, content: dict[str, Any], modality: str, heads: int) -> Checkpoint:
    state = {key: value for key, value in content.get("state_dict", content).items() if isinstance(value, Tensor)}
    encoder = encoder_from_authors(state, modality)
    return Checkpoint(
        path=path,
        options=options_of_encoder(encoder, modality, heads),
        state={f"encoder.{key}": value for key, value in encoder.items()},
        projectors=projectors_from_authors(state),
        training={"name": path.name.split(".")[0], "data": "USDRL's authors' checkpoint"},
    )


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _reason(error: Exception) -> str:
    """The beginning of an error's message, in one line."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
