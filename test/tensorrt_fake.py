"""A GPU, PyCUDA, the driver library and TensorRT, as far as our engine uses them, for machines without: strict ones.

Work on a stream is done when somebody waits for it, copies read and write memory then, every call needs the context to
be current in its thread, memory counts, a captured graph is worth nothing once its execution context was changed. What
an engine computes is what ONNX Runtime computes of the model file that its plan names.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from usdrl_ros.inference.model_file import OUTPUTS, read_model_file


class FakeGpu:
    """State of the GPU and its driver; `driver` stands for pycuda.driver, `library` for libcuda."""

    def __init__(self, *, memory: int = 1 << 32) -> None:
        self.memory: dict[int, bytearray] = {}
        self.free = memory
        self.pinned = 0
        self.clock_ms = 0.0
        self.broken = False
        self.calls: list[str] = []
        self.stacks = threading.local()
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self.refuse: dict[str, int] = {}
        self._addresses = iter(range(1 << 20, 1 << 60, 1 << 30))
        self.driver = self._driver()
        self.library = FakeLibrary(self)

    def _driver(self) -> Any:
        gpu = self

        class Error(Exception):
            pass

        class LogicError(Error):
            pass

        class OutOfMemoryError(Error):
            pass

        class Context:
            def push(self) -> None:
                gpu.stack.append(self)

            @staticmethod
            def pop() -> None:
                if not gpu.stack:
                    raise LogicError("cannot pop non-current context")
                gpu.stack.pop()

        context = Context()

        class Device:
            def __init__(self, index: int) -> None:
                assert index == 0

            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "Fake GPU"

            def compute_capability(self) -> tuple[int, int]:
                return (8, 7)

            def retain_primary_context(self) -> Context:
                return context

        class Allocation:
            def __init__(self, size: int) -> None:
                gpu.need_context()
                if size > gpu.free:
                    raise OutOfMemoryError("cuMemAlloc failed: out of memory")
                self.address = next(gpu._addresses)
                gpu.memory[self.address] = bytearray(size)
                gpu.free -= size

            def __int__(self) -> int:
                return self.address

            def free(self) -> None:
                gpu.need_context()
                gpu.free += len(gpu.memory.pop(self.address))

        def pagelocked_empty(shape: tuple[int, ...], dtype: Any) -> Any:
            gpu.need_context()
            gpu.pinned += 1

            def free() -> None:
                gpu.need_context()
                gpu.pinned -= 1

            class Host(np.ndarray):
                base = SimpleNamespace(free=free)  # type: ignore[assignment]

            return np.full(shape, np.nan, dtype).view(Host)

        def copy(target: Callable[[], None], stream: Stream) -> None:
            gpu.need_context()
            stream.submit(target)

        def memcpy_htod_async(dest: int, src: np.ndarray, stream: Stream) -> None:
            assert src.flags.c_contiguous
            assert hasattr(src.base, "free"), "not pinned"
            copy(lambda: gpu.write(dest, np.asarray(src).tobytes()), stream)

        def memcpy_dtoh_async(dest: np.ndarray, src: int, stream: Stream) -> None:
            assert hasattr(dest.base, "free"), "not pinned"

            def read() -> None:
                dest[...] = np.frombuffer(gpu.memory[src][: dest.nbytes], dest.dtype).reshape(dest.shape)

            copy(read, stream)

        class Event:
            """Is reached when the stream's work before it is done."""

            def __init__(self, flags: int = 0) -> None:
                gpu.need_context()
                self.flags = flags
                self.stream: Stream | None = None
                self.milliseconds = 0.0

            def record(self, stream: Stream) -> None:
                self.stream = stream
                stream.submit(self.reach)

            def reach(self) -> None:
                gpu.clock_ms += 0.25
                self.milliseconds = gpu.clock_ms

            def synchronize(self) -> None:
                assert self.stream is not None
                gpu.calls.append(f"wait {self.flags}")
                self.stream.synchronize()

            def time_till(self, other: Event) -> float:
                assert not (self.flags | other.flags) & 2, "this event has no time"
                return other.milliseconds - self.milliseconds

        def new_stream(flags: int) -> Stream:
            gpu.need_context()
            assert flags == 1  # non-blocking
            return Stream(gpu)

        return SimpleNamespace(
            Error=Error,
            LogicError=LogicError,
            MemoryError=OutOfMemoryError,
            Context=Context,
            Device=Device,
            Stream=new_stream,
            Event=Event,
            event_flags=SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2),
            init=lambda: None,
            mem_alloc=Allocation,
            pagelocked_empty=pagelocked_empty,
            memcpy_htod_async=memcpy_htod_async,
            memcpy_dtoh_async=memcpy_dtoh_async,
        )

    @property
    def stack(self) -> list[Any]:
        if not hasattr(self.stacks, "value"):
            self.stacks.value = []
        return self.stacks.value

    def need_context(self) -> None:
        if not self.stack:
            raise self.driver.LogicError("no context is current in this thread")
        if self.broken:
            raise self.driver.LogicError("an illegal memory access was encountered")

    def write(self, address: int, content: bytes) -> None:
        assert address % 256 == 0, "TensorRT wants tensors aligned"
        base = next(first for first, memory in self.memory.items() if first <= address < first + len(memory))
        start = address - base
        assert start + len(content) <= len(self.memory[base])
        self.memory[base][start : start + len(content)] = content


