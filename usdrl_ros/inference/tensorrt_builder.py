"""From a model file to a serialised TensorRT engine. Needs no GPU with TensorRT-RTX and a named compute capability."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usdrl_ros.inference.contract import EngineError, Log
from usdrl_ros.inference.engine_cache import CacheError, read_trusted, write_atomically
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile
from usdrl_ros.inference.onnx_graph import GraphError
from usdrl_ros.inference.onnx_rewrite import to_float16, to_opset_17
from usdrl_ros.inference.protobuf import ProtobufError
from usdrl_ros.inference.tensorrt_library import Library

PRECISIONS = ("fp16", "fp32")
WORKSPACE_MIB = 1024
"""Memory of the GPU that a build may use for trying, MiB."""
QUICK_LEVEL = 1
"""TensorRT's optimisation level of a build that must be short: heuristics choose the kernels that are timed."""


@dataclass(frozen=True)
class BuildSettings:
    """How an engine is built.

    Args:
        precision: "fp16" or "fp32".
        max_batch: The batch is free from 1 to this; the engine is tuned for a quarter of it.
        workspace_mib: Memory of the GPU that the build may use for trying, MiB.
        time_limit_s: Seconds after which the search for the fastest kernels is cut short; 0: no limit. TensorRT 10 and
            newer stop then and build again with `QUICK_LEVEL`; older ones cannot stop, and start with that level.
        timing_cache: File of kernel timings, which make the next build for the same GPU shorter; None: none.
        compute_capability: "8.9", say, to build for such GPUs without one (TensorRT-RTX only); empty: for the one here.
    """

    precision: str
    max_batch: int
    workspace_mib: int = WORKSPACE_MIB
    time_limit_s: float = 0.0
    timing_cache: Path | None = None
    compute_capability: str = ""


def build_plan(library: Library, file: ModelFile, settings: BuildSettings, log: Log) -> bytes:
    """Build an engine.

    Args:
        library: TensorRT.
        file: The model.
        settings: How.
        log: Takes lines of progress.

    Raises:
        EngineError: TensorRT cannot read the model, or cannot build it; the message has its reasons.
    """
    content = _content(library, file, settings.precision)
    limit = settings.time_limit_s
    if limit and not hasattr(library.module, "IProgressMonitor"):
        log(f"{library.name} cannot stop a build after {limit:.0f} s, so it searches less from the start")
        plan = _build_once(library, file, content, settings, log, level=QUICK_LEVEL)
    else:
        plan = _build_once(library, file, content, settings, log, limit_s=limit)
        if plan is None and limit:
            log(f"the search for the fastest kernels was stopped after {limit:.0f} s; a shorter one follows")
            plan = _build_once(library, file, content, settings, log, level=QUICK_LEVEL)
    if plan is None:
        reasons = library.errors()
        raise EngineError(f"{library.name} cannot build model {file.path} in {settings.precision}: {reasons}")
    return plan


def _build_once(
    library: Library,
    file: ModelFile,
    content: bytes,
    settings: BuildSettings,
    log: Log,
    *,
    level: int | None = None,
    limit_s: float = 0.0,
) -> bytes | None:
    """One build; None if TensorRT gave up or was stopped.

    Args:
        level: TensorRT's optimisation level; None: its default.
        limit_s: Seconds after which the build is stopped; 0: never.
    """
    trt = library.module
    network, parser = _parse(library, file, content)
    builder = network.builder
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if settings.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # it keeps ten bits of a float32's twenty-three
    elif not library.strongly_typed:
        config.set_flag(trt.BuilderFlag.FP16)
    if library.shares_profiles and library.version < (10, 0):
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)
    if level is not None and hasattr(config, "builder_optimization_level"):  # 8.6 and newer
        config.builder_optimization_level = level
    config.add_optimization_profile(_profile(builder, file, settings.max_batch))
    if settings.compute_capability:
        _set_compute_capability(library, config, settings.compute_capability)
    timings = None if settings.timing_cache is None else _load_timings(config, settings.timing_cache, log)
    monitor = _progress_monitor(trt, log, limit_s) if hasattr(trt, "IProgressMonitor") else None
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network.definition, config)
    if timings is not None and settings.timing_cache is not None:
        _keep_timings(config, settings.timing_cache, log)
    del monitor, parser, timings  # TensorRT used them until here; the parser owns weights
    return None if plan is None else bytes(plan)


