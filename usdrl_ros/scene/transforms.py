"""Where coordinate frames are, over time: what tf publishes, kept for some seconds and interpolated.

A transform of parent and child takes points of the child to the parent. Each child has one parent, so the frames form
a tree. Between two stamps the translation is interpolated linearly and the rotation along the shortest arc, as tf2
does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

SPAN_S = 10.0
"""Seconds of transforms that are kept, as tf2 does."""
MOST_FRAMES = 1000
"""Frames that are kept; what comes from the network is bounded."""
_MOST_SAMPLES = 5000


@dataclass(frozen=True)
class Lookup:
    """The answer to where a frame is.

    Args:
        pose: (4, 4) takes homogeneous points of the source frame to the target frame; None where it is not known.
        fault: Why it is not known, or not for the stamp: which link lacks; "" where all is well.
        pending: Whether it may still come: the newest transform of a link is older than the stamp.
    """

    pose: np.ndarray | None
    fault: str = ""
    pending: bool = False


class Transforms(Protocol):
    """Where frames are: `TransformBuffer` here, tf2's own buffer in `usdrl_ros.nodes.transforms`."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Lookup:
        """The pose of `source` in `target` at a stamp."""

    def latest(self, target: str, source: str) -> Lookup:
        """The newest pose of `source` in `target` that is known."""


@dataclass
class _Link:
    """What is known of one child in its parent: stamps increasing, and position and quaternion (x, y, z, w) of each."""

    parent: str
    static: bool
    stamps_ns: list[int] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)


