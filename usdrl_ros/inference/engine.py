"""The contract of an engine, and which engine runs a model file.

`load_engine` is all that others need. "auto" tries the engines in the order of `ENGINES` and takes the first that
works here: that has loaded the model and run it. What it passed over, and why, is told. If an engine breaks later, the
next one in line takes its place. An engine that is asked for by name is taken, or the error says what it lacks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelError, ModelFile, ModelInfo, read_model_file

__all__ = [
    "ENGINES",
    "INPUT",
    "OUTPUTS",
    "PRECISIONS",
    "Engine",
    "EngineError",
    "ModelError",
    "ModelInfo",
    "Predictions",
    "check_skeletons",
    "default_model",
    "load_engine",
]

ENGINES = ("auto", "tensorrt", "openvino", "onnxruntime")
"""What `load_engine` takes for an engine; "auto" tries the others in this order, the fastest first."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
"""What `load_engine` takes for a precision; "auto": fp16 on a GPU, bf16 on a CPU with units for it, else fp32."""

Log = Callable[[str], None]


class EngineError(ModelError):
    """This engine cannot run the model here, another one may; the message says why and what to do."""


@dataclass(frozen=True)
class Predictions:
    """Outputs for N windows: detection logits (N, T, K+1), recognition logits (N, K), embedding (N, 2H)."""

    detection: np.ndarray
    recognition: np.ndarray
    embedding: np.ndarray


class Engine(Protocol):
    """Runs one model. May be used from any one thread at a time.

    Args:
        info: The model.
    """

    info: ModelInfo

    @property
    def name(self) -> str:
        """What runs it, with version, precision and device, in a few words."""
        ...

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32, sizes as in `info`, in one batch.

        Raises:
            ValueError: The windows have another shape or type; nothing has reached a device.
            EngineError: The device failed.
        """
        ...

    def warm_up(self) -> None:
        """Run what is slow the first time, so that no step of the robot is."""
        ...

    def close(self) -> None:
        """Give the resources back; the engine is of no use afterwards."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_skeletons(skeletons: np.ndarray, info: ModelInfo) -> np.ndarray:
    """Windows as an engine takes them: contiguous.

    Raises:
        ValueError: They are no float32 (N, 3, T, V, M) of at least one window, sizes as in `info`.
    """
    sizes = ", ".join(map(str, info.window_shape))
    if not isinstance(skeletons, np.ndarray):
        raise ValueError(f"skeletons are a {type(skeletons).__name__}, expected an array (N, {sizes}) of float32")
    if skeletons.dtype != np.float32:
        raise ValueError(f"skeletons are {skeletons.dtype}, expected float32: convert them with .astype(np.float32)")
    if skeletons.ndim != 5 or skeletons.shape[1:] != info.window_shape or not len(skeletons):
        raise ValueError(f"skeletons have the shape {skeletons.shape}, model '{info.name}' takes (N, {sizes}), N >= 1")
    return np.ascontiguousarray(skeletons)


def default_model() -> Path:
    """The model that is shipped with the package."""
    return Path(__file__).resolve().parent.parent / "models" / "hri_1.onnx"


@dataclass(frozen=True)
class Options:
    """How to run a model.

    Args:
        threads: CPU threads that one inference may use.
        precision: One of `PRECISIONS`.
        max_batch: Windows that are run together at most; more are run in parts.
        cache: Directory of built engines; None: the user's cache directory.
        log: Takes a line of what is going on.
    """

    threads: int
    precision: str
    max_batch: int
    cache: Path | None
    log: Log


def load_engine(
    model: str | Path,
    *,
    engine: str = "auto",
    threads: int = 1,
    precision: str = "auto",
    max_batch: int = 16,
    cache: str | Path | None = None,
    log: Log | None = None,
) -> Engine:
    """Load a model file into an engine, and warm it up. A TensorRT engine is built first where none is cached.

    Args:
        model: Path of an .onnx file.
        engine: One of `ENGINES`.
        threads: CPU threads that one inference may use.
        precision: One of `PRECISIONS`.
        max_batch: Most windows (people) in a batch that the engine is built for; larger batches are run in parts.
        cache: Directory of built engines; None: `usdrl_ros` in the user's cache directory.
        log: Takes lines on what is chosen and why, and on slow work; None: Python's logging.

    Raises:
        ModelError: The file cannot be used, or (an `EngineError`) no engine that was asked for can run it here.
    """
    if engine not in ENGINES:
        raise ModelError(f"unknown engine '{engine}'; known are {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise ModelError(f"unknown precision '{precision}'; known are {', '.join(PRECISIONS)}")
    if threads < 1 or max_batch < 1:
        raise ModelError(f"threads and max_batch must be 1 or more, are {threads} and {max_batch}")
    log = log or logging.getLogger("usdrl_ros.inference").info
    file = read_model_file(model)
    options = Options(threads, precision, max_batch, Path(cache) if cache else None, log)
    if engine != "auto":
        return open_engine(engine, file, options, "as asked for")
    from usdrl_ros.inference.fallback import FallbackEngine  # it imports this module

    return FallbackEngine(file, options, ENGINES[1:])


def open_engine(name: str, file: ModelFile, options: Options, why: str) -> Engine:
    """Load a model file into the engine of this name, warm it up, and tell why.

    Raises:
        EngineError: It is not installed, or cannot run the model.
    """
    began = time.monotonic()
    loaded = _opener(name)(file, options)
    try:
        loaded.warm_up()
    except BaseException:
        loaded.close()
        raise
    options.log(f"engine: {loaded.name}, {why}; ready after {time.monotonic() - began:.1f} s")
    return loaded


def _opener(name: str) -> Callable[[ModelFile, Options], Engine]:
    """What opens the engine of this name. Each is heavy, and may be absent: imported only when wanted."""
    if name == "tensorrt":
        from usdrl_ros.inference.build import open_tensorrt

        return open_tensorrt
    if name == "openvino":
        from usdrl_ros.inference.openvino import open_openvino

        return open_openvino
    from usdrl_ros.inference.onnx_runtime import open_onnx_runtime

    return open_onnx_runtime


def check_predictions(predictions: Predictions, name: str) -> None:
    """Refuse an engine whose outputs at the warm-up are not finite, as after an overflow in fp16.

    Raises:
        EngineError: They are not.
    """
    for output in OUTPUTS:
        if not np.isfinite(getattr(predictions, output)).all():
            raise EngineError(f"{name} gives '{output}' that is not finite: try precision fp32, or another engine")
