"""Examples of actions: a stretch of a recording as one window of the model, and the variants that make few go far."""

from __future__ import annotations

import numpy as np

from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.normalize import normalize
from usdrl_ros.skeleton.window import resample

VARIANTS = ("as_is", "short", "long", "mirrored")
"""As it is; cut short at both ends; with rest at both ends; left and right swapped."""
TAUGHT_VARIANTS = VARIANTS[:3]
"""What a taught action is the mean of."""

_EXTENT = {"short": (0.1, 0.9), "long": (-0.15, 1.15)}


def _other_side(name: str) -> str:
    if "Left" in name:
        return name.replace("Left", "Right")
    return name.replace("Right", "Left")


MIRRORED = np.array([NTU_25.index(_other_side(name)) for name in NTU_25])
"""NTU-25's joints with left and right swapped."""


def cut(stamps: np.ndarray, joints: np.ndarray, start: float, stop: float, frames: int) -> np.ndarray:
    """A stretch of a recording as a window.

    Args:
        stamps: (n,) seconds, strictly increasing.
        joints: (n, 25, 3) metres, NaN where unseen.
        start, stop: Seconds.
        frames: T of the window.

    Returns:
        (T, 25, 3), evenly spaced from start to stop.
    """
    times = start + (stop - start) * (np.arange(frames) + 0.5) / frames
    return resample(stamps, joints, times)


def variant(windows: np.ndarray, name: str) -> np.ndarray:
    """A variant of examples.

    Args:
        windows: (N, T, 25, 3) metres.
        name: One of `VARIANTS`.

    Returns:
        (N, T, 25, 3).
    """
    if name == "as_is":
        return windows
    if name == "mirrored":
        return windows[:, :, MIRRORED] * np.array([-1.0, 1.0, 1.0], windows.dtype)
    first, last = _EXTENT[name]
    count = windows.shape[1]
    times = ((first + (last - first) * (np.arange(count) + 0.5) / count) * count - 0.5).clip(0.0, count - 1.0)
    steps = np.arange(count, dtype=float)
    return np.stack([resample(steps, window, times) for window in windows])


def as_input(windows: np.ndarray, people: int) -> np.ndarray:
    """Windows of one person each as a model takes them.

    Args:
        windows: (N, T, 25, 3) metres, NaN where unseen.
        people: M of the model; the other people's places are zero.

    Returns:
        (N, 3, T, 25, M) float32.
    """
    joints = np.full((*windows.shape[:2], people, 25, 3), np.nan, np.float32)
    joints[:, :, 0] = windows
    return np.ascontiguousarray(normalize(joints).transpose(0, 4, 1, 3, 2))
