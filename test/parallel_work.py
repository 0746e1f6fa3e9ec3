"""What the tests of parallel work have done elsewhere: importable by its name, as workers need it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from usdrl_ros.parallel import ProgressBoard


def square(number: int) -> int:
    return number * number


def process_of(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def fail_at(bad: int, number: int) -> int:
    if number == bad:
        raise LookupError(f"no {number}")
    return number


def kill_at(bad: int, number: int) -> int:
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def report_progress(board: ProgressBoard, number: int) -> int:
    board.report(number, number + 1, 10)
    return number


def wait_for(go_on: Path, wait: bool) -> bool:
    for _ in range(300):
        if not wait or go_on.exists():
            break
        time.sleep(0.1)
    return wait
