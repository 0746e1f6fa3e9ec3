"""The one thread that runs the recognizer's steps, and ends what runs when the input stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from usdrl_ros.actions.events import Event
from usdrl_ros.recognizer import Recognizer, Step

_DRAIN_S = 0.5
"""Longest that steps which are still due hold up `stop`."""


class Worker:
    """Runs steps as they become due.

    Args:
        recognizer: Its `observe` is called by others, `step` and `finish` by this thread alone.
        input_timeout_s: Seconds of wall time without input after which running actions end.
        on_step: Takes each step, and the seconds that it took.
        on_end: Takes the events that end what ran, when the input stopped (True) or the worker is stopped (False).
        on_error: Takes what none of the above should raise; the worker goes on.

    Attributes:
        input_timeout_s: As given; may change, from the next input on.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        input_timeout_s: float,
        on_step: Callable[[Step, float], None],
        on_end: Callable[[list[Event], bool], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._recognizer, self.input_timeout_s = recognizer, input_timeout_s
        self._on_step, self._on_end, self._on_error = on_step, on_end, on_error
        self._changed = threading.Condition()
        self._stopping = False
        self._silent_at: float | None = None  # when the input counts as stopped; None: there was none, or it has
        self._thread = threading.Thread(target=self._run, name="recognizer", daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def notify(self) -> None:
        """There was input: run what is due."""
        with self._changed:
            self._silent_at = time.monotonic() + self.input_timeout_s
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
                while not (self._stopping or self._recognizer.due or self._silent):
                    wait_s = None if self._silent_at is None else max(0.0, self._silent_at - time.monotonic())
                    self._changed.wait(wait_s)
                stopping = self._stopping
                silent = self._silent and not self._recognizer.due
                if silent:
                    self._silent_at = None
            if stopping:
                break
            self._guarded(self._finish, True) if silent else self._guarded(self._step)
        give_up_at = time.monotonic() + _DRAIN_S
        while self._recognizer.due and time.monotonic() < give_up_at:
            self._guarded(self._step)
        self._guarded(self._finish, False)

    @property
    def _silent(self) -> bool:
        return self._silent_at is not None and time.monotonic() >= self._silent_at

    def _step(self) -> None:
        began = time.monotonic()
        step = self._recognizer.step()
        if step is not None:
            self._on_step(step, time.monotonic() - began)

    def _finish(self, input_stopped: bool) -> None:
        self._on_end(self._recognizer.finish(), input_stopped)

    def _guarded(self, function: Callable[..., None], *args: bool) -> None:
        try:
            function(*args)
        except Exception as error:  # one bad step must not silence the robot for good
            self._on_error(error)
