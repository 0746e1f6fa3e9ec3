"""What a model file says of itself, read without any engine, and whether it keeps the contract.

A model file is one self-describing `.onnx`: input `skeletons` (N, 3, T, V, M) float32, outputs `detection` logits
(N, T, K+1) with background first, `recognition` logits (N, K), `embedding` (N, 2H); joint, bone and motion are made
inside the graph. Its metadata (keys `usdrl.*`, see `ModelInfo`) says the rest; nothing is configured twice.
`training.export` also writes files without `detection`, from checkpoints in which no such head was trained; they are
refused here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usdrl_ros.files import expanded
from usdrl_ros.inference import protobuf
from usdrl_ros.inference.protobuf import ProtobufError
from usdrl_ros.problems import shown
from usdrl_ros.skeleton.layouts import NTU_25

INPUT = "skeletons"
OUTPUTS = ("detection", "recognition", "embedding")
FORMAT = "1"
"""Version of the model file's contract."""
_LONGEST_NAME = 200


def default_model() -> Path:
    """The model that is shipped with the package."""
    return Path(__file__).resolve().parent.parent / "models" / "hri_2.onnx"


class ModelError(Exception):
    """A model cannot be used; the message says what is wrong with the file and what to do."""


def _names(actions: object) -> tuple[str, ...]:
    """Names of actions, which go into messages, logs and reports.

    Raises:
        ValueError: They are no list of short printable texts.
    """
    if not isinstance(actions, list):
        raise ValueError("usdrl.actions is no list")
    for action in actions:
        if not isinstance(action, str) or not action.isprintable() or not 0 < len(action) <= _LONGEST_NAME:
            raise ValueError(f"the action {shown(str(action))} is no printable text of 1 to {_LONGEST_NAME} characters")
    return tuple(actions)


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Args:
        name: The model's name.
        actions: K names, in the order of the outputs; background is not among them.
        window_s: Seconds that a window of T frames spans; 0 without `detection`: clips of any length.
        normalization: Name of the normalisation that its input wants.
        training_data: What it was trained on, in words.
        frames, joints, people: T, V, M of its input.
    """

    name: str
    actions: tuple[str, ...]
    window_s: float
    normalization: str
    training_data: str
    frames: int = 64
    joints: int = 25
    people: int = 2

    @property
    def window_shape(self) -> tuple[int, int, int, int]:
        """Shape of one window of its input: (3, T, V, M)."""
        return 3, self.frames, self.joints, self.people

    def to_metadata(self) -> dict[str, str]:
        """Key and value of the model file's metadata."""
        return {
            "usdrl.format": FORMAT,
            "usdrl.name": self.name,
            "usdrl.actions": json.dumps(list(self.actions)),
            "usdrl.window_s": repr(self.window_s),
            "usdrl.normalization": self.normalization,
            "usdrl.training_data": self.training_data,
            "usdrl.frames": str(self.frames),
            "usdrl.joints": str(self.joints),
            "usdrl.people": str(self.people),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: Path) -> ModelInfo:
        """Read a model file's metadata.

        Raises:
            ModelError: Something is missing or cannot be understood.
        """
        keys = ("usdrl.format", "usdrl.name", "usdrl.actions", "usdrl.window_s", "usdrl.normalization")
        if missing := [key for key in keys if not metadata.get(key)]:
            raise ModelError(
                f"model {path} lacks the metadata {', '.join(missing)}: "
                "it was not written by `python -m training.export`"
            )
        if metadata["usdrl.format"] != FORMAT:
            raise ModelError(
                f"model {path} has format {metadata['usdrl.format']}, this version reads {FORMAT}: export it again"
            )
        try:
            actions = _names(json.loads(metadata["usdrl.actions"]))
            window_s = float(metadata["usdrl.window_s"])
            # Files of before these keys were written have the published sizes.
            frames, joints, people = (
                int(metadata.get(f"usdrl.{key}", default))
                for key, default in (("frames", cls.frames), ("joints", cls.joints), ("people", cls.people))
            )
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError(f"model {path} has metadata that cannot be read: {error}") from error
        if not actions or len(set(actions)) != len(actions) or not 0.1 <= window_s <= 60.0:
            raise ModelError(
                f"model {path}: needs distinct actions and a window of 0.1 to 60 s, has {actions}, {window_s} s"
            )
        if joints != len(NTU_25):
            raise ModelError(
                f"model {path} takes skeletons of {joints} joints, skeletons here have the {len(NTU_25)} of Kinect v2 "
                "(other layouts are converted): train one on those"
            )
        return cls(
            metadata["usdrl.name"],
            actions,
            window_s,
            metadata["usdrl.normalization"],
            metadata.get("usdrl.training_data", ""),
            frames,
            joints,
            people,
        )


