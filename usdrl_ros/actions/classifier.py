"""From the outputs of a model to probabilities of the actions in use.

`Recognizer` asks a classifier at each step. The actions in use need not be those of the model: the user chooses
among them and renames them (`choice`), teaches others (`few_shot`, `evidence`), and may ask for what is unknown. All
of it may change while the robot runs, so each posterior names the actions that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.actions.choice import UNKNOWN, Choice, ChoiceError
from usdrl_ros.actions.evidence import Evidence, MovementReader

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
"""Runs windows (N, T, M, 25, 3) through a model: the skeletons that it was given (N, 3, T, 25, M), its detection logits
(N, T, K+1), recognition logits (N, K) and embedding (N, D)."""


@dataclass(frozen=True)
class Posterior:
    """Probabilities for N windows of T frames, over the K' actions in use.

    Args:
        actions: K' names, in the order of the arrays.
        detection: (N, T, K'+1) probabilities in each frame, background first; each row sums to 1.
        recognition: (N, K') probabilities if the window shows exactly one action; each row sums to 1.
    """

    actions: tuple[str, ...]
    detection: np.ndarray
    recognition: np.ndarray


@dataclass(frozen=True)
class _Plan:
    """What a classifier does, worked out once; replaced whole when something changes.

    Args:
        choice: Of the user.
        reader: What is taught; None: nothing, and unknown actions are not asked for.
        kept: (K,) which of the model's actions are in use.
        taught: Which of the reader's actions are in use, their numbers.
        actions: K' names that are reported.
        columns: (K + G' + 1,) the column of each action of the model, of each taught action in use and of `unknown`
            among the reported ones; -1 where it is not in use.
        counters: Of each counter-example, the column of its action; -1 where that is not in use.
    """

    choice: Choice
    reader: MovementReader | None
    kept: np.ndarray
    taught: tuple[int, ...]
    actions: tuple[str, ...]
    columns: np.ndarray
    counters: tuple[int, ...]

    @property
    def plain(self) -> bool:
        """The actions of the model, as they are."""
        return self.reader is None and bool(self.kept.all()) and not self.choice.names


class Classifier:
    """Turns model outputs into a posterior. Changes may come from any thread; they hold from the next step on."""

    def __init__(
        self, actions: Sequence[str], choice: Choice | None = None, reader: MovementReader | None = None
    ) -> None:
        """Take the names of the model's K actions, in its order; by default all are in use, and nothing is taught.

        Raises:
            ChoiceError: The choice names what there is not.
        """
        self._actions = tuple(actions)
        self._plan = self._make_plan(choice or Choice(), reader)

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions in use, as they are reported, in the order of the posterior."""
        return self._plan.actions

    @property
    def taught(self) -> tuple[str, ...]:
        """The taught actions, in use or not."""
        return self._plan.reader.few_shot.actions if self._plan.reader else ()

    @property
    def known(self) -> tuple[str, ...]:
        """All actions that one can choose from: the model's, then the taught ones."""
        return self._actions + tuple(a for a in self.taught if a not in self._actions)

    @property
    def choice(self) -> Choice:
        """What is in use."""
        return self._plan.choice

    @property
    def thresholds(self) -> dict[str, float]:
        """The `start_threshold` of actions that have one of their own, by the names that are reported."""
        return self._plan.choice.reported_thresholds()

    def change(self, choice: Choice, reader: MovementReader | None) -> None:
        """Use another choice and other taught actions.

        Raises:
            ChoiceError: The choice names what there is not; nothing has changed.
        """
        self._plan = self._make_plan(choice, reader)

    def read(self, keys: Sequence[Hashable], joints: np.ndarray, stamp_ns: int, run: Run) -> Posterior:
        """Run the windows of a step, and movements in them where that is needed.

        Args:
            keys: (N,) of the subjects.
            joints: (N, T, M, 25, 3) their windows, metres, NaN where unseen.
            stamp_ns: At which the windows end.
            run: The model.
        """
        plan, count = self._plan, len(joints)
        if plan.reader is None:
            _, detection, recognition, embedding = run(joints)
            return self.classify(detection, recognition, embedding)
        cuts = plan.reader.cuts(keys, joints, stamp_ns)
        skeletons, detection, recognition, embedding = run(np.stack([*joints, *(one.window for one in cuts)]))
        if cuts:
            present = softmax(np.array(detection[count:]))[..., 1:][..., plan.kept].sum(-1).mean(1)
            chosen = np.array(recognition[count:])
            chosen[:, ~plan.kept] = -np.inf
            likeliest = softmax(chosen).max(1) if plan.kept.any() else np.zeros(len(cuts))
            plan.reader.take(cuts, skeletons[count:], embedding[count:], present, likeliest)
        evidence = [plan.reader.evidence(key, stamp_ns) for key in keys]
        return self._posterior(plan, detection[:count], recognition[:count], evidence)

    def classify(self, detection: np.ndarray, recognition: np.ndarray, embedding: np.ndarray) -> Posterior:
        """The posterior of N windows by the heads alone.

        Args:
            detection: (N, T, K+1) logits of each frame, background first.
            recognition: (N, K) logits of each window.
            embedding: (N, D) features of each window; the heads do not need them.
        """
        return self._posterior(self._plan, detection, recognition, [])

    def _posterior(
        self, plan: _Plan, detection: np.ndarray, recognition: np.ndarray, evidence: Sequence[Evidence]
    ) -> Posterior:
        frames, whole = softmax(detection), softmax(recognition)
        if plan.plain:
            return Posterior(plan.actions, frames, whole)
        count, model = len(plan.actions), len(self._actions)
        frames, left_out = without(frames, plan.kept)
        reported = np.zeros((*frames.shape[:2], count + 1), np.float32)
        reported[..., 0] = frames[..., 0]
        for number in np.flatnonzero(plan.kept):
            reported[..., plan.columns[number] + 1] += frames[..., number + 1]
        by_window = np.zeros((len(whole), count), np.float32)
        for number in np.flatnonzero(plan.kept):
            by_window[:, plan.columns[number]] += whole[:, number]
        if plan.choice.unknown:  # what is left out is done, and is none of the actions in use
            reported[..., 0] -= left_out
            reported[..., plan.columns[-1] + 1] += left_out
        for i, own in enumerate(evidence):
            self._weigh(plan, reported[i], own)
            for k, one in enumerate(plan.taught):
                by_window[i, plan.columns[model + k]] += own.taught[:, one].max(initial=0.0)
        total = by_window.sum(1, keepdims=True)
        by_window = np.divide(by_window, total, out=np.full_like(by_window, 1.0 / max(count, 1)), where=total > 0)
        return Posterior(plan.actions, reported, by_window)

    def _weigh(self, plan: _Plan, reported: np.ndarray, own: Evidence) -> None:
        """Weigh the evidence of movements into the frames of one window (T, K'+1), in place."""
        for column, share in zip(plan.counters, own.counter.T, strict=True):
            if column >= 0:
                quietened = reported[:, column + 1] * share
                reported[:, column + 1] -= quietened
                reported[:, 0] += quietened
        taught = own.taught[:, plan.taught]
        if plan.choice.unknown:
            acting = np.maximum(own.unknown - taught.sum(1), 0.0)
            reported *= (1.0 - acting)[:, None]
            reported[:, plan.columns[-1] + 1] += acting
        reported *= (1.0 - taught.sum(1))[:, None]
        for k in range(len(plan.taught)):
            reported[:, plan.columns[len(self._actions) + k] + 1] += taught[:, k]

    def _make_plan(self, choice: Choice, reader: MovementReader | None) -> _Plan:
        model = self._actions
        taught = reader.few_shot.actions if reader else ()
        if clash := sorted(set(taught) & set(model)):
            raise ChoiceError(f"{', '.join(clash)} is taught and is an action of the model: rename the taught one")
        known = (*model, *taught)
        choice.check(known)
        in_use = choice.in_use(known)
        if not in_use and not choice.unknown:
            raise ChoiceError("no action is in use: enable one")
        if choice.unknown and reader is None:
            raise ChoiceError("unknown actions cannot be recognised as such: the model has no .teaching.npz beside it")
        names = [choice.reported(action) for action in in_use]
        names += [choice.reported(UNKNOWN)] if choice.unknown else []
        actions = tuple(dict.fromkeys(names))
        column = {action: actions.index(choice.reported(action)) for action in in_use}
        kept = np.array([action in column for action in model], bool)
        numbers = tuple(i for i, action in enumerate(taught) if action in column)
        columns = [column.get(action, -1) for action in model]
        columns += [column[taught[i]] for i in numbers]
        columns.append(actions.index(choice.reported(UNKNOWN)) if choice.unknown else -1)
        counters = tuple(column.get(a, -1) for a in reader.few_shot.counter_actions) if reader else ()
        return _Plan(choice, reader, kept, numbers, actions, np.array(columns), counters)


def without(probabilities: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take actions out of a posterior, so that they neither become others nor hide others.

    What was given to the actions that are left out goes to the others in proportion, as far as one of these was a rival
    of theirs, and to the background for the rest. Had they all of it, a wave that is left out would become whatever
    comes next; had they nothing, an action that competed with a wave would stay unseen.

    Args:
        probabilities: (..., K+1), background first.
        kept: (K,) which actions stay.

    Returns:
        (..., K+1) with 0 for those left out; and (...), the share that went to the background.
    """
    mask = np.r_[True, kept]
    out = np.where(mask, probabilities, 0.0)
    lost = np.where(mask, 0.0, probabilities).sum(-1)
    rival = np.where(mask[1:], probabilities[..., 1:], 0.0).max(-1, initial=0.0)
    given = lost * rival / np.maximum(rival + lost, 1e-9)
    total = out.sum(-1)
    out *= (1.0 + given / np.maximum(total, 1e-9))[..., None]
    rest = np.where(total > 1e-9, lost - given, lost)
    out[..., 0] += rest
    return out, rest


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(-1, keepdims=True)
    return shifted
