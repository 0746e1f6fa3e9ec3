"""The views of a skeleton that the network takes: joint, bone and motion (arXiv 2412.09220; authors' code, MIT)."""

from __future__ import annotations

import torch
from torch import Tensor

MODALITIES = ("joint", "bone", "motion")

BONES_25 = (
    (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11), (13, 1),
    (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (21, 21), (22, 23), (23, 8), (24, 25),
    (25, 12),
)  # fmt: skip
"""(joint, its parent), counted from 1: the bones of NTU-25 as the authors' feeder takes them."""

PARENTS: dict[int, tuple[int, ...]] = {
    25: tuple(parent - 1 for _, parent in sorted(BONES_25)),
    17: (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
}
"""By number of joints: each joint's parent, counted from 0; a joint that is its own parent has no bone.

17: COCO-17 (0 nose, then left and right eye, ear, shoulder, elbow, wrist, hip, knee, ankle), away from the nose.
"""


def modality(skeletons: Tensor, name: str) -> Tensor:
    """One view of skeletons (N, C, T, V, M), of the same shape: joint, bone or motion.

    bone[v] = x[v] - x[parent of v]; motion[t] = x[t + 1] - x[t], 0 in the last frame.

    Raises:
        ValueError: The name is unknown, or there are no bones for V joints.
    """
    if name == "joint":
        return skeletons
    if name == "bone":
        count = skeletons.shape[3]
        if count not in PARENTS:
            raise ValueError(f"no bones are known for {count} joints, only for {' or '.join(map(str, PARENTS))}")
        return skeletons - skeletons[:, :, :, list(PARENTS[count])]
    if name == "motion":
        motion = skeletons[:, :, 1:] - skeletons[:, :, :-1]
        return torch.cat([motion, torch.zeros_like(skeletons[:, :, :1])], 2)
    raise ValueError(f"unknown modality '{name}'; known are {', '.join(MODALITIES)}")
