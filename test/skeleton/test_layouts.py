"""Joint layouts against the rules written out one by one, and properties that every rule must have."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from usdrl_ros.demo.actor import play
from usdrl_ros.skeleton import layouts
from usdrl_ros.skeleton.joint_names import part_of
from usdrl_ros.skeleton.layouts import NTU_25, LayoutError, available_layouts, load_layout

LAYOUTS = {
    "azure_kinect_32": (32, 1),
    "coco_17": (17, 10),
    "h36m_17": (17, 9),
    "halpe_26": (26, 8),
    "hri_msgs_18": (18, 10),
    "kinect_v1_20": (20, 5),
    "mediapipe_33": (33, 2),
    "ntu_25": (25, 0),
    "nuitrack_25": (25, 6),
    "nvidia_bodypose3d_34": (34, 1),
    "openni_15": (15, 5),
    "openpose_body_25": (25, 8),
    "openpose_coco_18": (18, 10),
    "smpl_24": (24, 5),
    "zed_body_34": (34, 1),
    "zed_body_38": (38, 0),
}
"""Joints, and how many of NTU-25 are derived."""


def random_joints(layout: str, *batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (*batch, LAYOUTS[layout][0], 3))


def other_side(name: str) -> str:
    return name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")


def coco_by_hand(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rules of the layout's source, as formulas."""
    out = {
        "SpineBase": (p["left_hip"] + p["right_hip"]) / 2,
        "Head": (p["left_ear"] + p["right_ear"]) / 2,
        "SpineShoulder": (p["left_shoulder"] + p["right_shoulder"]) / 2,
    }
    out["SpineMid"] = (out["SpineBase"] + out["SpineShoulder"]) / 2
    out["Neck"] = out["SpineShoulder"] + 0.35 * (out["Head"] - out["SpineShoulder"])
    for side, s in (("Left", "left_"), ("Right", "right_")):
        wrist, elbow = p[s + "wrist"], p[s + "elbow"]
        out |= {
            f"Shoulder{side}": p[s + "shoulder"],
            f"Elbow{side}": elbow,
            f"Wrist{side}": wrist,
            f"Hand{side}": wrist + 0.29 * (wrist - elbow),
            f"Thumb{side}": wrist + 0.29 * (wrist - elbow),
            f"HandTip{side}": wrist + 0.5 * (wrist - elbow),
            f"Hip{side}": p[s + "hip"],
            f"Knee{side}": p[s + "knee"],
            f"Ankle{side}": p[s + "ankle"],
            f"Foot{side}": p[s + "ankle"],
        }
    return out


def test_the_layouts_that_are_there() -> None:
    assert available_layouts() == tuple(sorted(LAYOUTS))


@pytest.mark.parametrize(("name", "joints", "derived"), [(name, *counts) for name, counts in LAYOUTS.items()])
def test_counts_and_weights(name: str, joints: int, derived: int) -> None:
    layout = load_layout(name)
    assert len(layout.joint_names) == len(set(layout.joint_names)) == joints
    assert layout.derived.sum() == derived
    assert layout.matrix.shape == (25, joints)
    np.testing.assert_allclose(layout.matrix.sum(1), 1.0, atol=1e-12)
    assert layout.missing == ()
    assert all(0 <= a < joints and 0 <= b < joints and a != b for a, b in layout.bones)
    # A skeleton is a tree; some faces are bound to the trunk by nothing, trunks are rings, and Nuitrack's joints 0,
    # fingertips and feet are none.
    assert len(layout.bones) == {"coco_17": 16, "mediapipe_33": 31, "nuitrack_25": 19}.get(name, joints - 1)


def test_ntu_25_is_the_identity() -> None:
    joints = random_joints("ntu_25", 4)
    mapped, confidence = load_layout("ntu_25").to_ntu25(joints)
    np.testing.assert_array_equal(mapped, joints)
    np.testing.assert_array_equal(confidence, np.ones((4, 25)))


