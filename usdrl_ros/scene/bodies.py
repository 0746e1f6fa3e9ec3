"""People as REP-155 (ROS4HRI) names them: frames `body_ID`, `head_ID`, `l_elbow_ID`, ... from NTU-25, and back.

REP-155, "Body Frames": the origin of `body_ID` is midway between the hips, x points forward out of the body, z towards
the head, and the other points of the skeleton are children of it. Where the links of a person lie is taken from the
model of `human_description`: each link begins at its joint, `torso` midway between the shoulders.
"""

from __future__ import annotations

import re
import zlib

import numpy as np

from usdrl_ros.skeleton.layouts import NTU_25

BODY = "body"
LINKS = {
    "Head": "head",
    "SpineShoulder": "torso",
    **{
        f"{part}{side}": f"{side[0].lower()}_{part.lower()}"
        for side in ("Left", "Right")
        for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
    },
}
"""NTU-25's joint -> the link that begins there."""

LAYOUT = ",".join(
    {"torso": "spine_shoulder"}.get(link, re.sub("^l_", "left_", re.sub("^r_", "right_", link)))
    for link in LINKS.values()
)
"""The joints of `LINKS` in their order, as a layout."""

_SHORTEST_M = 0.05
"""A trunk or a pair of hips that is shorter has no direction."""


def body_id(person_id: str) -> str:
    """The identifier of a body: REP-155 recommends one that begins with a letter and may be part of a topic's name.

    One that is such an identifier stays; a number gets a letter; in any other id, what is not allowed becomes "_", and
    a checksum keeps different ids apart.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", person_id) and "__" not in person_id and not person_id.endswith("_"):
        return person_id
    if re.fullmatch(r"[0-9]+", person_id):
        return f"p{person_id}"
    plain = re.sub(r"[^A-Za-z0-9]+", "_", person_id).strip("_")
    return f"p_{plain}_{zlib.crc32(person_id.encode()):08x}" if plain else f"p_{zlib.crc32(person_id.encode()):08x}"


def body_pose(joints: np.ndarray) -> np.ndarray | None:
    """(4, 4) pose of a person's body frame.

    Args:
        joints: (25, 3) metres in NTU-25; NaN unseen.

    Returns:
        None where hips and shoulders are not seen well enough for a direction.
    """
    at = dict(zip(NTU_25, joints.astype(float), strict=True))
    middle = (at["HipLeft"] + at["HipRight"]) / 2
    up = (at["ShoulderLeft"] + at["ShoulderRight"]) / 2 - middle
    left = at["HipLeft"] - at["HipRight"]
    height, width = float(np.linalg.norm(up)), float(np.linalg.norm(left))
    if not (height > _SHORTEST_M and width > _SHORTEST_M):  # NaN, too
        return None
    z = up / height
    y = left - (left @ z) * z
    across = float(np.linalg.norm(y))
    if across < _SHORTEST_M:
        return None
    y /= across
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.cross(y, z), y, z], axis=1)
    pose[:3, 3] = middle
    return pose


def link_positions(joints: np.ndarray, pose: np.ndarray) -> dict[str, np.ndarray]:
    """(3,) metres of each link that is seen, in the body frame.

    Args:
        joints: (25, 3) metres in NTU-25; NaN unseen.
        pose: Of the body frame, see `body_pose`.
    """
    inside = (joints.astype(float) - pose[:3, 3]) @ pose[:3, :3]
    found = {link: inside[NTU_25.index(joint)] for joint, link in LINKS.items()}
    return {link: position for link, position in found.items() if np.isfinite(position).all()}


def quaternion_of(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """The quaternion (x, y, z, w) of a (3, 3) rotation."""
    from scipy.spatial.transform import Rotation  # who does not publish bodies does not pay for scipy

    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return float(x), float(y), float(z), float(w)
