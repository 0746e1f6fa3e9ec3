"""OpenVINO on the CPU: hinted for latency, in bfloat16 where the CPU multiplies matrices in it, else in float32."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np

from usdrl_ros.inference.contract import EngineError, Options, Predictions, check_predictions, check_skeletons
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile

try:
    import openvino
except ImportError as missing:
    raise EngineError("OpenVINO is not installed: pip install openvino") from missing

_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


def open_openvino(file: ModelFile, options: Options) -> OpenVinoEngine:
    """Load a model file.

    Raises:
        EngineError: OpenVINO cannot run it here, or not in this precision.
    """
    core = openvino.Core()
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if has_matrix_units() else "fp32"
    try:
        offered = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as error:  # OpenVINO raises RuntimeError and others besides
        raise EngineError(f"OpenVINO {openvino.__version__} finds no CPU that it can use: {_line(error)}") from error
    if precision.upper() not in offered:
        raise EngineError(f"OpenVINO does not offer {precision} on this CPU, only {', '.join(offered)}")
    return OpenVinoEngine(core, file, threads=options.threads, precision=precision)


def has_matrix_units(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has units that multiply bfloat16 matrices (Intel AMX).

    Without them bfloat16 is no faster than float32, though some CPUs have instructions for it (AVX512-BF16; measured,
    docs/engines.md).
    """
    try:
        return "amx_bf16" in processor.read_text().split()
    except OSError:  # no Linux: float32, which is right everywhere
        return False


class OpenVinoEngine:
    """A model in OpenVINO; a context manager."""

    def __init__(self, core: openvino.Core, file: ModelFile, *, threads: int = 1, precision: str = "fp32") -> None:
        """Load a model file.

        Raises:
            EngineError: OpenVINO cannot load it.
        """
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "ENABLE_CPU_PINNING": False,  # the robot's other programs use the same cores
        }
        try:
            self._request = core.compile_model(core.read_model(file.path), "CPU", settings).create_infer_request()
        except Exception as error:  # OpenVINO raises RuntimeError and others besides
            raise EngineError(f"model {file.path} cannot be loaded by OpenVINO: {_line(error)}") from error
        self.info = file.info
        version = openvino.__version__.split("-")[0]
        self.name = f"OpenVINO {version} {precision}, CPU, {threads} {'thread' if threads == 1 else 'threads'}"

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32 in one batch."""
        skeletons = check_skeletons(skeletons, self.info)
        try:
            self._request.infer({INPUT: skeletons}, share_inputs=True)
        except Exception as error:  # as above
            raise EngineError(f"{self.name} failed: {_line(error)}") from error
        # OpenVINO writes the next outputs to the same memory.
        return Predictions(*(self._request.get_tensor(name).data.copy() for name in OUTPUTS))

    def warm_up(self) -> None:
        """Run it once, which makes the kernels."""
        check_predictions(self.infer(np.zeros((1, *self.info.window_shape), np.float32)), self.name)

    def close(self) -> None:
        """Give the model back."""
        del self._request

    def __enter__(self) -> OpenVinoEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line(error: Exception) -> str:
    """The telling line of OpenVINO's errors, which begin with places in its source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(
        (line for line in lines if not line.startswith(("Exception from", "Check "))), lines[0] if lines else ""
    )