def test_coco_17_by_hand() -> None:
    joints = random_joints("coco_17")
    layout = load_layout("coco_17")
    expected = coco_by_hand(dict(zip(layout.joint_names, joints, strict=True)))
    mapped, _ = layout.to_ntu25(joints)
    for name, value in zip(NTU_25, mapped, strict=True):
        np.testing.assert_allclose(value, expected[name], atol=1e-12, err_msg=name)


def test_kinect_v1_20_by_hand() -> None:
    joints = random_joints("kinect_v1_20")
    layout = load_layout("kinect_v1_20")
    p = dict(zip(layout.joint_names, joints, strict=True))
    expected = {name: p[name] for name in NTU_25 if name in p}
    expected |= {"SpineBase": p["HipCenter"], "SpineMid": p["Spine"], "SpineShoulder": p["ShoulderCenter"]}
    expected["Neck"] = p["ShoulderCenter"] + 0.35 * (p["Head"] - p["ShoulderCenter"])
    for side in ("Left", "Right"):
        expected[f"HandTip{side}"] = p[f"Wrist{side}"] + 0.5 * (p[f"Wrist{side}"] - p[f"Elbow{side}"])
        expected[f"Thumb{side}"] = p[f"Hand{side}"]
    mapped, _ = layout.to_ntu25(joints)
    np.testing.assert_allclose(mapped, np.stack([expected[name] for name in NTU_25]), atol=1e-12)


def test_openni_15_by_hand() -> None:
    """Its hands are where the wrists are, its feet where the ankles are."""
    joints = random_joints("openni_15")
    layout = load_layout("openni_15")
    p = dict(zip(layout.joint_names, joints, strict=True))
    expected = {"SpineBase": (p["LeftHip"] + p["RightHip"]) / 2, "SpineMid": p["Torso"], "Head": p["Head"]}
    expected |= {"SpineShoulder": p["Neck"], "Neck": p["Neck"] + 0.35 * (p["Head"] - p["Neck"])}
    for side in ("Left", "Right"):
        for ours, theirs in (("Shoulder", "Shoulder"), ("Elbow", "Elbow"), ("Hip", "Hip"), ("Knee", "Knee")):
            expected[ours + side] = p[side + theirs]
        expected |= {f"{part}{side}": p[f"{side}Hand"] for part in ("Wrist", "Hand", "HandTip", "Thumb")}
        expected |= {f"{part}{side}": p[f"{side}Foot"] for part in ("Ankle", "Foot")}
    mapped, _ = layout.to_ntu25(joints)
    np.testing.assert_allclose(mapped, np.stack([expected[name] for name in NTU_25]), atol=1e-12)


def test_zed_body_34_by_hand() -> None:
    joints = random_joints("zed_body_34")
    layout = load_layout("zed_body_34")
    p = dict(zip(layout.joint_names, joints, strict=True))
    head = (p["LEFT_EAR"] + p["RIGHT_EAR"]) / 2
    expected = {"SpineBase": p["PELVIS"], "SpineMid": (p["NAVAL_SPINE"] + p["CHEST_SPINE"]) / 2, "Head": head}
    expected |= {"SpineShoulder": p["NECK"], "Neck": p["NECK"] + 0.35 * (head - p["NECK"])}
    for side in ("Left", "Right"):
        for part in ("Shoulder", "Elbow", "Wrist", "Hand", "HandTip", "Thumb", "Hip", "Knee", "Ankle", "Foot"):
            expected[part + side] = p[f"{side}_{part}".upper()]
    mapped, _ = layout.to_ntu25(joints)
    np.testing.assert_allclose(mapped, np.stack([expected[name] for name in NTU_25]), atol=1e-12)


@pytest.mark.parametrize("name", LAYOUTS)
def test_left_and_right_are_treated_alike(name: str) -> None:
    layout = load_layout(name)

    def flipped(joint: str) -> str:
        swapped = other_side(joint)
        if name.startswith("openpose"):
            return re.sub("^[LR](?=[A-Z])", lambda side: "RL"["LR".index(side[0])], joint)
        for left, right in (("left", "right"), ("LEFT", "RIGHT")):
            swapped = swapped.replace(left, "?").replace(right, left).replace("?", right)
        return swapped

    joints = random_joints(name)
    swapped = joints[[layout.joint_names.index(flipped(joint)) for joint in layout.joint_names]]
    mapped, swapped_mapped = layout.to_ntu25(joints)[0], layout.to_ntu25(swapped)[0]
    expected = mapped[[NTU_25.index(other_side(joint)) for joint in NTU_25]]
    np.testing.assert_allclose(swapped_mapped, expected, atol=1e-12)