class Stream:
    """Keeps its work until somebody waits for it; while it is captured, the graph gets it instead."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu = gpu
        self.handle = 100 + len(gpu.streams)
        self.work: list[Callable[[], None]] = []
        self.capture: list[Callable[[], None]] | None = None
        gpu.streams[self.handle] = self

    def submit(self, work: Callable[[], None]) -> None:
        (self.work if self.capture is None else self.capture).append(work)

    def synchronize(self) -> None:
        self.gpu.need_context()
        assert self.capture is None, "waiting for a stream that is captured"
        work, self.work = self.work, []
        for task in work:
            task()


class FakeLibrary:
    """The driver library's graph functions; `gpu.refuse` makes one of them fail with a code."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu = gpu
        self._handles: Iterator[int] = iter(range(1, 1000))

    def _code(self, name: str) -> int:
        self._gpu.need_context()
        return self._gpu.refuse.get(name, 0)

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: ctypes.c_int) -> int:  # noqa: N802
        assert mode.value == 1  # of this thread only
        if code := self._code("begin"):
            return code
        found = self._gpu.streams[stream.value or 0]
        assert found.capture is None
        found.capture = []
        return 0

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:  # noqa: N802
        found = self._gpu.streams[stream.value or 0]
        work, found.capture = found.capture, None
        if code := self._code("end"):
            return code
        graph._obj.value = next(self._handles)
        self._gpu.graphs[graph._obj.value] = work or []
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: ctypes.c_void_p, flags: Any) -> int:  # noqa: N802
        if code := self._code("instantiate"):
            return code
        executable._obj.value = next(self._handles)
        self._gpu.graphs[executable._obj.value] = self._gpu.graphs[graph.value or 0]
        return 0

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:  # noqa: N802
        if code := self._code("launch"):
            return code
        self._gpu.launches += 1
        for work in self._gpu.graphs[executable.value or 0]:
            self._gpu.streams[stream.value or 0].submit(work)
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:  # noqa: N802
        del self._gpu.graphs[executable.value or 0]
        return 0

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:  # noqa: N802
        del self._gpu.graphs[graph.value or 0]
        return 0

    def cuGetErrorName(self, code: ctypes.c_int, name: Any) -> int:  # noqa: N802
        name._obj.value = b"CUDA_ERROR_%d" % code.value
        return 0


def plan_of(model: Path, max_batch: int) -> bytes:
    """A plan of this TensorRT for a model file."""
    return f"{max_batch} {model}".encode()


