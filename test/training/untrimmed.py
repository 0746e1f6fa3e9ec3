"""A tiny archive of untrimmed recordings: a body that raises an arm, or bends a knee, now and then."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.archive import Archive, ArchiveWriter
from usdrl_ros.recording import Recording, Segment

ACTIONS = ("raise", "bend")
PEOPLE = ("p1", "p2", "p3", "p4")
DURATION_S = 30.0


def recording(name: str, person: str, seed: int) -> Recording:
    """30 s at about 10 Hz, irregular; the two actions in turn, 3 s each, with 2 s to 4 s between them."""
    rng = np.random.default_rng(seed)
    stamps = np.cumsum(rng.uniform(0.05, 0.15, 400))
    stamps = stamps[stamps < DURATION_S]
    pose = np.random.default_rng(99).normal([0.0, 0.0, 3.0], 0.2, (25, 3))
    pose[[0, 1, 20]] = [[0.0, 0.0, 3.0], [0.0, 0.3, 3.0], [0.0, 0.5, 3.0]]
    pose[[4, 8]] = [[0.2, 0.5, 3.0], [-0.2, 0.5, 3.0]]
    joints = np.repeat(pose[None], len(stamps), 0) + rng.normal(0.0, 0.005, (len(stamps), 25, 3))
    segments, start, number = [], rng.uniform(2.0, 4.0), seed
    while start + 3.0 < DURATION_S - 1.0:
        during = (start <= stamps) & (stamps < start + 3.0)
        moved, by = (([9, 10, 11], [0.0, 0.6, 0.0]), ([17, 18, 19], [0.0, 0.0, -0.6]))[number % 2]
        joints[during[:, None] & np.isin(np.arange(25), moved)] += by
        segments.append(Segment(start, start + 3.0, ACTIONS[number % 2]))
        start, number = start + 3.0 + rng.uniform(2.0, 4.0), number + 1
    return Recording(name, "ntu_25", stamps, {"person_1": joints}, tuple(segments), person=person)


def write_archive(directory: Path) -> Archive:
    """Two recordings of each of four people; p1, p2 and p3 train, p4 is tested, in a smaller split with one alone."""
    with ArchiveWriter(directory, name="untrimmed", actions=ACTIONS) as writer:
        for index, person in enumerate(PEOPLE):
            for take in (0, 1):
                part = "test" if person == "p4" else "train"
                smaller = "" if part == "test" and take else part
                name = f"{person}_{take}"
                protocols = {"by_person": part, "smaller": smaller, "swapped": "test" if part == "train" else "train"}
                writer.add(recording(name, person, 2 * index + take), protocols)
    return Archive(directory)
