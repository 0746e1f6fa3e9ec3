"""From a model file to a serialised TensorRT engine. Needs no GPU with TensorRT-RTX and a named compute capability."""

from __future__ import annotations

import time
from typing import Any

from usdrl_ros.inference.contract import EngineError, Log
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile
from usdrl_ros.inference.onnx_graph import GraphError
from usdrl_ros.inference.onnx_rewrite import to_float16, to_opset_17
from usdrl_ros.inference.protobuf import ProtobufError
from usdrl_ros.inference.tensorrt_library import Library

PRECISIONS = ("fp16", "fp32")
WORKSPACE_MIB = 1024
"""Memory of the GPU that a build may use for trying, MiB."""


def build_plan(
    library: Library,
    file: ModelFile,
    *,
    precision: str,
    max_batch: int,
    workspace_mib: int = WORKSPACE_MIB,
    compute_capability: str = "",
    log: Log,
) -> bytes:
    """Build an engine.

    Args:
        library: TensorRT.
        file: The model.
        precision: "fp16" or "fp32".
        max_batch: The batch is free from 1 to this; the engine is tuned for a quarter of it.
        workspace_mib: Memory of the GPU that the build may use for trying, MiB.
        compute_capability: "8.9", say, to build for such GPUs without one (TensorRT-RTX only); empty: for the one here.
        log: Takes lines of progress.

    Raises:
        EngineError: TensorRT cannot read the model, or cannot build it; the message has its reasons.
    """
    trt = library.module
    network, parser = _parse(library, file, _content(library, file, precision))
    builder = network.builder
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib << 20)
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # it keeps ten bits of a float32's twenty-three
    elif not library.strongly_typed:
        config.set_flag(trt.BuilderFlag.FP16)
    if library.shares_profiles and library.version < (10, 0):
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)
    config.add_optimization_profile(_profile(builder, file, max_batch))
    if compute_capability:
        _set_compute_capability(library, config, compute_capability)
    monitor = _progress_monitor(trt, log) if hasattr(config, "progress_monitor") else None
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network.definition, config)
    del monitor, parser  # TensorRT used both until here; the parser owns weights
    if plan is None:
        raise EngineError(f"{library.name} cannot build model {file.path} in {precision}: {library.errors()}")
    return bytes(plan)


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
        reasons = "; ".join(_told(parser.get_error(i)) for i in range(parser.num_errors)) or library.errors()
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


def _told(error: Any) -> str:
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


def _progress_monitor(trt: Any, log: Log, period_s: float = 5.0) -> Any:
    """Tells from time to time what the builder is at; a build takes seconds to many minutes."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}
            self._began = self._told = time.monotonic()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            now = time.monotonic()
            if now - self._told >= period_s:
                self._told = now
                log(f"building for {now - self._began:.0f} s: {phase}, step {step + 1} of {self._steps.get(phase, 0)}")
            return True

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()
