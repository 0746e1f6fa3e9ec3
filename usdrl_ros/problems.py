"""Faults in the input that recognition survives: reported to the user, counted by cause, never swallowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One fault in the input.

    Args:
        cause: Short slug by which faults are counted and log lines throttled, for instance "unknown_layout".
        message: Names the thing, what was found, what was expected and what to do. Texts from the network are in it
            as `shown` gives them.
    """

    cause: str
    message: str


def shown(text: object, limit: int = 80) -> str:
    """A text from the network as it may stand in a message: cut, and control characters escaped.

    Args:
        text: Anything; what it is as text.
        limit: Most characters; "..." is added where it is cut.
    """
    whole = str(text)
    escaped = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in whole[:limit]
    )
    return escaped[:limit] + ("..." if len(whole) > limit or len(escaped) > limit else "")


def person_name(person_id: object) -> str:
    """A person in a message to the user."""
    return f"person '{shown(person_id)}'"
