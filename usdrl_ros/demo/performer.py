"""The actor in time: keys a channel, joined smoothly, and the skills that the motions share: reaching and stepping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from usdrl_ros.demo.body import ARM_CHANNELS, CHANNELS, INDEX, SIDES, Body

Stance = tuple[float, float, float]
"""Where a person stands: x and z of the pelvis on the floor (m) and yaw (rad)."""


class Timeline:
    """Keys (time, value) for each channel, in order of time."""

    def __init__(self, **values: float) -> None:
        self._times: dict[str, list[float]] = {channel: [0.0] for channel in CHANNELS}
        self._values = {channel: [float(values.get(channel, 0.0))] for channel in CHANNELS}

    def last(self, channel: str) -> float:
        """The channel's value after all keys."""
        return self._values[channel][-1]

    def move(self, start: float, end: float, **values: float) -> None:
        """Hold each channel until `start` and bring it to its value at `end`; on from the last key if that is later."""
        for channel, value in values.items():
            times, keys = self._times[channel], self._values[channel]
            if end <= times[-1]:
                raise ValueError(f"channel '{channel}': key at {end} s, but its last is at {times[-1]} s")
            if start > times[-1]:
                times.append(start)
                keys.append(keys[-1])
            times.append(end)
            keys.append(float(value))

    def sample(self, stamps: np.ndarray) -> np.ndarray:
        """Poses (T, len(CHANNELS)) at the stamps (T,), seconds."""
        poses = np.empty((len(stamps), len(CHANNELS)))
        for channel, index in INDEX.items():
            poses[:, index] = _monotone_cubic(stamps, np.array(self._times[channel]), np.array(self._values[channel]))
        return poses


