"""ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from usdrl_ros.inference.contract import EngineError, Options, Predictions, check_predictions, check_skeletons
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile

try:
    import onnxruntime
except ImportError as missing:
    raise EngineError("ONNX Runtime is not installed: pip install onnxruntime") from missing


def open_onnx_runtime(file: ModelFile, options: Options) -> OnnxRuntimeEngine:
    """Load a model file.

    Raises:
        EngineError: ONNX Runtime cannot run it, or not in this precision.
    """
    if options.precision not in ("auto", "fp32"):
        raise EngineError(f"ONNX Runtime runs this model on the CPU in fp32 only, not {options.precision}")
    return OnnxRuntimeEngine(file, threads=options.threads)


class OnnxRuntimeEngine:
    """A model in ONNX Runtime; a context manager."""

    def __init__(self, file: ModelFile, *, threads: int = 1) -> None:
        """Load a model file.

        Raises:
            EngineError: ONNX Runtime cannot load it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # what is wrong is raised below, in our words
        # Spinning threads would take a whole core of the robot between steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(file.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            reason = str(error).splitlines()[0]
            raise EngineError(f"model {file.path} cannot be loaded by ONNX Runtime: {reason}") from error
        self.info = file.info
        self.name = (
            f"ONNX Runtime {onnxruntime.__version__} fp32, CPU, {threads} {'thread' if threads == 1 else 'threads'}"
        )

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32 in one batch."""
        skeletons = check_skeletons(skeletons, self.info)
        try:
            detection, recognition, embedding = self._session.run(list(OUTPUTS), {INPUT: skeletons})
        except Exception as error:  # as above
            raise EngineError(f"{self.name} failed: {str(error).splitlines()[0]}") from error
        return Predictions(detection, recognition, embedding)

    def warm_up(self) -> None:
        """Run it once, which lays out the memory."""
        check_predictions(self.infer(np.zeros((1, *self.info.window_shape), np.float32)), self.name)

    def close(self) -> None:
        """Give the session back."""
        del self._session

    def __enter__(self) -> OnnxRuntimeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
