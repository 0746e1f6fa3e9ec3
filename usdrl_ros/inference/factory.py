"""Choose the engine that runs a model file.

`load_engine` is all that others need. "auto" tries the engines in the order of `ENGINES` and takes the first that
loads the model and runs it. It logs which engines were passed over, and why. If an engine fails later, the next one in
line takes its place. An engine that is named explicitly is taken, or the error says what is missing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from usdrl_ros.inference.contract import Engine, Log, Options
from usdrl_ros.inference.fallback import FallbackEngine
from usdrl_ros.inference.model_file import ModelError, ModelFile, default_model, read_model_file

__all__ = ["ENGINES", "PRECISIONS", "WAITS", "default_model", "load_engine"]

ENGINES = ("auto", "tensorrt", "openvino", "onnxruntime")
"""Values of `engine`; "auto" tries the others in this order, the fastest first."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16")
"""Values of `precision`; "auto": fp16 on a GPU; on a CPU the fastest that agrees with fp32, measured at load."""

WAITS = ("spin", "block")
"""Values of `wait`, while a GPU works: "spin" answers soonest and keeps a core busy meanwhile; "block" sleeps."""


def load_engine(
    model: str | Path,
    *,
    engine: str = "auto",
    threads: int = 1,
    precision: str = "auto",
    max_batch: int = 16,
    wait: str = "spin",
    cache: str | Path | None = None,
    log: Log | None = None,
) -> Engine:
    """Load a model file into an engine, and warm it up. A TensorRT engine is built first if none is cached.

    Args:
        model: Path of an .onnx file.
        engine: One of `ENGINES`.
        threads: CPU threads that one inference may use.
        precision: One of `PRECISIONS`.
        max_batch: Most windows (people) in a batch that the engine is built for; larger batches are run in parts.
        wait: One of `WAITS`, for an engine on a GPU.
        cache: Directory of built engines; None: `usdrl_ros` in the user's cache directory.
        log: Takes lines on what is chosen and why, and on slow work; None: Python's logging.

    Raises:
        ModelError: The file cannot be used, or (an `EngineError`) no engine that was allowed can run it here.
    """
    if engine not in ENGINES:
        raise ModelError(f"unknown engine '{engine}'; known are {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise ModelError(f"unknown precision '{precision}'; known are {', '.join(PRECISIONS)}")
    if threads < 1 or max_batch < 1:
        raise ModelError(f"threads and max_batch must be 1 or more, are {threads} and {max_batch}")
    if wait not in WAITS:
        raise ModelError(f"unknown wait '{wait}'; known are {', '.join(WAITS)}")
    log = log or logging.getLogger("usdrl_ros.inference").info
    file = read_model_file(model)
    options = Options(threads, precision, max_batch, wait, Path(cache) if cache else None, log)
    if engine != "auto":
        return _open_engine(engine, file, options, "as asked for")
    engines = {name: partial(_open_engine, name, file, options) for name in ENGINES[1:]}
    return FallbackEngine(file.path, file.info, engines, log)


def _open_engine(name: str, file: ModelFile, options: Options, why: str) -> Engine:
    """Load a model file into the engine of this name, warm it up, and log why it was chosen.

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
    """What opens the engine of this name. Each is a heavy import that may be missing, so it is imported when used."""
    if name == "tensorrt":
        from usdrl_ros.inference.build import open_tensorrt

        return open_tensorrt
    if name == "openvino":
        from usdrl_ros.inference.openvino import open_openvino

        return open_openvino
    from usdrl_ros.inference.onnx_runtime import open_onnx_runtime

    return open_onnx_runtime
