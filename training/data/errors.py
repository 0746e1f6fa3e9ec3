"""Faults of data sets, in messages that can be counted and acted on."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set's file is missing or not what it should be; the message names it.

    Args:
        message: Names the file, what was found, what was expected and what to do.
        cause: A few words by which faults of a kind are counted.
    """

    def __init__(self, message: str, cause: str = "not as expected") -> None:
        super().__init__(message)
        self.cause = cause
