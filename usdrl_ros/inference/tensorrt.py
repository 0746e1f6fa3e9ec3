"""TensorRT on an NVIDIA GPU. A step is: copy the windows to pinned memory, launch one CUDA graph, wait.

How the graph is made is in `tensorrt_execution`, how an engine is built in `tensorrt_builder`, where it is kept in
`engine_cache`; `build` combines them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from usdrl_ros.inference.contract import Engine, EngineError, Log, Predictions, check_predictions, zero_windows
from usdrl_ros.inference.cuda import Device, driver_library
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile, ModelInfo
from usdrl_ros.inference.tensorrt_execution import Buffer, Execution, OutputLayout, Session, scratch_size
from usdrl_ros.inference.tensorrt_library import Library
from usdrl_ros.inference.tensorrt_phases import measure_phases

EXACT_SIZES = 16
"""Up to this, each batch size has a graph; larger sizes are rounded up to multiples of half of it."""

_Result = TypeVar("_Result")


class PlanError(EngineError):
    """A serialised engine cannot be used here: it is damaged, foreign, or of another model. Build it again."""


def batch_size(count: int, max_batch: int) -> int:
    """The size of the batch in which this many windows are run; the rest of it holds older windows."""
    step = EXACT_SIZES // 2
    return min(max_batch, count if count <= EXACT_SIZES else -(-count // step) * step)


class TensorRtEngine(Engine):
    """A model in TensorRT."""

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
        wait: str = "spin",
        kernels: Path | None = None,
    ) -> None:
        """Load a serialised engine.

        Args:
            library: TensorRT.
            plan: The engine.
            file: The model that it was built from.
            device: The GPU that it was built for.
            max_batch: The largest batch that it was built for; more windows are run in parts.
            precision: What it was built in, for the name.
            log: Takes a line if it runs slower than it could.
            wait: "spin" or "block", see `factory.WAITS`.
            kernels: TensorRT-RTX keeps in this file the kernels that it compiles for the GPU.

        Raises:
            PlanError: The engine cannot be used here, or is not of this model.
            EngineError: The GPU has too little memory, or fails.
        """
        super().__init__(file.info, f"{library.name} {precision}, {device.name}")
        self._library = library
        self._device = device
        self._max_batch = max_batch
        self._session: Session | None = None
        self._executions: dict[int, Execution] = {}
        self._wait = wait
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
            skeletons = Buffer(device, (self._max_batch, *shapes.pop(INPUT)))
            taken.callback(skeletons.close)
            layout = OutputLayout(shapes)
            outputs = Buffer(device, (layout.places(self._max_batch)[1],))
            taken.callback(outputs.close)
            scratch = None
            if library.shares_profiles:
                size = scratch_size(engine)
                scratch = device.allocate(size), size
                taken.callback(scratch[0].free)
            graphs = driver_library() if library.shares_profiles else None
            if graphs is None and not library.own_graphs:
                log(f"{library.name} runs without CUDA graphs, which need TensorRT 8.6 and a driver of CUDA 11.4")
            stream = device.stream()
            self._session = Session(
                library=library,
                engine=engine,
                device=device,
                stream=stream,
                wait=device.blocking_wait(stream) if self._wait == "block" else stream.synchronize,
                window_shape=self.info.window_shape,
                log=log,
                graphs=graphs,
                kernels=kernels,
                skeletons=skeletons,
                outputs=outputs,
                layout=layout,
                scratch=scratch,
            )
            taken.pop_all()

    def _run(self, skeletons: np.ndarray) -> Predictions:
        """Run checked windows; more than the engine was built for, in parts."""
        if self._session is None:
            raise EngineError(f"{self.name} is closed")
        if len(skeletons) <= self._max_batch:
            return self._guarded(self._run_batch, self._session, skeletons)
        starts = range(0, len(skeletons), self._max_batch)
        parts = [
            self._guarded(self._run_batch, self._session, skeletons[start : start + self._max_batch])
            for start in starts
        ]
        return Predictions(*(np.concatenate([getattr(part, name) for part in parts]) for name in OUTPUTS))

    def _run_batch(self, session: Session, skeletons: np.ndarray) -> Predictions:
        count = len(skeletons)
        execution = self._execution(session, batch_size(count, self._max_batch))
        session.skeletons.host[:count] = skeletons
        execution.enqueue()
        session.wait()
        return execution.predictions(count)

    def _execution(self, session: Session, size: int) -> Execution:
        """What runs batches of this size."""
        key = size if self._library.shares_profiles else 0
        if key not in self._executions:
            self._executions[key] = Execution(session)
        self._executions[key].resize(size)
        return self._executions[key]

    @property
    def recorded(self) -> bool:
        """Whether every batch size that has been run is one launch of a CUDA graph."""
        return bool(self._executions) and all(each.recorded for each in self._executions.values())

    def measure_phases(self, skeletons: np.ndarray, runs: int = 200) -> dict[str, float]:
        """Where the time of a step goes, median microseconds by phase; see `tensorrt_phases`.

        Raises:
            EngineError: The GPU failed, or the engine is closed.
        """
        session = self._session
        if session is None:
            raise EngineError(f"{self.name} is closed")
        skeletons = skeletons[: self._max_batch]
        self.infer(skeletons)  # records the graph
        execution = self._execution(session, batch_size(len(skeletons), self._max_batch))
        return self._guarded(measure_phases, session, execution, skeletons, runs)

    def warm_up(self) -> None:
        """Run each batch size that is not rounded up, which records its graph."""
        for size in range(1, min(self._max_batch, EXACT_SIZES) + 1):
            for _ in range(2):  # the first run records the graph, the second is its first launch
                predictions = self._run(zero_windows(size, self.info))
            check_predictions(predictions, self.name)
        if self._session is not None:
            self._session.keep_kernels()

    def close(self) -> None:
        """Free the GPU's memory."""
        if self._session is None:
            return
        session, self._session = self._session, None
        try:
            with self._device.current():
                self._release(session)
        except self._device.driver.Error as error:
            session.log(f"{self.name} did not free all memory: {error}")

    def _release(self, session: Session) -> None:
        """Free everything, in an order in which nothing that is left uses what is gone."""
        try:
            session.stream.synchronize()
        except self._device.driver.Error as error:
            session.log(f"{self.name} had failed when it was closed: {error}")
        session.keep_kernels()  # those for often seen batches are compiled while it runs
        while self._executions:
            self._executions.popitem()[1].close()
        session.engine = session.kernel_cache = self._runtime = None
        session.skeletons.close()
        session.outputs.close()
        if session.scratch is not None:
            session.scratch[0].free()
        session.scratch = session.stream = session.wait = None

    def _guarded(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function with the GPU's context current in this thread; PyCUDA's errors become `EngineError`."""
        driver = self._device.driver
        try:
            with self._device.current():
                return function(*arguments)
        except driver.MemoryError as error:
            raise EngineError(f"{self.name} has too little GPU memory ({error}); max_people asks for less") from error
        except driver.Error as error:
            raise EngineError(f"{self.name} failed: {error}") from error


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
