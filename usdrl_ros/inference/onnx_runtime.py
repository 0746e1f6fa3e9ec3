"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np

from usdrl_ros.inference.engine import INPUT, OUTPUTS, ModelError, ModelInfo, Predictions, check_heads

try:
    import onnxruntime
except ImportError as missing:
    raise ModelError("ONNX Runtime is not installed: pip install onnxruntime") from missing


class OnnxRuntimeEngine:
    """A model in ONNX Runtime; a context manager."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load a model file.

        Raises:
            ModelError: It is no ONNX, is cut off, lacks its metadata, or has other tensors than the contract says.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # what is wrong is raised below, in our words
        # Spinning threads would take a whole core of the robot between steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            reason = str(error).splitlines()[0]
            raise ModelError(f"model {path} cannot be loaded, it is no ONNX file or is cut off: {reason}") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        check_heads([tensor.name for tensor in self._session.get_outputs()], metadata, path)
        self.info = info = ModelInfo.from_metadata(metadata, path)
        classes = len(info.actions)
        self._check(path, "input", self._session.get_inputs(), {INPUT: (3, info.frames, info.joints, info.people)})
        expected = {"detection": (info.frames, classes + 1), "recognition": (classes,), "embedding": (None,)}
        self._check(path, "output", self._session.get_outputs(), expected)

    @staticmethod
    def _check(path: Path, kind: str, found: list, expected: dict[str, tuple[int | None, ...]]) -> None:
        shapes = {tensor.name: tuple(tensor.shape) for tensor in found}
        types = {tensor.name: tensor.type for tensor in found}
        for name, shape in expected.items():
            actual = shapes.get(name)
            if actual is None:
                raise ModelError(f"model {path} has no {kind} '{name}', only {', '.join(shapes)}")
            fits = len(actual) == len(shape) + 1 and all(e in (None, a) for e, a in zip(shape, actual[1:], strict=True))
            if not fits or isinstance(actual[0], int):
                sizes = ", ".join(str(size or "any") for size in shape)
                raise ModelError(f"model {path}: {kind} '{name}' has shape {actual}, expected (N, {sizes}), N dynamic")
            if types[name] != "tensor(float)":
                raise ModelError(f"model {path}: {kind} '{name}' is {types[name]}, expected tensor(float), float32")

    def infer(self, skeletons: np.ndarray) -> Predictions:
        """Run windows (N, 3, T, 25, M) float32 in one batch."""
        detection, recognition, embedding = self._session.run(list(OUTPUTS), {INPUT: skeletons})
        return Predictions(detection, recognition, embedding)

    def close(self) -> None:
        """Give the session back."""
        del self._session

    def __enter__(self) -> OnnxRuntimeEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
