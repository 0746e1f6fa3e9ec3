"""Teach actions of one's own by a few examples: from recordings or live, without ROS and without training.

    teacher = Teacher(engine, model_path, Gallery())
    teacher.teach("beckon_left", [example_of(stamps, joints) for stamps, joints in recordings])
    classifier.change(choice, teacher.reader())

An example runs from rest to rest: its start and end are found by how the person moves (`actions.movement`), unless they
are given. What cannot be a lesson is refused with the reason: nobody there, no movement, too short, examples that have
nothing in common, a name that is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from usdrl_ros.actions.choice import GROUPS, UNKNOWN
from usdrl_ros.actions.classifier import softmax
from usdrl_ros.actions.evidence import MovementReader
from usdrl_ros.actions.examples import TAUGHT_VARIANTS, as_input, cut, variant
from usdrl_ros.actions.few_shot import FewShot, Statistics, TeachingError, statistics_path
from usdrl_ros.actions.gallery import MOST_EXAMPLES, Gallery, TaughtAction, check_name
from usdrl_ros.actions.movement import find_movements
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.model_file import read_model_file

SHORTEST_S, LONGEST_S = 0.4, 20.0
"""Of an example."""
LEAST_SIMILAR = 0.35
"""Examples whose mean similarity to the others is less than this show something else; 1.5 is the same clip twice.
On UTD-MHAD 2 % of the examples of one action by one person are below, and 97 % of those of another action."""
_RESAMPLED_HZ = 15.0


@dataclass(frozen=True)
class Example:
    """One example of an action.

    Args:
        window: (T, 25, 3) from its start to its end, metres, NaN where unseen.
        duration_s: Seconds.
    """

    window: np.ndarray
    duration_s: float


@dataclass(frozen=True)
class Report:
    """What came of a lesson.

    Args:
        action: What was learned.
        similarity: Mean similarity of the examples to each other, 0 to 1; 1 for a single one.
        resembles: The built-in action that the examples look most like to the model.
        resemblance: How likely the model takes them for it, 0 to 1.
    """

    action: TaughtAction
    similarity: float
    resembles: str
    resemblance: float


def example_of(
    stamps: np.ndarray, joints: np.ndarray, frames: int = 64, *, start: float | None = None, stop: float | None = None
) -> Example:
    """Cut an example out of a recording of one person.

    Args:
        stamps: (n,) seconds, strictly increasing.
        joints: (n, 25, 3) metres in NTU-25, NaN where unseen.
        frames: Of the model's windows.
        start, stop: Seconds, where they are known; else those of the longest movement.

    Raises:
        TeachingError: There is no example in it.
    """
    if len(stamps) < 2 or not np.isfinite(joints).any():
        raise TeachingError("nobody is seen in the example: stand where the camera sees the whole body")
    if start is None or stop is None:
        times = np.arange(stamps[0], stamps[-1], 1.0 / _RESAMPLED_HZ)
        movements = find_movements(times, cut_at(stamps, joints, times))
        if not movements:
            raise TeachingError(
                f"nobody moves in the example of {stamps[-1] - stamps[0]:.1f} s: act once, with rest before and after"
            )
        longest = max(movements, key=lambda movement: movement.duration)
        start, stop = longest.start, longest.stop
    duration = stop - start
    if duration < SHORTEST_S:
        raise TeachingError(f"the example lasts {duration:.2f} s, at least {SHORTEST_S} s are needed: act more slowly")
    if duration > LONGEST_S:
        raise TeachingError(
            f"the example lasts {duration:.1f} s, at most {LONGEST_S:.0f} s are allowed: rest before and after it"
        )
    inside = (stamps >= start) & (stamps <= stop)
    seen = np.isfinite(joints[inside]).all(-1).any(-1)
    if not len(seen) or seen.mean() < 0.5:
        raise TeachingError(f"the person is seen in {100 * seen.mean() if len(seen) else 0:.0f} % of the example only")
    return Example(cut(stamps, joints, start, stop, frames).astype(np.float32), duration)


def cut_at(stamps: np.ndarray, joints: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Joints at evenly spaced times, (T, 25, 3)."""
    step = times[1] - times[0] if len(times) > 1 else 1.0 / _RESAMPLED_HZ
    return cut(stamps, joints, times[0] - step / 2, times[-1] + step / 2, len(times))


