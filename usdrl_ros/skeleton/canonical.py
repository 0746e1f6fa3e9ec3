"""The people of one message in the joints of the model: NTU-25, NaN where unseen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from usdrl_ros.problems import Problem, person_name
from usdrl_ros.skeleton.layouts import LayoutError, load_layout
from usdrl_ros.skeleton.person import Frame, Person

FARTHEST_M = 1e6
"""Joints farther away are no positions; numbers far beyond would overflow in the model."""


def to_ntu25(frame: Frame, least_confidence: float = 0.0) -> Frame:
    """The frame with all people in NTU-25: joints (25, 3), NaN where unseen, and confidence (25,).

    People who cannot be used are left out, and reported in the problems of the frame that is returned.

    Args:
        frame: People, each in a layout of their own.
        least_confidence: Joints of less confidence count as unseen.
    """
    people = frame.people
    groups = defaultdict(list)
    for i, person in enumerate(people):
        confidence = person.confidence
        groups[person.layout, person.joints.shape, None if confidence is None else confidence.shape].append(i)
    converted: list[Person | None] = [None] * len(people)
    problems: list[list[Problem]] = [[] for _ in people]
    for group in groups.values():
        try:
            found = _convert([people[i] for i in group], least_confidence)
        except ValueError as error:  # the same for all of the group
            cause = "unknown_layout" if isinstance(error, LayoutError) else "wrong_size"
            for i in group:
                problems[i].append(Problem(cause, f"{person_name(people[i].person_id)} ignored at this stamp: {error}"))
            continue
        for i, (joints, confidence, far) in zip(group, found, strict=True):
            name = person_name(people[i].person_id)
            if far:
                fault = f"{far} joints farther than {FARTHEST_M:g} m count as unseen"
                problems[i].append(Problem("far_away", f"{name}: {fault}; positions must be in metres"))
            if not np.isfinite(joints).all(-1).any():
                fault = "ignored at this stamp: no joint is seen (all NaN or unsure)"
                problems[i].append(Problem("nothing_seen", f"{name} {fault}"))
                continue
            source_layout = people[i].source_layout or people[i].layout
            converted[i] = Person(people[i].person_id, "ntu_25", joints, confidence, source_layout)
    return replace(
        frame,
        people=[person for person in converted if person is not None],
        problems=frame.problems + [problem for each in problems for problem in each],
    )


def _convert(people: Sequence[Person], least_confidence: float) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Joints (25, 3), confidence (25,), and the number of joints too far away, of people of one layout and size.

    Raises:
        ValueError: The layout is not known, or the sizes are not those of the layout.
    """
    joints = np.stack([person.joints for person in people])
    given = [person.confidence for person in people if person.confidence is not None]
    joints, confidence = load_layout(people[0].layout).to_ntu25(joints, np.stack(given) if given else None)
    unsure = confidence < least_confidence
    far = (np.abs(joints) > FARTHEST_M).any(-1)
    joints[unsure | far] = np.nan
    confidence[unsure | far] = 0.0
    return list(zip(joints, confidence, (far & ~unsure).sum(-1).tolist(), strict=True))
