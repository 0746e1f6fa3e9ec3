"""Speed of inference and of all around it: `make bench`, or `python -m bench.inference --help`.

Six parts: **engines** (each engine that runs here against PyTorch, the same weights and threads, taking turns);
**peer** (the shipped model beside ST-GCN++, a network of the field, in the same run); **streaming** (what an
encoder could keep from the step before); **agreement** (whether lower precision changes what is
recognised, on played windows or, with --bags, on recorded ones); **steps** (the whole step for 1 to 16 people, and what
of it is not the engine); **dds** (from a message to its event, through the perception node). What cannot run here is
left out, with the reason. Tables at the end, and a JSON file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench import engines, message_to_event, networks, peer, steps, streaming
from bench.timing import processor, take_turns
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.inference.model_file import ModelError

PARTS = ("engines", "peer", "streaming", "agreement", "steps", "dds")
PEOPLE = (1, 2, 4, 6, 8, 16)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    console = Console(width=max(Console().width, 110))
    log = partial(console.print, style="dim", highlight=False, markup=False)
    found: dict[str, Any] = {
        "processor": processor(), "threads": options.threads, "torch": torch.__version__, "model": str(options.model),
        "skipped": {},
    }  # fmt: skip
    tables: list[Table] = []
    try:
        for part in options.parts:
            tables += _PARTS[part](options, found, log)
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
    add("--peer-batches", type=int, nargs="+", default=[1, 6], help="windows an inference beside ST-GCN++ (1 6)")
    add("--people", type=int, nargs="+", default=PEOPLE, help="people in a step (1 2 4 6 8 16)")
    add("--engines", nargs="+", default=[], help='only these, as "openvino" or "openvino bf16" (all)')
    add(
        "--compile", action=argparse.BooleanOptionalAction, default=True, help="a row for torch.compile (a minute each)"
    )
    add("--seconds", type=float, default=3.0, help="of each way and batch (%(default)s)")
    add("--scene", type=float, default=40.0, help="seconds of the scene of steps and dds (%(default)s)")
    add("--dds-people", type=int, default=6, help="people in a message (%(default)s)")
    add("--model", type=Path, default=default_model(), help="of agreement, steps and dds (the shipped one)")
    add("--bags", type=Path, nargs="+", default=[], help="recorded skeletons for agreement (a played scene)")
    add("--output", type=Path, default=Path("runs/bench/inference.json"), help="JSON file (%(default)s)")
    return parser


def _engines(options: argparse.Namespace, found: dict[str, Any], log: Any) -> list[Table]:
    rate = networks.ProductRate()
    rate.measure()
    gpu: tuple[str, float] | None = None
    try:
        gpu = engines.gpu_bandwidth()
        found["gpu"], found["gpu_gb_per_s"] = gpu[0], gpu[1] / 1e9
    except ModelError as error:
        found["skipped"]["GPU"] = str(error)
    rows: list[engines.Row] = []
    made: dict[int, networks.Network] = {}
    for width in options.widths:
        with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
            log(f"H={width}: making the network and its file")
            made[width] = networks.make(width, Path(directory))
            most = max(options.batches)
            loaded, skipped = engines.open_all(
                made[width].path, options.threads, options.engines, stack, log, max_batch=most
            )
            found["skipped"] |= skipped
            for way, engine in loaded.items():
                found.setdefault("engines", {})[way] = engine.name
            for batch in options.batches:
                log(f"H={width}, batch {batch}: {', '.join(loaded)} against PyTorch")
                ways = _torch_ways(made[width], batch, "cpu", options.compile, found, log)
                rows += engines.compare(width, batch, loaded, ways, options.seconds)
                rate.measure()
                if torch.cuda.is_available():
                    ways = _torch_ways(made[width], batch, "cuda", options.compile, found, log)
                    on_gpu = {way: engine for way, engine in loaded.items() if way.startswith("tensorrt")}
                    rows += engines.compare(width, batch, on_gpu, ways, options.seconds)
    found["product_gflops"] = [each / 1e9 for each in rate.rates]

    def floor(row: engines.Row) -> tuple[float | None, str]:
        network = made[row.width]
        if row.way.startswith("tensorrt") and gpu is not None:
            size = network.weights * (2 if row.way.endswith("16") else 4)
            return 1e3 * size / gpu[1], f"{size / 1e6:.0f} MB of weights read once on {gpu[0]}"
        if row.way.endswith("fp32"):
            return 1e3 * row.batch * network.flops / rate.best, f"{network.flops / 1e9:.2f} GFLOP a window"
        return None, ""

    rows = engines.with_floors(rows, floor, rate.steady)
    found["inference"] = [row.as_dict() for row in rows]
    reasons = "; ".join(dict.fromkeys(f"H={row.width}: {row.reason}" for row in rows if row.reason))
    torch_ways = " / ".join(dict.fromkeys(name for row in rows for name in row.faster))
    table = _table(
        f"One inference; times faster than {torch_ways}\nfloor: {reasons or 'not known here'}\n"
        f"PyTorch multiplies matrices at {rate.best / 1e9:.0f} GFLOP/s here, the best of {len(rate.rates)} moments"
        f"{'' if rate.steady else ' that differ'}",
        ("H", "batch", "way", "p50 ms", "p99 ms", "least CPU ms", "times faster", "floor ms"),
    )
    for row in rows:
        faster = " / ".join(f"{value:.2f}" for value in row.faster.values())
        floor_ms = "-" if row.floor_ms is None else f"{row.floor_ms:.2f}"
        times = [f"{value:.2f}" for value in (row.times.p50_ms, row.times.p99_ms, row.times.cpu_ms or 0.0)]
        table.add_row(str(row.width), str(row.batch), row.way, *times, faster, floor_ms)
    return [table]


def _torch_ways(
    network: networks.Network, batch: int, device: str, compile_it: bool, found: dict[str, Any], log: Any
) -> dict[str, Callable[[], object]]:
    """PyTorch's ways of running a network on a device; what cannot run is noted with its reason."""
    ways: dict[str, Callable[[], object]] = {}
    for half in (False,) if device == "cpu" else (False, True):
        ways |= network.ways(engines.windows(batch), device, half)
        if not compile_it:
            continue
        log(f"torch.compile for batch {batch}")
        try:
            ways |= network.compiled(engines.windows(batch), device, half)
        except RuntimeError as error:
            found["skipped"][f"{networks.COMPILED} ({device})"] = str(error)
    return ways


