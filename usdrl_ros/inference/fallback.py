"""The engine of "auto": the first in line that works here, and the next one should it break."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np

from usdrl_ros.inference.contract import Engine, EngineError, Options, Predictions, check_skeletons
from usdrl_ros.inference.factory import open_engine
from usdrl_ros.inference.model_file import ModelFile


class FallbackEngine:
    """Runs a model in the first of several engines that can; a context manager."""

    def __init__(self, file: ModelFile, options: Options, names: Sequence[str]) -> None:
        """Load the model into the first engine in line that works.

        Raises:
            EngineError: None does; the message says why, for each.
        """
        self.info = file.info
        self._file = file
        self._options = options
        self._left = list(names)
        self._refused: list[str] = []
        self._engine: Engine | None = None
        self._next()

    @property
    def name(self) -> str:
        """The engine in use."""
        return self._running.name

    @property
    def _running(self) -> Engine:
        if self._engine is None:
            raise EngineError("the engine is closed")
        return self._engine

    def _next(self) -> None:
        while self._left:
            name = self._left.pop(0)
            passed_over = f" (not {'; not '.join(self._refused)})" if self._refused else ""
            try:
                self._engine = open_engine(name, self._file, self._options, f"the best that works here{passed_over}")
            except EngineError as error:
                self._refused.append(f"{name}: {error}")
                continue
            return
        raise EngineError(f"no engine can run model {self._file.path} here; {'; '.join(self._refused)}")

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32; if the engine breaks, the next one in line runs them.

        Raises:
            ValueError: The windows have another shape or type.
            EngineError: The last engine in line broke.
        """
        skeletons = check_skeletons(skeletons, self.info)
        while True:
            engine = self._running
            try:
                return engine.infer(skeletons)
            except EngineError as error:
                self._options.log(f"{engine.name} broke: {error}")
                self._refused.append(f"{engine.name}: {error}")
                self.close()
                self._next()

    def warm_up(self) -> None:
        """Run what is slow the first time (loading did)."""
        self._running.warm_up()

    def close(self) -> None:
        """Give the resources back."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.close()

    def __enter__(self) -> FallbackEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
