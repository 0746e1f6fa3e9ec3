"""TensorRT or TensorRT-RTX, whichever is installed, and what its version can: 8.5 to 11, and RTX."""

from __future__ import annotations

import importlib
import importlib.util
from collections import deque
from dataclasses import dataclass
from typing import Any

from usdrl_ros.inference.contract import EngineError

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
"""Under which names it is installed; the first that works is taken."""


@dataclass(frozen=True)
class Library:
    """A TensorRT.

    Args:
        module: The Python module.
        rtx: Whether it is TensorRT-RTX, which compiles for the GPU at hand when an engine is loaded.
        logger: Takes its messages; keeps the last errors.
    """

    module: Any
    rtx: bool
    logger: Any

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"TensorRT{'-RTX' if self.rtx else ''} {self.module.__version__}"

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor = self.module.__version__.split(".")[:2]
        return int(major), int(minor)

    @property
    def strongly_typed(self) -> bool:
        """Whether each tensor has the type that the model file says; before version 10 a flag decides."""
        return self.rtx or self.version >= (10, 0)

    @property
    def latest_opset(self) -> bool:
        """Whether it reads ONNX of opset 18; TensorRT 8 reads up to 17."""
        return self.rtx or self.version >= (9, 0)

    @property
    def layer_normalization(self) -> bool:
        """Whether it has that operator; TensorRT 8.5 does not."""
        return self.rtx or self.version >= (8, 6)

    @property
    def own_graphs(self) -> bool:
        """Whether it records CUDA graphs itself: TensorRT-RTX from 1.2 on, which swaps kernels while it runs."""
        return self.rtx and hasattr(self.module, "CudaGraphStrategy")

    @property
    def shares_profiles(self) -> bool:
        """Whether several execution contexts may use one optimisation profile, as CUDA graphs of several sizes need."""
        return not self.rtx and self.version >= (8, 6)

    def errors(self) -> str:
        """The last errors that it logged; the list is cleared."""
        text = "; ".join(self.logger.errors) or "it does not say why"
        self.logger.errors.clear()
        return text


def load_library() -> Library:
    """Import TensorRT.

    Raises:
        EngineError: None is installed, or it is broken.
    """
    faults = []
    for name in MODULES:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            module = importlib.import_module(name)
            if not hasattr(module, "Builder"):
                raise ImportError("it is a stub without libraries")
        except (ImportError, OSError, RuntimeError) as error:
            faults.append(f"{name} cannot be imported: {error}")
            continue
        library = Library(module, "rtx" in name, _logger(module))
        if not library.rtx and library.version < (8, 5):
            faults.append(f"{library.name} is too old, 8.5 is the first that works")
            continue
        return library
    if faults:
        raise EngineError("; ".join(faults))
    raise EngineError(
        "TensorRT is not installed: on a Jetson it comes with JetPack, elsewhere pip install tensorrt "
        "(or tensorrt-rtx-cu13-libs and tensorrt-rtx-cu13-bindings)"
    )


def _logger(module: Any) -> Any:
    """A logger that keeps the last errors, for messages, and is else silent."""

    class Logger(module.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=4)

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split())[:300])

    return Logger()
