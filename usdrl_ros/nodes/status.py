"""What the node's state means: the level and the one line of its status on `/diagnostics`.

OK: it does its work, or is not asked to. WARN: it works, but something is wrong with the input or the speed, and the
message says what. ERROR: it does not work. STALE: it would, but nothing comes in.
"""

from __future__ import annotations

from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus

from usdrl_ros.nodes.statistics import Statistics, plausible
from usdrl_ros.problems import Problem

SLOW_INPUT_HZ = 4.0
"""Below this rate a fast movement lies between two messages."""
MANY_UNSEEN = 0.5
"""Share of unseen joints beyond which little can be recognised."""


@dataclass(frozen=True)
class Status:
    """Level and message of a DiagnosticStatus."""

    level: bytes
    message: str


def ok(message: str) -> Status:
    """It does what it is asked."""
    return Status(DiagnosticStatus.OK, message)


def inactive(fault: str, *, configured: bool) -> Status:
    """Of a node that does not watch; `fault`: why it could not configure, if it could not."""
    if fault:
        return Status(DiagnosticStatus.ERROR, f"not configured: {fault}")
    return ok("not active" if configured else "not configured")


def broken(error: Exception) -> Status:
    """Of a node that cannot even find out how it is: a defect of this package."""
    return Status(DiagnosticStatus.ERROR, f"internal_error: {type(error).__name__}: {error}")


def watching(people: int, problem: Problem | None, statistics: Statistics) -> Status:
    """Of a node that gets skeletons.

    Args:
        people: How many are followed.
        problem: The newest of the last seconds, if there was one.
        statistics: Of the input.
    """
    if problem is not None:
        level = DiagnosticStatus.ERROR if problem.cause in ("internal_error", "steps_fail") else DiagnosticStatus.WARN
        return Status(level, f"{problem.cause}: {problem.message.splitlines()[0]}")
    age_s, unseen, rate_hz = statistics.age_s, statistics.unseen, statistics.rate_hz
    if age_s is not None and not plausible(age_s):
        return Status(
            DiagnosticStatus.WARN,
            f"stamps are {abs(age_s):.1f} s {'old' if age_s > 0 else 'ahead'}: set the clocks by NTP or PTP, or "
            "use_sim_time with a bag",
        )
    if 0.0 < rate_hz < SLOW_INPUT_HZ:
        return Status(DiagnosticStatus.WARN, f"{rate_hz:.1f} messages a second are too few for fast movements")
    if unseen is not None and unseen > MANY_UNSEEN:
        return Status(DiagnosticStatus.WARN, f"{unseen:.0%} of the joints are unseen: look at the camera's view")
    return ok(f"watching {people} people")


def standing(topic: str, seconds: float, problem: Problem | None) -> Status:
    """Of a node whose input has had no newer stamp for so long, though messages come; `problem`: the newest."""
    fault = f"messages come on {topic}, but none with a newer stamp for {seconds:.0f} s"
    if problem is None:
        return Status(DiagnosticStatus.STALE, f"{fault}: its publisher repeats header.stamp, or its clock stands still")
    return Status(DiagnosticStatus.WARN, f"{fault}; {problem.cause}: {problem.message.splitlines()[0]}")


def silent(topic: str, seconds: float, why: str) -> Status:
    """Of a node to which nothing comes; `why`, as far as the graph shows."""
    return Status(DiagnosticStatus.STALE, f"no skeletons on {topic} for {seconds:.0f} s: {why}")
