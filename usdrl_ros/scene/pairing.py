"""Who acts with whom: two people near each other are one subject for the actions that two people do together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usdrl_ros.scene.subject import Subject
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.person import Person

INTERACTIONS = frozenset({"hug", "shake_hands", "hand_over", "push", "kick", "punch", "approach", "depart"})
"""Actions that two people near each other do together; a person alone may do some of them, too."""
BEGIN_M, END_M = 1.2, 1.6
"""Two people become a pair when they are nearer than the first, and part when they are farther than the second."""
_TRUNK = [NTU_25.index(name) for name in ("SpineBase", "SpineMid", "SpineShoulder")]


class Pairing:
    """Follows who is near whom; each person is of one pair at most.

    Args:
        interactions: The actions of pairs.
    """

    def __init__(self, interactions: frozenset[str] = INTERACTIONS) -> None:
        self.interactions = interactions
        self._pairs: set[tuple[str, str]] = set()

    def subjects(self, people: Sequence[Person], updated: frozenset[str], actions: Sequence[str]) -> list[Subject]:
        """The people who have new joints, alone and in pairs.

        Args:
            people: Of the scene, in NTU-25.
            updated: Ids of those with new joints.
            actions: All actions of the model.
        """
        self._pair(people)
        joints = {person.person_id: person.joints for person in people}
        together = frozenset(actions) & self.interactions
        paired = {name for pair in self._pairs for name in pair}
        subjects = [
            Subject((name,), own[None], excluded=together if name in paired else frozenset())
            for name, own in joints.items()
            if name in updated
        ]
        for pair in sorted(self._pairs):
            if updated & set(pair):
                excluded = frozenset(actions) - together
                subjects.append(Subject(pair, np.stack([joints[name] for name in pair]), excluded=excluded))
        return subjects

    def _pair(self, people: Sequence[Person]) -> None:
        """Choose the pairs: the nearest first; who is of a pair stays in it."""
        places = {}
        for person in people:
            seen = person.joints[_TRUNK][np.isfinite(person.joints[_TRUNK]).all(-1)]
            if len(seen):
                places[person.person_id] = seen.mean(0)
        names = sorted(places)
        near = []
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                apart = float(np.linalg.norm(places[one] - places[other]))
                known = (one, other) in self._pairs
                if apart < (END_M if known else BEGIN_M):
                    near.append((not known, apart, (one, other)))
        self._pairs = set()
        taken: set[str] = set()
        for _, _, pair in sorted(near):
            if not taken & set(pair):
                taken.update(pair)
                self._pairs.add(pair)