@pytest.mark.parametrize("name", LAYOUTS)
def test_moving_and_turning_the_camera_moves_all_joints_alike(name: str) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    joints, shift = random_joints(name, 2, 3), np.array([3.0, -1.0, 10.0])
    layout = load_layout(name)
    np.testing.assert_allclose(
        layout.to_ntu25(joints @ turn.T + shift)[0], layout.to_ntu25(joints)[0] @ turn.T + shift, atol=1e-12
    )


@pytest.mark.parametrize("unseen", [np.nan, np.inf, -np.inf])
def test_a_joint_without_a_source_is_unseen(unseen: float) -> None:
    layout = load_layout("coco_17")
    joints = random_joints("coco_17")
    joints[layout.joint_names.index("left_wrist"), 1] = unseen
    mapped, confidence = layout.to_ntu25(joints)
    lost = {"WristLeft", "HandLeft", "HandTipLeft", "ThumbLeft"}
    assert {name for name, joint in zip(NTU_25, mapped, strict=True) if np.isnan(joint).all()} == lost
    assert {name for name, value in zip(NTU_25, confidence, strict=True) if value == 0.0} == lost
    assert np.isfinite(mapped).all(-1).sum() == 25 - len(lost)


def test_confidence_is_the_least_of_the_sources() -> None:
    layout = load_layout("coco_17")
    given = np.random.default_rng(2).uniform(0.1, 1.0, 17)
    c = dict(zip(layout.joint_names, given, strict=True))
    mapped, confidence = layout.to_ntu25(random_joints("coco_17"), given)
    found = dict(zip(NTU_25, confidence, strict=True))
    assert np.isfinite(mapped).all()
    assert found["SpineBase"] == min(c["left_hip"], c["right_hip"])
    assert found["SpineMid"] == min(c["left_hip"], c["right_hip"], c["left_shoulder"], c["right_shoulder"])
    assert found["Neck"] == min(c["left_ear"], c["right_ear"], c["left_shoulder"], c["right_shoulder"])
    assert found["HandTipRight"] == min(c["right_wrist"], c["right_elbow"])
    assert found["KneeLeft"] == c["left_knee"]


@pytest.mark.parametrize(("given", "kept"), [(np.nan, 0.0), (0.0, 0.0), (-1.0, 0.0), (1.5, 1.0), (np.inf, 1.0)])
def test_odd_confidences(given: float, kept: float) -> None:
    confidences = np.ones(25)
    confidences[3] = given
    mapped, confidence = load_layout("ntu_25").to_ntu25(random_joints("ntu_25"), confidences)
    assert confidence[3] == kept
    assert np.isnan(mapped[3]).all() == (kept == 0.0)
    assert np.isfinite(np.delete(mapped, 3, 0)).all()


def test_what_is_given_is_not_changed() -> None:
    joints, confidence = random_joints("ntu_25"), np.full(25, 2.0)
    joints[4] = np.nan
    before = joints.copy()
    load_layout("ntu_25").to_ntu25(joints, confidence)
    np.testing.assert_array_equal(joints, before)
    assert (confidence == 2.0).all()


@pytest.mark.parametrize("name", ["kinect_v1_20", "coco_17"])
def test_a_derived_skeleton_is_near_the_true_one(name: str) -> None:
    """The actor's performance is the same one in every layout."""
    options = dict(seed=3, rate_hz=5.0, noise_m=0.0)
    truth = play(["wave", "throw"], **options, layout="ntu_25").joints["person_1"]
    layout = load_layout(name)
    mapped, _ = layout.to_ntu25(play(["wave", "throw"], **options, layout=name).joints["person_1"])
    distance = np.linalg.norm(mapped - truth, axis=-1)
    near = {"FootLeft", "FootRight", "ThumbLeft", "ThumbRight"} if name == "coco_17" else {"ThumbLeft", "ThumbRight"}
    for joint, error in zip(NTU_25, distance.max(0), strict=True):
        assert error < (0.25 if joint in near else 0.12), (joint, error)


