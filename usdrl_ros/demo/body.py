"""The actor's body: bone lengths, and joint positions from a pose, for all frames at once.

A pose is one number a channel (`CHANNELS`): joint angles of trunk, head and arms, and where pelvis and feet are. Arms
and legs are two-bone chains, so the lengths of all bones are constant whatever the pose.

The world has x and z on the floor and y up, in metres, right-handed. A body that stands at yaw 0 looks along +z and has
its left side at +x. Angles are radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("left", "right")
TRUNK_CHANNELS = (
    "x",  # pelvis on the floor, m
    "z",
    "yaw",  # of the pelvis about the vertical
    "drop",  # how far the pelvis is below standing straight, as a part of the leg's length
    "lean",  # of the pelvis, forward
    "side",  # of the pelvis, to the left
    "bow",  # of the chest on the pelvis, forward
    "bend",  # of the chest on the pelvis, to the left
    "twist",  # of the chest on the pelvis, to the left
    "look",  # of the head on the chest, to the left
    "nod",  # of the head on the chest, forward
)
ARM_CHANNELS = (
    "raise",  # of the line from shoulder to wrist, from hanging (0) forward and up (pi)
    "out",  # of the raised line about the vertical: forward 0, outward pi/2
    "spread",  # of the whole arm sideways, away from the body
    "swivel",  # of the elbow about that line, outward
    "reach",  # from shoulder to wrist, as a part of the arm's length
)
FOOT_CHANNELS = (
    "foot_x",  # of the ankle on the floor, m
    "foot_z",
    "lift",  # of the sole over the floor, m
    "foot_yaw",
    "foot_pitch",  # the heel up
)
CHANNELS = (*TRUNK_CHANNELS, *(f"{side}_{name}" for side in SIDES for name in (*ARM_CHANNELS, *FOOT_CHANNELS)))
INDEX = {name: index for index, name in enumerate(CHANNELS)}

# Points that `Body.points` gives: the joints of Kinect v2, and what other layouts have beside them.
POINTS = (
    *("SpineBase", "SpineMid", "Neck", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft", "ShoulderRight"),
    *("ElbowRight", "WristRight", "HandRight", "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft", "HipRight", "KneeRight"),
    *("AnkleRight", "FootRight", "SpineShoulder", "HandTipLeft", "ThumbLeft", "HandTipRight", "ThumbRight"),
    *("V1HipCenter", "V1Spine", "Nose", "EyeLeft", "EyeRight", "EarLeft", "EarRight"),
)
_POINT = {name: index for index, name in enumerate(POINTS)}
_KINECT_V1 = ("V1HipCenter", "V1Spine", "SpineShoulder", *POINTS[3:20])
_COCO_LIMBS = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
_COCO = (*POINTS[27:32], *(f"{joint}{side}" for joint in _COCO_LIMBS for side in ("Left", "Right")))
LAYOUTS = {
    "ntu_25": np.arange(25),
    "kinect_v1_20": np.array([_POINT[name] for name in _KINECT_V1]),
    "coco_17": np.array([_POINT[name] for name in _COCO]),
}
"""Layout name -> indices into `POINTS`."""


def turn_x(angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about x: up goes forward."""
    return _turn(angle, 1, 2)


def turn_y(angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about y: forward goes left."""
    return _turn(angle, 2, 0)


def turn_z(angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about z: left goes up."""
    return _turn(angle, 0, 1)


def _turn(angle: np.ndarray, first: int, second: int) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*np.shape(angle), 3, 3))
    axis = 3 - first - second
    matrix[..., axis, axis] = 1.0
    matrix[..., first, first] = matrix[..., second, second] = cosine
    matrix[..., second, first] = sine
    matrix[..., first, second] = -sine
    return matrix


@dataclass(frozen=True)
class Trunk:
    """Frames of pelvis, chest and head: positions (..., 3) in the world and rotations (..., 3, 3) to it."""

    base: np.ndarray
    pelvis: np.ndarray
    middle: np.ndarray
    top: np.ndarray
    chest: np.ndarray
    neck: np.ndarray
    head: np.ndarray


