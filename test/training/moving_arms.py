"""A small archive of made-up clips: people who stand and move one arm or both, each class in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.configuration import RunOptions
from training.data.archive import Archive, ArchiveWriter
from training.model.options import ModelOptions
from training.model.usdrl import USDRL
from training.tasks.recognize import save_checkpoint
from usdrl_ros.recording import Recording, Segment

ACTIONS = ("raise_left", "raise_right", "raise_both")
PEOPLE = ("p1", "p2", "p3", "p4")
LEFT, RIGHT = (5, 6, 7, 21, 22), (9, 10, 11, 23, 24)
ARMS = (LEFT, RIGHT, LEFT + RIGHT)

POSE = np.zeros((25, 3))
POSE[[0, 1, 20, 2, 3], 1] = (0.0, 0.3, 0.5, 0.6, 0.8)
for side, arm, leg in ((1.0, (4, 5, 6, 7, 21, 22), (12, 13, 14, 15)), (-1.0, (8, 9, 10, 11, 23, 24), (16, 17, 18, 19))):
    POSE[arm, 0] = side * np.array([0.2, 0.25, 0.25, 0.25, 0.25, 0.2])
    POSE[arm, 1] = (0.5, 0.2, 0.0, -0.1, -0.2, -0.1)
    POSE[leg, 0] = side * 0.1
    POSE[leg, 1] = (0.0, -0.4, -0.8, -0.9)
"""NTU-25, metres: someone who stands, y up."""


def clip(action: int, rng: np.random.Generator) -> np.ndarray:
    """(T, 25, 3): a raise of arms, T from 20 to 30."""
    frames = int(rng.integers(20, 31))
    joints = np.repeat(rng.uniform(0.9, 1.1) * POSE[None], frames, 0) + rng.normal(0.0, 0.01, (frames, 25, 3))
    lift = 0.6 * np.sin(np.pi * np.linspace(0.0, 1.0, frames))
    joints[:, ARMS[action], 1] += lift[:, None]
    return joints + np.array([0.0, 0.0, 2.5])


def write_archive(directory: Path, *, takes: int = 4, people: int = 1, seed: int = 0) -> Archive:
    """p1 and p2 train, p3 and p4 test ("cross_subject"); of them only p4 in the split "smaller"."""
    rng = np.random.default_rng(seed)
    with ArchiveWriter(directory, name="arms", actions=ACTIONS, people=people) as writer:
        for person in PEOPLE:
            part = "train" if person in PEOPLE[:2] else "test"
            smaller = "" if person == "p3" else part
            for action, name in enumerate(ACTIONS):
                for take in range(takes):
                    joints = {"person_1": clip(action, rng)}
                    main = joints["person_1"]
                    if people == 2:
                        joints["person_2"] = main + np.array([0.8, 0.0, 0.0])
                    stamps = np.arange(len(main)) / 30.0
                    segments = (Segment(0.0, float(stamps[-1]), name),)
                    recording = Recording(f"{person}_{name}_{take}", "ntu_25", stamps, joints, segments, person)
                    writer.add(recording, {"cross_subject": part, "smaller": smaller})
    return Archive(directory)


def write_checkpoint(directory: Path, *, seed: int = 7, **options: Any) -> str:
    """The path of a checkpoint of a random network, of width 16 for the joints of one person unless said otherwise.

    With actions, its recognition head passes for a trained one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    given: dict[str, Any] = {"width": 16, "people": 1, "modalities": ("joint",)}
    model = USDRL(ModelOptions(**given | options))
    if model.options.actions:
        torch.nn.init.normal_(model.recognition.bias)
    save_checkpoint(model, {}, RunOptions(directory))
    return str(directory / "last.ckpt")
