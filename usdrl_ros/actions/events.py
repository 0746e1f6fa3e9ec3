"""From the posterior to events: an action starts, goes on, ends (hysteresis with two thresholds).

An action starts once there is evidence enough for it: its probability in excess of `start_threshold`, as a
share of the most that there can be, summed over time and never below 0, reaches `confirm_s` (Page's cumulative sum,
"Continuous inspection schemes", Biometrika 1954). What is certain starts after `confirm_s`; what is likely takes
longer. The sum runs over the posterior as it is now, so that a short action starts even if only later windows made it
clear.

An action reaches back and forth as far as the probability stays at `end_threshold` or above, gaps shorter than
`patience_s` bridged, and is ended once it has stayed below for that long. Rest ends it sooner: where background has
been at `rest_threshold` or above for `rest_s`, nothing is bridged, so that an action which is repeated after a short
rest is two events. Start and end are read from the posterior anew at every step, so that those of ENDED profit from the
windows that came later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from usdrl_ros.actions.timeline import Timeline
from usdrl_ros.settings import Settings

EVIDENCE_S = 10.0
"""Evidence older than this is forgotten."""


class Phase(IntEnum):
    """Stage of an event, as in `usdrl_ros/msg/ActionEvent`."""

    STARTED = 1
    ONGOING = 2
    ENDED = 3


@dataclass(frozen=True)
class Event:
    """One stage of one action of one person; the fields of `usdrl_ros/msg/ActionEvent`.

    Args:
        stamp_ns: Stamp of the newest skeleton used.
        frame_id: Frame of the skeletons.
        phase: STARTED, ONGOING or ENDED.
        event_id: Joins the stages of one action.
        person_id: Who acts.
        action: What.
        confidence: Mean probability over the event so far.
        start_ns, end_ns: From when, and the latest time it is known to last to.
        position: Pelvis (x, y, z) metres in `frame_id`; NaN if never seen.
        partner_id: With whom, where two people act together; "" for a person alone.
    """

    stamp_ns: int
    frame_id: str
    phase: Phase
    event_id: str
    person_id: str
    action: str
    confidence: float
    start_ns: int
    end_ns: int
    position: tuple[float, ...]
    partner_id: str = ""


@dataclass(frozen=True)
class DecoderSettings:
    """When an action starts and ends; probabilities 0 to 1, seconds. With `rest_s` 0, rest is not looked for.

    What decoding takes of `Settings`, and what those do not have: thresholds of single actions, which come from the
    choice of actions, and rest, which training compares.

    Args:
        thresholds: Action -> the `start_threshold` that it has of its own; `end_threshold` is never above it.
    """

    start_threshold: float
    end_threshold: float
    confirm_s: float
    patience_s: float
    ongoing_period_s: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    rest_threshold: float = 1.0
    rest_s: float = 0.0

    @classmethod
    def of(cls, settings: Settings, thresholds: Mapping[str, float] | None = None) -> DecoderSettings:
        """What recognition is set to, and the thresholds of single actions."""
        return cls(
            settings.start_threshold,
            settings.end_threshold,
            settings.confirm_s,
            settings.patience_s,
            settings.ongoing_period_s,
            thresholds or {},
        )

    def start(self, action: str) -> float:
        """The probability beyond which an action may start."""
        return self.thresholds.get(action, self.start_threshold)

    @property
    def lowest_start(self) -> float:
        """The lowest of all."""
        return min(self.start_threshold, *self.thresholds.values()) if self.thresholds else self.start_threshold

    def end(self, action: str) -> float:
        """The probability below which an action may end."""
        return min(self.end_threshold, self.start(action))


@dataclass(frozen=True)
class ActionState:
    """What the decoder says of one action: the part of an `Event` that does not depend on who acts where."""

    phase: Phase
    number: int
    action: str
    confidence: float
    start_ns: int
    end_ns: int


@dataclass
class _Running:
    number: int
    anchor: int  # the cell at which it was confirmed
    start: int
    stop: int
    reported_ns: int


class EventDecoder:
    """The actions of one person."""

    def __init__(self, actions: Sequence[str], settings: DecoderSettings, first_number: int = 0) -> None:
        """Take the K actions in the order of the posterior's classes after background."""
        self._actions, self._settings = tuple(actions), settings
        self._running: dict[int, _Running] = {}
        self._free_from = [-(2**62)] * len(actions)  # an action's next event begins after its last one
        self._next_number = first_number

    def change(self, settings: DecoderSettings) -> None:
        """Go on with other settings; what runs goes on."""
        self._settings = settings

    @property
    def started(self) -> int:
        """How many actions have started so far."""
        return self._next_number

    @property
    def running(self) -> tuple[str, ...]:
        """The actions that have started and not ended."""
        return tuple(self._actions[action] for action in tuple(self._running))  # a copy: `update` may run elsewhere

    def update(self, timeline: Timeline, now_ns: int) -> list[ActionState]:
        """Read the timeline after a step; `now_ns` is the stamp of the newest skeleton."""
        states = [self._follow(action, timeline, now_ns) for action in tuple(self._running)]
        states += [self._start(action, cell, timeline, now_ns) for action, cell in self._confirmed(timeline)]
        return [state for state in states if state is not None]

    def finish(self, timeline: Timeline, now_ns: int) -> list[ActionState]:
        """End all that is running: the person has gone, or the input has ended."""
        ended = []
        for action, running in self._running.items():
            probability = _history(timeline, action)
            self._measure(action, running, probability, timeline)
            ended.append(self._tell(Phase.ENDED, action, running, probability, timeline, now_ns))
        self._running.clear()
        return ended

    def change_actions(self, actions: Sequence[str], timeline: Timeline, now_ns: int) -> list[ActionState]:
        """Change the actions; those that run continue where they are still among them, and end where they are not.

        Args:
            actions: From now on; the timeline is to be changed to them afterwards.
            timeline: Still of the actions so far.
            now_ns: The stamp of the newest skeleton.
        """
        number = {action: i for i, action in enumerate(actions)}
        ended, running = [], {}
        for action, state in self._running.items():
            if (name := self._actions[action]) in number:
                running[number[name]] = state
                continue
            probability = _history(timeline, action)
            self._measure(action, state, probability, timeline)
            ended.append(self._tell(Phase.ENDED, action, state, probability, timeline, now_ns))
        free_from = dict(zip(self._actions, self._free_from, strict=True))
        self._free_from = [free_from.get(action, timeline.stop) for action in actions]  # a new one begins from now on
        self._actions, self._running = tuple(actions), running
        return ended

    def _confirmed(self, timeline: Timeline) -> list[tuple[int, int]]:
        """The actions that there is evidence enough for, and the cell up to which there is most."""
        confirm_s = self._settings.confirm_s
        first = max(timeline.first, timeline.stop - round(EVIDENCE_S * 1e9 / timeline.cell_ns))
        found = []
        # Elsewhere evidence is what it was.
        for action in (number - 1 for number in timeline.newly_reached(self._settings.lowest_start)):
            if action < 0 or action in self._running:
                continue
            threshold = self._settings.start(self._actions[action])
            since = max(self._free_from[action], first)
            own = timeline.posterior(since, timeline.stop, action + 1)
            up = (own >= threshold).nonzero()[0]
            if not len(up):  # it was in what has ended
                continue
            sums = np.add.accumulate((own - threshold) / max(1.0 - threshold, 1e-9))
            evidence_s = (sums - np.minimum(np.minimum.accumulate(sums), 0.0)) * (timeline.cell_ns / 1e9)
            best = int(up[-1 - int(evidence_s[up][::-1].argmax())])  # of equals the newest
            if evidence_s[best] >= confirm_s:
                found.append((action, since + best))
        return found

    def _start(self, action: int, anchor: int, timeline: Timeline, now_ns: int) -> ActionState | None:
        probability = _history(timeline, action)
        running = _Running(self._next_number, anchor, anchor, anchor + 1, now_ns)
        if not self._measure(action, running, probability, timeline):
            return None
        self._next_number += 1
        self._running[action] = running
        return self._tell(Phase.STARTED, action, running, probability, timeline, now_ns)

    def _follow(self, action: int, timeline: Timeline, now_ns: int) -> ActionState | None:
        running, probability = self._running[action], _history(timeline, action)
        self._measure(action, running, probability, timeline)
        if timeline.stop - running.stop >= self._patience(timeline) or self._rest(timeline, running.stop).any():
            del self._running[action]
            self._free_from[action] = running.stop
            return self._tell(Phase.ENDED, action, running, probability, timeline, now_ns)
        if now_ns - running.reported_ns >= self._settings.ongoing_period_s * 1e9:
            running.reported_ns = now_ns
            return self._tell(Phase.ONGOING, action, running, probability, timeline, now_ns)
        return None

    def _measure(self, action: int, running: _Running, probability: np.ndarray, timeline: Timeline) -> bool:
        """Set start and stop to the stretch around the anchor where the probability stays up; false: there is none."""
        begin = max(timeline.first, self._free_from[action])
        rest = self._rest(timeline, begin)
        end = self._settings.end(self._actions[action])
        up = ((probability[begin - timeline.first :] >= end) & ~rest).nonzero()[0]
        patience = self._patience(timeline)
        rested = np.add.accumulate(rest)[up]
        breaks = ((up[1:] - up[:-1] - 1 >= patience) | (rested[1:] > rested[:-1])).nonzero()[0].tolist()
        up += begin
        stretches = zip([0, *(i + 1 for i in breaks)], [*breaks, len(up) - 1], strict=True) if len(up) else ()
        # What history has forgotten, stays.
        known_start = running.start if running.start < begin else running.anchor
        known_stop = max(running.anchor + 1, min(running.stop, begin))
        for i, j in stretches:
            start, last = int(up[i]), int(up[j])
            if start - patience < known_stop < last + 1 + patience:
                running.start, running.stop = min(start, known_start), last + 1
                return True
        running.start, running.stop = known_start, known_stop
        return False

    def _rest(self, timeline: Timeline, begin: int) -> np.ndarray:
        """Which cells from `begin` on are in a rest that is long enough: (timeline.stop - begin,)."""
        begin = max(begin, timeline.first)
        count = max(timeline.stop - begin, 0)
        least = round(self._settings.rest_s * 1e9 / timeline.cell_ns)
        rest = np.zeros(count, bool)
        if not least or not count:
            return rest
        resting = timeline.posterior(begin, timeline.stop, 0) >= self._settings.rest_threshold
        edges = np.flatnonzero(np.diff(np.concatenate([[False], resting, [False]])))
        for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            rest[first:stop] = stop - first >= least
        return rest

    def _patience(self, timeline: Timeline) -> float:
        """Cells that the probability must stay below before an action ends: one at least."""
        return max(self._settings.patience_s * 1e9 / timeline.cell_ns, 1.0)

    def _tell(
        self, phase: Phase, action: int, running: _Running, probability: np.ndarray, timeline: Timeline, now_ns: int
    ) -> ActionState:
        inside = probability[max(running.start - timeline.first, 0) : max(running.stop - timeline.first, 0)]
        confidence = float(inside.mean()) if len(inside) else 0.0
        end_ns = min(running.stop * timeline.cell_ns, now_ns)
        start_ns = min(running.start * timeline.cell_ns, end_ns)
        return ActionState(phase, running.number, self._actions[action], confidence, start_ns, end_ns)


def _history(timeline: Timeline, action: int) -> np.ndarray:
    """The probability of one action in all cells that are kept."""
    return timeline.posterior(timeline.first, timeline.stop, action + 1)