def _monotone_cubic(at: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolate (T,): at rest at turning points, never beyond the keys (Fritsch and Butland, SIAM JSSC 5, 1984)."""
    if len(times) == 1:
        return np.full(len(at), values[0])
    width = np.diff(times)
    slope = np.diff(values) / width
    slopes = np.zeros(len(times))
    before, after = slope[:-1], slope[1:]
    same = before * after > 0
    weight_before, weight_after = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    slopes[1:-1][same] = (weight_before + weight_after)[same] / (
        weight_before[same] / before[same] + weight_after[same] / after[same]
    )
    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    part = np.clip((at - times[left]) / width[left], 0.0, 1.0)
    step = part * part * (3 - 2 * part)
    bent = width[left] * part * (1 - part) * ((1 - part) * slopes[left] - part * slopes[left + 1])
    return values[left] + step * (values[left + 1] - values[left]) + bent


@dataclass
class Performer:
    """One person who performs: what they are like, where they are in their performance, and what they have done so far.

    Args:
        body: Bone lengths.
        rng: What varies from one repetition to the next is drawn from here.
        home: The middle of the floor that the person uses, x and z, m.
        radius: How far from home the person walks, m.
        facing: Yaw that the person turns to when not walking, rad.
        tempo: 1: as fast as people in UTKinect; 2: twice as fast.
        hand: The side that a one-handed action uses.
    """

    body: Body
    rng: np.random.Generator
    home: tuple[float, float]
    radius: float
    facing: float
    tempo: float
    hand: str
    clock: float = field(default=0.0, init=False)
    sitting: bool = field(default=False, init=False)
    holding: bool = field(default=False, init=False)
    stretched: tuple[str, ...] = field(default=(), init=False)
    following: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        between = self.between
        self.stance_width = self.body.hip_width * between(1.0, 1.7)
        self.toes_out = np.radians(between(2, 15))
        lean, bow, nod = np.radians([between(-3, 2), between(-2, 6), between(-5, 8)])
        self.straight = {
            "drop": between(0.002, 0.005),
            "lean": lean,
            "bow": bow,
            "side": 0.0,
            "bend": 0.0,
            "twist": 0.0,
        }
        self.gaze = {"look": 0.0, "nod": nod}
        raised, out, spread, swivel = between(0, 10), between(-5, 10), between(5, 13), between(0, 35)
        reach = between(0.94, 0.985)
        self.rest: dict[str, float] = {}
        for side in SIDES:
            self.rest |= self.arm(side, raised + between(-2, 2), out, spread + between(-2, 2), swivel, reach)
        self.seated_rest = self.rest
        start = {axis: self.home[k] + between(-0.4, 0.4) * self.radius for k, axis in enumerate("xz")}
        start["yaw"] = self.facing + np.radians(self.rng.normal(0, 12))
        for side in SIDES:
            start |= self._foot(side, (start["x"], start["z"], start["yaw"]))
        self.timeline = Timeline(**start, **self.straight, **self.gaze, **self.rest)

    # What varies

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def seconds(self, low: float, high: float) -> float:
        """A duration in the range at tempo 1."""
        return self.between(low, high) / self.tempo

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    # Moving

    def move(self, seconds: float, **values: float) -> None:
        """Bring the channels to their values in this time, and let it pass."""
        self.timeline.move(self.clock, self.clock + seconds, **values)
        self.clock += seconds

    def wait(self, seconds: float) -> None:
        self.clock += seconds

    def last(self, channel: str) -> float:
        return self.timeline.last(channel)

    def posture(self, **degrees: float) -> dict[str, float]:
        """Channels of trunk and head, changed by degrees from how the person holds them at ease."""
        ease = self.straight | self.gaze
        return {channel: ease[channel] + np.radians(value) for channel, value in degrees.items()}

    def at_ease(self, sides: Iterable[str] = SIDES) -> dict[str, float]:
        """Trunk, head and these arms as they are at rest, standing or sitting."""
        trunk = {channel: value for channel, value in self.straight.items() if channel != "drop"} | self.gaze
        rest = self.seated_rest if self.sitting else self.rest
        return trunk | {channel: value for channel, value in rest.items() if channel.split("_")[0] in sides}

    # Reaching

    def arm(self, side: str, raised: float, out: float, spread: float, swivel: float, reach: float) -> dict[str, float]:
        """Channels of an arm; degrees, and reach as a part of the arm's length."""
        values = (*np.radians([raised, out, spread, swivel]), reach)
        return {f"{side}_{name}": float(value) for name, value in zip(ARM_CHANNELS, values, strict=True)}

    def arm_to(self, side: str, aside: float, up: float, forward: float, swivel: float = 30.0) -> dict[str, float]:
        """Channels of an arm whose wrist is at this place before the chest, in arm's lengths from SpineShoulder.

        Args:
            side: Which arm.
            aside: From the middle of the chest to the arm's own side.
            up: Along the chest.
            forward: Out of the chest.
            swivel: Of the elbow, outward, degrees.
        """
        mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
        target = np.array([aside, up, forward]) * self.body.arm
        return self._arm_along(side, target - self.body.shoulder(side) * mirror, swivel)

    def arms_to_world(
        self, sides: Iterable[str], spot: np.ndarray, height: float, aside: float, pose: dict[str, float], swivel: float
    ) -> dict[str, float]:
        """Channels of arms whose wrists are over this spot of the floor once the body has taken the pose.

        Args:
            sides: Which arms.
            spot: (2,) x and z, m.
            height: Over the floor, m.
            aside: From the spot to each arm's own side, m.
            pose: Channels that differ from their last values.
            swivel: Of the elbows, outward, degrees.
        """
        trunk = self.body.trunk(np.array([pose.get(channel, self.last(channel)) for channel in CHANNELS]))
        arms: dict[str, float] = {}
        for side in sides:
            mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
            x, z = spot + self.ahead(0.0, mirror[0] * aside) - self.ahead(0.0)
            from_shoulder = trunk.chest.T @ (np.array([x, height, z]) - trunk.top) - self.body.shoulder(side)
            arms |= self._arm_along(side, mirror * from_shoulder, swivel)
        return arms

    def _arm_along(self, side: str, line: np.ndarray, swivel: float) -> dict[str, float]:
        distance = float(np.linalg.norm(line))
        x, y, z = line / distance
        raised, out = np.degrees(np.arccos(np.clip(-y, -1, 1))), np.degrees(np.arctan2(x, z))
        return self.arm(side, raised, out, 0.0, swivel, min(distance / self.body.arm, 0.985))

    # Stepping

    @property
    def stance(self) -> Stance:
        """Between the feet, as after the last key."""
        feet = np.array([[self.last(f"{side}_{name}") for name in ("foot_x", "foot_z", "foot_yaw")] for side in SIDES])
        x, z, yaw = feet.mean(axis=0)
        return float(x), float(z), float(yaw)

    def ahead(self, distance: float, aside: float = 0.0) -> np.ndarray:
        """x and z (2,) of the floor this far before the stance, and to its left, m."""
        x, z, yaw = self.stance
        forward, left = np.array([np.sin(yaw), np.cos(yaw)]), np.array([np.cos(yaw), -np.sin(yaw)])
        return np.array([x, z]) + distance * forward + aside * left

    def _foot(self, side: str, stance: Stance) -> dict[str, float]:
        x, z, yaw = stance
        sign = 1.0 if side == "left" else -1.0
        half = sign * self.stance_width / 2
        return {
            f"{side}_foot_x": x + half * np.cos(yaw),
            f"{side}_foot_z": z - half * np.sin(yaw),
            f"{side}_foot_yaw": yaw + sign * self.toes_out,
        }

    def turn_to(self, yaw: float, step_seconds: float) -> None:
        """Turn on the spot, by steps."""
        x, z, now = self.stance
        turn = wrapped(yaw - now)
        steps = int(np.ceil(abs(turn) / np.radians(45)))
        if steps:
            self.step([(x, z, now + turn * (k + 1) / steps) for k in range(steps)], step_seconds, arm_swing=0.0)

    def walk_by(
        self, waypoints: Sequence[np.ndarray], stride: float, step_seconds: float, arm_swing: float
    ) -> tuple[float, float]:
        """Walk by the waypoints (x, z), turning on the way: the times of the first lift and the last landing."""
        x, z, yaw = self.stance
        stances: list[Stance] = []
        for waypoint in waypoints:
            while (distance := float(np.hypot(waypoint[0] - x, waypoint[1] - z))) > 0.05 and len(stances) < 60:
                turn = wrapped(np.arctan2(waypoint[0] - x, waypoint[1] - z) - yaw)
                yaw += float(np.clip(turn, -np.radians(50), np.radians(50)))
                if abs(turn) < np.radians(80):
                    length = distance / np.ceil(distance / stride)
                    x, z = x + length * np.sin(yaw), z + length * np.cos(yaw)
                stances.append((x, z, yaw))
        return self.step(stances, step_seconds, arm_swing)

    def step(self, stances: Sequence[Stance], step_seconds: float, arm_swing: float) -> tuple[float, float]:
        """Step from stance to stance, the feet in turn, and bring the last foot beside the other.

        Args:
            stances: At least one.
            step_seconds: From one landing to the next.
            arm_swing: How far the arms swing to both sides, degrees; 0 leaves the arms and the chest alone.

        Returns:
            Times of the first lift and the last landing.
        """
        turn = wrapped(stances[0][2] - self.stance[2])
        side = SIDES[int(turn < 0 if abs(turn) > 0.1 else self.chance(0.5))]
        start = self.clock
        pelvis_start = start
        for stance in (*stances, stances[-1]):
            other = SIDES[1 - SIDES.index(side)]
            lift, landing = self.clock, self.clock + 0.82 * step_seconds
            foot = self._foot(side, stance)
            path = [foot[f"{side}_{name}"] - self.last(f"{side}_{name}") for name in ("foot_x", "foot_z")]
            size = min(float(np.hypot(path[0], path[1])) / self.body.leg, 0.8)
            self.timeline.move(lift, landing, **foot)
            middle = lift + 0.45 * (landing - lift)
            self.timeline.move(lift, middle, **{f"{side}_lift": (0.03 + 0.05 * size) * self.body.leg})
            self.timeline.move(middle, landing, **{f"{side}_lift": 0.0})
            heel_off = lift - (0.2 * step_seconds if lift > start else 0.0)
            for begin, end, pitch in ((heel_off, lift + 0.35 * step_seconds, 0.8), (lift, landing, -0.25)):
                self.timeline.move(begin, end, **{f"{side}_foot_pitch": pitch * size})
            self.timeline.move(landing, landing + 0.1 * step_seconds, **{f"{side}_foot_pitch": 0.0})
            x, z, yaw = self.stance
            self.timeline.move(pelvis_start, landing, x=x, z=z, yaw=yaw)
            left, right = ([self.last(f"{foot_side}_foot_{axis}") for axis in "xz"] for foot_side in SIDES)
            apart = min(float(np.hypot(left[0] - right[0], left[1] - right[1])) / self.body.leg, 1.2)
            lowest = self.straight["drop"] + 0.7 * (1 - np.sqrt(1 - (apart / 2) ** 2))
            self.timeline.move(pelvis_start, middle, drop=self.straight["drop"])
            self.timeline.move(middle, landing, drop=lowest)
            if arm_swing:
                swing = np.radians(arm_swing) * min(1.5 * size, 1.0)
                for arm, forward in ((side, -1.0), (other, 1.1)):
                    raised = self.rest[f"{arm}_raise"] + forward * swing
                    reach = self.rest[f"{arm}_reach"] - 0.12 * max(forward * swing, 0.0)
                    self.timeline.move(pelvis_start, landing, **{f"{arm}_raise": raised, f"{arm}_reach": reach})
                twist = 0.25 * swing * (1.0 if side == "left" else -1.0)
                self.timeline.move(pelvis_start, landing, twist=twist, look=-twist)
            pelvis_start = landing
            self.clock = lift + step_seconds
            side = other
        self.clock = landing + 0.1 * step_seconds  # the last foot comes down flat
        return start, landing


def wrapped(angle: float) -> float:
    """The same angle in [-pi, pi), rad."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