def check_heads(outputs: Collection[str], metadata: Mapping[str, str], path: Path) -> None:
    """Refuse a model file of ours that lacks `detection`.

    Args:
        outputs: Names of its outputs.
        metadata: Its metadata.
        path: The file.

    Raises:
        ModelError: It was written without the head that events need.
    """
    if "usdrl.format" not in metadata or "detection" in outputs:
        return
    what = "recognises trimmed clips only" if "recognition" in outputs else "is an encoder without heads"
    raise ModelError(
        f"model {path} {what}, and events need the head 'detection': train it with `python -m training.tasks.detect` "
        "from the same checkpoint and export that"
    )


Shape = tuple[int | str | None, ...]
"""Sizes of a tensor: a number, the name of a free one, None where the file does not say."""


@dataclass(frozen=True)
class ModelFile:
    """A model file that keeps the contract; what it holds besides is for the engines."""

    path: Path
    info: ModelInfo

    def sha256(self) -> str:
        """Hash of its content, hexadecimal."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def read_model_file(path: str | Path) -> ModelFile:
    """Look into a model file.

    Raises:
        ModelError: It is not there, is no ONNX, is cut off, lacks its metadata, or has other tensors than the contract
            says.
    """
    path = expanded(path)
    if not path.is_file():
        raise ModelError(f"model {path} is not there; give the path of an .onnx file, or none for the shipped one")
    try:
        metadata, inputs, outputs = _header(path)
    except ProtobufError as error:
        raise ModelError(f"model {path} cannot be loaded, it is no ONNX file or is cut off: {error}") from error
    except OSError as error:
        raise ModelError(f"model {path} cannot be read: {error}") from error
    check_heads(outputs, metadata, path)
    info = ModelInfo.from_metadata(metadata, path)
    classes = len(info.actions)
    _check(path, "input", inputs, {INPUT: info.window_shape})
    _check(
        path,
        "output",
        outputs,
        {"detection": (info.frames, classes + 1), "recognition": (classes,), "embedding": (None,)},
    )
    return ModelFile(path, info)


_Tensors = dict[str, tuple[int, Shape]]
_ELEMENTS = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 16: "bfloat16"}
"""Types of a tensor's elements in ONNX (onnx.proto, TensorProto.DataType)."""


def _header(path: Path) -> tuple[dict[str, str], _Tensors, _Tensors]:
    """Metadata, inputs and outputs of an ONNX file (onnx.proto, ModelProto); its weights are skipped, not read."""
    if not path.stat().st_size:
        raise ProtobufError("it is empty")
    metadata: dict[str, str] = {}
    inputs: _Tensors = {}
    outputs: _Tensors = {}
    graphs = 0
    for field in protobuf.read(np.memmap(path, mode="r").data):
        if field.number == 14:
            entry = {part.number: part.text for part in protobuf.read(field.data)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif field.number == 7:
            graphs += 1
            for part in protobuf.read(field.data):
                if part.number in (11, 12):
                    name, element, shape = _tensor(part.data)
                    (inputs if part.number == 11 else outputs)[name] = element, shape
    if not graphs:
        raise ProtobufError("it holds no graph")
    return metadata, inputs, outputs


def _tensor(data: bytes | memoryview) -> tuple[str, int, Shape]:
    """Name, element type and shape of a ValueInfoProto."""
    name, element = "", 0
    shape: Shape = ()
    for field in protobuf.read(data):
        if field.number == 1:
            name = field.text
        elif field.number == 2:
            for kind in protobuf.read(field.data):
                if kind.number == 1:  # a tensor, and not a sequence or a map
                    element, shape = _tensor_type(kind.data)
    return name, element, shape


def _tensor_type(data: bytes | memoryview) -> tuple[int, Shape]:
    element, shape = 0, []
    for field in protobuf.read(data):
        if field.number == 1:
            element = field.integer
        elif field.number == 2:
            shape = [_size(dimension.data) for dimension in protobuf.read(field.data) if dimension.number == 1]
    return element, tuple(shape)


def _size(dimension: bytes | memoryview) -> int | str | None:
    for field in protobuf.read(dimension):
        if field.number == 1:
            return field.integer
        if field.number == 2:
            return field.text
    return None


def _check(path: Path, kind: str, found: _Tensors, expected: Mapping[str, Shape]) -> None:
    for name, shape in expected.items():
        if name not in found:
            raise ModelError(f"model {path} has no {kind} '{name}', only {', '.join(found)}")
        element, actual = found[name]
        fits = len(actual) == len(shape) + 1 and all(e in (None, a) for e, a in zip(shape, actual[1:], strict=True))
        if not fits or isinstance(actual[0], int):
            sizes = ", ".join(str(size or "any") for size in shape)
            raise ModelError(f"model {path}: {kind} '{name}' has shape {actual}, expected (N, {sizes}), N dynamic")
        if element != 1:
            raise ModelError(
                f"model {path}: {kind} '{name}' is {_ELEMENTS.get(element, f'of type {element}')}, expected float32"
            )
