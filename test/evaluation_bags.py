"""What the tests of the evaluation share: an engine that watches a hand, and people who wave one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from usdrl_ros.demo.actor import play
from usdrl_ros.evaluation.options import EvaluationOptions
from usdrl_ros.inference.contract import Predictions
from usdrl_ros.inference.model_file import ModelInfo
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.normalize import NORMALIZATION

if TYPE_CHECKING:
    import pytest

HAND_RIGHT = 11
RATE_HZ = 30


class HandEngine:
    """Sees "wave" in every frame around which the right hand moves, "jump" never."""

    info = ModelInfo("hand", ("jump", "wave"), 2.0, NORMALIZATION, "none")

    def infer(self, skeletons: np.ndarray) -> Predictions:
        hand = skeletons[:, :, :, HAND_RIGHT, 0]
        moves = np.linalg.norm(np.diff(hand, axis=2, append=hand[:, :, -1:]), axis=1) > 0.005
        around = np.stack([np.convolve(row, np.ones(9), "same") for row in moves]) > 2
        detection = np.zeros((len(skeletons), 64, 3), np.float32)
        detection[..., 0] = np.where(around, -5, 5)
        detection[..., 1] = -20
        detection[..., 2] = np.where(around, 5, -5)
        recognition = np.zeros((len(skeletons), 2), np.float32)
        return Predictions(detection, recognition, np.zeros((len(skeletons), 4), np.float32))

    def close(self) -> None: ...

    def __enter__(self) -> HandEngine:
        return self

    def __exit__(self, *_: object) -> None: ...


def make_recording(waves: dict[str, list[tuple[float, float]]], seconds: float = 14.0) -> Recording:
    """People who stand still but for their right hand, which waves from each start to each end."""
    stamps = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    stand = play(["wave"], seed=0, rate_hz=1.0, noise_m=0.0).joints["person_1"][0]
    joints = {}
    for person_id, times in waves.items():
        joints[person_id] = np.repeat(stand[None], len(stamps), 0)
        for start, end in times:
            moving = (stamps >= start) & (stamps < end)
            joints[person_id][moving, HAND_RIGHT, 0] += 0.3 * np.sin(2 * np.pi * 1.5 * (stamps[moving] - start))
    segments = [Segment(start, end, "wave", person) for person, times in waves.items() for start, end in times]
    return Recording("take", "ntu_25", stamps, joints, tuple(segments))


def use_hand_engine(patch: pytest.MonkeyPatch) -> None:
    """Let the tool run `HandEngine`, in this process: others would load the real model."""
    patch.setattr(EvaluationOptions, "load_engine", lambda self: HandEngine())
    patch.setattr(EvaluationOptions, "model_info", lambda self: HandEngine.info)
    patch.setattr(EvaluationOptions, "processes", 1)
