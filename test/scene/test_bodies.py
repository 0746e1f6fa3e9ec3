"""REP-155's frames of a body: origin, directions, links, identifiers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from usdrl_ros.scene.bodies import LAYOUT, LINKS, body_id, body_pose, link_positions, quaternion_of
from usdrl_ros.scene.transforms import matrix_of
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

# A person who stands on the floor and looks along x, in REP-103's axes: x forward, y left, z up.
STANDING = {
    "HipLeft": (0.0, 0.1, 0.9),
    "HipRight": (0.0, -0.1, 0.9),
    "ShoulderLeft": (0.0, 0.2, 1.4),
    "ShoulderRight": (0.0, -0.2, 1.4),
    "SpineShoulder": (0.0, 0.0, 1.4),
    "Head": (0.05, 0.0, 1.6),
    "WristRight": (0.3, -0.2, 1.1),
    "KneeLeft": (0.0, 0.1, 0.5),
}


def person(rotation: Rotation, translation: np.ndarray) -> np.ndarray:
    joints = np.full((25, 3), np.nan)
    for joint, place in STANDING.items():
        joints[NTU_25.index(joint)] = rotation.apply(place) + translation
    return joints


@pytest.mark.parametrize("seed", range(5))
def test_the_frame_turns_and_moves_with_the_person(seed):
    rng = np.random.default_rng(seed)
    rotation, translation = Rotation.random(random_state=seed), rng.uniform(-3, 3, 3)
    joints = person(rotation, translation)
    pose = body_pose(joints)
    np.testing.assert_allclose(pose[:3, :3], rotation.as_matrix(), atol=1e-9)
    np.testing.assert_allclose(pose[:3, 3], rotation.apply([0.0, 0.0, 0.9]) + translation, atol=1e-9)
    links = link_positions(joints, pose)
    assert links.keys() == {LINKS[joint] for joint in STANDING}
    for joint, place in STANDING.items():  # seen from the body, it has not moved
        np.testing.assert_allclose(links[LINKS[joint]], np.array(place) - [0.0, 0.0, 0.9], atol=1e-9)
    again = matrix_of(pose[:3, 3], np.array(quaternion_of(pose[:3, :3])))
    np.testing.assert_allclose(again, pose, atol=1e-9)


def test_a_body_without_hips_or_of_no_height_has_no_frame():
    joints = person(Rotation.identity(), np.zeros(3))
    assert body_pose(joints) is not None
    unseen = joints.copy()
    unseen[NTU_25.index("HipLeft")] = np.nan
    assert body_pose(unseen) is None
    assert body_pose(np.zeros((25, 3))) is None


def test_the_links_have_the_names_of_rep_155():
    named = {"head", "torso"} | {
        f"{s}_{p}" for s in "lr" for p in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    }
    assert set(LINKS.values()) == named


def test_the_links_of_a_body_give_its_skeleton_back():
    joints = np.random.default_rng(1).normal(size=(25, 3))
    given = np.stack([joints[NTU_25.index(joint)] for joint in LINKS])
    found, _ = load_layout(LAYOUT).to_ntu25(given)
    for joint in LINKS:
        np.testing.assert_allclose(found[NTU_25.index(joint)], joints[NTU_25.index(joint)], atol=1e-6)
    hips = joints[[NTU_25.index("HipLeft"), NTU_25.index("HipRight")]]
    np.testing.assert_allclose(found[0], hips.mean(0), atol=1e-6)
    assert not load_layout(LAYOUT).missing


def test_identifiers_stay_where_they_may_and_never_meet():
    assert [body_id(name) for name in ("ann", "track_1", "f8a2c", "17")] == ["ann", "track_1", "f8a2c", "p17"]
    odd = ["a b", "a.b", "a/b", "", "ä", "1a", "a__b", "a_", "_a", "../etc", "a\nb"]
    made = [body_id(name) for name in odd]
    assert len(set(made)) == len(odd)
    assert all(re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name) for name in made)
