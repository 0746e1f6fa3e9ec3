"""ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

import numpy as np

from usdrl_ros.inference.contract import Engine, EngineError, Options, Predictions
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile
from usdrl_ros.installing import pip_command

try:
    import onnxruntime
except ImportError as missing:
    raise EngineError(f"ONNX Runtime is not installed: {pip_command('onnxruntime')}") from missing


def open_onnx_runtime(file: ModelFile, options: Options) -> OnnxRuntimeEngine:
    """Load a model file.

    Raises:
        EngineError: ONNX Runtime cannot run it, or not in this precision.
    """
    if options.precision not in ("auto", "fp32"):
        raise EngineError(f"ONNX Runtime runs this model on the CPU in fp32 only, not {options.precision}")
    return OnnxRuntimeEngine(file, threads=options.threads)


class OnnxRuntimeEngine(Engine):
    """A model in ONNX Runtime."""

    def __init__(self, file: ModelFile, *, threads: int = 1) -> None:
        """Load a model file.

        Raises:
            EngineError: ONNX Runtime cannot load it.
        """
        super().__init__(
            file.info,
            f"ONNX Runtime {onnxruntime.__version__} fp32, CPU, {threads} {'thread' if threads == 1 else 'threads'}",
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors are raised below, with our message
        # Spinning threads would take a whole core of the robot between steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
                str(file.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            reason = str(error).splitlines()[0]
            raise EngineError(f"model {file.path} cannot be loaded by ONNX Runtime: {reason}") from error

    def _run(self, skeletons: np.ndarray) -> Predictions:
        if self._session is None:
            raise EngineError(f"{self.name} is closed")
        try:
            return Predictions(*self._session.run(list(OUTPUTS), {INPUT: skeletons}))
        except Exception as error:  # as above
            raise EngineError(f"{self.name} failed: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        """Free the session."""
        self._session = None
