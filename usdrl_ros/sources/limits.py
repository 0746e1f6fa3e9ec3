"""What one message may hold: checked before anything is kept of it.

Messages come from the network, and a publisher may be wrong or hostile. What is over a limit is left out, and reported.
"""

from __future__ import annotations

from typing import Any

from usdrl_ros.problems import shown

MOST_PEOPLE = 128
"""People of a message; a reader may be given another limit."""
MOST_JOINTS = 500
"""Joints of a person, or elements of a list of them."""
LONGEST_ID = 200
"""Characters of a person's id, and of the name of a frame."""
LONGEST_LAYOUT = 8192
"""Characters of a layout: its name, or the names of its joints."""
LONGEST_JOINT_NAME = 64


class FaultError(Exception):
    """Why a person, or a whole message, cannot be used."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause

    @classmethod
    def of(cls, error: Exception) -> FaultError:
        """What an exception of `UNREADABLE` says."""
        if isinstance(error, FaultError):
            return error
        text = shown(" ".join(str(error)[:1000].split()), 300)
        if isinstance(error, AttributeError):
            return cls("missing_field", f"{text}; is the message of the type that the source names?")
        return cls("malformed", f"cannot be read: {text}")


class CutList(list[Any]):
    """The first elements of a list that is longer.

    Args:
        total: How many the list has.
    """

    def __init__(self, elements: list[Any], total: int) -> None:
        super().__init__(elements)
        self.total = total


def text_of(value: Any, what: str, longest: int) -> str:
    """A text of a message.

    Raises:
        FaultError: It is longer than it may be.
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > longest:
        raise FaultError("too_long", f"{what} of {len(text)} characters, expected at most {longest}: {shown(text, 40)}")
    return text
