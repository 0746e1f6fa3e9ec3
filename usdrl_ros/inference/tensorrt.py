"""TensorRT on an NVIDIA GPU. A step is: copy the windows to pinned memory, launch one CUDA graph, wait.

How the graph is made is in `tensorrt_execution`, how an engine is built in `tensorrt_builder`, where it is kept in
`engine_cache`; `build` joins them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from usdrl_ros.inference.contract import EngineError, Log, Predictions, check_predictions, check_skeletons
from usdrl_ros.inference.cuda import Device, driver_library
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile, ModelInfo
from usdrl_ros.inference.tensorrt_execution import Buffer, Execution, Session, scratch_size
from usdrl_ros.inference.tensorrt_library import Library

EXACT_SIZES = 16
"""Up to this, each batch size has a graph; beyond, sizes are rounded up to multiples of half of it."""

_Result = TypeVar("_Result")


class PlanError(EngineError):
    """A serialised engine cannot be used here: it is damaged, foreign, or of another model. It should be built anew."""


def batch_size(count: int, max_batch: int) -> int:
    """The size of the batch in which this many windows are run; it is filled up with what is there."""
    step = EXACT_SIZES // 2
    return min(max_batch, count if count <= EXACT_SIZES else -(-count // step) * step)


class TensorRtEngine:
    """A model in TensorRT; a context manager. May be used from any one thread at a time."""

    def __init__(
        self,
        library: Library,
        plan: bytes,
        file: ModelFile,
        device: Device,
        *,
        max_batch: int,
        precision: str,
        log: Log,
        kernels: Path | None = None,
    ) -> None:
        """Take a serialised engine.

        Args:
            library: TensorRT.
            plan: The engine.
            file: The model that it was built from.
            device: The GPU that it was built for.
            max_batch: The largest batch that it was built for; more windows are run in parts.
            precision: What it was built in, for the name.
            log: Takes a line if it runs slower than it could.
            kernels: TensorRT-RTX keeps in this file the kernels that it compiles for the GPU.

        Raises:
            PlanError: The engine cannot be used here, or is not of this model.
            EngineError: The GPU has too little memory, or fails.
        """
        self.info = file.info
        self.name = f"{library.name} {precision}, {device.name}"
        self._library = library
        self._device = device
        self._max_batch = max_batch
        self._session: Session | None = None
        self._executions: dict[int, Execution] = {}
        self._guarded(self._open, plan, log, kernels)

    def _open(self, plan: bytes, log: Log, kernels: Path | None) -> None:
        library, device = self._library, self._device
        self._runtime = library.module.Runtime(library.logger)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            reason = library.errors()
            # "OutOfMemory" of TensorRT, "out of memory" of CUDA: another engine would not fit, either.
            fits = "outofmemory" not in reason.lower().replace(" ", "")
            raise (PlanError if fits else EngineError)(f"{library.name} cannot load the engine: {reason}")
        shapes = _tensor_shapes(library, engine, self.info, self._max_batch)
        with ExitStack() as taken:
            buffers = {}
            for name, shape in shapes.items():
                buffers[name] = Buffer(device, (self._max_batch, *shape))
                taken.callback(buffers[name].close)
            scratch = None
            if library.shares_profiles:
                size = scratch_size(engine)
                scratch = device.allocate(size), size
                taken.callback(scratch[0].free)
            graphs = driver_library() if library.shares_profiles else None
            if graphs is None and not library.own_graphs:
                log(f"{library.name} runs without CUDA graphs, which need TensorRT 8.6 and a driver of CUDA 11.4")
            self._session = Session(
                library,
                engine,
                device,
                device.stream(),
                self.info.window_shape,
                log,
                graphs,
                kernels,
                buffers,
                scratch,
            )
            taken.pop_all()

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32; more than the engine was built for, in parts.

        Raises:
            ValueError: They have another shape or type.
            EngineError: The GPU failed.
        """
        skeletons = check_skeletons(skeletons, self.info)
        if self._session is None:
            raise EngineError(f"{self.name} is closed")
        starts = range(0, len(skeletons), self._max_batch)
        parts = [self._guarded(self._run, skeletons[start : start + self._max_batch]) for start in starts]
        return Predictions(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _run(self, skeletons: np.ndarray) -> list[np.ndarray]:
        session, count = self._session, len(skeletons)
        assert session is not None
        size = batch_size(count, self._max_batch)
        key = size if self._library.shares_profiles else 0
        if key not in self._executions:
            self._executions[key] = Execution(session)
        execution = self._executions[key]
        execution.resize(size)
        session.buffers[INPUT].host[:count] = skeletons
        execution.enqueue()
        session.stream.synchronize()
        return [session.buffers[name].host[:count].copy() for name in OUTPUTS]

    def warm_up(self) -> None:
        """Run the batch sizes that are run as they are, so that their graphs are there."""
        for size in range(1, min(self._max_batch, EXACT_SIZES) + 1):
            skeletons = np.zeros((size, *self.info.window_shape), np.float32)
            for _ in range(2):  # the first run records the graph, the second is its first launch
                predictions = self.infer(skeletons)
            check_predictions(predictions, self.name)
        if self._session is not None:
            self._session.keep_kernels()

    def close(self) -> None:
        """Give the GPU's memory back."""
        if self._session is None:
            return
        session, self._session = self._session, None
        try:
            with self._device.current():
                self._release(session)
        except self._device.driver.Error as error:
            session.log(f"{self.name} did not give back all memory: {error}")

    def _release(self, session: Session) -> None:
        """Give all back, in an order in which nothing that is left uses what is gone."""
        try:
            session.stream.synchronize()
        except self._device.driver.Error as error:
            session.log(f"{self.name} had failed when it was closed: {error}")
        session.keep_kernels()  # those for often seen batches are compiled while it runs
        while self._executions:
            self._executions.popitem()[1].close()
        session.engine = session.kernel_cache = self._runtime = None
        for buffer in session.buffers.values():
            buffer.close()
        if session.scratch is not None:
            session.scratch[0].free()
        session.scratch = session.stream = None

    def _guarded(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function with the GPU's context current in this thread; PyCUDA's errors come out as ours."""
        driver = self._device.driver
        try:
            with self._device.current():
                return function(*arguments)
        except driver.MemoryError as error:
            raise EngineError(f"{self.name} has too little GPU memory ({error}); max_people asks for less") from error
        except driver.Error as error:
            raise EngineError(f"{self.name} failed: {error}") from error

    def __enter__(self) -> TensorRtEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _tensor_shapes(library: Library, engine: Any, info: ModelInfo, max_batch: int) -> dict[str, tuple[int, ...]]:
    """Shape of one window of each tensor of an engine.

    Raises:
        PlanError: It has other tensors than this model, or was not built for such batches.
    """
    trt = library.module
    found: dict[str, tuple[int, ...]] = {}
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        found[name] = tuple(engine.get_tensor_shape(name))
        if engine.get_tensor_dtype(name) != trt.float32:
            raise PlanError(f"'{name}' of the engine is {engine.get_tensor_dtype(name)}, expected float32")
        if (engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT) != (name == INPUT):
            raise PlanError(f"'{name}' of the engine is {engine.get_tensor_mode(name)}")
    classes = len(info.actions)
    embedding = found.get("embedding", (-1, -1))[1:]
    expected = {
        INPUT: (-1, *info.window_shape),
        "detection": (-1, info.frames, classes + 1),
        "recognition": (-1, classes),
        "embedding": (-1, *embedding),
    }
    if found != expected or min(embedding, default=0) < 1 or len(embedding) != 1:
        raise PlanError(f"the engine has the tensors {found}, model '{info.name}' has {expected}")
    smallest, _, largest = (tuple(shape) for shape in engine.get_tensor_profile_shape(INPUT, 0))
    if smallest[0] > 1 or largest[0] < max_batch:
        raise PlanError(f"the engine takes batches of {smallest[0]} to {largest[0]}, expected 1 to {max_batch}")
    return {name: shape[1:] for name, shape in expected.items()}
