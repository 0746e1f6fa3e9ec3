"""The engine of "auto": the first in line that works here, and the next one should it fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from usdrl_ros.inference.contract import Engine, EngineError, Log, Predictions
from usdrl_ros.inference.model_file import ModelInfo

Open = Callable[[str], Engine]
"""Loads the model into one engine and warms it up, given why that engine was chosen; raises `EngineError`."""


class FallbackEngine(Engine):
    """Runs a model in the first of several engines that can."""

    def __init__(self, path: Path, info: ModelInfo, engines: Mapping[str, Open], log: Log) -> None:
        """Load the model into the first engine in line that works.

        Args:
            path: The model file, for messages.
            info: The model.
            engines: What opens each engine, by name; the first is preferred.
            log: Takes a line when an engine fails.

        Raises:
            EngineError: None works; the message says why, for each.
        """
        super().__init__(info, "")
        self._path = path
        self._left = dict(engines)
        self._log = log
        self._refused: list[str] = []
        self._engine: Engine | None = None
        self._open_next()

    @property
    def name(self) -> str:
        """The engine in use."""
        return self._running.name

    @property
    def _running(self) -> Engine:
        if self._engine is None:
            raise EngineError("the engine is closed")
        return self._engine

    def _open_next(self) -> None:
        while self._left:
            name = next(iter(self._left))
            opener = self._left.pop(name)
            passed_over = f" (not {'; not '.join(self._refused)})" if self._refused else ""
            try:
                self._engine = opener(f"the best that works here{passed_over}")
            except EngineError as error:
                self._refused.append(f"{name}: {error}")
                continue
            return
        raise EngineError(f"no engine can run model {self._path} here; {'; '.join(self._refused)}")

    def _run(self, skeletons: np.ndarray) -> Predictions:
        """Run checked windows; if the engine fails, the next one in line runs them.

        Raises:
            EngineError: The last engine in line failed.
        """
        while True:
            engine = self._running
            try:
                return engine._run(skeletons)  # the windows have been checked
            except EngineError as error:
                self._log(f"{engine.name} failed and is replaced: {error}")
                self._refused.append(f"{engine.name}: {error}")
                self.close()
                self._open_next()

    def warm_up(self) -> None:
        """Run once what is slow the first time; loading has done so."""
        self._running.warm_up()

    def close(self) -> None:
        """Free the resources."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.close()
