"""Build the TensorRT engine of a model ahead of time; an engine that is there already is kept.

    ros2 run usdrl_ros build_engine MODEL.onnx
    python -m usdrl_ros.inference.build MODEL.onnx --precision fp16 --max-people 16

The node does the same at its first start. An engine serves one model, TensorRT version, kind of GPU and precision, and
up to as many people as it was built for; it is kept in the user's cache directory. A new one is compared with ONNX
Runtime on random skeletons.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from usdrl_ros.files import expanded
from usdrl_ros.inference.contract import Engine, EngineError, Log, Options, largest_difference
from usdrl_ros.inference.cuda import Device, open_device
from usdrl_ros.inference.engine_cache import (
    CacheError,
    EngineKey,
    cache_directory,
    ensure_writable,
    file_name,
    read_plan,
    write_plan,
)
from usdrl_ros.inference.model_file import ModelError, ModelFile, default_model, read_model_file
from usdrl_ros.inference.tensorrt import PlanError, TensorRtEngine
from usdrl_ros.inference.tensorrt_builder import PRECISIONS, WORKSPACE_MIB, BuildSettings, build_plan
from usdrl_ros.inference.tensorrt_library import Library, load_library

TOLERANCES = {"fp16": 1e-2, "fp32": 1e-4}
"""Largest difference to ONNX Runtime that an engine may have, relative to the output's largest value."""


@dataclass(frozen=True)
class Built:
    """An engine in the cache.

    Args:
        path: Its file.
        size: Bytes.
        seconds: Duration of the build; 0 if it was there already.
        error: Largest difference to ONNX Runtime, see `TOLERANCES`; None if it was not run.
    """

    path: Path
    size: int
    seconds: float
    error: float | None


def build(
    model: str | Path,
    *,
    precision: str = "auto",
    max_batch: int = 16,
    workspace_mib: int = WORKSPACE_MIB,
    time_limit_s: float = 0.0,
    compute_capability: str = "",
    cache: str | Path | None = None,
    rebuild: bool = False,
    log: Log = print,
) -> Built:
    """Build the engine of a model into the cache, unless it is there, and compare it with ONNX Runtime.

    Args:
        model: The .onnx file.
        precision: "fp16", "fp32", or "auto": fp16.
        max_batch: Largest batch, the node's max_people.
        workspace_mib, time_limit_s: See `BuildSettings`.
        compute_capability: "8.9", say: build for such a GPU, without one (TensorRT-RTX only); nothing is compared then.
        cache: Directory of the engine; None: the user's cache directory.
        rebuild: Build it even if it is there.
        log: Takes lines of progress.

    Raises:
        ModelError: The model, TensorRT or the GPU cannot be used, the engine's outputs differ by too much, or the
            directory cannot be written.
    """
    file = read_model_file(model)
    library = load_library()
    try:
        device = None if compute_capability else open_device()
    except EngineError as fault:
        raise EngineError(
            f"{fault}; without a GPU, name the compute capability of another (TensorRT-RTX only)"
        ) from fault
    settings = BuildSettings(
        _precision(precision), max_batch, workspace_mib, time_limit_s, compute_capability=compute_capability
    )
    builder = _Builder(library, file, device, settings, cache, log)
    path = builder.path
    if not rebuild:
        try:
            plan = read_plan(path, builder.key, max_batch)
            if device is not None:
                builder.load(plan, path).close()
            return Built(path, len(plan), 0.0, None)
        except FileNotFoundError:
            pass
        except (CacheError, PlanError) as fault:
            log(f"{fault}; it is built again")
    try:
        ensure_writable(path.parent)
        plan, seconds = builder.build()
        error = None
        if device is not None:
            with builder.load(plan, path) as engine:
                error = builder.compare(engine)
        write_plan(path, builder.key, max_batch, plan)
    except CacheError as fault:
        raise EngineError(str(fault)) from fault
    return Built(path, len(plan), seconds, error)


def open_tensorrt(file: ModelFile, options: Options) -> TensorRtEngine:
    """The engine of a model, from the cache or built now.

    Raises:
        EngineError: There is no GPU, PyCUDA or TensorRT, TensorRT cannot build or run the model, or its outputs differ
            by too much.
    """
    device = open_device()  # first, since this is the quickest check
    library, log = load_library(), options.log
    settings = BuildSettings(_precision(options.precision), options.max_batch)
    builder = _Builder(library, file, device, settings, options.cache, log, options.wait)
    path = builder.path
    try:
        return builder.load(read_plan(path, builder.key, options.max_batch), path)
    except FileNotFoundError:
        pass
    except (CacheError, PlanError) as error:
        log(f"{error}; it is built again")
    plan, _ = builder.build()
    engine = builder.load(plan, path)
    try:
        builder.compare(engine)
    except BaseException:
        engine.close()
        raise
    try:
        write_plan(path, builder.key, options.max_batch, plan)
    except CacheError as error:
        log(f"the engine is built again at the next start: {error}")
    return engine


def _precision(wanted: str) -> str:
    if wanted not in ("auto", *PRECISIONS):
        raise EngineError(f"TensorRT is used in {' or '.join(PRECISIONS)}, not {wanted}")
    return "fp16" if wanted == "auto" else wanted


