"""Where the time of a TensorRT step goes: on the host by its clock, on the GPU by CUDA events.

The host's phases are those of the step as the robot runs it, with its graph. The GPU's phases are enqueued one by one,
without a graph, since events inside a graph cannot be read.
"""

from __future__ import annotations

import time

import numpy as np

from usdrl_ros.inference.tensorrt_execution import Execution, Session

HOST_PHASES = ("copy to pinned memory", "launch", "wait", "copy of the outputs")
GPU_PHASES = ("copy to the GPU", "kernels", "copy to the host")


def measure_phases(session: Session, execution: Execution, skeletons: np.ndarray, runs: int) -> dict[str, float]:
    """Median microseconds of each phase, and of the whole "step"; the GPU's context must be current.

    Args:
        session, execution: What runs batches of this size; it must have run before.
        skeletons: Windows (N, 3, T, V, M).
        runs: How often each phase is measured.
    """
    count = len(skeletons)
    host = np.empty((runs, len(HOST_PHASES) + 1))
    for row in host:
        row[0] = time.perf_counter()
        session.skeletons.host[:count] = skeletons
        row[1] = time.perf_counter()
        execution.enqueue()
        row[2] = time.perf_counter()
        session.wait()
        row[3] = time.perf_counter()
        execution.predictions(count)
        row[4] = time.perf_counter()
    gpu = np.empty((runs, len(GPU_PHASES)))
    events = [session.device.timing_event() for _ in range(len(GPU_PHASES) + 1)]
    for row in gpu:
        events[0].record(session.stream)
        for event, enqueue in zip(events[1:], (execution.copy_in, execution.run, execution.copy_out), strict=True):
            enqueue()
            event.record(session.stream)
        events[-1].synchronize()
        row[:] = [1e-3 * events[i].time_till(events[i + 1]) for i in range(len(GPU_PHASES))]  # they count milliseconds
    found = dict(zip(HOST_PHASES, np.median(np.diff(host), 0), strict=True))
    found["step"] = float(np.median(host[:, -1] - host[:, 0]))
    found |= zip(GPU_PHASES, np.median(gpu, 0), strict=True)
    return {phase: 1e6 * float(seconds) for phase, seconds in found.items()}
