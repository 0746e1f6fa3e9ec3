"""What only a GPU can answer, part by part: `python -m bench.gpu PART ...`; `bench/on_gpu.sh` runs all parts.

Parts: **check** (what this machine lacks, a line each), **phases** (where the time of one step of the shipped model
goes), **width** (a width's random network: TensorRT against PyTorch eager and `torch.compile` in the same run, with the
floor of reading the weights once), **batches** (the shipped model, batches 1 to 16), **table** (all results so far).
Each part appends its rows to a file, so that what has run is kept when a later part runs out of time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bench.timing import Times, take_turns
from usdrl_ros.inference.build import build
from usdrl_ros.inference.contract import EngineError, random_windows
from usdrl_ros.inference.cuda import open_device
from usdrl_ros.inference.factory import WAITS, default_model, load_engine
from usdrl_ros.inference.model_file import ModelError, read_model_file
from usdrl_ros.inference.tensorrt import TensorRtEngine
from usdrl_ros.inference.tensorrt_library import load_library

if TYPE_CHECKING:
    from bench.networks import Network

PARTS = ("check", "phases", "width", "batches", "table")
RESULTS = Path("runs/gpu/results.jsonl")


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Args:
        network: Which model, or which width of random weights.
        batch: Windows.
        way: What ran it, with device.
        p50_ms, p99_ms: Of one inference, host to host.
        note: What else there is to say, such as the floor.
    """

    network: str
    batch: int
    way: str
    p50_ms: float
    p99_ms: float
    note: str = ""


def lacking() -> tuple[list[str], bool]:
    """What this machine lacks for the measurements, a line each, and whether TensorRT can be measured at all."""
    lines: list[str] = []
    try:
        open_device()
    except EngineError as error:
        lines.append(f"GPU: {_line(error)}")
    try:
        load_library()
    except EngineError as error:
        lines.append(f"TensorRT: {_line(error)}")
    if importlib.util.find_spec("pycuda") is None:
        lines.append("PyCUDA: not installed: pip install pycuda (it needs CUDA's nvcc)")
    if not default_model().is_file():
        lines.append(f"model: {default_model()} is not there")
    usable = not lines
    try:
        import torch

        if not torch.cuda.is_available():
            lines.append(f"PyTorch on a GPU: PyTorch {torch.__version__} sees none: install its CUDA build")
    except ImportError:
        lines.append("PyTorch on a GPU: torch is not installed")
    return lines, usable


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def open_tensorrt(
    model: Path, *, max_batch: int, cache: Path, precision: str = "fp16", wait: str = "spin", limit_s: float = 0.0
) -> TensorRtEngine:
    """A model's engine for just these batches, built within a time limit if it is not in the cache.

    Raises:
        ModelError: It cannot be built or run here.
    """
    build(model, precision=precision, max_batch=max_batch, time_limit_s=limit_s, cache=cache)
    engine = load_engine(
        model, engine="tensorrt", precision=precision, max_batch=max_batch, wait=wait, cache=cache, log=print
    )
    assert isinstance(engine, TensorRtEngine)
    return engine


def phases(model: Path, cache: Path, seconds: float, limit_s: float) -> tuple[list[Result], dict[str, float]]:
    """The shipped model at batch 1, spinning and blocking in turns; and where the time of a step goes, us."""
    info = read_model_file(model).info
    x = random_windows(1, info)
    with ExitStack() as stack:
        engines = {
            wait: stack.enter_context(open_tensorrt(model, max_batch=1, cache=cache, wait=wait, limit_s=limit_s))
            for wait in WAITS
        }
        times = take_turns({wait: partial(engine.infer, x) for wait, engine in engines.items()}, seconds)
        rows = [_row(info.name, 1, f"{engines[wait].name}, {wait}", each) for wait, each in times.items()]
        return rows, engines["spin"].measure_phases(x)


