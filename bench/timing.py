"""Timing several ways in turns, and what is reported of the times."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TURN_S = 0.1
"""Seconds of a turn; then the next way comes, so that what else the machine does hits all alike."""
_REST_S = 0.005
"""Seconds of rest before a turn, in which threads that wait actively for more work of the way before fall asleep."""


@dataclass(frozen=True)
class Times:
    """Of one way, milliseconds.

    Args:
        p50_ms, p99_ms: Percentiles of the time that a run took.
        runs: How many.
        cpu_ms: Least CPU time of a run, of all threads: what other programs do hardly changes it. None: not measured.
    """

    p50_ms: float
    p99_ms: float
    runs: int
    cpu_ms: float | None = None

    @classmethod
    def of(cls, seconds: Sequence[float], cpu_seconds: Sequence[float] = ()) -> Times:
        """From the seconds, and the CPU's seconds if they were measured, of each run; there must be one."""
        p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
        return cls(float(p50), float(p99), len(seconds), 1e3 * min(cpu_seconds) if cpu_seconds else None)


def take_turns(ways: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Times]:
    """Run each way for about so many seconds, in short turns; the first run of all is not counted."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run()
    until = time.perf_counter() + seconds * len(ways)
    while time.perf_counter() < until or min(map(len, found.values())) < 3:
        for name, run in ways.items():
            time.sleep(_REST_S)
            turn = time.perf_counter() + TURN_S
            while (began := time.perf_counter()) < turn:
                before = time.process_time()
                run()
                busy[name].append(time.process_time() - before)
                found[name].append(time.perf_counter() - began)
    return {name: Times.of(times, busy[name]) for name, times in found.items()}


def processor() -> str:
    """The CPU, how many it has, and what of its instructions matters here."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    units = [unit for unit in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {unit} " in text.replace("\n", " ")]
    return f"{len(names)} x {names[0] if names else 'unknown CPU'} ({' '.join(units) or 'no AVX2'})"