def fake_tensorrt(gpu: FakeGpu, version: str, *, rtx: bool = False) -> Any:
    """A TensorRT module of this version, with what that version has."""
    major, minor = (int(part) for part in version.split(".")[:2])
    recent = rtx or major >= 10

    class ILogger:
        ERROR, INTERNAL_ERROR = "error", "internal error"

        def __init__(self) -> None:
            pass

    def member(name: str) -> Any:
        return SimpleNamespace(name=name)

    mode = SimpleNamespace(INPUT=member("INPUT"), OUTPUT=member("OUTPUT"))
    trt = SimpleNamespace(__version__=version, ILogger=ILogger, float32="float32", TensorIOMode=mode)
    if recent:
        trt.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
    if rtx:
        trt.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole")

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            gpu.need_context()
            if gpu.refuse.get("deserialize"):
                self._logger.log(ILogger.ERROR, "Error Code 2: OutOfMemory (Requested size was 118000000 bytes.)")
                return None
            try:
                max_batch, path = plan.decode().split(" ", 1)
                return make_engine(self._logger, Path(path), int(max_batch))
            except (ValueError, UnicodeDecodeError):
                self._logger.log(ILogger.ERROR, "Serialization assertion magicTag failed")
                return None

    def make_engine(logger: Any, path: Path, max_batch: int) -> Any:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        info = read_model_file(path).info
        names = ["skeletons", *OUTPUTS]
        shapes = {tensor.name: (-1, *tensor.shape[1:]) for tensor in (*session.get_inputs(), *session.get_outputs())}
        contexts: list[Context] = []

        class Context:
            def __init__(self, own_memory: bool) -> None:
                self.addresses: dict[str, int] = {}
                self.shape: tuple[int, ...] = ()
                self.memory = -1 if own_memory else 0
                self.version = 0
                self.ready = False
                self.active_optimization_profile = 0 if recent or not contexts else -1
                if recent:
                    self.set_device_memory = self._set_device_memory

            def _set_device_memory(self, address: int, size: int) -> None:
                assert size == len(gpu.memory[address]) >= 4096
                self.memory = address

            def __setattr__(self, name: str, value: Any) -> None:
                if name == "device_memory":
                    assert not recent
                    assert len(gpu.memory[value]) >= 4096
                    self.memory = value
                super().__setattr__(name, value)

            def set_optimization_profile_async(self, profile: int, handle: int) -> bool:
                def take() -> None:
                    self.active_optimization_profile = profile

                gpu.streams[handle].submit(take)
                return True

            def set_tensor_address(self, name: str, address: int) -> bool:
                self.version += 1
                self.addresses[name] = address
                return name in shapes

            def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
                if name != "skeletons" or shape[1:] != info.window_shape or not 1 <= shape[0] <= max_batch:
                    logger.log(ILogger.ERROR, f"shape {shape} is outside of the profile")
                    return False
                self.version += 1
                self.shape = shape
                self.ready = False
                return True

            def execute_async_v3(self, handle: int) -> bool:
                gpu.need_context()
                stream = gpu.streams[handle]
                complete = self.shape and self.memory and set(self.addresses) == set(names)
                complete = complete and self.active_optimization_profile == 0
                if not complete or (stream.capture is not None and not self.ready) or gpu.refuse.get("execute"):
                    logger.log(ILogger.ERROR, "cannot enqueue")
                    return False
                self.ready = True
                version, shape = self.version, self.shape

                def run() -> None:
                    size = 4 * int(np.prod(shape))
                    given = np.frombuffer(gpu.memory[self.addresses["skeletons"]][:size], np.float32).reshape(shape)
                    outputs = session.run(list(OUTPUTS), {"skeletons": given})
                    for name, output in zip(OUTPUTS, outputs, strict=True):
                        stale = self.version != version
                        gpu.write(self.addresses[name], (np.full_like(output, np.nan) if stale else output).tobytes())

                stream.submit(run)
                return True

        class Engine:
            num_io_tensors = len(names)

            def get_tensor_name(self, i: int) -> str:
                return names[i]

            def get_tensor_shape(self, name: str) -> tuple[int, ...]:
                return shapes[name]

            def get_tensor_dtype(self, name: str) -> str:
                return trt.float32

            def get_tensor_mode(self, name: str) -> Any:
                return mode.INPUT if name == "skeletons" else mode.OUTPUT

            def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
                assert (name, profile) == ("skeletons", 0)
                return [(size, *info.window_shape) for size in (1, max_batch, max_batch)]

            def create_execution_context(self, strategy: Any = None, runtime_config: Any = None) -> Any:
                gpu.need_context()
                if contexts and (major, minor) < (8, 6) and not rtx:
                    logger.log(ILogger.ERROR, "Profile 0 has been chosen by another IExecutionContext")
                    return None
                if rtx:
                    assert runtime_config.cuda_graph_strategy == "whole"
                contexts.append(Context(own_memory=strategy is None))
                return contexts[-1]

        engine: Any = Engine()
        engine.contexts = contexts
        if recent:
            engine.device_memory_size_v2 = 4096
        else:
            engine.device_memory_size = 4096
            engine.create_execution_context_without_device_memory = lambda: engine.create_execution_context("none")
        if rtx:
            engine.create_runtime_config = lambda: _runtime_config(gpu)
        gpu.calls.append("deserialize")
        return engine

    trt.Runtime = Runtime
    return trt


def _runtime_config(gpu: FakeGpu) -> Any:
    def cache() -> Any:
        def deserialize(content: bytes) -> bool:
            gpu.calls.append(f"kernels {content.decode(errors='replace')}")
            return content == b"kernels"

        return SimpleNamespace(serialize=lambda: b"kernels", deserialize=deserialize)

    return SimpleNamespace(cuda_graph_strategy=None, create_runtime_cache=cache, set_runtime_cache=lambda cache: None)
