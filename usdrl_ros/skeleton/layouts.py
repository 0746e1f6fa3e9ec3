"""Joint layouts as data: each `config/layouts/NAME.yaml` becomes one matrix to the canonical NTU-25 skeleton.

NTU-25 is the order of Kinect v2 (Microsoft, `Kinect.h`), which NTU RGB+D stores and USDRL was published on. A rule of a
layout gives one NTU joint as the mean of source joints, or names how to derive it from other NTU joints. The derived
ones are estimates: they carry the least confidence of their sources and are marked in `Layout.derived`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import yaml

from usdrl_ros.resources import data_directory

NTU_25 = (
    "SpineBase", "SpineMid", "Neck", "Head",
    "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft",
    "ShoulderRight", "ElbowRight", "WristRight", "HandRight",
    "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft",
    "HipRight", "KneeRight", "AnkleRight", "FootRight",
    "SpineShoulder", "HandTipLeft", "ThumbLeft", "HandTipRight", "ThumbRight",
)  # fmt: skip
"""Names of the 25 joints of Kinect v2, in order."""

SPINE_BASE, SPINE_MID, SHOULDER_LEFT, SHOULDER_RIGHT = (
    NTU_25.index(name) for name in ("SpineBase", "SpineMid", "ShoulderLeft", "ShoulderRight")
)

# How far along its sources a derived joint lies; {side} is the side of the joint that the rule stands for. Proportions
# of Kinect v2 skeletons: the neck a third of the way to the head, the hand a quarter and its tip half of a forearm on.
_DERIVATIONS: dict[str, dict[str, float]] = {
    "mid": {"SpineBase": 0.5, "SpineShoulder": 0.5},
    "neck": {"SpineShoulder": 0.65, "Head": 0.35},
    "hand": {"Wrist{side}": 1.25, "Elbow{side}": -0.25},
    "tip": {"Wrist{side}": 1.5, "Elbow{side}": -0.5},
    "same_as_hand": {"Hand{side}": 1.0},
    "same_as_ankle": {"Ankle{side}": 1.0},
}


class LayoutError(ValueError):
    """A layout is not known, or its file is not right."""


@dataclass(frozen=True)
class Layout:
    """One order of joints and its rule to NTU-25.

    Args:
        name: As skeleton messages carry it.
        joint_names: V names, in order.
        bones: Pairs of joint indices, for drawing.
        matrix: (25, V), each row sums to 1.
        derived: (25,) true where the joint is estimated from others.
    """

    name: str
    joint_names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    matrix: np.ndarray
    derived: np.ndarray

    def to_ntu25(self, joints: np.ndarray, confidence: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Map joints (..., V, 3) metres, NaN unseen, and confidence (..., V) to NTU-25: (..., 25, 3) and (..., 25).

        A joint with an unseen source is unseen (NaN, confidence 0). Without confidences, seen joints have 1.
        """
        if joints.shape[-2:] != (len(self.joint_names), 3):
            raise ValueError(
                f"layout '{self.name}' has {len(self.joint_names)} joints: expected (..., {len(self.joint_names)}, 3), "
                f"got {joints.shape}"
            )
        seen = np.isfinite(joints).all(-1)
        if confidence is None:
            confidence = np.ones(seen.shape)
        confidence = np.where(seen, np.clip(np.nan_to_num(confidence), 0.0, 1.0), 0.0)
        seen &= confidence > 0.0
        uses = self.matrix != 0.0
        mapped_confidence = np.where(uses, confidence[..., None, :], np.inf).min(-1)
        mapped = self.matrix @ np.where(seen[..., None], joints, 0.0)
        mapped[mapped_confidence <= 0.0] = np.nan
        return mapped, mapped_confidence


def available_layouts() -> tuple[str, ...]:
    """Names of all layouts that are installed."""
    return tuple(sorted(path.stem for path in (data_directory("config") / "layouts").glob("*.yaml")))


@cache
def load_layout(name: str) -> Layout:
    """The layout of this name, from `config/layouts/NAME.yaml`.

    Raises:
        LayoutError: There is none of this name, or its file contradicts itself.
    """
    if name not in available_layouts():
        raise LayoutError(f"unknown joint layout '{name}'; known are {', '.join(available_layouts())}")
    path = data_directory("config") / "layouts" / f"{name}.yaml"
    try:
        return _parse(name, yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise LayoutError(f"joint layout '{name}' ({path}) cannot be used: {error}") from error


def _parse(name: str, content: dict[str, Any]) -> Layout:
    names = tuple(content["joints"])
    if len(set(names)) != len(names):
        raise ValueError("a joint name occurs twice")
    index = {joint: i for i, joint in enumerate(names)}
    rules: dict[str, list[str] | str] = content["to_ntu_25"]
    if set(rules) != set(NTU_25):
        raise ValueError(f"to_ntu_25 must give each NTU-25 joint once; wrong: {sorted(set(rules) ^ set(NTU_25))}")

    rows: dict[str, np.ndarray] = {}
    for joint, rule in rules.items():
        if isinstance(rule, list):
            rows[joint] = np.zeros(len(names))
            for source in rule:
                rows[joint][index[source]] += 1.0 / len(rule)
    pending = [joint for joint in NTU_25 if joint not in rows]
    while pending:  # a derived joint may rest on another one
        ready = {}
        for joint in pending:
            side = "Left" if joint.endswith("Left") else "Right"
            sources = {source.format(side=side): weight for source, weight in _DERIVATIONS[str(rules[joint])].items()}
            if sources.keys() <= rows.keys():
                ready[joint] = np.sum([weight * rows[source] for source, weight in sources.items()], axis=0)
        if not ready:
            raise ValueError(f"these joints are derived from each other in a circle: {pending}")
        rows |= ready
        pending = [joint for joint in pending if joint not in rows]

    matrix = np.stack([rows[joint] for joint in NTU_25])
    derived = np.array([not isinstance(rules[joint], list) for joint in NTU_25])
    for array in (matrix, derived):
        array.setflags(write=False)
    return Layout(name, names, tuple((index[a], index[b]) for a, b in content["bones"]), matrix, derived)
