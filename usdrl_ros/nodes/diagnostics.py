"""What the perception node reports of itself: throttled warnings, counters, and a status on `/diagnostics`."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from usdrl_ros.problems import Problem

WARN_PERIOD_S = 5.0
"""Least wall time between two log lines of one cause; as long, a problem stays in the status."""

_LONGEST_LINE, _LONGEST_TRACEBACK = 500, 8000
"""Characters of what is logged: texts that come from the network may be long."""


def escaped(text: str, longest: int) -> str:
    """A text for one line of a log: control characters, which could move a terminal's cursor, escaped; cut."""
    text = text[: longest + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


class Monitor:
    """Counts and reports what happens; may be called from any thread.

    Attributes:
        counters: Since the start of the node: messages, steps, events, and problems by cause.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._logger = node, node.get_logger()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._lock = threading.Lock()
        self.counters: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self._newest: tuple[float, Problem] | None = None

    def count(self, what: str, number: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            if number:
                self.counters[what] += number

    def report(self, problems: Iterable[Problem]) -> None:
        """Count problems, and warn of each cause at most once in `WARN_PERIOD_S`."""
        for problem in problems:
            if line := self._note(problem):
                self._logger.warning(escaped(line, _LONGEST_LINE))

    def failed(self, error: Exception) -> None:
        """Report an exception that should not have been: a defect of this package."""
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        fault = f"{type(error).__name__}: {error}: please report this defect; recognition continues"
        if line := self._note(Problem("internal_error", fault)):
            text = "\n".join(escaped(each, _LONGEST_LINE) for each in [line, *lines.splitlines()])
            self._logger.error(text[:_LONGEST_TRACEBACK])

    def _note(self, problem: Problem) -> str | None:
        """Count a problem; gives its log line, if it is time for one."""
        now, cause = time.monotonic(), problem.cause
        with self._lock:
            self._causes[cause] += 1
            self._unlogged[cause] += 1
            self._newest = (now, problem)
            if now - self._logged_at.get(cause, float("-inf")) < WARN_PERIOD_S:
                return None
            self._logged_at[cause] = now
            count = self._unlogged.pop(cause)
        return f"{cause}{f' (x{count})' if count > 1 else ''}: {problem.message}"

    def recent_problem(self) -> Problem | None:
        """The newest problem, if it is not older than `WARN_PERIOD_S`."""
        with self._lock:
            if self._newest is None or time.monotonic() - self._newest[0] > WARN_PERIOD_S:
                return None
            return self._newest[1]

    def summary(self) -> str:
        """All counters in one line."""
        with self._lock:
            counts = [f"{name} {count}" for name, count in self.counters.items()]
            problems = [f"{cause} {count}" for cause, count in self._causes.items()]
        return f"{', '.join(counts) or 'nothing received'}; problems: {', '.join(problems) or 'none'}"

    def publish(self, level: bytes, message: str, model: str, values: dict[str, str]) -> None:
        """Publish a status with `values`, the counters, and the problems as `problem.CAUSE`."""
        with self._lock:
            counts = {name: str(count) for name, count in self.counters.items()}
            problems = {f"problem.{cause}": str(count) for cause, count in self._causes.items()}
        values = {**values, **counts, **problems}
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name()[1:]}: recognition",
            message=escaped(message, _LONGEST_LINE),
            hardware_id=model,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
