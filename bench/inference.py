"""Speed of inference and of all around it: `make bench`, or `python -m bench.inference --help`.

Four parts: **engines** (each engine that runs here against PyTorch eager, the same weights and threads, taking turns);
**agreement** (whether lower precision changes what is recognised, on played windows or, with --bags, on recorded ones);
**steps** (the whole step for 1 to 16 people, and what of it is not the engine); **dds** (from a message to its event,
through the perception node). What cannot run here is left out, and why is told. Tables at the end, and a JSON file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench import engines, message_to_event, networks, steps
from bench.timing import processor
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError

PARTS = ("engines", "agreement", "steps", "dds")
PEOPLE = (1, 2, 4, 6, 8, 16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    console = Console(width=max(Console().width, 110))
    tell = partial(console.print, style="dim", highlight=False, markup=False)
    found: dict[str, Any] = {
        "processor": processor(), "threads": options.threads, "torch": torch.__version__, "model": str(options.model),
        "skipped": {},
    }  # fmt: skip
    tables: list[Table] = []
    try:
        for part in options.parts:
            tables += _PARTS[part](options, found, tell)
    except (ModelError, ValueError) as error:
        print(f"bench.inference: {error}", file=sys.stderr)
        return 1
    console.print(f"\n{found['processor']}; {options.threads} threads; PyTorch {torch.__version__}")
    for table in tables:
        console.print(table)
    for why in dict.fromkeys(found["skipped"].values()):
        what = ", ".join(each for each, reason in found["skipped"].items() if reason == why)
        console.print(f"left out: {what}: {why}", highlight=False, markup=False)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {options.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.inference", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="which parts (all)")
    add("--threads", type=int, default=2, help="CPU threads of an inference, for all alike (%(default)s)")
    add("--widths", type=int, nargs="+", default=[256, 1024], help="H of the networks (256 1024)")
    add("--batches", type=int, nargs="+", default=[1, 2, 4, 8], help="windows an inference (1 2 4 8)")
    add("--people", type=int, nargs="+", default=PEOPLE, help="people in a step (1 2 4 6 8 16)")
    add("--engines", nargs="+", default=[], help='only these, as "openvino" or "openvino bf16" (all)')
    add("--seconds", type=float, default=3.0, help="of each way and batch (%(default)s)")
    add("--scene", type=float, default=40.0, help="seconds of the scene of steps and dds (%(default)s)")
    add("--dds-people", type=int, default=6, help="people in a message (%(default)s)")
    add("--model", type=Path, default=default_model(), help="of agreement, steps and dds (the shipped one)")
    add("--bags", type=Path, nargs="+", default=[], help="recorded skeletons for agreement (a played scene)")
    add("--output", type=Path, default=Path("runs/bench/inference.json"), help="JSON file (%(default)s)")
    return parser


def _engines(options: argparse.Namespace, found: dict[str, Any], tell: Any) -> list[Table]:
    tell("measuring how fast this machine multiplies matrices")
    rate = networks.product_rate()
    found["product_gflops"] = rate / 1e9
    gpu: tuple[str, float] | None = None
    try:
        gpu = engines.gpu_bandwidth()
        found["gpu"], found["gpu_gb_per_s"] = gpu[0], gpu[1] / 1e9
    except ModelError as error:
        found["skipped"]["GPU"] = str(error)
    rows: list[engines.Row] = []
    for width in options.widths:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            tell(f"H={width}: making the network and its file")
            network = networks.make(width, Path(directory))
            loaded, skipped = engines.open_all(network.path, options.threads, options.engines, stack, tell)
            found["skipped"] |= skipped
            for way, engine in loaded.items():
                found.setdefault("engines", {})[way] = engine.name

            def floor(way: str, batch: int, network: networks.Network = network) -> tuple[float | None, str]:
                if way.startswith("tensorrt") and gpu is not None:
                    size = network.weights * (2 if way.endswith("16") else 4)
                    return 1e3 * size / gpu[1], f"{size / 1e6:.0f} MB of weights read once on {gpu[0]}"
                if way.endswith("fp32"):
                    return 1e3 * batch * network.flops / rate, f"{network.flops / 1e9:.2f} GFLOP a window"
                return None, ""

            for batch in options.batches:
                tell(f"H={width}, batch {batch}: {', '.join(loaded)} against PyTorch")
                eager = network.ways(engines.windows(batch))
                rows += engines.compare(width, batch, loaded, eager, options.seconds, floor)
                if torch.cuda.is_available():
                    ways = {
                        name: way
                        for half in (False, True)
                        for name, way in network.ways(engines.windows(batch), "cuda", half).items()
                    }
                    on_gpu = {way: engine for way, engine in loaded.items() if way.startswith("tensorrt")}
                    rows += engines.compare(width, batch, on_gpu, ways, options.seconds, floor)
    found["inference"] = [row.as_dict() for row in rows]
    reasons = ", ".join(dict.fromkeys(f"H={row.width}: {row.reason}" for row in rows if row.reason))
    table = _table(
        f"One inference, times faster than PyTorch eager: as trained / folded / authors' (joint only)\n"
        f"floor: {reasons}; PyTorch multiplies matrices at {rate / 1e9:.0f} GFLOP/s here",
        ("H", "batch", "way", "p50 ms", "p99 ms", "times faster", "floor ms"),
    )
    for row in rows:
        faster = " / ".join(f"{value:.2f}" for value in row.faster.values())
        floor_ms = "-" if row.floor_ms is None else f"{row.floor_ms:.2f}"
        times = f"{row.times.p50_ms:.2f}", f"{row.times.p99_ms:.2f}"
        table.add_row(str(row.width), str(row.batch), row.way, *times, faster, floor_ms)
    return [table]


def _agreement(options: argparse.Namespace, found: dict[str, Any], tell: Any) -> list[Table]:
    with ExitStack() as stack:
        reference = stack.enter_context(load_engine(options.model, engine="onnxruntime", threads=options.threads))
        loaded, skipped = engines.open_all(options.model, options.threads, options.engines, stack, tell)
        found["skipped"] |= skipped
        tell(f"collecting windows of {len(options.bags)} bags" if options.bags else "playing a scene for its windows")
        windows = steps.recorded_windows(reference, options.bags) if options.bags else steps.played_windows(reference)
        results = {way: engines.agreement(engine, reference, windows) for way, engine in loaded.items()}
    found["agreement"] = {way: asdict(result) for way, result in results.items()}
    source = f"{len(options.bags)} recorded bags" if options.bags else "a played scene"
    table = _table(
        f"Answers against ONNX Runtime in float32, {len(windows)} windows of {source}",
        ("way", "same action", "same class of a frame", "largest difference of a logit"),
    )
    for way, result in results.items():
        table.add_row(way, f"{result.recognition:.2%}", f"{result.detection:.2%}", f"{result.difference:.1e}")
    return [table]


def _steps(options: argparse.Namespace, found: dict[str, Any], tell: Any) -> list[Table]:
    with load_engine(options.model, threads=options.threads) as engine:
        name, rows = engine.name, []
        for people in options.people:
            tell(f"steps of {people} people")
            rows.append(steps.measure(engine, people, options.scene))
    found["steps"] = {"engine": name, "rows": [row.as_dict() for row in rows]}
    table = _table(
        f"One step at 10 Hz of a scene at {steps.RATE_HZ:g} Hz ({options.model.name}, {name}), ms: p50 / p99",
        ("people", "whole step", "engine", "not the engine", "of it, taking a message", "share not the engine"),
    )
    for row in rows:
        cells = [f"{times.p50_ms:.2f} / {times.p99_ms:.2f}" for times in (row.step, row.engine, row.rest, row.observe)]
        table.add_row(str(row.people), *cells, f"{row.rest.p50_ms / row.step.p50_ms:.0%}")
    return [table]


def _dds(options: argparse.Namespace, found: dict[str, Any], tell: Any) -> list[Table]:
    def engine_ms() -> float:
        with load_engine(options.model, threads=options.threads) as engine:
            return steps.measure_at_pace(engine, options.dds_people, min(options.scene / 2, 10.0)).p50_ms

    try:
        before_ms = engine_ms()
        result = message_to_event.measure(
            options.model, "auto", options.threads, options.dds_people, options.scene, tell
        )
    except message_to_event.UnavailableError as error:
        found["skipped"]["message to event"] = str(error)
        return []
    alone_ms = (before_ms + engine_ms()) / 2  # the machine's speed wanders
    found["message_to_event"] = result.as_dict() | {"engine_alone_p50_ms": alone_ms}
    table = _table(
        f"From a message to its event over DDS, {result.people} people at {result.rate_hz:g} Hz ({result.engine})",
        ("p50 ms", "p99 ms", "less engine at this pace", "less the node's step", "steps told", "CPUs busy", "memory"),
    )
    less_step = (
        "-" if result.step_ms is None else f"{result.latency.p50_ms - result.step_ms:.2f} ({result.step_ms:.1f})"
    )
    table.add_row(
        f"{result.latency.p50_ms:.2f}",
        f"{result.latency.p99_ms:.2f}",
        f"{result.latency.p50_ms - alone_ms:.2f} ({alone_ms:.1f})",
        less_step,
        f"{result.latency.runs} of {result.steps}",
        f"{result.cpu:.2f}",
        f"{result.memory_mb:.0f} MB",
    )
    return [table]


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading)
    return table


_PARTS = {"engines": _engines, "agreement": _agreement, "steps": _steps, "dds": _dds}


if __name__ == "__main__":
    sys.exit(main())
