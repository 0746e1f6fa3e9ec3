"""How a TensorRT engine's steps are run: buffers, execution contexts, and one CUDA graph for each batch size.

A step is one copy to the GPU, the kernels, and one copy back: all outputs of a batch lie side by side. A captured graph
stays valid only while its execution context is unchanged (TensorRT developer guide, "CUDA Graphs"), so each batch size
has its own context; they share one piece of memory, since they never run at the same time. TensorRT-RTX records graphs
itself, and TensorRT 8.5 allows one context only: both have one context, without graphs of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from usdrl_ros.inference.contract import EngineError, Log, Predictions
from usdrl_ros.inference.cuda import CudaGraph, Device
from usdrl_ros.inference.engine_cache import CacheError, read_trusted, write_atomically
from usdrl_ros.inference.model_file import INPUT, OUTPUTS
from usdrl_ros.inference.tensorrt_library import Library

_ALIGNMENT = 256
"""Of tensors in the GPU's memory, bytes; also the least memory that a context is given."""


class Buffer:
    """Float32 values in pinned host memory, and as much memory of the GPU."""

    def __init__(self, device: Device, shape: tuple[int, ...]) -> None:
        self.host = device.pinned(shape, np.float32)
        self.host.fill(0.0)  # rows that fill up a batch are computed, too
        try:
            self.memory = device.allocate(self.host.nbytes)
        except BaseException:
            self.host.base.free()
            raise

    def close(self) -> None:
        """Free both; the GPU's context must be current."""
        self.memory.free()
        self.host.base.free()


@dataclass(frozen=True)
class OutputLayout:
    """Where the outputs of a batch lie in the output buffer: side by side, so that one copy fetches all.

    Args:
        shapes: Shape of one window of each output.
    """

    shapes: Mapping[str, tuple[int, ...]]

    def places(self, size: int) -> tuple[dict[str, int], int]:
        """First value of each output of a batch, and the values of all together."""
        step, first, found = _ALIGNMENT // 4, 0, {}
        for name in OUTPUTS:
            found[name] = first
            first += -(-size * int(np.prod(self.shapes[name])) // step) * step
        return found, first

    def split(self, values: np.ndarray, size: int, count: int) -> Predictions:
        """The first windows' outputs, views of the values of a batch."""
        places, _ = self.places(size)
        arrays = []
        for name in OUTPUTS:
            shape = (count, *self.shapes[name])
            first = places[name]
            arrays.append(values[first : first + int(np.prod(shape))].reshape(shape))
        return Predictions(*arrays)


@dataclass
class Session:
    """All that the batch sizes of one engine share.

    Args:
        wait: Waits until the stream's work is done.
        window_shape: Shape of one window of the input.
        skeletons: The input of the largest batch.
        outputs: All outputs of the largest batch.
        layout: Where each output lies.
        scratch: Memory and size that all contexts share; None: each has its own.
        graphs: The driver library to record CUDA graphs with; None: without.
        kernels: Where TensorRT-RTX keeps the kernels that it compiles for this GPU.
    """

    library: Library
    engine: Any
    device: Device
    stream: Any
    wait: Any
    window_shape: tuple[int, ...]
    log: Log
    graphs: Any | None
    kernels: Path | None
    skeletons: Buffer
    outputs: Buffer
    layout: OutputLayout
    scratch: tuple[Any, int] | None
    kernel_cache: Any = field(default=None, init=False)

    def create_context(self) -> Any:
        """A new execution context.

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
        return context

    def _runtime_config(self) -> Any:
        trt = self.library.module
        config = self.engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if self.kernels is not None:
            self.kernel_cache = config.create_runtime_cache()
            try:
                kept = read_trusted(self.kernels)
            except FileNotFoundError:
                kept = b""
            except CacheError as error:
                self.log(f"the kernels are compiled again: {error}")
                kept = b""
            if kept and not self.kernel_cache.deserialize(kept):
                self.log(f"the compiled kernels in {self.kernels} cannot be used and are compiled again")
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

    @property
    def recorded(self) -> bool:
        """Whether a step is one launch of a CUDA graph."""
        return self._graph is not None

    def resize(self, size: int) -> None:
        """Run batches of this size from here on.

        Raises:
            EngineError: TensorRT refuses the size, or an address.
        """
        if size == self._size:
            return
        session = self._session
        if not self._context.set_input_shape(INPUT, (size, *session.window_shape)):
            raise EngineError(f"{session.library.name} refuses a batch of {size}: {session.library.errors()}")
        places, _ = session.layout.places(size)
        addresses = {name: int(session.outputs.memory) + 4 * first for name, first in places.items()}
        for name, address in {INPUT: int(session.skeletons.memory), **addresses}.items():
            if not self._context.set_tensor_address(name, address):
                raise EngineError(f"{session.library.name} refuses the address of '{name}': {session.library.errors()}")
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
        self.copy_in()
        self.run()
        self.copy_out()

    def copy_in(self) -> None:
        """Enqueue the copy of the windows to the GPU."""
        session = self._session
        source = session.skeletons.host[: self._size]
        session.device.driver.memcpy_htod_async(int(session.skeletons.memory), source, session.stream)

    def run(self) -> None:
        """Enqueue the kernels.

        Raises:
            EngineError: TensorRT refuses.
        """
        session = self._session
        if not self._context.execute_async_v3(session.stream.handle):
            raise EngineError(f"{session.library.name} cannot run a batch of {self._size}: {session.library.errors()}")

    def copy_out(self) -> None:
        """Enqueue the copy of the outputs to the host."""
        session = self._session
        _, count = session.layout.places(self._size)
        driver = session.device.driver
        driver.memcpy_dtoh_async(session.outputs.host[:count], int(session.outputs.memory), session.stream)

    def predictions(self, count: int) -> Predictions:
        """The outputs of the first windows, in memory of their own; the step must have ended."""
        session = self._session
        _, values = session.layout.places(self._size)
        return session.layout.split(session.outputs.host[:values].copy(), self._size, count)

    def close(self) -> None:
        """Free the graph and the context; the GPU's context must be current."""
        if self._graph is not None:
            self._graph.close()
        self._graph = self._context = None
