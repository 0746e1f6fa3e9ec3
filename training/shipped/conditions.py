"""What a robot's camera does to skeletons: conditions under which the shipped model is judged beside the clean one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.data.augmentations import layout_matrix, mirrored_joints
from usdrl_ros.camera.monocular import OneEuro
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.window import resample

MIRRORED = np.array(mirrored_joints(25))
"""NTU-25's joints with left and right swapped."""
SPINE_BASE, SPINE_MID, SPINE_SHOULDER = 0, 1, 20
LEFT_LEG = (12, 13, 14, 15)
LEFT_ARM = (4, 5, 6, 7, 21, 22)
RIGHT_ARM = (8, 9, 10, 11, 23, 24)
HIPS = (12, 16)
NOISE_M = 0.02
TILT_DEG = 30.0

Condition = Callable[[Recording, np.random.Generator], Recording]


def rotated(recording: Recording, rng: np.random.Generator) -> Recording:
    """Seen from any direction about the vertical."""
    return _transformed(recording, _about_y(rng.uniform(-np.pi, np.pi)))


def tilted(recording: Recording, rng: np.random.Generator) -> Recording:
    """By a camera that looks down or up by `TILT_DEG`."""
    angle = np.radians(TILT_DEG) * rng.choice([-1.0, 1.0])
    cos, sin = np.cos(angle), np.sin(angle)
    return _transformed(recording, np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]))


def at_rate(rate: float) -> Condition:
    """By a camera of so many frames a second; recordings that are slower are interpolated."""

    def condition(recording: Recording, rng: np.random.Generator) -> Recording:
        first, last = recording.stamps[0], recording.stamps[-1]
        times = np.arange(first, last + 1e-9, 1.0 / rate)
        if len(times) < 2:
            times = np.array([first, last])
        joints = {name: resample(recording.stamps, values, times) for name, values in recording.joints.items()}
        return replace(recording, stamps=times, joints=joints)

    return condition


def noisy(recording: Recording, rng: np.random.Generator) -> Recording:
    """With noise of `NOISE_M` on each coordinate of each joint of each frame."""
    return _changed(recording, lambda joints: joints + rng.normal(0.0, NOISE_M, joints.shape))


def unseen(joints: tuple[int, ...]) -> Condition:
    """With some joints never seen."""

    def condition(recording: Recording, rng: np.random.Generator) -> Recording:
        def hide(values: np.ndarray) -> np.ndarray:
            values = np.array(values)
            values[:, list(joints)] = np.nan
            return values

        return _changed(recording, hide)

    return condition


def through(layout: str) -> Condition:
    """As skeletons of a poorer layout, from which the missing joints are derived."""
    matrix = layout_matrix(layout)

    def condition(recording: Recording, rng: np.random.Generator) -> Recording:
        def derive(joints: np.ndarray) -> np.ndarray:
            derived = np.einsum("vw,twc->tvc", matrix, np.nan_to_num(joints))
            # A joint is there only if all that it is made of are.
            missing = (~np.isfinite(joints).all(-1)).astype(float) @ (matrix.T != 0.0) > 0.0
            derived[missing] = np.nan
            return derived

        return _changed(recording, derive)

    return condition


def spine_mid_at(height_m: float) -> Condition:
    """With SpineMid so far above SpineBase on the line to SpineShoulder: Kinect v1's is at 7 cm."""

    def condition(recording: Recording, rng: np.random.Generator) -> Recording:
        def move(joints: np.ndarray) -> np.ndarray:
            moved, trunk = np.array(joints), joints[:, SPINE_SHOULDER] - joints[:, SPINE_BASE]
            length = np.linalg.norm(trunk, axis=-1, keepdims=True)
            moved[:, SPINE_MID] = joints[:, SPINE_BASE] + trunk / np.maximum(length, 1e-6) * height_m
            return moved

        return _changed(recording, move)

    return condition


def left_handed(recording: Recording, rng: np.random.Generator) -> Recording:
    """Mirrored: right-handed people become left-handed."""
    return _changed(recording, lambda joints: joints[:, MIRRORED] * np.array([-1.0, 1.0, 1.0]))


def child(recording: Recording, rng: np.random.Generator) -> Recording:
    """Shrunk to the size of a child, 0.6 of the recorded one (real children are in Kinder-Gator)."""
    return _changed(recording, lambda joints: joints * 0.6)


def monocular(depth_m: float) -> Condition:
    """As MediaPipe's pose estimates people from one picture, and as `make webcam` places and smooths them.

    Through its 33 joints. Depth (z) about the hips is scaled by 0.8 to 1.2, one factor a recording, and each joint's
    is off by `depth_m` (standard deviation, over 0.4 s); in the picture joints are off by 1 cm. The distance of the
    person is off by 5 % (over 1 s). Then the One Euro filters of pose and place.
    """

    def condition(recording: Recording, rng: np.random.Generator) -> Recording:
        seen = through("mediapipe_33")(recording, rng)

        def estimate(joints: np.ndarray) -> np.ndarray:
            hips = joints[:, HIPS].mean(1)
            pose = joints - hips[:, None] + rng.normal(0.0, 0.01, joints.shape)
            pose[..., 2] *= rng.uniform(0.8, 1.2)
            pose[..., 2] += depth_m * _slow(seen.stamps, joints.shape[1], 0.4, rng)
            place = hips * (1.0 + 0.05 * _slow(seen.stamps, 1, 1.0, rng))
            smooth_pose, smooth_place = OneEuro(), OneEuro(cutoff_hz=0.5, beta=0.5)
            stamps_ns = (seen.stamps * 1e9).astype(np.int64).tolist()
            frames = zip(stamps_ns, pose, place, strict=True)
            return np.stack([smooth_pose(stamp, one) + smooth_place(stamp, at) for stamp, one, at in frames])

        return _changed(seen, estimate)

    return condition


def _slow(stamps: np.ndarray, count: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise (T, count) of deviation 1 that forgets itself within some seconds: a first-order autoregression."""
    noise = rng.normal(size=(len(stamps), count))
    keep = np.exp(-np.diff(stamps) / seconds)
    for i, share in enumerate(keep, 1):
        noise[i] = share * noise[i - 1] + np.sqrt(1.0 - share**2) * noise[i]
    return noise


CONDITIONS: dict[str, Condition] = {
    "clean": lambda recording, rng: recording,
    "any direction of view": rotated,
    "camera tilted by 30 degrees": tilted,
    "5 Hz": at_rate(5.0),
    "60 Hz": at_rate(60.0),
    "2 cm noise": noisy,
    "left leg unseen": unseen(LEFT_LEG),
    "right arm unseen": unseen(RIGHT_ARM),  # most people act with it
    "left arm unseen": unseen(LEFT_ARM),
    "through COCO-17": through("coco_17"),
    "through BODY_34": through("zed_body_34"),
    "through OpenNI's 15 joints": through("openni_15"),
    "through MediaPipe's 33 joints": through("mediapipe_33"),
    "SpineMid 7 cm above SpineBase": spine_mid_at(0.07),
    "mirrored (left-handed)": left_handed,
    "size of a child": child,
}


def _about_y(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])


def _transformed(recording: Recording, rotation: np.ndarray) -> Recording:
    return _changed(recording, lambda joints: joints @ rotation.T)


def _changed(recording: Recording, change: Callable[[np.ndarray], np.ndarray]) -> Recording:
    return replace(recording, joints={name: change(joints) for name, joints in recording.joints.items()})
