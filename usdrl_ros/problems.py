"""Something wrong with the input that was survived: told to the user, counted by cause, never swallowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One fault in the input.

    Args:
        cause: Short slug by which faults are counted and log lines throttled, for instance "unknown_layout".
        message: Names the thing, what was found, what was expected and what to do.
    """

    cause: str
    message: str
