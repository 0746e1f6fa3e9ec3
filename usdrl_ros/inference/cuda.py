"""The GPU, through PyCUDA: its context for any thread, and CUDA graphs.

PyCUDA (2026.1) has no graphs, so they come from the driver library itself, by its C interface (CUDA driver API, "Graph
Management"; CUDA 11.4 or newer).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from usdrl_ros.inference.contract import EngineError

_LIBRARY = "libcuda.so.1"
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream of other libraries in this process
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do on the GPU does not spoil a capture


def load_driver() -> Any:
    """The module `pycuda.driver`.

    Raises:
        EngineError: PyCUDA or the NVIDIA driver is not installed.
    """
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise EngineError(f"there is no NVIDIA GPU, or no driver for it ({error})") from error
    try:
        import pycuda.driver as driver
    except ImportError as error:
        raise EngineError(f"PyCUDA cannot be imported ({error}): pip install pycuda (it needs CUDA's nvcc)") from error
    return driver


@functools.cache
def open_device() -> Device:
    """The first GPU (CUDA_VISIBLE_DEVICES chooses which). It stays open as long as the process lives.

    Raises:
        EngineError: There is none, or it cannot be used.
    """
    return Device(load_driver())


class Device:
    """A GPU and its primary context, the one that TensorRT and other libraries in this process use, too."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        try:
            driver.init()
            if not driver.Device.count():
                raise EngineError("there is no NVIDIA GPU")
            device = driver.Device(0)
            self.name = str(device.name())
            major, minor = device.compute_capability()
            self.compute_capability = f"{major}.{minor}"
            # Never released: PyCUDA would leave a released primary context current in this thread.
            self._context = device.retain_primary_context()
        except driver.Error as error:
            raise EngineError(f"the GPU cannot be used: {error}") from error

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context current in this thread for a while; all calls of `driver` need it."""
        self._context.push()
        try:
            yield
        finally:
            self.driver.Context.pop()

    def stream(self) -> Any:
        """A new stream."""
        return self.driver.Stream(_NON_BLOCKING)

    def blocking_wait(self, stream: Any) -> Callable[[], None]:
        """A function that sleeps until the stream's work so far is done; `stream.synchronize` keeps a core busy."""
        flags = self.driver.event_flags
        event = self.driver.Event(flags.BLOCKING_SYNC | flags.DISABLE_TIMING)

        def wait() -> None:
            event.record(stream)
            event.synchronize()

        return wait

    def timing_event(self) -> Any:
        """An event whose distance in time to another can be measured."""
        return self.driver.Event()

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array in host memory that the GPU reads and writes directly."""
        return self.driver.pagelocked_empty(shape, dtype)

    def allocate(self, size: int) -> Any:
        """Memory of the GPU; bytes."""
        return self.driver.mem_alloc(size)


class CudaGraph:
    """Work of one stream, recorded once and then launched as a whole."""

    def __init__(self, library: Any, stream: int, enqueue: Callable[[], None]) -> None:
        """Record what a function enqueues to a stream; nothing is executed.

        Args:
            library: The driver library, see `driver_library`.
            stream: Handle of the stream.
            enqueue: What to record; it must not wait for the GPU.

        Raises:
            EngineError: It cannot be recorded; the stream is as before.
        """
        self._library = library
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._check("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(_THREAD_LOCAL))
        try:
            enqueue()
        except BaseException:
            # Else the stream would keep recording.
            if not library.cuStreamEndCapture(self._stream, ctypes.byref(graph)) and graph:
                library.cuGraphDestroy(graph)
            raise
        self._check("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            flags = ctypes.c_ulonglong(0)
            self._check("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, flags)
        finally:
            library.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Enqueue all of it.

        Raises:
            EngineError: The GPU refused.
        """
        self._check("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        """Free it; the stream must have ended its work."""
        if self._executable:
            self._library.cuGraphExecDestroy(self._executable)
            self._executable = ctypes.c_void_p()

    def _check(self, function: str, *arguments: Any) -> None:
        if code := getattr(self._library, function)(*arguments):
            name = ctypes.c_char_p()
            self._library.cuGetErrorName(ctypes.c_int(code), ctypes.byref(name))
            raise EngineError(f"{function} failed: {(name.value or str(code).encode()).decode()}")


@functools.cache
def driver_library() -> Any | None:
    """The driver library, if it has all functions that graphs need."""
    try:
        library = ctypes.CDLL(_LIBRARY)
        for function in (
            "cuStreamBeginCapture_v2",
            "cuStreamEndCapture",
            "cuGraphInstantiateWithFlags",
            "cuGraphLaunch",
            "cuGraphExecDestroy",
            "cuGraphDestroy",
            "cuGetErrorName",
        ):
            getattr(library, function).restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library