class Teacher:
    """Knows a model, what it needs to be taught, and a gallery. Not for several threads at once."""

    def __init__(self, engine: Engine, model: Path, gallery: Gallery) -> None:
        """Take a loaded engine, its model file and a gallery.

        Raises:
            TeachingError: The file beside the model that teaching needs is missing or damaged.
        """
        self.gallery = gallery
        self._engine = engine
        self._sha256 = read_model_file(model).sha256()
        self.statistics = Statistics.load(statistics_path(model), self._sha256)

    @property
    def frames(self) -> int:
        """Of the model's windows."""
        return self._engine.info.frames

    def teach(
        self,
        name: str,
        examples: Sequence[Example],
        *,
        taught_by: str = "",
        counter_to: str = "",
        both_sides: bool = False,
        replace_existing: bool = False,
    ) -> Report:
        """Learn an action, or what is none, and save it to the gallery.

        Args:
            name: Of the action; of the counter-examples, where `counter_to` is given.
            examples: One at least; with several it is noticed if one shows something else.
            taught_by: Who showed it.
            counter_to: The action, built-in or taught, that the examples are not.
            both_sides: Learn the mirrored action as the same one.
            replace_existing: Replace an action of the name.

        Raises:
            TeachingError: The name cannot be used, or the examples have nothing in common. Nothing has been saved.
        """
        self.check_name(name, counter_to, replace_existing)
        if not 1 <= len(examples) <= MOST_EXAMPLES:
            raise TeachingError(f"there are {len(examples)} examples, 1 to {MOST_EXAMPLES} are needed")
        windows = np.stack([example.window for example in examples]).astype(np.float32)
        durations = np.array([example.duration_s for example in examples], np.float32)
        if both_sides:
            windows = np.concatenate([windows, variant(windows, "mirrored")])
            durations = np.concatenate([durations, durations])
        features, recognition = self._run(windows)
        similarity = _check_agreement(name, features[: len(examples), 0])
        action = TaughtAction(
            name, windows, durations, features, self._sha256, self._engine.info.name, taught_by, _now(), counter_to
        )
        self.gallery.save(action, replace_existing=replace_existing)
        likely = softmax(recognition[: len(examples)]).mean(0)
        best = int(likely.argmax())
        return Report(action, similarity, self._engine.info.actions[best], float(likely[best]))

    def reader(self) -> tuple[MovementReader, list[str]]:
        """What recognition needs of the gallery, and what of it cannot be used and why.

        Examples of another model are run through this one; their files stay as they are.
        """
        actions, faults = self.gallery.load_all()
        usable: list[TaughtAction] = []
        for action in actions:
            if action.name in self._engine.info.actions and not action.counter_to:
                faults.append(
                    f"the taught action '{action.name}' is left out: the model has one of this name; rename it"
                )
            else:
                usable.append(self._made_ready(action))
        taught = [action for action in usable if not action.counter_to]
        counters = [action for action in usable if action.counter_to]
        few_shot = few_shot_of(self.statistics, taught, counters)
        durations = [float(x) for action in usable for x in action.durations]
        return MovementReader(few_shot, durations, self._engine.info.frames, self._engine.info.window_s), faults

    def _made_ready(self, action: TaughtAction) -> TaughtAction:
        """The action with this model's features."""
        whole = self.statistics.mean.shape[0] + self.statistics.pose_mean.shape[0]
        if action.model == self._sha256 and action.features.shape[1:] == (len(TAUGHT_VARIANTS), whole):
            return action
        features, _ = self._run(_at_length(action.windows, self._engine.info.frames))
        return replace(action, features=features, model=self._sha256)

    def _run(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (E, V, F) of examples (E, T, 25, 3) and their variants, and recognition logits (E, K)."""
        varied = np.stack([variant(windows, name) for name in TAUGHT_VARIANTS], 1)
        skeletons = as_input(varied.reshape(-1, *windows.shape[1:]), self._engine.info.people)
        out = self._engine.infer(skeletons)
        features = self.statistics.features(out.embedding, skeletons)
        shape = (len(windows), len(TAUGHT_VARIANTS))
        return features.reshape(*shape, -1), out.recognition.reshape(*shape, -1)[:, 0]

    def check_name(self, name: str, counter_to: str, replace_existing: bool) -> None:
        """Refuse names that cannot be used, before anybody shows anything.

        Raises:
            TeachingError: See `teach`.
        """
        check_name(name)
        known = self._engine.info.actions
        if counter_to and counter_to not in known and counter_to not in self.gallery:
            raise TeachingError(f"'{counter_to}' is no action; there are {', '.join((*known, *self.gallery.names()))}")
        if name in known:
            raise TeachingError(f"'{name}' is an action of the model '{self._engine.info.name}': choose another name")
        if name in GROUPS or name == UNKNOWN:
            raise TeachingError(f"'{name}' has a meaning of its own: choose another name")
        if name in self.gallery and not replace_existing:
            raise TeachingError(
                f"the gallery {self.gallery.directory} holds an action '{name}': choose another name, or replace it"
            )


def few_shot_of(statistics: Statistics, taught: Sequence[TaughtAction], counters: Sequence[TaughtAction]) -> FewShot:
    """Prototypes of taught actions, one of each, and of counter-examples, one of each example."""
    width = len(statistics.mean) + len(statistics.pose_mean)
    empty = np.zeros((0, width), np.float32)
    prototypes = [statistics.prototype(action.features.reshape(-1, width)) for action in taught]
    examples = [(a.counter_to, statistics.prototype(own)) for a in counters for own in a.features]
    return FewShot(
        statistics,
        tuple(action.name for action in taught),
        np.stack(prototypes) if prototypes else empty,
        np.arange(len(prototypes)),
        tuple(name for name, _ in examples),
        np.stack([prototype for _, prototype in examples]) if examples else empty,
    )


def _check_agreement(name: str, features: np.ndarray) -> float:
    """Mean similarity of examples (E, F) to each other as a share of the most.

    Raises:
        TeachingError: Some show something else than the others.
    """
    if len(features) < 2:
        return 1.0
    similar = features @ features.T
    most = float(np.diag(similar).mean())
    to_others = (similar.sum(1) - np.diag(similar)) / (len(features) - 1)
    if len(features) == 2 and to_others[0] < LEAST_SIMILAR:
        raise TeachingError(f"the two examples of '{name}' have nothing in common: show the same action twice")
    odd = np.flatnonzero(to_others < LEAST_SIMILAR)
    if len(odd) * 2 >= len(features):
        raise TeachingError(
            f"the {len(features)} examples of '{name}' have little in common: show one action each time"
        )
    if len(odd):
        numbers = ", ".join(str(i + 1) for i in odd)
        raise TeachingError(f"example {numbers} of {len(features)} shows something else than the others: show it again")
    return float(np.clip(to_others.mean() / most, 0.0, 1.0))


def _at_length(windows: np.ndarray, frames: int) -> np.ndarray:
    """Windows (E, T, 25, 3) with another number of frames."""
    if windows.shape[1] == frames:
        return windows
    steps = np.arange(windows.shape[1], dtype=float)
    return np.stack([cut(steps, window, -0.5, len(steps) - 0.5, frames) for window in windows]).astype(np.float32)


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")
