"""Is it a body? Impossible joints become unseen; frames that are impossible as a whole are reported.

Pose estimators put joints where no person has them: on the wall behind, at the camera where the
depth is missing, several at one point. Set-ups have an axis, a unit or a layout wrong. Both show in
what all bodies share: limbs of some 0.3 m, feet that point forward, left and right on their sides.
The thresholds come from 21 data sets: `python -m training.check_bodies`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.problems import Problem
from usdrl_ros.skeleton.layouts import NTU_25, SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE

_INDEX = {name: number for number, name in enumerate(NTU_25)}


def _both(*names: str) -> list[int]:
    """Numbers of joints, left and right."""
    return [_INDEX[name + side] for name in names for side in ("Left", "Right")]


REACH = {
    ("SpineMid", "SpineBase"): 0.60,
    ("SpineShoulder", "SpineMid"): 0.70,
    ("Neck", "SpineShoulder"): 0.40,
    ("Head", "Neck"): 0.50,
    ("Shoulder", "SpineShoulder"): 0.60,
    ("Elbow", "Shoulder"): 0.80,
    ("Wrist", "Elbow"): 0.80,
    ("Hand", "Wrist"): 0.75,
    ("HandTip", "Hand"): 0.60,
    ("Thumb", "Wrist"): 0.75,
    ("Hip", "SpineBase"): 0.50,
    ("Knee", "Hip"): 0.80,
    ("Ankle", "Knee"): 0.80,
    ("Foot", "Ankle"): 0.50,
}
"""The farthest that a joint can look from the next one towards the trunk, metres."""
_LIMBS = ("Elbow", "Wrist", "Knee", "Ankle")


def _bones() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Child, parent and reach of each bone, and whether it is one of the eight limbs."""
    rows = []
    for (child, parent), reach in REACH.items():
        for side in ("",) if child in _INDEX else ("Left", "Right"):
            upper = parent if parent in _INDEX else parent + side
            rows.append((_INDEX[child + side], _INDEX[upper], reach, child in _LIMBS))
    children, parents, reaches, limbs = (np.array(column) for column in zip(*rows, strict=True))
    return children, parents, reaches, limbs


_CHILD, _PARENT, _LONGEST, _IS_LIMB = _bones()
_TRUNK = [_INDEX[name] for name in ("SpineBase", "SpineMid", "SpineShoulder", "Neck", "Head")]
_TRUNK += _both("Shoulder", "Hip")
_TRUNK_LONGEST_M = 1.3
"""The farthest that two joints of the trunk can be from each other."""
_AT_CAMERA_M = 2e-3
"""Joints nearer to the camera than this are there because their depth is missing."""
_NEAREST_BODY_M = 0.5
"""A body whose other joints are nearer to the origin than this may well have one there."""
_SAME_POINT_M = 5e-4
_PARTS = [_INDEX["SpineBase"], _INDEX["Head"], *_both("Shoulder", "Elbow", "Wrist", "Knee", "Ankle")]
"""Joints of which no two are at one point in any layout, as hand and wrist are in some."""
_PAIRS = np.triu_indices(len(_PARTS), 1)
SWAPPED = [NTU_25.index(name.replace("Left", "_").replace("Right", "Left").replace("_", "Right")) for name in NTU_25]
"""Each joint's number on the other side of the body."""

LIMB_M = (0.12, 0.75)
"""Shortest and longest that the median limb of a person is, children included."""
UNITS = {"millimetres": 1e-3, "centimetres": 1e-2}
WINDOW_S = 1.5
"""Seconds of bodies that decide on a frame as a whole."""
_PERIOD_S = 0.09
_LEAST_SAMPLES, _LEAST_SPAN_S = 6, 1.0