@dataclass(frozen=True)
class _Builder:
    """Builds, loads and compares one engine; arguments as of `build`."""

    library: Library
    file: ModelFile
    device: Device | None
    settings: BuildSettings
    cache: str | Path | None
    log: Log
    wait: str = "spin"

    @functools.cached_property
    def key(self) -> EngineKey:
        return EngineKey(self.file.sha256(), self.library.name, self._gpu, self.settings.precision)

    @functools.cached_property
    def _gpu(self) -> str:
        capability = self.settings.compute_capability or (self.device.compute_capability if self.device else "")
        name = "" if self.library.rtx or self.device is None else f"{self.device.name} "
        return f"{name}compute capability {capability}"

    @functools.cached_property
    def _directory(self) -> Path:
        return expanded(self.cache) if self.cache else cache_directory()

    @property
    def path(self) -> Path:
        return self._directory / self.key.file_name(self.file.path.stem)

    @property
    def timing_cache(self) -> Path:
        """Kernel timings; all models and precisions of one TensorRT on one GPU share them."""
        return self._directory / file_name(self.library.name, self._gpu, suffix=".timings")

    def build(self) -> tuple[bytes, float]:
        """The engine, and the seconds that it took."""
        settings = self.settings
        target = f"compute capability {settings.compute_capability}" if self.device is None else self.device.name
        self.log(
            f"building the {self.library.name} engine of {self.file.path} for {target}: {settings.precision}, batches "
            f"of 1 to {settings.max_batch}; this is done once and takes seconds, on a small Jetson many minutes"
        )
        began = time.monotonic()
        if self.device is not None:  # without a GPU nothing is timed
            settings = replace(settings, timing_cache=self.timing_cache)
        plan = build_plan(self.library, self.file, settings, self.log)
        seconds = time.monotonic() - began
        self.log(f"built an engine of {len(plan) / 1e6:.0f} MB in {seconds:.0f} s")
        return plan, seconds

    def load(self, plan: bytes, path: Path) -> TensorRtEngine:
        assert self.device is not None
        return TensorRtEngine(
            self.library,
            plan,
            self.file,
            self.device,
            max_batch=self.settings.max_batch,
            precision=self.settings.precision,
            log=self.log,
            wait=self.wait,
            kernels=path.with_suffix(".kernels") if self.library.own_graphs else None,
        )

    def compare(self, engine: Engine) -> float | None:
        """Largest difference to ONNX Runtime; None if that is not installed.

        Raises:
            EngineError: It is larger than it may be.
        """
        try:
            from usdrl_ros.inference.onnx_runtime import OnnxRuntimeEngine  # it may be absent
        except EngineError as missing:
            self.log(f"the engine is not compared: {missing}")
            return None
        with OnnxRuntimeEngine(self.file) as reference:
            largest = self.settings.max_batch
            error = largest_difference(engine, reference, sorted({1, min(3, largest), largest}))
        precision = self.settings.precision
        allowed = TOLERANCES[precision]
        if not error <= allowed:  # also if it is not a number
            raise EngineError(
                f"{engine.name} differs from ONNX Runtime by {error:.1e} of the largest value, allowed is "
                f"{allowed:.0e}: {'use precision fp32' if precision == 'fp16' else 'use another engine'}"
            )
        self.log(f"{engine.name} differs from ONNX Runtime by {error:.1e} of the largest value at most")
        return error


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m usdrl_ros.inference.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, nargs="?", help="the .onnx file (default: the shipped one)")
    parser.add_argument("--precision", choices=("auto", *PRECISIONS), default="auto", help="auto: fp16")
    parser.add_argument("--max-people", type=int, default=16, help="largest batch, the node's max_people (16)")
    parser.add_argument(
        "--workspace", type=int, default=WORKSPACE_MIB, metavar="MIB", help="GPU memory for trying, MiB (%(default)s)"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds after which the search for the fastest kernels is cut short (0: no limit)",
    )
    parser.add_argument(
        "--compute-capability",
        default="",
        metavar="X.Y",
        help="build for such GPUs on a machine without one (TensorRT-RTX only)",
    )
    parser.add_argument("--cache", type=Path, help="directory of the engine (default: usdrl_ros in the user's cache)")
    parser.add_argument("--rebuild", action="store_true", help="build it even if it is there")
    options = parser.parse_args(_without_ros(sys.argv[1:] if arguments is None else arguments))
    if options.max_people < 1 or options.workspace < 1:
        parser.error("--max-people and --workspace must be 1 or more")
    if not 0 <= options.time_limit < math.inf:
        parser.error("--time-limit must be 0 or more seconds")
    try:
        built = build(
            options.model or default_model(),
            precision=options.precision,
            max_batch=options.max_people,
            workspace_mib=options.workspace,
            time_limit_s=options.time_limit,
            compute_capability=options.compute_capability,
            cache=options.cache,
            rebuild=options.rebuild,
            log=lambda line: print(line, flush=True),
        )
    except ModelError as error:
        print(f"build_engine: {error}", file=sys.stderr)
        return 1
    what = f"built in {built.seconds:.0f} s" if built.seconds else "was there already"
    print(f"{built.path}: {built.size / 1e6:.0f} MB, {what}")
    return 0


def _without_ros(arguments: Sequence[str]) -> list[str]:
    """Arguments without those that a launch file adds for nodes: from --ros-args to --, or to the end."""
    kept, of_ros = [], False
    for argument in arguments:
        if argument == "--ros-args" or (of_ros and argument == "--"):
            of_ros = argument == "--ros-args"
        elif not of_ros:
            kept.append(argument)
    return kept


if __name__ == "__main__":
    sys.exit(main())
