"""Choose the engine that runs a model file.

`load_engine` is all that others need. "auto" tries the engines in the order of `ENGINES` and takes the first that
works here: that has loaded the model and run it. What it passed over, and why, is told. If an engine breaks later, the
next one in line takes its place. An engine that is asked for by name is taken, or the error says what it lacks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from usdrl_ros.inference.contract import Engine, Log, Options
from usdrl_ros.inference.model_file import ModelError, ModelFile, read_model_file

ENGINES = ("auto", "tensorrt", "openvino", "onnxruntime")
"""What `load_engine` takes for an engine; "auto" tries the others in this order, the fastest first."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
"""What `load_engine` takes for a precision; "auto": fp16 on a GPU, bf16 on a CPU with units for it, else fp32."""


def default_model() -> Path:
    """The model that is shipped with the package."""
    return Path(__file__).resolve().parent.parent / "models" / "hri_1.onnx"


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