# What a body says about the frame that it is in: the columns of `evidence`.
LIMB, FORWARD, SIDES, CROSSED, UPRIGHT, THICKNESS = range(6)


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a frame: reported from when a mean falls below `begin` until it is above `end`."""

    cause: str
    column: int
    begin: float
    end: float
    message: str


_FAULTS = (
    _Fault(
        "flat_skeletons",
        THICKNESS,
        1e-6,
        1e-5,
        "all joints are at one depth: these are positions in an image. Use a source of 3D skeletons",
    ),
    _Fault(
        "swapped_sides",
        SIDES,
        -0.9,
        -0.5,
        "shoulders and hips disagree on left and right: the layout has some joints swapped. Correct the order of "
        "the joints, or the layout that is named",
    ),
    _Fault(
        "swapped_sides",
        CROSSED,
        -0.3,
        0.0,
        "elbows belong to the shoulders of the other side: the layout has some joints swapped. Correct the order of "
        "the joints, or the layout that is named",
    ),
    _Fault(
        "mirrored_skeletons",
        FORWARD,
        -0.25,
        0.0,
        "feet point backward: the frame is left-handed (one axis has the wrong sign), or the layout has left and right "
        "swapped; few actions are recognised so. Publish in a right-handed frame (REP 103) or correct the order of the "
        "joints; mend_skeletons:=true swaps the sides here",
    ),
    _Fault(
        "upside_down",
        UPRIGHT,
        -0.7,
        -0.3,
        "people stand on their heads in the fixed frame: an axis of the camera's frame has the wrong sign (y down "
        "where up is expected), or its pose in tf is wrong. Correct frame_id or the pose",
    ),
)


def evidence(joints: np.ndarray, up: np.ndarray | None = None) -> np.ndarray:
    """What bodies say about the frame that they are in.

    Args:
        joints: (N, 25, 3) NTU-25, metres if all is well, NaN unseen.
        up: (3,) the vertical in the frame of the joints, where it is known.

    Returns:
        (N, 6), NaN where a body says nothing. LIMB: the median of its upper and lower arms and
        legs, metres. FORWARD: cosine of the feet's direction with straight ahead, as trunk and
        shoulders say. SIDES: cosine of the lines of shoulders and hips. CROSSED: how much nearer the
        elbows are to their own shoulder than to the other, in limbs. UPRIGHT: cosine of the trunk
        with the vertical. THICKNESS: the least standard deviation along an axis, metres.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        bones = joints[:, _CHILD] - joints[:, _PARENT]
        limb = _median(_lengths(bones[:, _IS_LIMB]), least=3)
        trunk = _unit(joints[:, _INDEX["SpineShoulder"]] - joints[:, SPINE_BASE])
        across = _unit(joints[:, SHOULDER_LEFT] - joints[:, SHOULDER_RIGHT])
        ahead = _unit(np.cross(across, trunk))
        feet = joints[:, _both("Foot")] - joints[:, _both("Ankle")]
        feet[_lengths(feet) < 0.1 * limb[:, None]] = np.nan
        forward = _mean((_unit(feet) * ahead[:, None]).sum(-1))
        hips = _unit(joints[:, _INDEX["HipLeft"]] - joints[:, _INDEX["HipRight"]])
        shoulders, elbows = joints[:, _both("Shoulder")], joints[:, _both("Elbow")]
        own, other = (_lengths(shoulders - ends).sum(-1) for ends in (elbows, elbows[:, ::-1]))
        crossed = (other - own) / (2 * limb)
        upright = np.full(len(joints), np.nan) if up is None else trunk @ up
        seen = np.isfinite(joints).all(-1)
        count = seen.sum(1)[:, None]
        centre = np.where(seen[..., None], joints, 0.0).sum(1) / count
        spread = np.where(seen[..., None], joints - centre[:, None], 0.0)
        thickness = np.where(count[:, 0] < 8, np.nan, np.sqrt((spread**2).sum(1) / count).min(-1))
    return np.stack([limb, forward, (across * hips).sum(-1), crossed, upright, thickness], -1)


def impossible_joints(joints: np.ndarray, camera: np.ndarray | None = None) -> list[dict[int, str]]:
    """The joints that no body has where they are, and why, of each person.

    Args:
        joints: (N, 25, 3) NTU-25, metres, NaN unseen.
        camera: (3,) where the camera is in the frame of the joints; None: at the origin.
    """
    found: list[dict[int, str]] = [{} for _ in joints]
    with np.errstate(invalid="ignore"):
        away = joints if camera is None else joints - camera
        squared = (away * away).sum(-1)
        at_camera = (squared < _AT_CAMERA_M**2).any(-1)
        bones = joints[:, _CHILD] - joints[:, _PARENT]
        too_long = ((bones * bones).sum(-1) > _LONGEST**2).any(-1)
        parts = joints[:, _PARTS]
        gaps = parts[:, _PAIRS[0]] - parts[:, _PAIRS[1]]
        same = (gaps * gaps).sum(-1) < _SAME_POINT_M**2
    for person in (at_camera | too_long | same.any(-1)).nonzero()[0].tolist():
        found[person] = _impossible(joints[person], np.sqrt(squared[person]), same[person])
    return found