def _peer(options: argparse.Namespace, found: dict[str, Any], log: Any) -> list[Table]:
    name = f"ST-GCN++, {peer.FRAMES} frames"
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        path = Path(directory) / "peer.onnx"
        log("making ST-GCN++ and its file")
        network = peer.export_peer(path, len(networks.ACTIONS))
        weights = sum(parameter.numel() for parameter in network.parameters())
        wanted = [each for each in options.engines if each.startswith("openvino")] or ["openvino"]
        loaded, skipped = engines.open_all(options.model, options.threads, wanted, stack, log)
        found["skipped"] |= skipped
        if not loaded:
            return []
        table = _table(
            f"ST-GCN++ ({weights / 1e6:.2f} M random weights, joints, recognition only) beside {options.model.stem} "
            f"(joints, bones, motions; detection and recognition), OpenVINO, {options.threads} threads",
            ("batch", "way", "p50 ms", "p99 ms", "least CPU ms"),
        )
        found["peer"] = {"threads": options.threads, "weights": weights, "rows": []}
        run = peer.open_peer(path, options.threads)
        for batch in options.peer_batches:
            log(f"batch {batch}: {name} beside {', '.join(loaded)}")
            ways: dict[str, Callable[[], object]] = {f"{name}, fp32": partial(run, engines.windows(batch, 1))}
            for way, engine in loaded.items():
                ways[f"{options.model.stem}, {way}"] = partial(engine.infer, engines.windows(batch, engine.info.people))
            for way, times in take_turns(ways, options.seconds).items():
                found["peer"]["rows"].append({"batch": batch, "way": way, "times": asdict(times)})
                table.add_row(str(batch), way, f"{times.p50_ms:.2f}", f"{times.p99_ms:.2f}", f"{times.cpu_ms:.2f}")
    return [table]


def _streaming(options: argparse.Namespace, found: dict[str, Any], log: Any) -> list[Table]:
    log("measuring what a streaming encoder could keep")
    try:
        result = streaming.measure(options.model, options.threads, (1, 6), options.seconds)
    except ModelError as error:
        found["skipped"]["streaming"] = str(error)
        return []
    found["streaming"] = asdict(result)
    table = _table(
        f"What a streaming encoder could keep of {options.model.stem}: {result.equal:.0%} of a window's frames come "
        f"again unchanged\n(a coordinate changes by {1e3 * result.window_change_m:.1f} mm), the newest frame changes "
        f"the others' logits by {result.influence:.1e} of the largest",
        ("batch", "whole, least CPU ms", "up to the first layer, least CPU ms", "share"),
    )
    for row in result.shares:
        whole, part = row.whole.cpu_ms or 0.0, row.part.cpu_ms or 0.0
        table.add_row(str(row.batch), f"{whole:.2f}", f"{part:.2f}", f"{part / whole:.0%}")
    return [table]


def _agreement(options: argparse.Namespace, found: dict[str, Any], log: Any) -> list[Table]:
    with ExitStack() as stack:
        reference = stack.enter_context(load_engine(options.model, engine="onnxruntime", threads=options.threads))
        loaded, skipped = engines.open_all(options.model, options.threads, options.engines, stack, log)
        found["skipped"] |= skipped
        log(f"collecting windows of {len(options.bags)} bags" if options.bags else "playing a scene for its windows")
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


def _steps(options: argparse.Namespace, found: dict[str, Any], log: Any) -> list[Table]:
    with load_engine(options.model, threads=options.threads) as engine:
        name, rows = engine.name, []
        for people in options.people:
            log(f"steps of {people} people")
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


def _dds(options: argparse.Namespace, found: dict[str, Any], log: Any) -> list[Table]:
    def engine_ms() -> float:
        with load_engine(options.model, threads=options.threads) as engine:
            return steps.measure_at_pace(engine, options.dds_people, min(options.scene / 2, 10.0)).p50_ms

    try:
        before_ms = engine_ms()
        result = message_to_event.measure(
            options.model, "auto", options.threads, options.dds_people, options.scene, log
        )
    except message_to_event.UnavailableError as error:
        found["skipped"]["message to event"] = str(error)
        return []
    alone_ms = (before_ms + engine_ms()) / 2  # the machine's speed wanders
    found["message_to_event"] = result.as_dict() | {"engine_alone_p50_ms": alone_ms}
    table = _table(
        f"From a message to its event over DDS, {result.people} people at {result.rate_hz:g} Hz ({result.engine})",
        ("p50 ms", "p99 ms", "less engine at this pace", "less the node's step", "steps seen", "CPUs busy", "memory"),
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


_PARTS = {
    "engines": _engines, "peer": _peer, "streaming": _streaming, "agreement": _agreement, "steps": _steps, "dds": _dds
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
