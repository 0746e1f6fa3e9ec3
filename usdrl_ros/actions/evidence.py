"""Evidence for taught and for unknown actions, from the movements of each person.

The heads of a model judge a window frame by frame, but a taught action is known by its examples, which run from rest to
rest. So each movement in the window is cut out, stretched to a window of its own and run through the model beside the
windows of the step: once while it lasts and at last when it is over. What comes out holds for the frames of the
movement, and is remembered until it has left the window. Where nothing is taught and unknown actions are not asked
for, nothing is cut and nothing is run.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.actions.examples import cut
from usdrl_ros.actions.few_shot import FewShot
from usdrl_ros.actions.movement import Movement, find_movements
from usdrl_ros.skeleton.window import frame_times

SAME_MOVEMENT = 0.7
"""Two stretches of time whose overlap is at least this are one movement."""
LONGER = 1.8
"""A movement that lasts longer than this times the longest example is looked at piece by piece."""
SHORTER = 0.5
"""A movement is looked at once it has lasted this times the shortest example."""
USUAL_S = 2.0
"""How long a movement lasts where no example says."""
COUNTER_REACH_NS = 500_000_000
"""How far a counter-example reaches beyond a movement: the heads of a model go on for a moment."""
_FORGET_NS = 10_000_000_000


@dataclass(frozen=True)
class Cut:
    """A movement that is to be run through the model.

    Args:
        key: Of the subject.
        window: (T, M, 25, 3) the movement as a window, metres.
        start_ns, stop_ns: Of the movement.
        final: It is over.
    """

    key: Hashable
    window: np.ndarray
    start_ns: int
    stop_ns: int
    final: bool


@dataclass(frozen=True)
class Evidence:
    """What the movements of one subject say about the frames of a window.

    Args:
        taught: (T, G) probability of each taught action.
        counter: (T, C) probability that it is what a counter-example shows.
        unknown: (T,) probability that it is no action of the model's.
    """

    taught: np.ndarray
    counter: np.ndarray
    unknown: np.ndarray


@dataclass(frozen=True)
class _Answer:
    start_ns: int
    stop_ns: int
    final: bool
    taught: np.ndarray
    counter: np.ndarray
    unknown: float


class MovementReader:
    """Remembers what the movements of each subject have shown."""

    def __init__(self, few_shot: FewShot, durations: Sequence[float], frames: int, window_s: float) -> None:
        """Take what is taught.

        Args:
            few_shot: Taught actions and counter-examples, none of both for unknown actions alone.
            durations: Seconds of all examples.
            frames, window_s: Of the model's windows.
        """
        self.few_shot = few_shot
        self._frames, self._window_s = frames, window_s
        usual = sorted(durations) or [USUAL_S]
        self._shortest = SHORTER * usual[0]
        self._longest = min(LONGER * usual[-1], 0.9 * window_s)
        self._usual = min(float(np.median(usual)), 0.9 * window_s)
        self._times = frame_times(0.0, window_s, frames)
        self._answers: dict[Hashable, list[_Answer]] = {}
        self._seen_ns: dict[Hashable, int] = {}

    def cuts(self, keys: Sequence[Hashable], joints: np.ndarray, stamp_ns: int) -> list[Cut]:
        """The movements that are to be run at this step: of each subject the newest that is not known yet.

        Args:
            keys: (N,) of the subjects.
            joints: (N, T, M, 25, 3) their windows, metres, NaN where unseen.
            stamp_ns: At which the windows end.
        """
        found = []
        for key, window in zip(keys, joints, strict=True):
            if self._seen_ns.get(key, stamp_ns) > stamp_ns:  # the clock was set back
                self._answers.pop(key, None)
            self._seen_ns[key] = stamp_ns
            first_ns = stamp_ns - round(self._window_s * 1e9)
            self._answers[key] = [a for a in self._answers.get(key, ()) if a.stop_ns > first_ns]
            for movement in reversed(find_movements(self._times, window[:, 0])):
                piece = self._piece(movement)
                if piece is None or self._is_known(key, piece, stamp_ns):
                    continue
                own = np.full_like(window, np.nan)
                for person in range(window.shape[1]):
                    if np.isfinite(window[:, person]).any():
                        own[:, person] = cut(self._times, window[:, person], piece.start, piece.stop, self._frames)
                found.append(Cut(key, own, _at(piece.start, stamp_ns), _at(piece.stop, stamp_ns), final=piece.over))
                break
        for key in [key for key, seen_ns in self._seen_ns.items() if abs(stamp_ns - seen_ns) > _FORGET_NS]:
            self._seen_ns.pop(key)
            self._answers.pop(key, None)
        return found

    def take(
        self,
        cuts: Sequence[Cut],
        skeletons: np.ndarray,
        embedding: np.ndarray,
        action: np.ndarray,
        likeliest: np.ndarray,
    ) -> None:
        """Remember what the model says of cuts.

        Args:
            cuts: (n,) of `cuts`.
            skeletons: (n, 3, T, 25, M) that the model was given.
            embedding: (n, D) of the model.
            action: (n,) mean probability over the frames that there is any built-in action.
            likeliest: (n,) largest probability of the recognition head.
        """
        if not cuts:
            return
        statistics = self.few_shot.statistics
        features = statistics.features(embedding, skeletons)
        known = statistics.known_inputs(features, action, likeliest)
        taught, counter, unknown = self.few_shot.probabilities(features, known)
        for i, one in enumerate(cuts):
            answer = _Answer(one.start_ns, one.stop_ns, one.final, taught[i], counter[i], float(unknown[i]))
            kept = [a for a in self._answers.get(one.key, ()) if a.final or _overlap(a, one.start_ns, one.stop_ns) == 0]
            self._answers[one.key] = [*kept, answer]

    def evidence(self, key: Hashable, stamp_ns: int) -> Evidence:
        """What is known of the frames of the window that ends at a stamp."""
        times_ns = stamp_ns + np.round(self._times * 1e9).astype(np.int64)
        few_shot = self.few_shot
        taught = np.zeros((self._frames, len(few_shot.actions)), np.float32)
        counter = np.zeros((self._frames, len(few_shot.counter_actions)), np.float32)
        unknown = np.zeros(self._frames, np.float32)
        for answer in self._answers.get(key, ()):
            inside = (times_ns >= answer.start_ns) & (times_ns <= answer.stop_ns)
            taught[inside] = np.maximum(taught[inside], answer.taught)
            around = (times_ns >= answer.start_ns - COUNTER_REACH_NS) & (times_ns <= answer.stop_ns + COUNTER_REACH_NS)
            counter[around] = np.maximum(counter[around], answer.counter)
            unknown[inside] = np.maximum(unknown[inside], answer.unknown)
        total = taught.sum(1, keepdims=True)
        return Evidence(taught / np.maximum(total, 1.0), counter, unknown)

    def _piece(self, movement: Movement) -> Movement | None:
        """The part of a movement that is looked at; None: too short so far."""
        if movement.duration < self._shortest:
            return None
        if movement.duration <= self._longest:
            return movement
        start = movement.stop - self._usual
        return Movement(start, movement.stop, begun=False, over=True)

    def _is_known(self, key: Hashable, piece: Movement, stamp_ns: int) -> bool:
        start_ns, stop_ns = _at(piece.start, stamp_ns), _at(piece.stop, stamp_ns)
        return any(a.final and _overlap(a, start_ns, stop_ns) >= SAME_MOVEMENT for a in self._answers.get(key, ()))


def _at(seconds: float, stamp_ns: int) -> int:
    return stamp_ns + round(seconds * 1e9)


def _overlap(answer: _Answer, start_ns: int, stop_ns: int) -> float:
    """Intersection over union of two stretches of time."""
    shared = min(answer.stop_ns, stop_ns) - max(answer.start_ns, start_ns)
    return max(shared, 0) / max(max(answer.stop_ns, stop_ns) - min(answer.start_ns, start_ns), 1)
