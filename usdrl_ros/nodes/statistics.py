"""What the perception node measures of its input and of its own speed, over the last seconds."""

from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np

from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Person

WINDOW_S = 5.0
"""Seconds over which the input is measured."""
_STEPS = 600
"""Steps over which the speed is measured: a minute at 10 Hz."""
_JOINTS_PERIOD_S = 0.1
"""Least time between two looks at the joints: measuring each message would cost too much."""
PLAUSIBLE_AGE_S = (-0.1, 5.0)
"""Stamps older or newer than this do not come from the node's clock; their age is no latency."""

CLOCK_JUMP_NS = 10**9
"""Stamps that go back by more are of a clock that was set back; by less, of another camera."""


class Statistics:
    """Measures; each method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._arrivals: deque[float] = deque()
            self._ages: deque[tuple[float, float]] = deque()
            self._joints: deque[tuple[float, float, float]] = deque()
            self._waiting: deque[tuple[int, float]] = deque(maxlen=1000)
            self._durations: deque[float] = deque(maxlen=_STEPS)
            self._latencies: deque[float] = deque(maxlen=_STEPS)

    def message(self, stamp_ns: int, age_s: float | None) -> None:
        """A message came; `age_s` is how old its stamp was, by the node's clock; None if that has no time yet."""
        now = time.monotonic()
        with self._lock:
            self._arrivals.append(now)
            if age_s is not None:
                self._ages.append((now, age_s))
            if self._waiting and stamp_ns < self._waiting[-1][0] - CLOCK_JUMP_NS:
                self._waiting.clear()
            self._waiting.append((stamp_ns, now))

    def people(self, people: list[Person]) -> None:
        """The people of a message in NTU-25; unseen and derived joints are counted in some of the messages."""
        now = time.monotonic()
        if not people or (self._joints and now - self._joints[-1][0] < _JOINTS_PERIOD_S):
            return
        unseen, derived = np.mean([_shares(person) for person in people], axis=0)
        with self._lock:
            self._joints.append((now, float(unseen), float(derived)))

    def step(self, stamp_ns: int, duration_s: float) -> float | None:
        """A step up to a stamp has been published; gives its latency in seconds, from the stamp on.

        Where stamps are of another clock than the node's, the latency counts from when the message came.
        """
        now = time.monotonic()
        age_s = self.age_s
        with self._lock:
            self._durations.append(duration_s)
            # Messages of several cameras are not in the order of their stamps.
            came_at = max((at for stamp, at in self._waiting if stamp <= stamp_ns), default=None)
            if came_at is None:
                return None
            later = [waiting for waiting in self._waiting if waiting[0] > stamp_ns]
            self._waiting.clear()
            self._waiting.extend(later)
            latency_s = now - came_at + (max(age_s, 0.0) if age_s is not None and plausible(age_s) else 0.0)
            self._latencies.append(latency_s)
            return latency_s

    @property
    def rate_hz(self) -> float:
        """Messages a second."""
        with self._lock:
            _forget(self._arrivals, time.monotonic() - WINDOW_S)
            if len(self._arrivals) < 2 or self._arrivals[-1] == self._arrivals[0]:
                return 0.0
            return (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])

    @property
    def age_s(self) -> float | None:
        """Median age of the stamps when they came; None if nothing came."""
        with self._lock:
            _forget(self._ages, time.monotonic() - WINDOW_S)
            return float(np.median([age_s for _, age_s in self._ages])) if self._ages else None

    @property
    def unseen(self) -> float | None:
        """Share of the 25 joints that are unseen; None if nobody is there."""
        return self._share(1)

    @property
    def derived(self) -> float | None:
        """Share of the 25 joints that are estimated from others; None if nobody is there."""
        return self._share(2)

    def _share(self, column: int) -> float | None:
        with self._lock:
            _forget(self._joints, time.monotonic() - WINDOW_S)
            return float(np.mean([sample[column] for sample in self._joints])) if self._joints else None

    def values(self) -> dict[str, str]:
        """All values, as /diagnostics shows them."""
        with self._lock:
            durations, latencies = list(self._durations), list(self._latencies)
        values = {"input rate Hz": f"{self.rate_hz:.1f}"}
        if (age_s := self.age_s) is not None:
            values["stamp age ms"] = f"{age_s * 1e3:.0f}"
        for name, share in (("unseen joints %", self.unseen), ("derived joints %", self.derived)):
            if share is not None:
                values[name] = f"{share * 100:.0f}"
        for name, seconds in (("step ms", durations), ("latency ms", latencies)):
            if seconds:
                for percent in (50, 99):
                    values[f"{name} p{percent}"] = f"{np.percentile(seconds, percent) * 1e3:.1f}"
        return values


def plausible(age_s: float) -> bool:
    """Whether stamps of this age can come from the node's clock."""
    return PLAUSIBLE_AGE_S[0] <= age_s <= PLAUSIBLE_AGE_S[1]


def _shares(person: Person) -> tuple[float, float]:
    """Shares of the joints that are unseen, and that are derived from others in the layout in which the person came."""
    seen = np.isfinite(person.joints).all(-1)
    derived = load_layout(person.source_layout or person.layout).derived
    return 1.0 - float(seen.mean()), float((seen & derived).mean())


def _forget(samples: deque, before: float) -> None:
    while samples and (samples[0][0] if isinstance(samples[0], tuple) else samples[0]) < before:
        samples.popleft()
