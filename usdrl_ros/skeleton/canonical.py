"""The people of one message as the model knows joints: NTU-25, NaN where unseen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.layouts import LayoutError, load_layout
from usdrl_ros.skeleton.person import Person

FARTHEST_M = 1e6
"""Joints farther away are no positions; numbers far beyond would overflow in the model."""


def to_ntu25(people: Sequence[Person], least_confidence: float, problems: list[Problem]) -> list[np.ndarray | None]:
    """NTU-25 joints (25, 3) of each person, NaN where unseen; None for those who cannot be used.

    Args:
        people: Of one message, each in a layout of their own.
        least_confidence: Joints of less confidence count as unseen.
        problems: What cannot be used is added to them, in the order of the people.
    """
    alike = defaultdict(list)
    for i, person in enumerate(people):
        confidence = person.confidence
        alike[person.layout, person.joints.shape, None if confidence is None else confidence.shape].append(i)
    canonical: list[np.ndarray | None] = [None] * len(people)
    told: list[list[Problem]] = [[] for _ in people]

    def convert(group: Sequence[int]) -> None:
        members = [people[i] for i in group]
        for i, joints, far in zip(group, *_convert(members, least_confidence), strict=True):
            name = f"person '{people[i].person_id}'"
            if far:
                found = f"{far} joints farther than {FARTHEST_M:g} m count as unseen"
                told[i].append(Problem("far_away", f"{name}: {found}; positions must be in metres"))
            if joints is None:
                ignored = "ignored at this stamp: no joint is seen (all NaN or unsure)"
                told[i].append(Problem("nothing_seen", f"{name} {ignored}"))
            canonical[i] = joints

    for group in alike.values():
        try:
            convert(group)
        except ValueError:  # the message is to be of one person
            for i in group:
                try:
                    convert([i])
                except ValueError as error:
                    cause = "unknown_layout" if isinstance(error, LayoutError) else "wrong_size"
                    name = f"person '{people[i].person_id}'"
                    told[i].append(Problem(cause, f"{name} ignored at this stamp: {error}"))
    problems += [problem for each in told for problem in each]
    return canonical


def _convert(people: Sequence[Person], least_confidence: float) -> tuple[list[np.ndarray | None], list[int]]:
    """The joints of people whose layout and sizes are the same, None where nothing is seen; how many are too far away.

    Raises:
        ValueError: Their layout is not known, or their sizes are not its sizes.
    """
    joints, confidence = people[0].joints, people[0].confidence
    if len(people) > 1:
        joints = np.stack([person.joints for person in people])
        given = [person.confidence for person in people if person.confidence is not None]
        confidence = np.stack(given) if given else None
    joints, confidence = load_layout(people[0].layout).to_ntu25(joints, confidence)
    joints, confidence = joints.reshape(len(people), *joints.shape[-2:]), confidence.reshape(len(people), -1)
    joints[confidence < least_confidence] = np.nan
    far = (np.abs(joints) > FARTHEST_M).any(-1)
    joints[far] = np.nan
    seen = np.isfinite(joints).all(-1).any(-1).tolist()
    return [each if there else None for each, there in zip(joints, seen, strict=True)], far.sum(-1).tolist()