def batches(
    model: Path, sizes: Sequence[int], precision: str, cache: Path, seconds: float, limit_s: float
) -> list[Result]:
    """The shipped model at several batch sizes, in turns."""
    info = read_model_file(model).info
    with open_tensorrt(model, max_batch=max(sizes), precision=precision, cache=cache, limit_s=limit_s) as engine:
        ways = {str(size): partial(engine.infer, random_windows(size, info)) for size in sizes}
        return [_row(info.name, int(size), engine.name, each) for size, each in take_turns(ways, seconds).items()]


def width(network: Network, wide: int, cache: Path, seconds: float, limit_s: float, torch_device: str) -> list[Result]:
    """A random network of a width at batch 1: TensorRT, PyTorch eager and compiled, fp16 on a GPU, in turns."""
    from bench.engines import gpu_bandwidth, windows

    name, x = f"H={wide}, random weights", windows(1)
    half = torch_device == "cuda"
    ways: dict[str, Callable[[], object]] = {}
    notes: dict[str, str] = {}
    with ExitStack() as stack:
        engine = stack.enter_context(open_tensorrt(network.path, max_batch=1, cache=cache, limit_s=limit_s))
        ways[engine.name] = partial(engine.infer, x)
        size = 2 * network.weights
        floor_ms = 1e3 * size / gpu_bandwidth()[1]
        notes[engine.name] = f"floor {floor_ms:.3f} ms: {size / 1e6:.0f} MB of weights read once"
        if torch_device:
            ways |= network.ways(x, torch_device, half)
            try:
                ways |= network.compiled(x, torch_device, half)
            except RuntimeError as error:
                print(error)
        times = take_turns(ways, seconds)
    own = times[engine.name].p50_ms
    rows = [
        _row(name, 1, way, each, notes.get(way, f"{each.p50_ms / own:.1f} x TensorRT")) for way, each in times.items()
    ]
    return rows


def _row(network: str, batch: int, way: str, times: Times, note: str = "") -> Result:
    return Result(network, batch, way, times.p50_ms, times.p99_ms, note)


def append(path: Path, rows: Sequence[Result]) -> None:
    """Add rows to the file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def table(path: Path) -> Table:
    """All results so far."""
    found = Table(title="On the GPU, one inference, host to host", title_justify="left")
    for heading in ("network", "batch", "way", "p50 ms", "p99 ms", ""):
        found.add_column(heading)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        row = Result(**json.loads(line))
        found.add_row(row.network, str(row.batch), row.way, f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}", row.note)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 3 if the machine lacks what `check` looks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("part", choices=PARTS)
    add("--model", type=Path, default=default_model(), help="an .onnx file (the shipped one)")
    add("--precision", default="fp16", choices=("fp16", "fp32"), help="of batches (%(default)s)")
    add("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="windows an inference (1 2 4 8 16)")
    add("--width", type=int, default=1024, help="H of width (%(default)s)")
    add("--seconds", type=float, default=2.0, help="of each way (%(default)s)")
    add("--limit", type=float, default=90.0, help="seconds that a build may search for kernels (%(default)s)")
    add("--results", type=Path, default=RESULTS, help="file that rows are added to (%(default)s)")
    options = parser.parse_args(arguments)
    console = Console(width=max(Console().width, 110))
    cache = options.results.parent / "engines"
    try:
        if options.part == "check":
            lines, usable = lacking()
            for line in lines:
                print(f"lacks {line}")
            return 0 if usable else 3
        if options.part == "table":
            console.print(table(options.results))
            return 0
        if options.part == "phases":
            rows, found = phases(options.model, cache, options.seconds, options.limit)
            for phase, microseconds in found.items():
                print(f"{phase:22} {microseconds:8.1f} us")
        elif options.part == "batches":
            rows = batches(options.model, options.batches, options.precision, cache, options.seconds, options.limit)
        else:
            import torch

            from bench.networks import make

            torch_device = "cuda" if torch.cuda.is_available() else ""
            with tempfile.TemporaryDirectory() as directory:
                network = make(options.width, Path(directory))
                rows = width(network, options.width, cache, options.seconds, options.limit, torch_device)
    except (ModelError, ImportError) as error:
        print(f"bench.gpu {options.part}: {_line(error)}", file=sys.stderr)
        return 1
    append(options.results, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