@pytest.mark.parametrize("shape", [(24, 3), (25, 2), (25,), (3, 25)])
def test_a_wrong_shape_is_reported(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="'ntu_25' has 25 joints of x y z, got"):
        load_layout("ntu_25").to_ntu25(np.zeros(shape))


@pytest.mark.parametrize("name", ["", "coco", "../layouts/coco_17", "COCO_17"])
def test_an_unknown_layout_is_reported_with_those_that_are_known(name: str) -> None:
    with pytest.raises(LayoutError, match=f"unknown joint layout '{name}'; known are azure_kinect_32, coco_17, "):
        load_layout(name)


def broken(rules: dict[str, object]) -> dict[str, object]:
    return {"joints": list(NTU_25), "bones": [], "to_ntu_25": {joint: [joint] for joint in NTU_25} | rules}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (broken({"Nose": ["Head"]}), "Nose"),
        (broken({"Head": ["Hat"]}), "Hat"),
        (broken({"Head": "guess"}), "guess"),
        (broken({"HandLeft": "same_as_hand"}), "in a circle: .'HandLeft'"),
        ({**broken({}), "joints": [*NTU_25, "Head"]}, "twice"),
        ({**broken({}), "bones": [["Head", "Hat"]]}, "Hat"),
        ({"joints": list(NTU_25)}, "to_ntu_25"),
        ([1, 2], "list"),
        (None, "NoneType"),
    ],
)
def test_a_broken_file_is_reported(
    content: object, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layouts").mkdir()
    (tmp_path / "layouts" / "mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr(layouts, "data_directory", lambda name: tmp_path)
    with pytest.raises(LayoutError, match=f"'mine' .*mine.yaml.* cannot be used: .*{fault}"):
        load_layout("mine")


def joint_name(layout: str, ntu: str) -> set[str]:
    """The joints of a layout that one of NTU-25 is made of."""
    found = load_layout(layout)
    row = found.matrix[NTU_25.index(ntu)]
    return {joint for joint, weight in zip(found.joint_names, row, strict=True) if weight}


@pytest.mark.parametrize(
    ("layout", "head", "instead"),
    [
        ("coco_17", ("left_ear", "right_ear"), [("left_eye", "right_eye"), ("nose",)]),
        ("openpose_body_25", ("REar", "LEar"), [("REye", "LEye"), ("Nose",)]),
        ("azure_kinect_32", ("EAR_LEFT", "EAR_RIGHT"), [("EYE_LEFT", "EYE_RIGHT"), ("NOSE",)]),
    ],
)
def test_without_ears_the_head_is_where_the_eyes_or_the_nose_are(
    layout: str, head: tuple[str, ...], instead: list[tuple[str, ...]]
) -> None:
    """And the neck, which is derived from the head, is where it would be then; all else stays."""
    found, joints = load_layout(layout), random_joints(layout)
    places = dict(zip(found.joint_names, joints, strict=True))
    shoulders = NTU_25.index("SpineShoulder")
    before = found.to_ntu25(joints)[0]
    for lost, choice in zip((head, *instead), (*instead, None), strict=True):
        joints[found.index[lost[0]]] = np.nan
        mapped, confidence = found.to_ntu25(joints)
        if choice is None:
            assert np.isnan(mapped[[NTU_25.index("Head"), NTU_25.index("Neck")]]).all()
            continue
        middle = np.mean([places[joint] for joint in choice], 0)
        np.testing.assert_allclose(mapped[NTU_25.index("Head")], middle, atol=1e-12)
        share = load_layout("kinect_v1_20").matrix[NTU_25.index("Neck")].max()
        neck = share * before[shoulders] + (1 - share) * middle
        np.testing.assert_allclose(mapped[NTU_25.index("Neck")], neck, atol=1e-12)
        others = [i for i, joint in enumerate(NTU_25) if joint not in ("Head", "Neck")]
        np.testing.assert_array_equal(mapped[others], before[others])
        assert confidence.min() == 1.0


@pytest.mark.parametrize("name", LAYOUTS)
def test_by_their_names_joints_go_where_the_layouts_rule_puts_them(name: str) -> None:
    """The rule that is found by names alone agrees with the table, made by hand from each estimator's documents."""
    table = load_layout(name)
    by_name = load_layout(",".join(table.joint_names))
    differ = {joint for joint, a, b in zip(NTU_25, table.matrix, by_name.matrix, strict=True) if not np.allclose(a, b)}
    judged = {  # what a name does not say
        "h36m_17": {"Head", "Neck"},  # its head is the top of it, its neck_base the nose
        "halpe_26": set(),
        "mediapipe_33": {"HandLeft", "HandRight", "ThumbLeft", "ThumbRight"},
        "nuitrack_25": {"SpineShoulder", "Neck"},  # its neck is above its collars
        "nvidia_bodypose3d_34": {"HandLeft", "HandRight"},
        "smpl_24": set(),
        "zed_body_38": {"SpineShoulder", "Neck", "HandLeft", "HandRight"},
    }
    fingers = {"HandTipLeft", "HandTipRight", "FootLeft", "FootRight", "ThumbLeft", "ThumbRight"}
    assert differ - fingers <= judged.get(name, set())
    assert by_name.missing == ()


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ("left_shoulder LEFT_SHOULDER LShoulder ShoulderLeft l_sho shoulder_l lShoulder left-shoulder", "ShoulderLeft"),
        ("right_wrist RIGHT_WRIST RWrist WristRight r_wri rwrist_joint RWri", "WristRight"),
        ("MidHip pelvis root Hip WAIST hip_center SpineBase hips", "Pelvis"),
        ("LHip left_hip HIP_LEFT l_hip HipLeft", "HipLeft"),
        ("RBigToe right_foot FootRight RIGHT_FOOT_INDEX right_small_toe", "FootRight"),
        ("nose Nose NOSE", "Nose"),
        ("left shoulders background tail LEFT knee_left_right", ""),
    ],
)
def test_names_are_understood_in_many_spellings(names: str, part: str) -> None:
    for name in names.split():
        assert part_of(name) == part, name


