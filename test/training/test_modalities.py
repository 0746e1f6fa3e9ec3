"""Joint, bone and motion by hand, for 25 and 17 joints."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from training.model.modalities import BONES_25, MODALITIES, PARENTS, modality  # noqa: E402
from usdrl_ros.skeleton.layouts import load_layout  # noqa: E402


def test_of_25_joints() -> None:
    x = torch.randn(2, 3, 64, 25, 2, dtype=torch.float64)
    bone = modality(x, "bone")
    for joint, parent in BONES_25:
        assert torch.equal(bone[:, :, :, joint - 1], x[:, :, :, joint - 1] - x[:, :, :, parent - 1])
    assert modality(x, "joint") is x


def test_motion_looks_one_frame_ahead() -> None:
    x = torch.randn(2, 3, 9, 17, 1, dtype=torch.float64)
    motion = modality(x, "motion")
    for t in range(8):
        assert torch.equal(motion[:, :, t], x[:, :, t + 1] - x[:, :, t])
    assert (motion[:, :, 8] == 0).all()


def test_of_coco_17() -> None:
    """Each bone is one of the layout's, each joint's parent is nearer to the nose, left has left parents."""
    layout = load_layout("coco_17")
    names, parents = layout.joint_names, PARENTS[17]
    drawn = {frozenset(bone) for bone in layout.bones}
    for joint, parent in enumerate(parents):
        sides = {name.split("_")[0] for name in (names[joint], names[parent])}
        assert sides != {"left", "right"}
        if joint and parent:
            assert frozenset((joint, parent)) in drawn, (names[joint], names[parent])
        while joint:
            assert parents[joint] < joint
            joint = parents[joint]
    assert parents[0] == 0
    assert [names[j] for j, parent in enumerate(parents) if parent == 0] == [
        "nose",
        "left_eye",
        "right_eye",
        "left_shoulder",
        "right_shoulder",
    ]
    x = torch.randn(2, 3, 4, 17, 1)
    bone = modality(x, "bone")
    assert (bone[:, :, :, 0] == 0).all()
    assert torch.equal(bone[:, :, :, 9], x[:, :, :, 9] - x[:, :, :, 7])  # left wrist - left elbow


@pytest.mark.parametrize("count", [17, 25])
@pytest.mark.parametrize("name", MODALITIES)
def test_where_the_skeleton_stands_matters_to_joints_alone(count: int, name: str) -> None:
    x = torch.randn(1, 3, 5, count, 2, dtype=torch.float64)
    moved = modality(x + torch.tensor([1.0, -2.0, 3.0])[:, None, None, None], name)
    assert torch.allclose(moved, modality(x, name)) == (name != "joint")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown modality 'angle'; known are joint, bone, motion"):
        modality(torch.zeros(1, 3, 4, 25, 1), "angle")
    with pytest.raises(ValueError, match="no bones are known for 18 joints, only for 25 or 17"):
        modality(torch.zeros(1, 3, 4, 18, 1), "bone")
