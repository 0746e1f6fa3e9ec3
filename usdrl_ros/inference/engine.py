"""The contract of an engine, what a model file says of itself, and which engine runs it.

A model file is one self-describing `.onnx`: input `skeletons` (N, 3, T, V, M) float32, outputs `detection` logits
(N, T, K+1) with background first, `recognition` logits (N, K), `embedding` (N, 2H); joint, bone and motion are made
inside the graph. Its metadata (keys `usdrl.*`, see `ModelInfo`) says the rest; nothing is configured twice.
`training.export` also writes files without `detection`, from checkpoints in which no such head was trained; an engine
refuses them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from usdrl_ros.skeleton.layouts import NTU_25

INPUT = "skeletons"
OUTPUTS = ("detection", "recognition", "embedding")
FORMAT = "1"
"""Version of the model file's contract."""


class ModelError(Exception):
    """A model cannot be used; the message says what is wrong with the file and what to do."""


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
                f"model {path} has format {metadata['usdrl.format']}, this version reads {FORMAT}: export it anew"
            )
        try:
            actions = tuple(str(action) for action in json.loads(metadata["usdrl.actions"]))
            window_s = float(metadata["usdrl.window_s"])
            # Files of before these keys were written have the published sizes.
            frames, joints, people = (
                int(metadata.get(f"usdrl.{key}", default))
                for key, default in (("frames", cls.frames), ("joints", cls.joints), ("people", cls.people))
            )
        except (ValueError, TypeError) as error:
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


@dataclass(frozen=True)
class Predictions:
    """Outputs for N windows: detection logits (N, T, K+1), recognition logits (N, K), embedding (N, 2H)."""

    detection: np.ndarray
    recognition: np.ndarray
    embedding: np.ndarray


class Engine(Protocol):
    """Runs one model. May be used from any one thread at a time."""

    info: ModelInfo

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32, sizes as in `info`, in one batch."""
        ...

    def close(self) -> None:
        """Give the resources back; the engine is of no use afterwards."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


ENGINES = ("auto", "onnxruntime")
"""What `load_engine` takes for an engine."""


def default_model() -> Path:
    """The model that is shipped with the package."""
    return Path(__file__).resolve().parent.parent / "models" / "utkinect.onnx"


def load_engine(model: str | Path, *, engine: str = "auto", threads: int = 1) -> Engine:
    """Load a model file into an engine.

    Args:
        model: Path of an .onnx file.
        engine: One of `ENGINES`; "auto" takes the best that is installed.
        threads: CPU threads that one inference may use.

    Raises:
        ModelError: The file or the engine cannot be used.
    """
    path = Path(model).expanduser()
    if engine not in ENGINES:
        raise ModelError(f"unknown engine '{engine}'; known are {', '.join(ENGINES)}")
    if not path.is_file():
        raise ModelError(f"model {path} is not there; give the path of an .onnx file, or none for the shipped one")
    from usdrl_ros.inference.onnx_runtime import OnnxRuntimeEngine  # heavy: only when an engine is wanted

    return OnnxRuntimeEngine(path, threads=threads)
