"""The motions of the actor: one function an action.

Each function of `MOTIONS` lets a `Performer` do the action from where they are and returns when it was on, in seconds.
The limits follow the labels of UTKinect, so that the actor and real recordings mean the same by a name:

- walk and carry: from the first lift of a foot to the last landing
- sit_down and stand_up: the transition, with the look back and the settling
- pick_up: from the first step or bend to upright again
- wave, clap: from half-way up to the first pose until the arms begin to go down
- throw, push, pull: the throw itself, from the hand raised (or the arm stretched) until it has followed through.
  Bringing the hand up for it, and lowering it, is background, as it is there.

Durations at tempo 1, amplitudes and hand places are those of UTKinect's training people.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from usdrl_ros.demo.body import SIDES
from usdrl_ros.demo.idling import arms_at_ease, put_down
from usdrl_ros.demo.performer import Performer

Limits = tuple[float, float]


def walk(actor: Performer) -> Limits:
    legs, stride, arm_swing = 1 + int(actor.chance(0.15)), actor.between(0.4, 0.65), actor.between(10, 30)
    limits = _walk(actor, legs, stride, arm_swing)
    actor.move(actor.seconds(0.4, 0.7), **actor.at_ease())
    return limits


def carry(actor: Performer) -> Limits:
    if not actor.holding:
        actor.move(actor.seconds(0.6, 1.1), **_holding_arms(actor))
    limits = _walk(actor, legs=1 + int(actor.chance(0.35)), stride=actor.between(0.3, 0.5), arm_swing=0.0)
    _keep_or_lower(actor, 0.3)
    return limits


def sit_down(actor: Performer) -> Limits:
    body, between = actor.body, actor.between
    start = actor.clock
    if actor.chance(0.7):
        look = between(30, 70) * (1 if actor.chance(0.5) else -1)
        actor.move(actor.seconds(0.6, 1.2), **actor.posture(look=look, twist=look / 4, nod=between(0, 15), bow=8))
    down, settle = actor.seconds(1.1, 1.8), actor.seconds(1.1, 2.1)
    above = between(0.05, 0.42) * body.thigh  # the hips over the knees
    seat = (body.thigh - above) / body.leg
    seat_x, seat_z = actor.ahead(-between(0.9, 1.0) * float(np.sqrt(body.thigh**2 - above**2)))
    back = actor.posture(lean=between(-10, 2), bow=between(-2, 8), look=0, nod=0, twist=0, side=0, bend=0)
    seated = back | {"x": seat_x, "z": seat_z, "drop": seat}
    actor.seated_rest = _hands_on_thighs(actor, seated) if actor.chance(0.7) else actor.rest
    bowed = actor.posture(lean=between(12, 32), bow=between(6, 24), nod=-between(0, 20), look=0, twist=0)
    arms = {f"{side}_raise": bowed["lean"] + bowed["bow"] + np.radians(between(-40, 35)) for side in SIDES}
    actor.timeline.move(actor.clock, actor.clock + down, x=seat_x, z=seat_z, drop=seat)
    actor.timeline.move(actor.clock, actor.clock + 0.7 * down, **bowed, **arms)
    actor.timeline.move(actor.clock + 0.75 * down, actor.clock + down + settle, **back, **actor.seated_rest)
    actor.clock += down + settle
    actor.sitting = True
    return start, actor.clock


def stand_up(actor: Performer) -> Limits:
    between = actor.between
    start = actor.clock
    bow, rise, settle = actor.seconds(0.6, 1.3), actor.seconds(1.0, 1.6), actor.seconds(0.3, 1.0)
    bowed = actor.posture(lean=between(8, 26), bow=between(5, 20), nod=-between(0, 20), look=0, twist=0)
    pitch = np.degrees(bowed["lean"] + bowed["bow"])
    arms: dict[str, float] = {}
    for side in SIDES:
        arms |= actor.arm(side, pitch + between(-40, 30), 0, between(8, 20), between(0, 30), between(0.85, 0.95))
    actor.move(bow, **bowed, **arms)
    x, z, yaw = actor.stance
    actor.sitting = False
    actor.timeline.move(actor.clock - 0.2 * bow, actor.clock + rise, x=x, z=z, yaw=yaw, drop=actor.straight["drop"])
    actor.timeline.move(actor.clock + 0.2 * rise, actor.clock + rise + settle, **actor.at_ease())
    actor.clock += rise + settle
    return start, actor.clock


def pick_up(actor: Performer) -> Limits:
    body, between = actor.body, actor.between
    start = actor.clock
    if actor.chance(0.5):
        x, z, yaw = actor.stance
        step = between(0.2, 0.4) * body.leg
        actor.step([(x + step * np.sin(yaw), z + step * np.cos(yaw), yaw)], actor.seconds(0.6, 0.9), arm_swing=8)
    squat = between(0, 1)  # 0: bends over, 1: squats
    low = actor.posture(lean=between(16, 36) - 10 * squat, bow=between(14, 32) - 10 * squat, nod=between(-15, 10))
    drop, shin = between(0.4, 0.5) + 0.15 * squat, np.radians(between(15, 35))
    # The hips are as far back as leaves the shins at this angle.
    over_knee = (1 - drop) * body.leg - body.shank * np.cos(shin)
    x, z = actor.ahead(body.shank * np.sin(shin) - float(np.sqrt(body.thigh**2 - over_knee**2)))
    low |= {"x": float(x), "z": float(z), "drop": drop}
    both = actor.chance(0.6)
    sides = SIDES if both else (actor.hand,)
    spot, height = actor.ahead(between(0.1, 0.32) * body.leg), between(0.12, 0.4) * body.leg
    aside = between(0.08, 0.16) if both else between(-0.05, 0.15)
    for _ in range(7):
        arms = actor.arms_to_world(sides, spot, height, aside * body.leg, low, swivel=between(0, 35))
        if all(arms[f"{side}_reach"] < 0.98 for side in sides):
            break
        low["bow"] += np.radians(9)  # as far as it takes
    for side in () if both else (_other(actor.hand),):
        arms |= actor.arm(side, between(20, 75), between(0, 20), 10, 20, between(0.8, 0.95))
    down = actor.seconds(1.3, 2.2)
    bend = actor.clock
    actor.timeline.move(bend, bend + down, **low)
    actor.timeline.move(bend + between(0.1, 0.3) * down, bend + down, **arms)
    actor.clock += down + actor.seconds(0.3, 1.2)
    rise = actor.seconds(1.3, 2.2)
    x, z, yaw = actor.stance
    up = actor.at_ease(sides=()) | {"x": x, "z": z, "drop": actor.straight["drop"]}
    actor.timeline.move(actor.clock, actor.clock + rise, **up)
    keeps = actor.following in ("carry", "throw") or actor.chance(0.5)
    actor.timeline.move(
        actor.clock + 0.25 * rise, actor.clock + rise, **(_holding_arms(actor) if keeps else arms_at_ease(actor))
    )
    actor.clock += rise
    end = actor.clock
    if keeps:
        actor.wait(actor.seconds(0.1, 0.5))
        _keep_or_lower(actor, 0.3)
    return start, end


def throw(actor: Performer) -> Limits:
    side, between = actor.hand, actor.between
    sign = 1.0 if side == "left" else -1.0
    ready = actor.arm(side, between(95, 120), between(25, 70), 0, between(10, 40), between(0.4, 0.55))
    actor.move(actor.seconds(0.6, 1.1), **actor.at_ease((_other(side),)), **ready)
    actor.holding = False
    start = actor.clock
    twist = between(0, 18) * sign
    wind_up = actor.arm(side, between(105, 130), between(40, 95), 0, between(10, 40), between(0.5, 0.65))
    actor.move(
        actor.seconds(0.3, 0.7), **wind_up, **actor.posture(twist=twist, lean=-between(0, 6), bow=-4, look=-twist)
    )
    forward = actor.seconds(0.45, 0.75)
    over = actor.arm(side, between(118, 150), between(10, 35), 0, between(5, 30), between(0.75, 0.9))
    actor.move(0.42 * forward, **over)
    release = actor.arm(side, between(75, 98), between(-8, 25), 0, between(0, 25), between(0.92, 0.98))
    actor.move(0.58 * forward, **release)
    bowed = actor.posture(twist=-0.8 * twist, lean=between(0, 6), bow=between(0, 12), look=0.6 * twist)
    actor.timeline.move(start, actor.clock + 0.3 * forward, **bowed)
    if actor.chance(0.6):
        low = actor.arm(side, between(20, 50), between(-12, 25), 0, 15, between(0.88, 0.97))
        actor.move(actor.seconds(0.3, 0.6), **low)
    actor.wait(actor.seconds(0.1, 0.7))
    end = actor.clock
    actor.move(actor.seconds(0.6, 1.1), **actor.at_ease())
    return start, end


def push(actor: Performer) -> Limits:
    between = actor.between
    sides = SIDES if actor.chance(0.25) else (actor.hand,)
    actor.move(actor.seconds(0.5, 1.0), **_at_chest(actor, sides))
    start = actor.clock
    actor.wait(actor.seconds(0.0, 0.6))
    actor.move(actor.seconds(0.6, 1.1), **_stretched_arms(actor, sides), **_leaned(actor, sides, between(2, 9), 30))
    actor.wait(actor.seconds(0.1, 0.6))
    end = actor.clock
    if actor.following == "pull" and actor.chance(0.6):
        actor.stretched = tuple(sides)
    else:
        actor.move(actor.seconds(0.6, 1.1), **actor.at_ease())
    return start, end


def pull(actor: Performer) -> Limits:
    between = actor.between
    sides = actor.stretched
    if not sides:
        sides = SIDES if actor.chance(0.25) else (actor.hand,)
        actor.move(actor.seconds(0.6, 1.2), **_stretched_arms(actor, sides), **_leaned(actor, sides, between(0, 6), 20))
        actor.wait(actor.seconds(0.1, 0.5))
    actor.stretched = ()
    start = actor.clock
    actor.wait(actor.seconds(0.05, 0.5))
    actor.move(actor.seconds(0.7, 1.4), **_at_chest(actor, sides), **_leaned(actor, sides, -between(1, 7), -25))
    actor.wait(actor.seconds(0.2, 0.8))
    end = actor.clock
    actor.move(actor.seconds(0.6, 1.1), **actor.at_ease())
    return start, end


def wave(actor: Performer) -> Limits:
    rise, down = actor.seconds(0.6, 1.1), actor.seconds(0.6, 1.1)
    start = actor.clock + rise / 2
    if actor.chance(0.65):
        _wave_wide(actor, rise)
    else:
        _wave_small(actor, SIDES if actor.chance(0.4) else (actor.hand,), rise)
    end = actor.clock + down / 4
    actor.move(down, **actor.at_ease())
    return start, end


def _wave_wide(actor: Performer, rise: float) -> None:
    """Both arms from crossed before the face to stretched out to the sides, and back."""
    between = actor.between
    aside, up, ahead = between(-0.25, 0.15), between(0.45, 0.85), between(0.45, 0.7)
    out, raised = between(75, 98), between(65, 115)
    half = actor.seconds(0.7, 1.3)
    pause = between(0.0, 0.3) * half
    first_inside, last_inside = actor.chance(0.5), actor.chance(0.3)
    for k in range(first_inside, 2 * int(actor.rng.integers(2, 4)) + 1 + last_inside):
        arms: dict[str, float] = {}
        for side in SIDES:
            if k % 2:
                place = (aside + between(-0.05, 0.05), up + between(-0.08, 0.08), ahead + between(-0.05, 0.05))
                arms |= actor.arm_to(side, *place, swivel=between(45, 65))
            else:
                angles = (raised + between(-8, 8), out + between(-6, 6), 0, between(-10, 10))
                arms |= actor.arm(side, *angles, between(0.88, 0.97))
        actor.move(rise if k == first_inside else half * between(0.9, 1.1), **arms)
        if pause > 0.05:
            actor.wait(pause)


def _wave_small(actor: Performer, sides: tuple[str, ...], rise: float) -> None:
    """The hands, raised, swing from side to side; two hands together or against each other."""
    between = actor.between
    inside, outside, up, ahead = between(0.25, 0.45), between(0.75, 1.05), between(0.25, 0.75), between(0.2, 0.5)
    together = actor.chance(0.5)
    half = actor.seconds(0.3, 0.6)
    for k in range(2 * int(actor.rng.integers(3, 7)) + 1):
        arms: dict[str, float] = {}
        for side in sides:
            inward = (k + (together and side == "left")) % 2 == 0
            aside = (inside if inward else outside) + between(-0.04, 0.04)
            height = up + (0.08 if inward else 0.0) + between(-0.04, 0.04)
            arms |= actor.arm_to(side, aside, height, ahead, swivel=between(20, 30))
        actor.move(half * between(0.9, 1.1) if k else rise, **arms)


def clap(actor: Performer) -> Limits:
    between = actor.between
    rise = actor.seconds(0.6, 1.0)
    start = actor.clock + rise / 2
    high = actor.chance(0.15)
    up, ahead = between(-0.15, 0.15) if high else between(-0.68, -0.4), between(0.45, 0.65)
    opening = between(0.3, 0.8)
    half = actor.seconds(0.25, 0.45) * (0.6 + opening)  # the wider the slower
    shift = between(-0.05, 0.05)
    for k in range(2 * int(actor.rng.integers(3, 7))):
        arms: dict[str, float] = {}
        opened = k % 2 == 0
        aside = opening * between(0.85, 1.15) if opened else between(0.03, 0.1)
        height, distance = up + between(-0.02, 0.02), ahead * (1.0 - 0.15 * opened)
        for side in SIDES:
            own = shift if side == "left" else -shift
            arms |= actor.arm_to(side, aside + own + 0.25 * (k == 0), height, distance, swivel=between(22, 30))
        actor.move(half * between(0.92, 1.08) if k else rise, **arms)
    actor.wait(actor.seconds(0.0, 0.3))
    end = actor.clock
    actor.wait(actor.seconds(0.0, 0.5))
    actor.move(actor.seconds(0.6, 1.0), **actor.at_ease())
    return start, end


MOTIONS: dict[str, Callable[[Performer], Limits]] = {
    "walk": walk,
    "sit_down": sit_down,
    "stand_up": stand_up,
    "pick_up": pick_up,
    "carry": carry,
    "throw": throw,
    "push": push,
    "pull": pull,
    "wave": wave,
    "clap": clap,
}


# Shared by the actions


def _walk(actor: Performer, legs: int, stride: float, arm_swing: float) -> Limits:
    """Walk over the person's floor, in so many straight legs; most often the person has turned that way before."""
    step_seconds = actor.seconds(0.6, 0.95)
    here, waypoints = actor.ahead(0.0), []
    for _ in range(legs):
        # From here across the middle of the floor.
        away = here - np.array(actor.home)
        across = np.arctan2(-away[0], -away[1]) + np.radians(actor.rng.normal(0, 20))
        length = max(actor.between(0.3, 0.9) * actor.radius + np.hypot(*away), 1.2)
        here = here + length * np.array([np.sin(across), np.cos(across)])
        waypoints.append(here)
    if actor.chance(0.7):
        x, z, _ = actor.stance
        actor.turn_to(float(np.arctan2(waypoints[0][0] - x, waypoints[0][1] - z)), 0.8 * step_seconds)
        actor.wait(actor.seconds(0.1, 0.6))
    return actor.walk_by(waypoints, stride * actor.body.leg, step_seconds, arm_swing)


