"""The last step to the listeners: every STARTED that was published is followed by exactly one ENDED, whatever fails.

An event counts as handed over once the publisher has taken it. What it has not taken waits and is tried again; an
ONGOING, which another one follows, is dropped instead. What is still open at the end is ended here, even if recognition
has lost it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from usdrl_ros.actions.events import Event, Phase

MAX_WAITING = 100
"""Actions with events that wait for a publisher that fails; beyond, the oldest that nobody has heard of is dropped."""


class Delivery:
    """Hands events over to a publisher. Thread-safe.

    Args:
        publish: Publishes an event; raises if it cannot.
        on_error: Takes what `publish` raised.
    """

    def __init__(self, publish: Callable[[Event], None], on_error: Callable[[Exception], None]) -> None:
        self._publish, self._on_error = publish, on_error
        self._lock = threading.RLock()
        self._open: dict[str, Event] = {}  # the newest event of each action that listeners believe to be running
        self._waiting: dict[str, list[Event]] = {}  # by event id: STARTED, ENDED, or both

    @property
    def open(self) -> int:
        """How many actions have a published STARTED and no published ENDED yet."""
        with self._lock:
            return len(self._open)

    def hand_over(self, events: Iterable[Event]) -> int:
        """Publish events; return how many were published, those included that had to wait until now."""
        with self._lock:
            published = self.retry()
            for event in events:
                queue = self._waiting.setdefault(event.event_id, [])
                if not queue:
                    queue.append(event)
                    published += self._send(event.event_id)
                elif event.phase != Phase.ONGOING:
                    queue.append(event)
            unheard = [event_id for event_id in self._waiting if event_id not in self._open]
            for event_id in unheard[: max(len(self._waiting) - MAX_WAITING, 0)]:
                del self._waiting[event_id]
            return published

    def retry(self) -> int:
        """Try again to publish what waits; return how many were published."""
        with self._lock:
            return sum(self._send(event_id) for event_id in list(self._waiting))

    def end_all(self) -> int:
        """End what is still open, with its last known values; return how many were published."""
        with self._lock:
            newest = {event_id: queue[-1] for event_id, queue in self._waiting.items()}
            running = [event for event in {**self._open, **newest}.values() if event.phase != Phase.ENDED]
            return self.hand_over(replace(event, phase=Phase.ENDED) for event in running)

    def _send(self, event_id: str) -> int:
        queue, published = self._waiting[event_id], 0
        while queue:
            event = queue[0]
            if (event.phase == Phase.STARTED) == (event_id in self._open):
                queue.pop(0)  # started already, or never: listeners must not hear of it
                continue
            try:
                self._publish(event)
            except Exception as error:
                self._on_error(error)
                if event.phase != Phase.ONGOING:
                    return published
                queue.pop(0)
                continue
            queue.pop(0)
            published += 1
            if event.phase == Phase.ENDED:
                del self._open[event_id]
            else:
                self._open[event_id] = event
        del self._waiting[event_id]
        return published
