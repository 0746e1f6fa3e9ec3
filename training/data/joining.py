"""Join clips of one person to an untrimmed session: passages, idle stretches, and a label for every piece of it.

Clips begin and end abruptly and anywhere. Each is moved so that it begins where the one before ended, looking the same
way; in between, the person passes smoothly from pose to pose and stands idle for a while. A passage between poses that
are far apart is an action of its own that nobody labelled (sitting down before `stand_up`): it is `IGNORED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.vocabulary import IGNORED
from usdrl_ros.recording import Recording, Segment

SPINE_BASE, SPINE_SHOULDER = 0, 20
SIDES = ((4, 8), (12, 16))
"""Left and right shoulder, left and right hip, in NTU-25 order."""

PASSAGE_M_PER_S = 1.2
"""How fast the joint with the longest way moves in a passage."""
PASSAGE_S = (0.3, 1.5)
"""Shortest and longest passage."""
FAR_APART_M = 0.2
"""Mean distance of the joints, as seen from the pelvis, over which a passage is an action of its own."""
SWAY_M = 0.012
"""How far an idle person sways."""
JITTER_M = 0.004
"""Standard deviation of a sensor's noise while a person stands still."""


@dataclass(frozen=True)
class Piece:
    """One clip.

    Args:
        stamps: (T,) seconds, from 0.
        joints: (T, 25, 3) metres, y up, NaN where unseen.
        action: Its label: of the vocabulary, or `OTHER`.
    """

    stamps: np.ndarray
    joints: np.ndarray
    action: str


def join(
    name: str, pieces: Sequence[Piece], rng: np.random.Generator, *, idle_s: tuple[float, float] = (0.0, 3.0)
) -> Recording:
    """Join pieces in their order to one recording of "person_1", in NTU-25 order.

    Args:
        name: Of the recording.
        pieces: Clips of one person.
        rng: Draws passages and idle stretches.
        idle_s: Shortest and longest time that the person stands between two clips, and before and after all.

    Raises:
        ValueError: There is no piece.
    """
    if not pieces:
        raise ValueError(f"{name}: there is no clip to join")
    stamps, joints, segments = [], [], []
    now = 0.0
    last: np.ndarray | None = None

    def add(times: np.ndarray, poses: np.ndarray, label: str) -> None:
        nonlocal now
        stamps.append(now + times)
        joints.append(poses)
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / 30
        if label:
            segments.append(Segment(now, now + float(times[-1]) + step, label))
        now += float(times[-1]) + step

    for piece in pieces:
        step = float(np.median(np.diff(piece.stamps)))
        poses = piece.joints if last is None else _placed(piece.joints, last, rng)
        begin = _first_seen(poses)
        if last is not None:
            far = _distance(last, begin) > FAR_APART_M
            times, passage = _passage(last, begin, step)
            add(times, passage, IGNORED if far else "")
        times = np.arange(0.0, rng.uniform(*idle_s), step)
        if len(times):
            add(times, _idle(begin, times, rng), "")
        add(piece.stamps, poses, piece.action)
        last = _first_seen(poses[::-1])
    assert last is not None
    times = np.arange(0.0, rng.uniform(*idle_s), step)
    if len(times):
        add(times, _idle(last, times, rng), "")
    return Recording(name, "ntu_25", np.concatenate(stamps), {"person_1": np.concatenate(joints)}, tuple(segments))


def _first_seen(joints: np.ndarray) -> np.ndarray:
    """The first pose (25, 3) of (T, 25, 3); each joint as first seen, NaN if it never is."""
    seen = np.isfinite(joints).all(-1)
    return np.where(seen.any(0)[:, None], joints[seen.argmax(0), np.arange(joints.shape[1])], np.nan)


def _heading(pose: np.ndarray) -> float | None:
    """Where a person faces: angle about y of the line from right to left; None where it cannot be seen."""
    across = np.zeros(3)
    for left, right in SIDES:
        side = pose[left] - pose[right]
        if np.isfinite(side).all():
            across += side
    return float(np.arctan2(-across[2], across[0])) if np.hypot(across[0], across[2]) > 0.05 else None


def _placed(joints: np.ndarray, last: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clip (T, 25, 3) moved on the floor and turned about y so that it goes on from a pose (25, 3)."""
    begin = _first_seen(joints)
    here, there = _heading(begin), _heading(last)
    turn = rng.normal(0.0, np.radians(8.0)) + (there - here if here is not None and there is not None else 0.0)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    centre = np.nan_to_num(begin[SPINE_BASE])
    target = np.where(np.isfinite(last[SPINE_BASE]), last[SPINE_BASE], centre) + rng.normal(0.0, 0.05, 3)
    target[1] = centre[1]  # the camera stays at its height
    return (joints - centre) @ rotation.T + target


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """How different two poses (25, 3) are, metres: mean over the joints seen in both, without where they stand."""
    difference = (one - one[SPINE_BASE]) - (other - other[SPINE_BASE])
    lengths = np.linalg.norm(difference, axis=-1)
    return float(np.nanmean(lengths)) if np.isfinite(lengths).any() else 0.0


def _passage(begin: np.ndarray, end: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) and poses (n, 25, 3) strictly between two poses, beginning and ending slowly."""
    way = np.linalg.norm(end - begin, axis=-1)
    longest = float(np.nanmax(way)) if np.isfinite(way).any() else 0.0
    duration = float(np.clip(longest / PASSAGE_M_PER_S, *PASSAGE_S))
    share = np.arange(0.5, max(round(duration / step), 1)) * step / duration
    share = (share.clip(0.0, 1.0) ** 2 * (3.0 - 2.0 * share.clip(0.0, 1.0)))[:, None, None]
    begin = np.where(np.isfinite(begin), begin, end)
    end = np.where(np.isfinite(end), end, begin)
    return np.arange(len(share)) * step, begin + share * (end - begin)


def _idle(pose: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A person who stays in a pose (25, 3): sways, more with the head than with the feet, and trembles."""
    height = np.nan_to_num(pose[:, 1] - np.nanmin(pose[:, 1])) if np.isfinite(pose[:, 1]).any() else np.zeros(25)
    reach = (height / max(float(height.max()), 0.1))[:, None]
    poses = np.repeat(pose[None], len(times), 0)
    for frequency in rng.uniform(0.1, 0.6, 2):
        wave = np.sin(2 * np.pi * (frequency * times + rng.random()))
        poses += wave[:, None, None] * reach * rng.normal(0.0, SWAY_M, 3) * np.array([1.0, 0.2, 1.0])
    return poses + rng.normal(0.0, JITTER_M * rng.random(), poses.shape)
