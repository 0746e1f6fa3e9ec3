"""The contract between the recognizer and what runs a model: engines, their options, predictions and errors.

Each engine is a module that imports this one and `model_file`; `factory` chooses among them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from usdrl_ros.inference.model_file import OUTPUTS, ModelError, ModelInfo

Log = Callable[[str], None]
_Self = TypeVar("_Self", bound="Engine")


class EngineError(ModelError):
    """This engine cannot run the model here, another one may; the message says why and what to do."""


@dataclass(frozen=True)
class Predictions:
    """Outputs for N windows: detection logits (N, T, K+1), recognition logits (N, K), embedding (N, 2H)."""

    detection: np.ndarray
    recognition: np.ndarray
    embedding: np.ndarray


class Engine(ABC):
    """Runs one model; a context manager. May be used from any one thread at a time.

    `infer` checks the windows, then the engine's own `_run` gets them. The split is that of Polygraphy's `BaseRunner`.

    Args:
        info: The model.
        name: What runs it, with version, precision and device, in a few words.
    """

    def __init__(self, info: ModelInfo, name: str) -> None:
        self.info = info
        self._name = name

    @property
    def name(self) -> str:
        """What runs the model, with version, precision and device, in a few words."""
        return self._name

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, V, M) float32, sizes as in `info`. The arrays returned belong to the caller.

        Raises:
            ValueError: The windows have another shape or type; nothing has reached a device.
            EngineError: The device failed, or the engine is closed.
        """
        return self._run(check_skeletons(skeletons, self.info))

    @abstractmethod
    def _run(self, skeletons: np.ndarray) -> Predictions:
        """Run windows that are as `infer` promises: float32, contiguous, at least one.

        Raises:
            EngineError: The device failed, or the engine is closed.
        """

    def warm_up(self) -> None:
        """Run once what is slow the first time, so that no step of the robot is.

        Raises:
            EngineError: It fails, or the outputs are not finite.
        """
        check_predictions(self._run(zero_windows(1, self.info)), self.name)

    @abstractmethod
    def close(self) -> None:
        """Free the resources. The engine cannot run afterwards. Closing twice is allowed."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Options:
    """How to run a model.

    Args:
        threads: CPU threads that one inference may use.
        precision: One of `factory.PRECISIONS`.
        max_batch: Largest batch that is run at once; more windows are run in parts.
        wait: One of `factory.WAITS`.
        cache: Directory of built engines; None: the user's cache directory.
        log: Takes one line about what happens.
    """

    threads: int
    precision: str
    max_batch: int
    wait: str
    cache: Path | None
    log: Log


def check_skeletons(skeletons: np.ndarray, info: ModelInfo) -> np.ndarray:
    """Windows as an engine takes them: contiguous.

    Raises:
        ValueError: They are not float32 (N, 3, T, V, M) of at least one window, sizes as in `info`.
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
        EngineError: They are not finite.
    """
    for output in OUTPUTS:
        if not np.isfinite(getattr(predictions, output)).all():
            raise EngineError(f"{name} gives '{output}' that is not finite: try precision fp32, or another engine")


def zero_windows(count: int, info: ModelInfo) -> np.ndarray:
    """Windows (count, 3, T, V, M) of nobody, for a warm-up."""
    return np.zeros((count, *info.window_shape), np.float32)


def random_windows(count: int, info: ModelInfo, seed: int = 0) -> np.ndarray:
    """Windows (count, 3, T, V, M) of joints that are spread as a body's, 0.5 m around the origin; no real motion."""
    return np.random.default_rng(seed).normal(0.0, 0.5, (count, *info.window_shape)).astype(np.float32)


def largest_difference(engine: Engine, reference: Engine, batches: Sequence[int]) -> float:
    """Largest difference of two engines' outputs on random windows, relative to each output's largest value.

    Args:
        engine, reference: Two engines of one model.
        batches: Sizes of the batches to compare on.

    Returns:
        The difference; not a number if an output is not.
    """
    worst = 0.0
    for count in batches:
        skeletons = random_windows(count, reference.info, seed=count)
        found, expected = engine.infer(skeletons), reference.infer(skeletons)
        for name in OUTPUTS:
            value = getattr(expected, name)
            worst = float(np.maximum(worst, np.abs(getattr(found, name) - value).max() / np.abs(value).max()))
    return worst
