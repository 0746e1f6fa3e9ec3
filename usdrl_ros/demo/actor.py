"""The actor: plays scripts of actions and gives what a camera would see of it, with the truth.

Everything that is not the action itself varies with the seed: body, handedness, tempo, amplitude, where the camera
stands, noise. See `motions` for where an action begins and ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from usdrl_ros.demo.body import CHANNELS, INDEX, LAYOUTS, POINTS, SIDES, Body, turn_x, turn_y, turn_z
from usdrl_ros.demo.extra_motions import EXTRA_MOTIONS
from usdrl_ros.demo.idling import idle
from usdrl_ros.demo.motions import MOTIONS
from usdrl_ros.demo.occlusion import hidden
from usdrl_ros.demo.performer import Performer
from usdrl_ros.recording import Recording, Segment

ACTIONS = tuple(MOTIONS)
"""What the actor can do, by the names of the vocabulary."""

DEMO_SEED = 7
"""Of the demo's scene. Training uses seeds from 100,000 on."""

_ALL_MOTIONS = MOTIONS | EXTRA_MOTIONS
_TRUNK = [POINTS.index("SpineBase"), POINTS.index("SpineShoulder")]
_STANDING_ONLY = ("walk", "sit_down", "pick_up", "carry")


@dataclass(frozen=True)
class View:
    """Where the camera stands. The joints come out in its frame: x to its left, y up, z out of it.

    Args:
        azimuth_deg: From straight before the people around them; at 90 they are seen from their left.
        height_m: Over the floor.
        tilt_deg: How far it looks down.
        roll_deg: How far it is turned about its line of sight.
        distance_m: On the floor, from the middle of the people.
    """

    azimuth_deg: float = 0.0
    height_m: float = 1.2
    tilt_deg: float = 8.0
    roll_deg: float = 0.0
    distance_m: float = 2.8

    @classmethod
    def random(cls, rng: np.random.Generator) -> View:
        distance, height = rng.uniform(2.0, 4.5), rng.uniform(0.5, 2.2)
        tilt = np.degrees(np.arctan2(height - 0.9, distance)) + rng.normal(0, 4)
        return cls(rng.uniform(-45, 45), height, tilt, rng.normal(0, 1.5), distance)

    def see(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the world in the camera's frame, m."""
        to_camera, position = self._place()
        return (points - position) @ to_camera.T

    def pose(self) -> np.ndarray:
        """(4, 4) of the camera in a map: z up, the origin on the floor amid the people, who face -x."""
        to_camera, position = self._place()
        to_map = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = to_map @ to_camera.T, to_map @ position
        return pose

    def _place(self) -> tuple[np.ndarray, np.ndarray]:
        """The rotation (3, 3) from the world to the camera, and where the camera is in the world."""
        azimuth, tilt, roll = np.radians([self.azimuth_deg, self.tilt_deg, self.roll_deg])
        to_camera = turn_z(roll) @ turn_x(-tilt) @ turn_y(-azimuth)
        position = np.array([0.0, self.height_m, 0.0]) + turn_y(azimuth) @ np.array([0.0, 0.0, -self.distance_m])
        return to_camera, position


def play(
    script: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    seed: int = 0,
    rate_hz: float = 30.0,
    layout: str = "ntu_25",
    noise_m: float = 0.01,
    view: View | None = None,
    jitter: float = 0.0,
    drop: float = 0.0,
    idle_s: tuple[float, float] = (1.0, 4.0),
    height_m: tuple[float, float] = (1.1, 1.95),
    tempo: tuple[float, float] = (0.8, 1.6),
    camera: int = 0,
    occlusion: bool = False,
    name: str = "actor",
) -> Recording:
    """Let people act by script.

    The performance depends on the scripts, the seed, `idle_s`, `height_m` and `tempo` alone: at another rate, layout,
    view or noise it is the same one.

    Args:
        script: What one person does in turn, names of `ACTIONS`; or that for each person id.
        seed: Of everything that varies.
        rate_hz: Frames a second.
        layout: "ntu_25", "kinect_v1_20" or "coco_17".
        noise_m: Standard deviation of a coordinate of an easy joint, most of it slow drift; larger at hands and feet.
        view: The camera; None draws one from the seed.
        jitter: How far a frame may be taken from its time, as a part of the time between frames, below 1.
        drop: Part of the joints that are unseen (NaN), each for some frames at a time.
        idle_s: Shortest and longest time between two actions, and before the first and after the last, seconds.
        height_m: Range of the people's heights.
        tempo: Range of how fast they act; 1: as people in UTKinect.
        camera: Number of the camera: each has noise of its own.
        occlusion: Whether joints behind somebody's trunk are unseen.
        name: Of the recording.

    Returns:
        Recording: From 0 s on. Its segments are exact.

    Raises:
        ValueError: An unknown action or layout, a script that nobody can play, a number out of range.
    """
    scripts = dict(script) if isinstance(script, Mapping) else {"person_1": script}
    for person_id, actions in scripts.items():
        _check(person_id, actions)
    if layout not in LAYOUTS:
        raise ValueError(f"layout '{layout}': the actor knows {', '.join(LAYOUTS)}")
    for option, value, low, high in (("rate_hz", rate_hz, 0.1, 1000), ("noise_m", noise_m, 0, 1), ("drop", drop, 0, 1)):
        if not low <= value <= high:
            raise ValueError(f"{option} is {value}, must be from {low} to {high}")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter is {jitter}, must be at least 0 and below 1")
    for option, (least, most), limit in (("idle_s", idle_s, 0.0), ("height_m", height_m, 0.3), ("tempo", tempo, 0.1)):
        if not limit <= least <= most:
            raise ValueError(f"{option} is ({least}, {most}), must be a range (low, high) from {limit} up")

    acting, seeing, sensing = np.random.SeedSequence(seed).spawn(3)
    performers, segments = {}, []
    for number, (person_id, stream) in enumerate(zip(scripts, acting.spawn(len(scripts)), strict=True)):
        performer = _performer(np.random.default_rng(stream), number, len(scripts), height_m, tempo)
        segments += _perform(performer, person_id, scripts[person_id], idle_s)
        performers[person_id] = performer
    duration = max(performer.clock for performer in performers.values())
    for performer in performers.values():
        idle(performer, duration - performer.clock)

    view = view or View.random(np.random.default_rng(seeing))
    rng = np.random.default_rng(sensing.spawn(camera)[-1] if camera else sensing)
    stamps = np.arange(int(np.ceil(duration * rate_hz)) + 1) / rate_hz
    stamps[1:] += rng.uniform(-0.5, 0.5, len(stamps) - 1) * jitter / rate_hz
    points = {}
    for person_id, performer in performers.items():
        poses = performer.timeline.sample(stamps) + _sway(performer.rng, stamps)
        points[person_id] = view.see(performer.body.points(poses))
    trunks = np.stack([seen[:, _TRUNK] for seen in points.values()], axis=1)
    joints = {}
    for person_id, seen in points.items():
        own = seen[:, LAYOUTS[layout]]
        joints[person_id] = _sense(own, rng, stamps, layout, noise_m, drop)
        if occlusion:
            joints[person_id][hidden(own, trunks)] = np.nan
    return Recording(name, layout, stamps, joints, tuple(sorted(segments, key=lambda segment: segment.start)))


def random_script(seed: int, length: int, actions: Sequence[str] = ACTIONS) -> list[str]:
    """A script of this length that a person can play: all actions about as often, standing up after sitting down.

    Raises:
        ValueError: An unknown action, or these actions alone cannot fill the length (stand_up without sit_down).
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    if unknown := set(actions) - set(ACTIONS):
        raise ValueError(f"unknown actions {sorted(unknown)}: the actor knows {', '.join(ACTIONS)}")
    pair = {"sit_down", "stand_up"}
    standing = [action for action in actions if action not in pair or (action == "sit_down" and pair <= set(actions))]
    if not standing or (standing == ["sit_down"] and length % 2):
        raise ValueError(f"no script of {length} from {list(actions)}: sit_down and stand_up come in pairs")
    script: list[str] = []
    deck: list[str] = []
    while len(script) < length:
        if not deck:
            deck = [standing[index] for index in rng.permutation(len(standing))]
            for first, second in (("pick_up", "carry"), ("push", "pull"), ("carry", "throw")):
                if first in deck and second in deck and rng.random() < 0.4:
                    deck.remove(second)
                    deck.insert(deck.index(first) + 1, second)
        action = deck.pop(0)
        if action != "sit_down":
            script.append(action)
        elif len(script) + 2 <= length:
            script += ["sit_down", "stand_up"]
    return script


def _check(person_id: str, script: Sequence[str]) -> None:
    sitting = False
    for number, action in enumerate(script, 1):
        where = f"script of '{person_id}', action {number}"
        if action not in _ALL_MOTIONS:
            raise ValueError(f"{where}: unknown '{action}', the actor knows {', '.join(ACTIONS)}")
        if action == "stand_up" and not sitting:
            raise ValueError(f"{where}: stand_up needs a sit_down before it")
        if action in _STANDING_ONLY and sitting:
            raise ValueError(f"{where}: {action} while sitting, a stand_up is missing before it")
        sitting = action == "sit_down" or (sitting and action != "stand_up")


def _performer(
    rng: np.random.Generator, number: int, people: int, height_m: tuple[float, float], tempo: tuple[float, float]
) -> Performer:
    """A random person on their own part of the floor, who faces the camera at azimuth 0 more or less."""
    body = Body.random(rng, height_m)
    spacing = 1.7
    home = ((number - (people - 1) / 2) * spacing, 0.0)
    radius = rng.uniform(0.9, 1.3) if people == 1 else 0.7
    speed = float(np.exp(rng.uniform(*np.log(tempo))))
    facing = np.pi + np.radians(np.clip(rng.normal(0, 20), -60, 60))
    hand = SIDES[int(rng.random() < 0.85)]
    return Performer(body, rng, home, radius * body.leg / Body().leg, facing, speed, hand)


def _perform(performer: Performer, person_id: str, script: Sequence[str], idle_s: tuple[float, float]) -> list[Segment]:
    segments = []
    for action, following in zip(script, [*script[1:], None], strict=False):
        performer.following = action
        idle(performer, performer.between(*idle_s))
        performer.following = following
        start, end = _ALL_MOTIONS[action](performer)
        segments.append(Segment(start, end, action, person_id))
    performer.following = None
    idle(performer, performer.between(*idle_s))
    return segments


def _waves(rng: np.random.Generator, stamps: np.ndarray, count: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Smooth random signals (T, count) of standard deviation about 1."""
    frequencies = rng.uniform(low_hz, high_hz, (2, 1, count))
    phases = rng.uniform(0, 2 * np.pi, (2, 1, count))
    return np.sin(2 * np.pi * frequencies * stamps[:, None] + phases).sum(axis=0)


def _sway(rng: np.random.Generator, stamps: np.ndarray) -> np.ndarray:
    """What a body never stops doing: small deviations (T, len(CHANNELS)) of trunk, head and arms."""
    degrees = {"lean": 0.5, "side": 0.5, "bow": 0.8, "bend": 0.6, "twist": 1.2, "look": 2.5, "nod": 1.5}
    for side in SIDES:
        degrees |= {f"{side}_raise": 1.2, f"{side}_out": 1.2, f"{side}_spread": 0.8, f"{side}_swivel": 2.0}
    size = np.zeros(len(CHANNELS))
    for channel, value in degrees.items():
        size[INDEX[channel]] = np.radians(value)
    size[[INDEX["x"], INDEX["z"]]] = 0.006
    return _waves(rng, stamps, len(CHANNELS), 0.05, 0.5) * size * rng.uniform(0.4, 1.4)


# How much larger the noise is than at an easy joint.
_HARD_TO_SEE = {
    "Elbow": 1.3,
    "Wrist": 2.0,
    "Hand": 2.3,
    "HandTip": 2.8,
    "Thumb": 2.8,
    "Knee": 1.3,
    "Ankle": 1.6,
    "Foot": 2.0,
}


def _sense(
    joints: np.ndarray, rng: np.random.Generator, stamps: np.ndarray, layout: str, noise_m: float, drop: float
) -> np.ndarray:
    """What the sensor makes of the joints (T, V, 3)."""
    frames, count, _ = joints.shape
    if noise_m:
        names = [POINTS[index].replace("Left", "").replace("Right", "") for index in LAYOUTS[layout]]
        size = noise_m * np.array([_HARD_TO_SEE.get(name, 1.0) for name in names])[:, None]
        drift = _waves(rng, stamps, 3 * count, 0.05, 1.5).reshape(frames, count, 3)
        joints = joints + size * (0.92 * drift + 0.4 * rng.standard_normal(joints.shape))
    if drop:
        stay = 5  # frames that a joint stays unseen
        unseen = np.repeat(rng.random((frames // stay + 2, count)) < drop, stay, axis=0)
        shifted = np.arange(frames)[:, None] + rng.integers(0, stay, count)
        joints = np.where(unseen[shifted, np.arange(count)][..., None], np.nan, joints)
    return joints
