"""The fit of derived joints against bodies whose proportions are known."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

from training import derived_joints
from training.derived_joints import pooled, report, samples_of, t_in_use
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

ARM = [NTU_25.index(name) for name in ("HandLeft", "WristLeft", "ElbowLeft", "HandRight", "WristRight", "ElbowRight")]


def recording(t: float, noise_m: float, seed: int = 0, frames: int = 4000) -> Recording:
    """Kinect v1 bodies whose hand is at wrist + t * (wrist - elbow) and somewhat beside it; forearms of 20 to 30 cm."""
    rng = np.random.default_rng(seed)
    joints = rng.normal(0, 0.3, (frames, 20, 3))
    index = load_layout("kinect_v1_20").index
    for side in ("Left", "Right"):
        direction = rng.normal(size=(frames, 3))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        forearm = direction * rng.uniform(0.2, 0.3, (frames, 1))
        wrist = joints[:, index[f"Elbow{side}"]] + forearm
        joints[:, index[f"Wrist{side}"]] = wrist
        joints[:, index[f"Hand{side}"]] = wrist + t * forearm + rng.normal(0, noise_m, (frames, 3))
    return Recording("take", "kinect_v1_20", np.arange(frames) / 30.0, {"person_1": joints})


@pytest.mark.parametrize("t", [0.1, 0.29, 0.6])
def test_the_fit_finds_the_proportion_and_its_error_is_the_noise(t: float) -> None:
    samples = samples_of([recording(t, 0.02)], "hand")
    assert samples.fit() == pytest.approx(t, abs=0.005)  # 0.02 / 0.25 / sqrt(8000) / sqrt(3), five times over
    rms, median = samples.error_cm(t)
    assert rms == pytest.approx(2.0 * np.sqrt(3), rel=0.03)  # of a normal distribution in space
    assert median == pytest.approx(2.0 * np.sqrt(2.366), rel=0.03)  # the median of chi square with three degrees
    assert not samples.computed


def test_unseen_joints_and_impossible_bones_do_not_count() -> None:
    sound = recording(0.3, 0.0)
    joints = sound.joints["person_1"].copy()
    index = load_layout("kinect_v1_20").index
    joints[:1000, index["WristLeft"]] = np.nan
    joints[1000:2000, index["ElbowRight"]] += 2.0
    joints[2000:2500, index["HandRight"]] = joints[2000:2500, index["WristRight"]]
    samples = samples_of([Recording("take", sound.layout, sound.stamps, {"p": joints})], "hand")
    assert len(samples.offset) == 8000 - 1000 - 1000 - 500
    assert samples.fit() == pytest.approx(0.3, abs=1e-9)
    assert samples.computed


def test_a_pool_gives_each_set_the_same_weight() -> None:
    found = [samples_of([recording(0.2, 0.02)], "hand"), samples_of([recording(0.4, 0.02, frames=100)], "hand")]
    assert pooled(found) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("rule", "t"), [("mid", 0.5), ("neck", 0.35), ("hand", 0.29), ("tip", 0.5)])
def test_what_is_in_use_is_what_the_layouts_do(rule: str, t: float) -> None:
    """Seen in the matrix of COCO, whose joints of these rules are all derived."""
    assert t_in_use(rule) == pytest.approx(t)
    coco = load_layout("coco_17").matrix
    rows = {
        "mid": coco[NTU_25.index("SpineMid")] @ (coco[NTU_25.index("SpineShoulder")] != 0),
        "neck": coco[NTU_25.index("Neck")] @ (coco[NTU_25.index("Head")] != 0),
        "hand": -coco[NTU_25.index("HandLeft")] @ coco[NTU_25.index("ElbowLeft")],
        "tip": -coco[NTU_25.index("HandTipLeft")] @ coco[NTU_25.index("ElbowLeft")],
    }
    assert rows[rule] == pytest.approx(t)


def test_layouts_without_the_joint_tell_nothing_of_it() -> None:
    joints = np.random.default_rng(0).normal(0, 0.2, (5, 15, 3))
    openni = Recording("take", "openni_15", np.arange(5.0), {"p": joints})
    assert [samples_of([openni], rule) for rule in ("neck", "hand", "tip")] == [None] * 3
    assert samples_of([recording(0.3, 0.01)], "tip") is None


def test_the_report_leaves_computed_joints_out_of_the_pool() -> None:
    table = report({"people": [recording(0.3, 0.02)], "a tracker": [recording(0.6, 0.0)]})
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    hands = {row[1]: row[3] for row in rows if row[0] == "hand"}
    assert hands["a tracker (computed)"] == "0.600"
    assert hands["people"] == hands["all"]
    assert [row[1] for row in rows if row[0] == "neck"] == ["none shows it"]


def test_the_command_on_real_skeletons(shared_data, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with tarfile.open(shared_data / "zed_body34_samples.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "zed_body34_samples"
    assert derived_joints.main([f"zed_body34_samples={root}"]) == 0
    assert "(computed)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        derived_joints.main(["zed_body34_samples"])