class BodyCheck:
    """Checks the skeletons of one camera.

    Args:
        mend: Whether skeletons in millimetres or centimetres are scaled, and the sides of mirrored
            ones swapped, once that is sure.
    """

    def __init__(self, *, mend: bool = False) -> None:
        self.mend = mend
        self._samples: deque[tuple[int, np.ndarray]] = deque()
        self._active: set[int] = set()
        self._units = 1.0
        self._unit_fault = ""

    @property
    def faults(self) -> tuple[str, ...]:
        """Causes of what is wrong with the frame as a whole."""
        found = [_FAULTS[number].cause for number in sorted(self._active)]
        return tuple(dict.fromkeys([*(["wrong_units"] if self._unit_fault else []), *found]))

    def check(
        self,
        stamp_ns: int,
        joints: np.ndarray,
        names: Sequence[str],
        problems: list[Problem],
        up: np.ndarray | None = None,
        camera: np.ndarray | None = None,
    ) -> np.ndarray:
        """Joints as they can be used.

        Args:
            stamp_ns: Of the message.
            joints: (N, 25, 3) of its people, NTU-25, NaN unseen; not changed.
            names: Of the N people, for messages.
            problems: What is wrong is added.
            up: (3,) the vertical in the frame of the joints, where it is known.
            camera: (3,) where the camera is in that frame; None: at its origin.

        Returns:
            (N, 25, 3), what is impossible is NaN.
        """
        if not len(joints):
            return joints
        self._sample(stamp_ns, joints, up)
        problems += self._frame_problems()
        if self.mend:
            joints = joints * self._units if self._units != 1.0 else joints
            if any(_FAULTS[number].cause == "mirrored_skeletons" for number in self._active):
                joints = joints[:, SWAPPED]
        if self._unit_fault and not self.mend:
            return joints
        checked = joints
        for person, impossible in enumerate(impossible_joints(joints, camera)):
            if not impossible:
                continue
            checked = joints.copy() if checked is joints else checked
            checked[person, list(impossible)] = np.nan
            kept = int(np.isfinite(checked[person]).all(-1).sum())
            problems.append(_joint_problem(names[person], impossible, kept))
        return checked

    def _sample(self, stamp_ns: int, joints: np.ndarray, up: np.ndarray | None) -> None:
        """Take what the bodies say, and judge the frame by what they said lately."""
        samples = self._samples
        if samples and stamp_ns < samples[-1][0]:  # the clock has jumped back, or a late message
            if samples[-1][0] - stamp_ns < WINDOW_S * 1e9:
                return
            samples.clear()
        if samples and stamp_ns - samples[-1][0] < _PERIOD_S * 1e9:
            return
        samples.append((stamp_ns, evidence(joints, up)))
        while stamp_ns - samples[0][0] > WINDOW_S * 1e9:
            samples.popleft()
        if len(samples) < _LEAST_SAMPLES or stamp_ns - samples[0][0] < _LEAST_SPAN_S * 1e9:
            return
        said = np.concatenate([rows for _, rows in samples])
        self._judge_units(said[:, LIMB])
        for number, fault in enumerate(_FAULTS):
            column = said[:, fault.column]
            column = column[np.isfinite(column)]
            if len(column) < _LEAST_SAMPLES:
                continue
            mean = float(column.mean())
            if mean < fault.begin:
                self._active.add(number)
            elif mean > fault.end:
                self._active.discard(number)

    def _judge_units(self, limbs: np.ndarray) -> None:
        limbs = limbs[np.isfinite(limbs)]
        if len(limbs) < _LEAST_SAMPLES:
            return
        limb = float(np.median(limbs))
        self._units, self._unit_fault = 1.0, ""
        if LIMB_M[0] <= limb <= LIMB_M[1]:
            return
        fault = f"the median limb is {limb:.3g} m long, a person's is 0.2 to 0.5 m"
        for unit, factor in UNITS.items():
            if LIMB_M[0] <= limb * factor <= LIMB_M[1]:
                self._units = factor
                remedy = (
                    f"publish metres, or set scale: {factor:g} in the source's file; mend_skeletons:=true scales here"
                )
                self._unit_fault = f"{fault}: the positions are in {unit}; {remedy}"
                return
        self._unit_fault = f"{fault}: the positions are not metres; set scale in the source's file"

    def _frame_problems(self) -> list[Problem]:
        found = [Problem("wrong_units", self._unit_fault)] if self._unit_fault else []
        return found + [Problem(_FAULTS[number].cause, _FAULTS[number].message) for number in sorted(self._active)]


