"""The ten sets of one form: pieces of clips, axes, joints, labels and people, against what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data import clip_tables
from training.data.archive import Archive
from training.data.clip_tables import ClipTable
from training.data.errors import DatasetError
from training.data.sets import load_set, read_all
from training.data.vocabulary import IGNORED
from training.prepare import Skipped, prepare
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

NAMES = [name for name, value in vars(clip_tables).items() if isinstance(value, ClipTable)]
HEADER = "clip,person,action_text,mapped,start,end,frames,fps,note\n"


def write(root: Path, arrays: dict[str, Any], lines: list[str], joints: list[str], fps: float = 30.0) -> Path:
    """A set's directory: one file of arrays and the table."""
    root.mkdir(parents=True, exist_ok=True)
    clip_tables._arrays.cache_clear()
    np.savez(root / "set.npz", __joints__=np.array(joints), __fps__=np.float64(fps), **arrays)
    (root / "labels.csv").write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return root


def openni(frames: int = 8) -> tuple[np.ndarray, list[str]]:
    """Millimetres (frames, 15, 3) that are all different, and OpenNI's joints in an order of their own."""
    joints = [name.upper() for name in ("head", "neck", "torso")]
    joints += [
        f"{side}_{part}" for part in ("SHOULDER", "ELBOW", "HIP", "KNEE", "HAND", "FOOT") for side in ("LEFT", "RIGHT")
    ]
    return np.arange(1, frames * 45 + 1).reshape(frames, 15, 3).astype(np.int16), joints


def test_every_set_is_known_by_name_and_has_layouts() -> None:
    assert len(NAMES) == 10
    for name in NAMES:
        reader = load_set(name)
        assert reader.NAME == name
        for layout in reader.layouts:
            own = clip_tables._LAYOUTS / f"{layout}.yaml"
            assert not load_layout(str(own) if own.is_file() else layout).missing


def test_a_piece_is_a_clip_in_metres_with_the_sets_label(tmp_path: Path) -> None:
    values, joints = openni()
    lines = ["a,p1,drinking,drink,0,8,8,30,", "b,p4,cooking,background,2,6,8,30,", "b,p4,both,ignore,6,8,8,30,"]
    root = write(tmp_path / "cad60", {"a": values, "b": values}, lines, joints)
    first, second, third = read_all("cad60", root)
    assert (first.name, second.name, third.name) == ("a", "b_from_2", "b_from_6")
    assert [r.segments[0].action for r in (first, second, third)] == ["drink", "background", IGNORED]
    np.testing.assert_allclose(first.stamps, np.arange(8) / 30.0)
    assert len(second.stamps) == 4
    hand = first.joints["person_1"][:, NTU_25.index("WristRight")]
    np.testing.assert_allclose(hand, values[:, joints.index("RIGHT_HAND")] / 1000.0)
    np.testing.assert_allclose(second.joints["person_1"], first.joints["person_1"][2:6])


def test_a_recording_without_a_joint_has_none_there(tmp_path: Path) -> None:
    values, joints = openni()
    values[3, joints.index("HEAD")] = 0
    tracked = np.ones((8, 15), bool)
    tracked[5, joints.index("LEFT_KNEE")] = False
    root = write(tmp_path / "x", {"a": values, "a__tracked": tracked}, ["a,p1,x,drink,0,8,8,30,"], joints)
    (found,) = read_all("cad60", root)
    unseen = ~np.isfinite(found.joints["person_1"]).all(-1)
    assert {(int(t), NTU_25[v]) for t, v in np.argwhere(unseen)} == {(3, "Head"), (3, "Neck"), (5, "KneeLeft")}


@pytest.mark.parametrize(
    ("name", "clip", "turned"),
    [
        ("handover_zed", "motion_normal_0_giver", lambda p: (p[1], p[2], p[0])),
        ("ui_prmd", "vicon_m01_s01_e01", lambda p: (p[0], p[2], -p[1])),
        ("ui_prmd", "kinect_m07_s01_e01", lambda p: p),
    ],
)
def test_axes_are_turned_to_y_up(tmp_path: Path, name: str, clip: str, turned: Any) -> None:
    layout_name = {"motion": "zed_body_34", "vicon": "vicon_30", "kinect": "kinect_v2_bvh_17"}[clip.split("_")[0]]
    own = clip_tables._LAYOUTS / f"{layout_name}.yaml"
    layout = load_layout(str(own) if own.is_file() else layout_name)
    values = np.random.default_rng(0).integers(-2000, 2000, (5, len(layout.joint_names), 3)).astype(np.int16)
    root = write(tmp_path / name, {clip: values}, [f"{clip},s01,x,squat,0,5,5,30,"], list(layout.joint_names))
    (found,) = read_all(name, root)
    expected = layout.to_ntu25(np.stack(turned(np.moveaxis(values / 1000.0, -1, 0)), -1))[0]
    np.testing.assert_allclose(found.joints["person_1"], expected)


def test_people_who_are_not_named_are_stood_in_for() -> None:
    person = {name: load_set(name).person for name in NAMES}  # type: ignore[attr-defined]
    assert person["cdta_hri"]("moh", "Call_moh_1") == "moh"
    assert person["cdta_hri"]("unknown", "Call_30_v3_012") == "recording_v3"
    assert person["cdta_hri"]("unknown", "Call30_new_verified_001") == "recording_v1"
    assert person["handover_zed"]("unknown", "motion_normal_310_giver") == "takes_300"
    assert person["handover_zed"]("unknown", "motion_variation_7_receiver") == "takes_varied"
    assert person["bandai_namco"]("ds2", "dataset-2_wave-left-hand_elderly_003") == "ds2_elderly"


def test_an_archive_is_split_by_people_and_labelled_by_the_table(tmp_path: Path) -> None:
    values, joints = openni()
    lines = ["a,p1,x,drink,0,8,8,30,", "b,p4,y,background,0,8,8,30,", "c,p4,z,ignore,0,8,8,30,"]
    root = write(tmp_path / "cad60", dict.fromkeys("abc", values), lines, joints)
    prepare("cad60", root, tmp_path / "archive", Skipped())
    archive = Archive(tmp_path / "archive")
    assert archive.actions == ("background", "drink", IGNORED)
    assert archive.names[archive.split("by_people", "train")].tolist() == ["a"]
    assert archive.names[archive.split("by_people", "test")].tolist() == ["b", "c"]


def test_what_does_not_belong_together_is_named(tmp_path: Path) -> None:
    values, joints = openni()
    line = "a,p1,x,drink,0,8,8,30,"
    cases = {
        "clip missing": ({"b": values}, [line], joints, "names the clip a"),
        "frames missing": ({"a": values[:4]}, [line], joints, "frames 0 to 8"),
        "other joints": ({"a": values}, [line], [f"bone_{i}" for i in range(15)], "bone_0"),
    }
    for cause, (arrays, lines, names, text) in cases.items():
        root = write(tmp_path / cause, arrays, lines, names)
        with pytest.raises(DatasetError, match=text) as error:
            list(read_all("cad60", root))
        assert error.value.cause == cause
    (tmp_path / "other joints" / "labels.csv").unlink()
    with pytest.raises(DatasetError, match=r"labels\.csv is missing"):
        list(read_all("cad60", tmp_path / "other joints"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"\.npz"):
        list(read_all("cad60", tmp_path / "empty"))
