"""How a TensorRT engine's steps are run: buffers, execution contexts, and one CUDA graph a batch size.

A captured graph stays right only while its execution context stays as it was (TensorRT developer guide, "CUDA Graphs"),
so that each batch size has a context of its own; they share one piece of memory, since they never run at the same time.
TensorRT-RTX records graphs itself, and TensorRT 8.5 allows one context alone: both have one, without graphs of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from usdrl_ros.inference.contract import EngineError, Log
from usdrl_ros.inference.cuda import CudaGraph, Device
from usdrl_ros.inference.engine_cache import CacheError, write_atomically
from usdrl_ros.inference.model_file import INPUT, OUTPUTS
from usdrl_ros.inference.tensorrt_library import Library

_ALIGNMENT = 256
"""Least memory that a context is given, bytes."""


class Buffer:
    """One tensor for the largest batch: pinned host memory, and memory of the GPU."""

    def __init__(self, device: Device, shape: tuple[int, ...]) -> None:
        self.host = device.pinned(shape, np.float32)
        self.host.fill(0.0)  # rows that fill up a batch are computed, too
        try:
            self.memory = device.allocate(self.host.nbytes)
        except BaseException:
            self.host.base.free()
            raise

    def close(self) -> None:
        """Give both back; the GPU's context must be current."""
        self.memory.free()
        self.host.base.free()


@dataclass
class Session:
    """All that the batch sizes of one engine share.

    Args:
        window_shape: Shape of one window of the input.
        buffers: The tensors by name.
        scratch: Memory and size that all contexts share; None: each has its own.
        graphs: The driver library to record CUDA graphs with; None: without.
        kernels: Where TensorRT-RTX keeps the kernels that it compiles for this GPU.
    """

    library: Library
    engine: Any
    device: Device
    stream: Any
    window_shape: tuple[int, ...]
    log: Log
    graphs: Any | None
    kernels: Path | None
    buffers: Mapping[str, Buffer]
    scratch: tuple[Any, int] | None
    kernel_cache: Any = field(default=None, init=False)

    def create_context(self) -> Any:
        """A new execution context with the addresses of all tensors.

        Raises:
            EngineError: There is too little memory.
        """
        trt = self.library.module
        if self.library.own_graphs:
            context = self.engine.create_execution_context(runtime_config=self._runtime_config())
        elif self.scratch is None:
            context = self.engine.create_execution_context()
        elif hasattr(trt, "ExecutionContextAllocationStrategy"):
            strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
            context = self.engine.create_execution_context(strategy)
        else:
            context = self.engine.create_execution_context_without_device_memory()
        if context is None:
            raise EngineError(f"{self.library.name} cannot make an execution context: {self.library.errors()}")
        # Before version 10, only the first context of an engine has its profile from the start.
        if context.active_optimization_profile != 0:
            if not context.set_optimization_profile_async(0, self.stream.handle):
                raise EngineError(f"{self.library.name} refuses the optimisation profile: {self.library.errors()}")
            self.stream.synchronize()
        if self.scratch is not None:
            memory, size = self.scratch
            if hasattr(context, "set_device_memory"):
                context.set_device_memory(int(memory), size)
            else:
                context.device_memory = int(memory)
        for name, buffer in self.buffers.items():
            if not context.set_tensor_address(name, int(buffer.memory)):
                raise EngineError(f"{self.library.name} refuses the address of '{name}': {self.library.errors()}")
        return context

    def _runtime_config(self) -> Any:
        trt = self.library.module
        config = self.engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if self.kernels is not None:
            self.kernel_cache = config.create_runtime_cache()
            try:
                kept = self.kernels.read_bytes() if self.kernels.is_file() else b""
            except OSError as error:
                self.log(f"the compiled kernels in {self.kernels} cannot be read and are made anew: {error}")
                kept = b""
            if kept and not self.kernel_cache.deserialize(kept):
                self.log(f"the compiled kernels in {self.kernels} cannot be used and are made anew")
            config.set_runtime_cache(self.kernel_cache)
        return config

    def keep_kernels(self) -> None:
        """Write down the kernels that TensorRT-RTX has compiled so far."""
        if self.kernel_cache is None or self.kernels is None:
            return
        try:
            write_atomically(self.kernels, bytes(self.kernel_cache.serialize()))
        except CacheError as error:
            self.log(f"kernels will be compiled again at the next start: {error}")


def scratch_size(engine: Any) -> int:
    """Memory that an execution context needs besides weights and tensors, bytes."""
    name = "device_memory_size_v2" if hasattr(engine, "device_memory_size_v2") else "device_memory_size"
    return max(int(getattr(engine, name)), _ALIGNMENT)


class Execution:
    """An execution context, and, for one batch size, its CUDA graph."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._context = session.create_context()
        self._size = 0
        self._graph: CudaGraph | None = None

    def resize(self, size: int) -> None:
        """Run batches of this size from now on."""
        if size == self._size:
            return
        if not self._context.set_input_shape(INPUT, (size, *self._session.window_shape)):
            raise EngineError(
                f"{self._session.library.name} refuses a batch of {size}: {self._session.library.errors()}"
            )
        self._size = size

    def enqueue(self) -> None:
        """Enqueue a step: copy the windows to the GPU, run, copy the outputs back.

        Raises:
            EngineError: TensorRT or the GPU refuses.
        """
        if self._graph is not None:
            self._graph.launch()
            return
        self._enqueue()
        session = self._session
        if session.graphs is None:
            return
        session.stream.synchronize()  # TensorRT sets itself up in a first run, which cannot be recorded
        try:
            self._graph = CudaGraph(session.graphs, session.stream.handle, self._enqueue)
        except (EngineError, session.device.driver.Error) as error:
            session.graphs = None
            session.log(f"{session.library.name} runs without CUDA graphs, somewhat slower: {error}")

    def _enqueue(self) -> None:
        session, size = self._session, self._size
        driver, stream = session.device.driver, session.stream
        skeletons = session.buffers[INPUT]
        driver.memcpy_htod_async(int(skeletons.memory), skeletons.host[:size], stream)
        if not self._context.execute_async_v3(stream.handle):
            raise EngineError(f"{session.library.name} cannot run a batch of {size}: {session.library.errors()}")
        for name in OUTPUTS:
            output = session.buffers[name]
            driver.memcpy_dtoh_async(output.host[:size], int(output.memory), stream)

    def close(self) -> None:
        """Give the graph and the context back; the GPU's context must be current."""
        if self._graph is not None:
            self._graph.close()
        self._graph = self._context = None