_CAMERA, _REACH, _POINT = "at the camera (no depth)", "out of reach", "at one point with another"
_CAUSES = {_CAMERA: "joints_at_camera", _REACH: "joints_out_of_reach", _POINT: "joints_at_one_point"}


def _joint_problem(name: str, impossible: dict[int, str], kept: int) -> Problem:
    why = max(dict.fromkeys(impossible.values()), key=list(impossible.values()).count)
    joints = ", ".join(NTU_25[joint] for joint in sorted(impossible)[:4])
    more = f" and {len(impossible) - 4} more" if len(impossible) > 4 else ""
    left = "" if kept else "; nothing of the body is left"
    return Problem(_CAUSES[why], f"person '{name}': {joints}{more} count as unseen: {why}{left}")


def _impossible(joints: np.ndarray, distance: np.ndarray, same: np.ndarray) -> dict[int, str]:
    """As `impossible_joints`, of one person (25, 3); `distance` (25,) from the camera, `same` of `_PAIRS`."""
    found: dict[int, str] = {}
    seen = np.isfinite(distance)
    near = seen & (distance < _AT_CAMERA_M)
    others = distance[seen & ~near]
    if near.any() and (not len(others) or float(np.median(others)) > _NEAREST_BODY_M):
        found.update(dict.fromkeys(near.nonzero()[0].tolist(), _CAMERA))
    for pair in same.nonzero()[0].tolist():
        for joint in (_PARTS[_PAIRS[0][pair]], _PARTS[_PAIRS[1][pair]]):
            found.setdefault(joint, _POINT)
    usable = seen.copy()
    usable[list(found)] = False
    found.update(dict.fromkeys(_out_of_reach(joints, usable), _REACH))
    return found


def _out_of_reach(joints: np.ndarray, usable: np.ndarray) -> list[int]:
    """The joints that cannot belong to the trunk that most of the trunk's joints form."""
    trunk = [joint for joint in _TRUNK if usable[joint]]
    bad: list[int] = []
    if len(trunk) < 3:
        return bad
    apart = _lengths(joints[trunk][:, None] - joints[trunk])
    usual = np.median(apart, axis=1)
    far = usual > _TRUNK_LONGEST_M
    if far.all():
        return bad
    bad += [joint for joint, away in zip(trunk, far, strict=True) if away]
    root = trunk[int(np.argmin(usual))]
    # Outward from the root; a joint that is unseen or bad passes on how far its limb reaches from the last good one.
    pending: list[tuple[int, int, float]] = [(root, root, 0.0)]
    visited = set()
    while pending:
        joint, last, reach = pending.pop()
        visited.add(joint)
        good = bool(usable[joint]) and joint not in bad
        if good and float(np.linalg.norm(joints[joint] - joints[last])) > max(reach, 1e-9):
            good = False
            bad.append(joint)
        base, left = (joint, 0.0) if good else (last, reach)
        for neighbour, length in _NEIGHBOURS[joint]:
            if neighbour not in visited:
                pending.append((neighbour, base, left + length))
    return bad


_NEIGHBOURS: list[list[tuple[int, float]]] = [[] for _ in NTU_25]
for _child, _parent, _reach in zip(_CHILD.tolist(), _PARENT.tolist(), _LONGEST.tolist(), strict=True):
    _NEIGHBOURS[_child].append((_parent, _reach))
    _NEIGHBOURS[_parent].append((_child, _reach))


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Lengths (...) of vectors (..., 3)."""
    return np.sqrt((vectors * vectors).sum(-1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length 1; NaN for those that are zero."""
    return vectors / _lengths(vectors)[..., None]


def _mean(values: np.ndarray) -> np.ndarray:
    """(N,) mean of (N, n) over what is known, NaN where nothing is."""
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(-1) / known.sum(-1)


def _median(values: np.ndarray, least: int) -> np.ndarray:
    """(N,) median of (N, n) over what is known; NaN where that is less than `least`."""
    count = np.isfinite(values).sum(-1)
    ordered = np.sort(values, -1)  # NaN last
    middle = np.maximum(count - 1, 0)
    row = np.arange(len(values))
    return np.where(count < least, np.nan, (ordered[row, middle // 2] + ordered[row, (middle + 1) // 2]) / 2)
