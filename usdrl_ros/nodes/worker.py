"""The one thread that runs the recognizer's steps, and ends what runs when the input stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from usdrl_ros.actions.events import Event
from usdrl_ros.recognizer import Recognizer, Step

_DRAIN_S = 0.5
"""Longest that steps which are still due hold up `stop`."""


class End(Enum):
    """Why running actions ended all at once."""

    INPUT_STOPPED = "no new stamp came in time"
    RESET = "somebody asked for it"
    STEPS_FAILED = "the model has failed for as long"
    WORKER_STOPPED = "the worker was stopped"


class Worker:
    """Runs steps as they become due.

    Args:
        recognizer: Its `observe` is called by others, `step` and `finish` by this thread alone.
        input_timeout_s: Seconds of wall time without input, or of steps that all fail, after which running actions end.
        on_step: Takes each step, and the seconds that it took.
        on_end: Takes the events that end what ran, and why.
        on_error: Takes what none of the above should raise; the worker continues.

    Attributes:
        input_timeout_s: As given; may change, from the next input on.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        input_timeout_s: float,
        on_step: Callable[[Step, float], None],
        on_end: Callable[[list[Event], End], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._recognizer, self.input_timeout_s = recognizer, input_timeout_s
        self._on_step, self._on_end, self._on_error = on_step, on_end, on_error
        self._changed = threading.Condition()
        self._stopping = self._resetting = False
        self._silent_at: float | None = None  # when the input counts as stopped; None: there was none, or it has
        self._failing_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="recognizer", daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def notify(self) -> None:
        """There was input with a new stamp: run what is due."""
        with self._changed:
            self._silent_at = time.monotonic() + self.input_timeout_s
            self._changed.notify()

    def reset(self) -> None:
        """End what runs, and forget the people."""
        with self._changed:
            self._resetting = True
            self._changed.notify()

    def stop(self) -> None:
        """Run what is due, end what runs, and return when that is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._stopping or self._resetting or self._recognizer.due or self._silent):
                    wait_s = None if self._silent_at is None else max(0.0, self._silent_at - time.monotonic())
                    self._changed.wait(wait_s)
                stopping = self._stopping
                resetting, self._resetting = self._resetting, False
                silent = self._silent and not self._recognizer.due
                if silent:
                    self._silent_at = None
            if stopping:
                break
            if resetting:
                self._finish(End.RESET)
            elif silent:
                self._finish(End.INPUT_STOPPED)
            else:
                self._step()
        give_up_at = time.monotonic() + _DRAIN_S
        while self._recognizer.due and time.monotonic() < give_up_at:
            self._step()
        self._finish(End.WORKER_STOPPED)

    @property
    def _silent(self) -> bool:
        return self._silent_at is not None and time.monotonic() >= self._silent_at

    def _step(self) -> None:
        began = time.monotonic()
        try:
            step = self._recognizer.step()
        except Exception as error:  # one bad step must not silence the robot for good
            self._report(error)
            self._end_if_failing_for_long()
            return
        self._failing_since = None
        if step is not None:
            self._guarded(self._on_step, step, time.monotonic() - began)

    def _end_if_failing_for_long(self) -> None:
        """End what runs where nothing has been recognised for as long as a silent input may be."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= self.input_timeout_s:
            self._failing_since = now
            self._finish(End.STEPS_FAILED)

    def _finish(self, why: End) -> None:
        events: list[Event] = []
        try:
            events = self._recognizer.finish()
        except Exception as error:
            self._report(error)
        self._guarded(self._on_end, events, why)

    def _guarded(self, function: Callable[..., None], *args: object) -> None:
        try:
            function(*args)
        except Exception as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        with suppress(Exception):  # whatever a report fails of: the steps continue
            self._on_error(error)
