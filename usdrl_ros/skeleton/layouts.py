"""Joint layouts as data: each `config/layouts/NAME.yaml` becomes one matrix to the canonical NTU-25 skeleton.

NTU-25 is the order of Kinect v2 (Microsoft, `Kinect.h`), which NTU RGB+D stores and USDRL was published on. A rule of a
layout gives one NTU joint as the mean of source joints, or names how to derive it from other NTU joints. The derived
ones are estimates: they carry the least confidence of their sources and are marked in `Layout.derived`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from usdrl_ros.configuration import read_yaml
from usdrl_ros.files import expanded
from usdrl_ros.problems import shown
from usdrl_ros.resources import data_directory
from usdrl_ros.skeleton.joint_names import part_of, rules_of

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

# How far along its sources a derived joint lies; {side} is the side of the joint that the rule stands for. The hand is
# fitted on five Kinect sets (docs/sources.md); no recording that we have shows
# the others as people have them: SpineMid is the middle, the neck and the tip are as Kinect v2 draws them.
DERIVATIONS: dict[str, dict[str, float]] = {
    "mid": {"SpineBase": 0.5, "SpineShoulder": 0.5},
    "neck": {"SpineShoulder": 0.65, "Head": 0.35},
    "hand": {"Wrist{side}": 1.29, "Elbow{side}": -0.29},
    "tip": {"Wrist{side}": 1.5, "Elbow{side}": -0.5},
    "same_as_hand": {"Hand{side}": 1.0},
    "same_as_ankle": {"Ankle{side}": 1.0},
}


_MOST_JOINTS = 200
_LONGEST = 16384


class LayoutError(ValueError):
    """A layout is not known, or its file is not right."""


@dataclass(frozen=True)
class Layout:
    """One order of joints and its rule to NTU-25.

    Args:
        name: As skeleton messages carry it.
        joint_names: V names, in order.
        bones: Pairs of joint indices, for drawing.
        matrix: (25, V), each row sums to 1; to 0 where nothing in the layout determines the joint.
        derived: (25,) true where the joint is estimated from others.
        fallbacks: More such matrices, in turn, for joints that the ones before leave unseen.
    """

    name: str
    joint_names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    matrix: np.ndarray
    derived: np.ndarray
    fallbacks: tuple[np.ndarray, ...] = ()

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Number of each joint name."""
        return {joint: number for number, joint in enumerate(self.joint_names)}

    @property
    def missing(self) -> tuple[str, ...]:
        """The joints of NTU-25 that the layout does not determine."""
        return tuple(joint for joint, row in zip(NTU_25, self.matrix, strict=True) if not row.any())

    def to_ntu25(self, joints: np.ndarray, confidence: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Map joints (..., V, 3) metres, NaN unseen, and confidence (..., V) to NTU-25: (..., 25, 3) and (..., 25).

        A joint with an unseen source is unseen (NaN, confidence 0). Without confidences, seen joints have 1.
        """
        if joints.shape[-2:] != (len(self.joint_names), 3):
            found = " x ".join(map(str, joints.shape[-2:]))
            raise ValueError(f"layout '{self.name}' has {len(self.joint_names)} joints of x y z, got {found}")
        if confidence is not None and confidence.shape != joints.shape[:-1]:
            count = confidence.shape[-1] if confidence.ndim else 0
            raise ValueError(f"layout '{self.name}' has {len(self.joint_names)} joints, got {count} confidences")
        seen = np.isfinite(joints).all(-1)
        if confidence is None:
            confidence = seen.astype(float)
        else:
            confidence = np.where(seen, np.clip(np.nan_to_num(confidence), 0.0, 1.0), 0.0)
            seen = confidence > 0.0
        known = joints if seen.all() else np.where(seen[..., None], joints, 0.0)
        mapped, mapped_confidence = self._rules[0].apply(known, confidence)
        for fallback in self._rules[1:]:
            lost = mapped_confidence <= 0.0
            if not lost.any():
                break
            instead, instead_confidence = fallback.apply(known, confidence)
            mapped = np.where(lost[..., None], instead, mapped)
            mapped_confidence = np.where(lost, instead_confidence, mapped_confidence)
        mapped[mapped_confidence <= 0.0] = np.nan
        return mapped, mapped_confidence

    @cached_property
    def _rules(self) -> tuple[_Rule, ...]:
        return tuple(_Rule(matrix) for matrix in (self.matrix, *self.fallbacks))


class _Rule:
    """A matrix (25, V), and for each row the sources that it uses, in a table without holes."""

    def __init__(self, matrix: np.ndarray) -> None:
        self._matrix = matrix
        uses = matrix != 0.0
        self._known = uses.any(-1)
        most = max(int(uses.sum(-1).max()), 1)
        first = np.argsort(~uses, axis=-1, kind="stable")[:, :most]
        # Where a row uses fewer, its first source again; where it uses none, any: that row is marked as unknown.
        self._sources = np.where(np.take_along_axis(uses, first, -1), first, first[:, :1])

    def apply(self, joints: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joints (..., 25, 3), and the least confidence (..., 25) of the sources of each, 0 where there is none."""
        least = np.minimum.reduce(confidence[..., self._sources], -1)
        return self._matrix @ joints, np.where(self._known, least, 0.0)


def available_layouts() -> tuple[str, ...]:
    """Names of all layouts that are installed."""
    return tuple(sorted(path.stem for path in (data_directory("config") / "layouts").glob("*.yaml")))


def load_layout(name: str) -> Layout:
    """A joint layout.

    Args:
        name: Of `config/layouts/NAME.yaml`; or the path of such a file (`*.yaml`) of one's own; or the names of the
            joints in their order, with commas between, by which the rule is found.

    Raises:
        LayoutError: There is none of this name, its file contradicts itself, or no rule is found by the names.
    """
    if len(name) > _LONGEST:
        raise LayoutError(f"joint layout of {len(name)} characters, expected at most {_LONGEST}: {shown(name, 40)}")
    if "," in name:
        return _by_joint_names(name)
    return _by_file(name)


@lru_cache(maxsize=64)  # the name may come from the network
def _by_file(name: str) -> Layout:
    path = expanded(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in available_layouts():
            raise LayoutError(
                f"unknown joint layout '{shown(name)}'; known are {', '.join(available_layouts())}; "
                f"for one of your own give its YAML file, or its joints' names with commas between"
            )
        path = data_directory("config") / "layouts" / f"{name}.yaml"
    try:
        return _parse(name, read_yaml(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LayoutError(f"joint layout '{name}' ({path}) cannot be used: {error}") from error


@lru_cache(maxsize=32)  # the names may come from the network
def _by_joint_names(name: str) -> Layout:
    names = tuple(part.strip() for part in name.split(","))
    if len(names) > _MOST_JOINTS:
        raise LayoutError(f"{len(names)} joint names, expected at most {_MOST_JOINTS}")
    rules = rules_of(names)
    content = {
        "joints": names,
        "bones": [],
        "to_ntu_25": {joint: own[0] for joint, own in rules.items()},
        "otherwise": {joint: own[1:] for joint, own in rules.items() if own[1:]},
    }
    try:
        layout = _parse(name, content)
    except ValueError as error:
        raise LayoutError(f"joint names '{shown(name)}' cannot be used: {shown(error, 200)}") from error
    if lost := {"ShoulderLeft", "ShoulderRight"} & set(layout.missing):
        strange = [joint for joint in names if not part_of(joint)]
        raise LayoutError(
            f"joint names '{shown(name)}' cannot be used: none says {' or '.join(sorted(lost))}; not understood: "
            f"{shown(', '.join(strange), 200) or 'none'}. Give joints such as left_shoulder, left_elbow, left_hip, nose"
        )
    return layout


def _parse(name: str, content: dict[str, Any]) -> Layout:
    names = tuple(content["joints"])
    if len(set(names)) != len(names):
        raise ValueError("a joint name occurs twice")
    rules: dict[str, list[str] | str] = content["to_ntu_25"]
    if set(rules) != set(NTU_25):
        raise ValueError(f"to_ntu_25 must give each NTU-25 joint once; wrong: {sorted(set(rules) ^ set(NTU_25))}")
    index = {joint: number for number, joint in enumerate(names)}
    otherwise: dict[str, list[list[str] | str]] = content.get("otherwise", {})
    if unknown := set(otherwise) - set(NTU_25):
        raise ValueError(f"otherwise: {sorted(unknown)} are no joints of NTU-25")
    fallbacks = []
    for number in range(max(map(len, otherwise.values()), default=0)):
        instead = {joint: choices[number] for joint, choices in otherwise.items() if number < len(choices)}
        fallbacks.append(_matrix(rules | instead, index))
    matrix = _matrix(rules, index)
    derived = np.array([not isinstance(rules[joint], list) for joint in NTU_25])
    for array in (matrix, derived, *fallbacks):
        array.setflags(write=False)
    bones = tuple((index[a], index[b]) for a, b in content["bones"])
    return Layout(name, names, bones, matrix, derived, tuple(fallbacks))


def _matrix(rules: Mapping[str, list[str] | str], index: Mapping[str, int]) -> np.ndarray:
    """(25, V) of the rules of NTU-25's joints."""
    rows: dict[str, np.ndarray] = {}
    for joint, rule in rules.items():
        if isinstance(rule, list):
            rows[joint] = np.zeros(len(index))
            for source in rule:
                rows[joint][index[source]] += 1.0 / len(rule)
        elif rule == "none":
            rows[joint] = np.zeros(len(index))
    pending = [joint for joint in NTU_25 if joint not in rows]
    while pending:  # a derived joint may rest on another one
        ready = {}
        for joint in pending:
            side = "Left" if joint.endswith("Left") else "Right"
            sources = {source.format(side=side): weight for source, weight in DERIVATIONS[str(rules[joint])].items()}
            if sources.keys() <= rows.keys():
                known = all(rows[source].any() for source in sources)
                terms = [weight * rows[source] for source, weight in sources.items()]
                ready[joint] = np.sum(terms, axis=0) if known else np.zeros(len(index))
        if not ready:
            raise ValueError(f"these joints are derived from each other in a circle: {pending}")
        rows |= ready
        pending = [joint for joint in pending if joint not in rows]
    return np.stack([rows[joint] for joint in NTU_25])