@dataclass(frozen=True)
class Body:
    """Bone lengths, metres. The defaults are those of an adult of 1.7 m as a Kinect sees them."""

    lower_spine: float = 0.25
    upper_spine: float = 0.24
    neck: float = 0.075
    head: float = 0.145
    shoulder_width: float = 0.34
    shoulder_drop: float = 0.095
    upper_arm: float = 0.275
    forearm: float = 0.25
    hand: float = 0.08
    hip_width: float = 0.155
    hip_drop: float = 0.02
    thigh: float = 0.45
    shank: float = 0.385
    ankle_height: float = 0.08
    foot: float = 0.10

    @classmethod
    def random(cls, rng: np.random.Generator, height: tuple[float, float] = (1.1, 1.95)) -> Body:
        """A body of a height in the range (m), most often an adult's, with its own proportions."""
        low, high = height
        scale = float(np.clip(low + (high - low) * rng.beta(3.2, 1.6), low, high)) / 1.7
        lengths = {name: getattr(cls, name) * scale * rng.normal(1.0, 0.05) for name in cls.__dataclass_fields__}
        legs, arms, width = rng.normal(1.0, 0.03), rng.normal(1.0, 0.03), rng.normal(1.0, 0.05)
        for names, factor in (
            (("thigh", "shank"), legs),
            (("upper_arm", "forearm"), arms),
            (("shoulder_width", "hip_width"), width),
        ):
            for name in names:
                lengths[name] *= factor
        return cls(**lengths)

    @property
    def arm(self) -> float:
        """Shoulder to wrist, the arm straight, m."""
        return self.upper_arm + self.forearm

    @property
    def leg(self) -> float:
        """Hip to ankle, the leg straight, m."""
        return self.thigh + self.shank

    @property
    def standing(self) -> float:
        """Height of the pelvis (SpineBase) over the floor, standing straight, m."""
        return self.leg + self.hip_drop + self.ankle_height

    def trunk(self, poses: np.ndarray) -> Trunk:
        """Frames of the trunk for poses (..., len(CHANNELS))."""
        channel = {name: poses[..., INDEX[name]] for name in TRUNK_CHANNELS}
        pelvis = turn_y(channel["yaw"]) @ turn_z(-channel["side"]) @ turn_x(channel["lean"])
        base = np.stack([channel["x"], self.standing - channel["drop"] * self.leg, channel["z"]], axis=-1)
        middle_turn = pelvis @ turn_y(channel["twist"] / 2) @ turn_z(-channel["bend"] / 2) @ turn_x(channel["bow"] / 2)
        chest = pelvis @ turn_y(channel["twist"]) @ turn_z(-channel["bend"]) @ turn_x(channel["bow"])
        middle = base + middle_turn[..., 1] * self.lower_spine
        top = middle + chest[..., 1] * self.upper_spine
        neck = top + chest @ np.array([0.0, self.neck, 0.0])
        head = chest @ turn_y(channel["look"]) @ turn_x(channel["nod"])
        return Trunk(base, pelvis, middle, top, chest, neck, head)

    def shoulder(self, side: str) -> np.ndarray:
        """Shoulder in the chest's frame, from SpineShoulder, (3,) m."""
        return np.array([_sign(side) * self.shoulder_width / 2, -self.shoulder_drop, -0.25 * self.shoulder_drop])

    def points(self, poses: np.ndarray) -> np.ndarray:
        """All `POINTS` in the world, (T, 32, 3) m, for poses (T, len(CHANNELS))."""
        trunk = self.trunk(poses)
        points = np.empty((len(poses), len(POINTS), 3))
        points[:, _POINT["SpineBase"]] = trunk.base
        points[:, _POINT["SpineMid"]] = trunk.middle
        points[:, _POINT["SpineShoulder"]] = trunk.top
        points[:, _POINT["Neck"]] = trunk.neck
        points[:, _POINT["Head"]] = trunk.neck + trunk.head[..., 1] * self.head
        # Kinect v1 has its hip centre above the hips, and its spine close above that.
        step = trunk.pelvis[..., 1] * (0.28 * self.lower_spine)
        points[:, _POINT["V1HipCenter"]] = trunk.base + step
        points[:, _POINT["V1Spine"]] = trunk.base + 2 * step
        for name, left, up, forward in (
            ("Nose", 0.0, -0.1, 0.7),
            ("EyeLeft", 0.22, 0.15, 0.6),
            ("EyeRight", -0.22, 0.15, 0.6),
            ("EarLeft", 0.5, 0.05, 0.05),
            ("EarRight", -0.5, 0.05, 0.05),
        ):
            offset = trunk.head @ (np.array([left, up, forward]) * self.head)
            points[:, _POINT[name]] = points[:, _POINT["Head"]] + offset
        for side in SIDES:
            self._add_arm(points, poses, trunk, side)
            self._add_leg(points, poses, trunk, side)
        return points

    def _add_arm(self, points: np.ndarray, poses: np.ndarray, trunk: Trunk, side: str) -> None:
        raised, out, spread, swivel, reach = (poses[..., INDEX[f"{side}_{name}"]] for name in ARM_CHANNELS)
        # In a frame whose x points outward: the line to the wrist, where the elbow goes at swivel 0, and at 90 degrees.
        zero = np.zeros_like(raised)
        line = np.stack([np.sin(raised) * np.sin(out), -np.cos(raised), np.sin(raised) * np.cos(out)], axis=-1)
        back = np.stack([-np.cos(raised) * np.sin(out), -np.sin(raised), -np.cos(raised) * np.cos(out)], axis=-1)
        aside = np.stack([np.cos(out), zero, -np.sin(out)], axis=-1)
        elbow = np.cos(swivel)[..., None] * back + np.sin(swivel)[..., None] * aside
        mirror = np.array([_sign(side), 1.0, 1.0])
        to_world = trunk.chest @ (mirror[:, None] * turn_z(spread))
        line, elbow = (to_world @ line[..., None])[..., 0], (to_world @ elbow[..., None])[..., 0]
        shoulder = trunk.top + trunk.chest @ self.shoulder(side)
        distance = np.clip(reach, 0.15, 0.999) * self.arm
        elbow_at = _bend(shoulder, line, elbow, distance, self.upper_arm, self.forearm)
        wrist = shoulder + distance[..., None] * line
        along = (wrist - elbow_at) / self.forearm
        thumb_side = np.cross(along, np.cross(line, elbow))
        name = side.capitalize()
        points[:, _POINT[f"Shoulder{name}"]] = shoulder
        points[:, _POINT[f"Elbow{name}"]] = elbow_at
        points[:, _POINT[f"Wrist{name}"]] = wrist
        points[:, _POINT[f"Hand{name}"]] = wrist + along * self.hand
        points[:, _POINT[f"HandTip{name}"]] = wrist + along * (1.9 * self.hand)
        points[:, _POINT[f"Thumb{name}"]] = wrist + (0.8 * along + 0.6 * thumb_side) * self.hand

    def _ankle(self, poses: np.ndarray, side: str, hip: np.ndarray) -> np.ndarray:
        """Where the foot's channels have the ankle, lifted smoothly to where the leg reaches it."""
        foot_x, foot_z, lift, _, pitch = (poses[..., INDEX[f"{side}_{name}"]] for name in FOOT_CHANNELS)
        # The heel comes up about the ball of the foot; the square root joins smoothly to where the toes come up.
        heel = 1.5 * self.foot * (np.sin(pitch) + np.sqrt(np.sin(pitch) ** 2 + 0.04) - 0.2) / 2
        wanted = self.ankle_height + lift + heel
        away = (hip[..., 0] - foot_x) ** 2 + (hip[..., 2] - foot_z) ** 2
        reached = hip[..., 1] - np.sqrt(np.maximum((0.997 * self.leg) ** 2 - away, 0.02))
        height = (wanted + reached + np.sqrt((wanted - reached) ** 2 + 0.01**2)) / 2
        return np.stack([foot_x, height, foot_z], axis=-1)

    def _add_leg(self, points: np.ndarray, poses: np.ndarray, trunk: Trunk, side: str) -> None:
        yaw, pitch = poses[..., INDEX[f"{side}_foot_yaw"]], poses[..., INDEX[f"{side}_foot_pitch"]]
        hip = trunk.base + trunk.pelvis @ np.array([_sign(side) * self.hip_width / 2, -self.hip_drop, 0.0])
        to_ankle = self._ankle(poses, side, hip) - hip
        distance = np.linalg.norm(to_ankle, axis=-1)
        line = to_ankle / distance[..., None]
        distance = np.clip(distance, 1.02 * abs(self.thigh - self.shank) + 0.05, 0.9995 * self.leg)
        knee_yaw = yaw + 0.1 * _sign(side)
        forward = np.stack([np.sin(knee_yaw), np.full_like(yaw, 0.15), np.cos(knee_yaw)], axis=-1)
        forward -= line * (line * forward).sum(axis=-1, keepdims=True)
        forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
        ankle = hip + distance[..., None] * line
        name = side.capitalize()
        points[:, _POINT[f"Hip{name}"]] = hip
        points[:, _POINT[f"Knee{name}"]] = _bend(hip, line, forward, distance, self.thigh, self.shank)
        points[:, _POINT[f"Ankle{name}"]] = ankle
        sole = np.array([0.0, -0.55 * self.ankle_height, self.foot])
        points[:, _POINT[f"Foot{name}"]] = ankle + (turn_y(yaw) @ turn_x(pitch)) @ sole


def _sign(side: str) -> float:
    return 1.0 if side == "left" else -1.0


def _bend(
    start: np.ndarray, line: np.ndarray, bulge: np.ndarray, distance: np.ndarray, first: float, second: float
) -> np.ndarray:
    """Middle joint (..., 3) of a two-bone chain that ends `distance` along unit `line`, bent towards unit `bulge`."""
    cosine = np.clip((first**2 + distance**2 - second**2) / (2 * first * distance), -1.0, 1.0)
    sine = np.sqrt(1.0 - cosine**2)
    return start + first * (cosine[..., None] * line + sine[..., None] * bulge)
