"""What a streaming encoder could keep from one step to the next, in numbers.

Windows of neighbouring steps share 98 % of their time, so it is tempting to compute only what is new. Three
measurements say what that could save with equal outputs: how far the inputs of two steps are equal, how far a new frame
changes what was computed of the old ones, and which share of the time goes into the part that treats each frame alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.steps import Stopwatch, scene
from bench.timing import Times, take_turns
from usdrl_ros.inference.contract import Engine, random_windows
from usdrl_ros.inference.factory import load_engine
from usdrl_ros.inference.model_file import INPUT, ModelError, ModelInfo, read_model_file
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.settings import Settings
from usdrl_ros.skeleton.person import Frame


@dataclass(frozen=True)
class Share:
    """What the frames' embedding takes of an inference.

    Args:
        batch: Windows.
        whole: The whole network.
        part: All up to the first layer's normalisation, which treats each frame or joint alone.
    """

    batch: int
    whole: Times
    part: Times


@dataclass(frozen=True)
class Streaming:
    """The measurements.

    Args:
        window_change_m: Median difference of a joint's coordinate between a frame and the nearest in time of the next
            step's window, metres, as the network gets them.
        equal: Share of the frames that are in the next step's window, too, equal to 1e-5 m.
        influence: Median change of the older frames' detection logits when the newest frame alone changes, relative to
            the largest logit.
        shares: By batch.
    """

    window_change_m: float
    equal: float
    influence: float
    shares: tuple[Share, ...]


def measure(model: Path, threads: int, batches: tuple[int, ...], seconds: float) -> Streaming:
    """Measure all on one model, in OpenVINO.

    Raises:
        ModelError: OpenVINO is not installed, or cannot run the model.
    """
    info = read_model_file(model).info
    with load_engine(model, engine="openvino", precision="fp32", threads=threads) as engine:
        change, equal = _window_change(engine)
        moved = _influence(engine)
        part = _embedding_part(model, threads)
        shares = []
        for batch in batches:
            x = random_windows(batch, info)
            times = take_turns({"whole": partial(engine.infer, x), "part": partial(part, x)}, seconds)
            shares.append(Share(batch, times["whole"], times["part"]))
    return Streaming(change, equal, moved, tuple(shares))


def _window_change(engine: Engine) -> tuple[float, float]:
    """How the window of one person changes from step to step of a played scene."""
    watch = Stopwatch(engine, keep=True)
    settings = Settings()
    recognizer = Recognizer(watch, settings)
    for stamp_ns, people in scene(1, 3.0 * engine.info.window_s, drop=0.0):
        recognizer.observe(Frame(stamp_ns, "camera", people))
        if recognizer.due:
            recognizer.step()
    windows = [window for window in watch.windows if len(window) == 1][-50:]
    return compare_steps(windows, engine.info, 1.0 / settings.rate)


def compare_steps(windows: list[np.ndarray], info: ModelInfo, hop_s: float) -> tuple[float, float]:
    """Median change of a coordinate (m), and the share of equal frames, of neighbouring windows (1, 3, T, V, M)."""
    shift = round(hop_s * (info.frames - 1) / info.window_s)
    changes = [np.abs(old[0][:, shift:] - new[0][:, : info.frames - shift]) for old, new in pairwise(windows)]
    equal = [change.max((0, 2, 3)) <= 1e-5 for change in changes]
    return float(np.median(np.concatenate([change.ravel() for change in changes]))), float(np.mean(equal))


def _influence(engine: Engine) -> float:
    """How far the newest frame changes the outputs of all others."""
    windows = random_windows(8, engine.info)
    moved = windows.copy()
    moved[:, :, -1] += 0.05  # 5 cm
    before, after = engine.infer(windows).detection, engine.infer(moved).detection
    return float(np.median(np.abs(after - before)[:, :-1].max((1, 2))) / np.abs(before).max())


def _embedding_part(model: Path, threads: int) -> Any:
    """What runs the part of a model before the first layer in OpenVINO.

    Raises:
        ModelError: The graph has no normalisation of layers.
    """
    import openvino

    core = openvino.Core()
    whole = core.read_model(model)
    later: set[str] = set()
    ends = []
    for operation in whole.get_ordered_ops():
        sources = [each.get_source_output() for each in operation.inputs()]
        is_norm = operation.get_type_name() == "MVN"
        if is_norm or any(source.get_node().get_friendly_name() in later for source in sources):
            later.add(operation.get_friendly_name())
            ends += [
                source
                for source in sources
                if source.get_node().get_friendly_name() not in later
                and source.get_node().get_type_name() != "Constant"
                and source.get_partial_shape().rank.get_length() > 1
            ]
    if not later:
        raise ModelError(f"model {model} has no layer normalisation, so its first layer is not found")
    unique = {(each.get_node().get_friendly_name(), each.get_index()): each for each in ends}
    part = openvino.Model(list(unique.values()), whole.get_parameters(), "embedding")
    settings = {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False,
    }  # fmt: skip
    request = core.compile_model(part, "CPU", settings).create_infer_request()

    def run(skeletons: np.ndarray) -> None:
        request.infer({INPUT: skeletons}, share_inputs=True)

    return run