class TransformBuffer:
    """Keeps transforms as they come, from `/tf` and `/tf_static` or from a bag."""

    def __init__(self, span_s: float = SPAN_S) -> None:
        self._span_ns = round(span_s * 1e9)
        self._links: dict[str, _Link] = {}

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: tuple[float, float, float],
        rotation: tuple[float, float, float, float],
        *,
        static: bool = False,
    ) -> str:
        """Take a transform: metres, and a quaternion (x, y, z, w).

        Returns:
            What is wrong with it, in which case it is not taken; "" if nothing.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        value = np.array([*translation, *rotation], float)
        norm = float(np.linalg.norm(value[3:]))
        if not parent or not child or parent == child:
            return f"transform from '{parent}' to '{child}' ignored: two different frames are needed"
        if not np.isfinite(value).all() or not 0.9 < norm < 1.1:
            return f"transform from '{parent}' to '{child}' ignored: {value.tolist()} is no position and quaternion"
        value[3:] /= norm
        link = self._links.get(child)
        if link is None or link.parent != parent or link.static != static:
            if len(self._links) >= MOST_FRAMES and child not in self._links:
                return f"transform to '{child}' ignored: there are more than {MOST_FRAMES} frames"
            link = self._links[child] = _Link(parent, static)
        if static:
            link.stamps_ns[:], link.values[:] = [stamp_ns], [value]
            return ""
        stamps = link.stamps_ns
        if stamps and stamp_ns < stamps[-1] - self._span_ns:  # the clock has jumped back
            stamps.clear()
            link.values.clear()
        place = bisect_left(stamps, stamp_ns)
        if place < len(stamps) and stamps[place] == stamp_ns:
            link.values[place] = value
        else:
            stamps.insert(place, stamp_ns)
            link.values.insert(place, value)
        old = max(bisect_left(stamps, stamps[-1] - self._span_ns), len(stamps) - _MOST_SAMPLES)
        if old > 0:
            del stamps[:old], link.values[:old]
        return ""

    def lookup(self, target: str, source: str, stamp_ns: int) -> Lookup:
        """The pose of `source` in `target` at a stamp; None where a link is not known for it."""
        return self._pose(target, source, stamp_ns)

    def latest(self, target: str, source: str) -> Lookup:
        """The newest pose of `source` in `target`: at the newest stamp that all links are known for, as tf2 gives it.

        Where there is none, of each link the newest.
        """
        chain = [*self._chain(source.lstrip("/")), *self._chain(target.lstrip("/"))]
        shared = {frame for frame in chain if chain.count(frame) > 1}
        links = [self._links[frame] for frame in chain if frame in self._links and frame not in shared]
        common = min((link.stamps_ns[-1] for link in links if not link.static), default=None)
        found = self._pose(target, source, common)
        return found if found.pose is not None else self._pose(target, source, None)

    def _pose(self, target: str, source: str, stamp_ns: int | None) -> Lookup:
        target, source = target.lstrip("/"), source.lstrip("/")
        up, down = self._chain(source), self._chain(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            return Lookup(None, self._missing(target, source, up[-1], down[-1]), pending=True)
        pose = np.eye(4)
        for frames, inverse in ((up, False), (down, True)):
            chain = np.eye(4)
            for child in frames[: frames.index(shared)]:
                link = self._links[child]
                if fault := _outside(link, child, stamp_ns):
                    return fault
                chain = _matrix(link, stamp_ns) @ chain
            pose = _inverse(chain) @ pose if inverse else chain @ pose
        return Lookup(pose)

    def _chain(self, frame: str) -> list[str]:
        """A frame, its parent, and so on up to the root."""
        chain = [frame]
        while (link := self._links.get(chain[-1])) is not None and link.parent not in chain:
            chain.append(link.parent)
        return chain

    def _missing(self, target: str, source: str, root: str, other: str) -> str:
        known = {*self._links, *(link.parent for link in self._links.values())}
        if not known:
            return f"no transform has come: nobody publishes /tf or /tf_static, needed are '{target}' to '{source}'"
        if lost := [frame for frame in (source, target) if frame not in known]:
            return f"no transform of frame {' and '.join(map(repr, lost))} has come; known are {_names(known)}"
        return f"frames '{target}' and '{source}' are not connected: a transform from '{other}' to '{root}' is missing"


def _outside(link: _Link, child: str, stamp_ns: int | None) -> Lookup | None:
    """Why a link is not known for a stamp, None if it is."""
    if link.static or stamp_ns is None:
        return None
    name = f"the transform from '{link.parent}' to '{child}'"
    if stamp_ns > link.stamps_ns[-1]:
        behind = (stamp_ns - link.stamps_ns[-1]) / 1e9
        return Lookup(None, f"{name} is {behind:.3f} s older than the skeletons", pending=True)
    if stamp_ns < link.stamps_ns[0]:
        ahead = (link.stamps_ns[0] - stamp_ns) / 1e9
        return Lookup(None, f"{name} begins {ahead:.3f} s after the skeletons")
    return None


def _matrix(link: _Link, stamp_ns: int | None) -> np.ndarray:
    """(4, 4) of a link at a stamp within what is known; None for the newest."""
    stamps = link.stamps_ns
    after = len(stamps) - 1 if stamp_ns is None or link.static else min(bisect_right(stamps, stamp_ns), len(stamps) - 1)
    value = link.values[after]
    if stamp_ns is not None and after and stamps[after] > stamp_ns:
        share = (stamp_ns - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
        value = interpolated(link.values[after - 1], value, share)
    elif stamp_ns is not None and after and stamps[after - 1] == stamp_ns:
        value = link.values[after - 1]
    return matrix_of(value[:3], value[3:])


def interpolated(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """Between two positions and quaternions (7,): linear, and along the shortest arc (Shoemake, SIGGRAPH 1985)."""
    position = start[:3] + share * (end[:3] - start[:3])
    first, second = start[3:], end[3:]
    cosine = float(first @ second)
    if cosine < 0.0:
        second, cosine = -second, -cosine
    if cosine > 1.0 - 1e-9:
        rotation = first + share * (second - first)
    else:
        angle = np.arccos(cosine)
        rotation = (np.sin((1.0 - share) * angle) * first + np.sin(share * angle) * second) / np.sin(angle)
    return np.concatenate([position, rotation / np.linalg.norm(rotation)])


def matrix_of(translation: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(4, 4) of metres (3,) and a unit quaternion (x, y, z, w)."""
    x, y, z, w = rotation.tolist()
    matrix = np.eye(4)
    matrix[0, :3] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
    matrix[1, :3] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
    matrix[2, :3] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    matrix[:3, 3] = translation
    return matrix


def _inverse(pose: np.ndarray) -> np.ndarray:
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def _names(frames: set[str]) -> str:
    shown = sorted(frames)[:8]
    return ", ".join(repr(frame) for frame in shown) + (", ..." if len(frames) > len(shown) else "")