def _other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


def _holding_arms(actor: Performer) -> dict[str, float]:
    """Both hands before the body, as around a box; the actor holds it from now on."""
    actor.holding = True
    aside, up, ahead = actor.between(0.08, 0.35), actor.between(-0.95, -0.6), actor.between(0.3, 0.58)
    arms: dict[str, float] = {}
    for side in SIDES:
        arms |= actor.arm_to(side, aside, up + actor.between(-0.05, 0.05), ahead, swivel=actor.between(10, 35))
    return arms


def _keep_or_lower(actor: Performer, probability: float) -> None:
    """Go on holding where the script needs it or by chance, else put the hands down."""
    if actor.following in ("carry", "throw") or (actor.following is not None and actor.chance(probability)):
        return
    put_down(actor)


def _at_chest(actor: Performer, sides: tuple[str, ...]) -> dict[str, float]:
    """The hands drawn back before the shoulders."""
    aside, up, ahead = actor.between(0.3, 0.5), actor.between(-0.45, -0.1), actor.between(0.1, 0.32)
    arms: dict[str, float] = {}
    for side in sides:
        arms |= actor.arm_to(side, aside, up, ahead, swivel=actor.between(0, 30))
    return arms


def _stretched_arms(actor: Performer, sides: tuple[str, ...]) -> dict[str, float]:
    raised, out, reach = actor.between(80, 102), actor.between(-8, 22), actor.between(0.93, 0.985)
    arms: dict[str, float] = {}
    for side in sides:
        arms |= actor.arm(side, raised, out, 0, actor.between(0, 30), reach)
    return arms


def _leaned(actor: Performer, sides: tuple[str, ...], lean: float, twist: float) -> dict[str, float]:
    """The trunk goes with the hand: leaned, and with one hand twisted so that its shoulder goes forward."""
    if len(sides) == 2:
        twist = 0.0
    elif sides[0] == "left":
        twist = -twist
    twist *= actor.between(0.0, 1.0)
    return actor.posture(lean=lean / 2, bow=lean / 2, twist=twist, look=-twist)


def _hands_on_thighs(actor: Performer, seated: dict[str, float]) -> dict[str, float]:
    body, along = actor.body, actor.between(0.45, 0.95) * actor.body.thigh
    spot = np.array([seated["x"], seated["z"]]) + actor.ahead(along) - actor.ahead(0.0)
    height, aside = body.shank + body.ankle_height + 0.07 * body.leg, actor.between(0.6, 1.1) * body.hip_width
    return actor.arms_to_world(SIDES, spot, height, aside, seated, swivel=actor.between(20, 45))
