"""The contract between the recognizer and what runs a model: engines, their options, predictions and errors.

Each engine is a module that imports this one and `model_file`; `factory` chooses among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from usdrl_ros.inference.model_file import OUTPUTS, ModelError, ModelInfo

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


def check_predictions(predictions: Predictions, name: str) -> None:
    """Refuse an engine whose outputs at the warm-up are not finite, as after an overflow in fp16.

    Raises:
        EngineError: They are not.
    """
    for output in OUTPUTS:
        if not np.isfinite(getattr(predictions, output)).all():
            raise EngineError(f"{name} gives '{output}' that is not finite: try precision fp32, or another engine")