def _load_timings(config: Any, path: Path, log: Log) -> Any | None:
    """Give a build the timings of earlier ones; None if this TensorRT keeps none."""
    if not hasattr(config, "create_timing_cache"):
        return None
    kept = b""
    try:
        kept = read_trusted(path)
    except FileNotFoundError:
        pass
    except CacheError as error:
        log(f"kernels are timed again: {error}")
    timings = config.create_timing_cache(kept)
    if timings is None or not config.set_timing_cache(timings, False):  # another GPU's timings are refused
        log(f"kernels are timed again: the timings in {path} cannot be used")
        timings = config.create_timing_cache(b"")
        if timings is None or not config.set_timing_cache(timings, False):
            return None
    return timings


def _keep_timings(config: Any, path: Path, log: Log) -> None:
    """Write down how fast kernels are, also those of a build that was stopped."""
    timings = config.get_timing_cache()
    if timings is None:
        return
    try:
        write_atomically(path, bytes(timings.serialize()))
    except CacheError as error:
        log(f"kernels will be timed again by the next build: {error}")


class _Network:
    """A network, together with the builder that it needs to stay alive."""

    def __init__(self, library: Library) -> None:
        trt = library.module
        kinds = trt.NetworkDefinitionCreationFlag
        name = "STRONGLY_TYPED" if library.strongly_typed else "EXPLICIT_BATCH"
        self.builder = trt.Builder(library.logger)
        # From version 11 on every network is strongly typed, and the flag may be gone.
        self.definition = self.builder.create_network(1 << int(getattr(kinds, name)) if hasattr(kinds, name) else 0)


def _content(library: Library, file: ModelFile, precision: str) -> bytes:
    """The model as this version of TensorRT wants it."""
    try:
        content = file.path.read_bytes()
        if not library.latest_opset:
            content = to_opset_17(content, layer_normalization=library.layer_normalization)
        if precision == "fp16" and library.strongly_typed:
            content = to_float16(content)
    except (GraphError, ProtobufError) as error:
        raise EngineError(f"model {file.path} cannot be rewritten for {library.name}: {error}") from error
    except OSError as error:
        raise EngineError(f"model {file.path} cannot be read: {error}") from error
    return content


def _parse(library: Library, file: ModelFile, content: bytes) -> tuple[_Network, Any]:
    trt = library.module
    network = _Network(library)
    parser = trt.OnnxParser(network.definition, library.logger)
    if not parser.parse(content):
        reasons = "; ".join(_reason(parser.get_error(i)) for i in range(parser.num_errors)) or library.errors()
        raise EngineError(f"{library.name} cannot read model {file.path}: {reasons}")
    definition = network.definition
    inputs = {definition.get_input(i).name: definition.get_input(i) for i in range(definition.num_inputs)}
    outputs = {definition.get_output(i).name: definition.get_output(i) for i in range(definition.num_outputs)}
    if set(inputs) != {INPUT} or not set(OUTPUTS) <= set(outputs):
        raise EngineError(f"{library.name} sees inputs {list(inputs)} and outputs {list(outputs)} in model {file.path}")
    for name, tensor in {**inputs, **outputs}.items():
        if tensor.dtype != trt.float32:
            raise EngineError(f"{library.name} sees '{name}' of model {file.path} as {tensor.dtype}, expected float32")
    return network, parser


def _reason(error: Any) -> str:
    """One of the parser's errors: which operator of the model, and what is wrong with it."""
    reason = " ".join(str(error.desc()).split())
    if not hasattr(error, "node_operator"):  # before version 10
        return f"node {error.node()}: {reason}"
    if not error.node_operator():
        return reason
    return f"operator {error.node_operator()} '{error.node_name()}': {reason}"


def _profile(builder: Any, file: ModelFile, max_batch: int) -> Any:
    profile = builder.create_optimization_profile()
    sizes = (1, max(1, max_batch // 4), max_batch)
    profile.set_shape(INPUT, *((size, *file.info.window_shape) for size in sizes))
    return profile


def _set_compute_capability(library: Library, config: Any, wanted: str) -> None:
    trt = library.module
    if not library.rtx:
        raise EngineError(f"{library.name} builds for the GPU at hand only; TensorRT-RTX can build for another")
    known = {f"{name[2:-1]}.{name[-1]}": name for name in trt.ComputeCapability.__members__ if name.startswith("SM")}
    if wanted not in known:
        raise EngineError(f"{library.name} does not know the compute capability {wanted}, only {', '.join(known)}")
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, known[wanted]), 0)


def _progress_monitor(trt: Any, log: Log, limit_s: float, period_s: float = 5.0) -> Any:
    """Logs from time to time what the builder does, and stops it after a limit (0: never)."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._began = self._logged = time.monotonic()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            now = time.monotonic()
            if now - self._logged >= period_s:
                self._logged = now
                log(f"building for {now - self._began:.0f} s: {phase}, step {step + 1} of {self._steps.get(phase, 0)}")
            return not limit_s or now - self._began < limit_s

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()