def test_a_layout_by_names_leaves_unseen_what_no_name_gives() -> None:
    """An upper body: what needs no legs is there."""
    names = "nose, l_sho, r_sho, l_elb, r_elb, l_wri, r_wri"
    layout = load_layout(names)
    lost = {f"{part}{side}" for part in ("Hip", "Knee", "Ankle", "Foot") for side in ("Left", "Right")}
    assert set(layout.missing) == lost | {"SpineBase", "SpineMid"}
    mapped, confidence = layout.to_ntu25(np.random.default_rng(0).normal(0, 1, (7, 3)))
    for joint, place, sure in zip(NTU_25, mapped, confidence, strict=True):
        assert np.isnan(place).all() == (sure == 0.0) == (joint in layout.missing), joint


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("a,b,c", "none says ShoulderLeft or ShoulderRight; not understood: a, b, c"),
        ("left_shoulder,rigth_shoulder", "none says ShoulderRight; not understood: rigth_shoulder"),
        ("left_shoulder,left_shoulder", "occurs twice"),
        (",", "occurs twice"),
        ("," * 500, "501 joint names, expected at most 200"),
    ],
)
def test_names_that_are_not_enough_are_reported(names: str, says: str) -> None:
    with pytest.raises(LayoutError, match=f"joint names '{names}' cannot be used: .*{says}|^{says}"):
        load_layout(names)


def test_a_layout_of_ones_own_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(broken({})), encoding="utf-8")
    layout = load_layout(str(path))
    assert layout.name == str(path)
    np.testing.assert_array_equal(layout.matrix, np.eye(25))
    with pytest.raises(LayoutError, match=r"other.yaml.*cannot be used: .*No such file"):
        load_layout(str(tmp_path / "other.yaml"))
