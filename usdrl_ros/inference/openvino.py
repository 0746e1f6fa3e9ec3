"""OpenVINO on the CPU, hinted for latency.

Precision "auto" is decided by a measurement: every precision that the processor offers runs a few windows, and the
fastest whose outputs agree with float32 is taken. Flags of the processor do not decide, because bfloat16 instructions
make some processors twice as fast and others slower (docs/engines.md).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from usdrl_ros.inference.contract import (
    Engine,
    EngineError,
    Log,
    Options,
    Predictions,
    check_predictions,
    largest_difference,
    random_windows,
    zero_windows,
)
from usdrl_ros.inference.model_file import INPUT, OUTPUTS, ModelFile
from usdrl_ros.installing import pip_command

try:
    import openvino
except ImportError as missing:
    raise EngineError(f"OpenVINO is not installed: {pip_command('openvino')}") from missing

_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}

TOLERANCES = {"fp16": 1e-2, "bf16": 5e-2}
"""Largest difference to float32 on random windows that "auto" accepts, relative to an output's largest value.

It catches a precision that is broken for this model or on this processor. Whether actions stay the same on real
windows is measured ahead of time (docs/engines.md)."""

SINGLE_BYTES = 64 << 20
"""Largest model file of which a second compiled model is kept, for batches of one window."""

GAIN = 1.15
"""A lower precision must be this many times faster than float32, or "auto" stays with float32."""

WORTH_S = 1e-4
"""Seconds a window that it must save besides: below, the measurement says nothing and nobody would notice."""

_TRIAL_BATCHES = (1, 4)
_TRIAL_S = 0.4
"""Seconds that the measurement of all precisions takes at most for one batch size, three rounds at least."""


def open_openvino(file: ModelFile, options: Options) -> OpenVinoEngine:
    """Load a model file.

    Raises:
        EngineError: OpenVINO cannot run it here, or not in this precision.
    """
    core = openvino.Core()
    try:
        offered = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as error:  # OpenVINO raises RuntimeError and others besides
        raise EngineError(f"OpenVINO {openvino.__version__} finds no CPU that it can use: {_line(error)}") from error
    if options.precision == "auto":
        return _open_fastest(core, file, options, [p for p in _HINTS if p.upper() in offered])
    if options.precision.upper() not in offered or options.precision not in _HINTS:
        raise EngineError(f"OpenVINO does not offer {options.precision} on this CPU, only {', '.join(offered)}")
    return OpenVinoEngine(core, file, threads=options.threads, precision=options.precision)


def _open_fastest(core: openvino.Core, file: ModelFile, options: Options, precisions: Sequence[str]) -> OpenVinoEngine:
    """The engine in the fastest precision that agrees with float32; float32 if none is clearly faster.

    Raises:
        EngineError: OpenVINO cannot load the model in float32.
    """
    batches = sorted({min(size, options.max_batch) for size in _TRIAL_BATCHES})
    reference = OpenVinoEngine(core, file, threads=options.threads)
    engines = {"fp32": reference}
    for precision in precisions:
        if precision == "fp32":
            continue
        try:
            engine = OpenVinoEngine(core, file, threads=options.threads, precision=precision)
            difference = largest_difference(engine, reference, batches)
        except EngineError as error:
            options.log(f"precision {precision} is not used: {error}")
            continue
        if difference <= TOLERANCES[precision]:  # false if it is not a number
            engines[precision] = engine
        else:
            options.log(
                f"precision {precision} is not used: outputs differ from float32 by {difference:.1e} of the largest "
                f"value, allowed is {TOLERANCES[precision]:.0e}"
            )
    return engines["fp32" if len(engines) == 1 else _fastest(engines, batches, options.log)]


def _fastest(engines: dict[str, OpenVinoEngine], batches: Sequence[int], log: Log) -> str:
    """The precision to use, by the time that one window takes in turns with the others."""
    windows = [random_windows(size, engines["fp32"].info) for size in batches]
    times = {precision: _window_time(runs) for precision, runs in _measure(engines, windows).items()}
    measured = ", ".join(f"{precision} {1e3 * seconds:.2f} ms" for precision, seconds in times.items())
    best = min(times, key=lambda precision: times[precision])
    clearly = times[best] * GAIN <= times["fp32"] and times[best] + WORTH_S <= times["fp32"]
    chosen = best if clearly else "fp32"
    log(f"precision {chosen} is used; measured a window: {measured}")
    return chosen


def _measure(engines: dict[str, OpenVinoEngine], windows: Sequence[np.ndarray]) -> dict[str, list[list[float]]]:
    """Seconds a window of each run, by precision and batch; precisions take turns, since other load varies."""
    found: dict[str, list[list[float]]] = {precision: [] for precision in engines}
    for skeletons in windows:
        for precision, engine in engines.items():
            engine.infer(skeletons)  # the kernels of this batch size are made here
            found[precision].append([])
        until = time.perf_counter() + _TRIAL_S
        rounds = 0
        while rounds < 3 or time.perf_counter() < until:
            for precision, engine in engines.items():
                began = time.perf_counter()
                engine.infer(skeletons)
                found[precision][-1].append((time.perf_counter() - began) / len(skeletons))
            rounds += 1
    return found


def _window_time(runs: Sequence[Sequence[float]]) -> float:
    """Least seconds of a window, averaged over the batch sizes: other programs can only slow a run down."""
    return float(np.mean([min(each) for each in runs]))


class OpenVinoEngine(Engine):
    """A model in OpenVINO. Batches of one window have a compiled model of their own, see `warm_up`."""

    def __init__(self, core: openvino.Core, file: ModelFile, *, threads: int = 1, precision: str = "fp32") -> None:
        """Load a model file.

        Raises:
            EngineError: OpenVINO cannot load it.
        """
        version = openvino.__version__.split("-")[0]
        unit = "thread" if threads == 1 else "threads"
        super().__init__(file.info, f"OpenVINO {version} {precision}, CPU, {threads} {unit}")
        self._core = core
        self._path = file.path
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "ENABLE_CPU_PINNING": False,  # the robot's other programs use the same cores
        }
        self._any: openvino.InferRequest | None = self._compile()
        self._single: openvino.InferRequest | None = None

    def _compile(self, batch: int | None = None) -> openvino.InferRequest:
        """The model for one size of batches; None: for any size."""
        try:
            model = self._core.read_model(self._path)
            if batch is not None:
                model.reshape({INPUT: [batch, *self.info.window_shape]})
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except Exception as error:  # OpenVINO raises RuntimeError and others besides
            raise EngineError(f"model {self._path} cannot be loaded by OpenVINO: {_line(error)}") from error

    def _run(self, skeletons: np.ndarray) -> Predictions:
        request = self._single if len(skeletons) == 1 and self._single is not None else self._any
        if request is None:
            raise EngineError(f"{self.name} is closed")
        try:
            request.infer({INPUT: skeletons}, share_inputs=True)
        except Exception as error:  # as above
            raise EngineError(f"{self.name} failed: {_line(error)}") from error
        # OpenVINO writes the next outputs to the same memory.
        return Predictions(*(request.get_tensor(name).data.copy() for name in OUTPUTS))

    def warm_up(self) -> None:
        """Make the kernels, and compile the model for one window.

        With a free batch size OpenVINO works out all shapes at each inference, which is a fifth of the time of one
        window. One person is the usual case, so it gets a model of fixed shapes, unless its weights would take much
        memory a second time.
        """
        check_predictions(self._run(zero_windows(2, self.info)), self.name)
        if self._single is None and self._path.stat().st_size <= SINGLE_BYTES:
            self._single = self._compile(1)
        super().warm_up()

    def close(self) -> None:
        """Free the model."""
        self._any = self._single = None


def _line(error: Exception) -> str:
    """The line of OpenVINO's errors that says what is wrong; they begin with places in its source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(
        (line for line in lines if not line.startswith(("Exception from", "Check "))), lines[0] if lines else ""
    )
