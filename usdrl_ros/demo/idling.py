"""What the actor does between the actions: the background that a model must not take for one."""

from __future__ import annotations

import numpy as np

from usdrl_ros.demo.body import SIDES
from usdrl_ros.demo.performer import Performer, wrapped


def arms_at_ease(actor: Performer) -> dict[str, float]:
    """How the arms hang."""
    return {channel: value for channel, value in actor.at_ease().items() if channel.startswith(SIDES)}


def put_down(actor: Performer) -> None:
    """Lower the hands that held something."""
    actor.holding = False
    actor.move(actor.seconds(0.6, 1.1), **arms_at_ease(actor))


def idle(actor: Performer, seconds: float) -> None:
    """Background for about this time: stand or sit about, look around, shift weight, scratch the head, turn."""
    end = actor.clock + seconds
    if actor.holding and actor.following not in ("carry", "throw"):
        put_down(actor)
    if actor.stretched:
        drift = {f"{side}_out": np.radians(actor.between(0, 35)) for side in actor.stretched}
        actor.move(max(end - actor.clock, 0.3), **drift)
        return
    turn = wrapped(actor.facing - actor.stance[2])
    if abs(turn) > np.radians(30) and not actor.sitting and actor.following not in ("walk", "carry", "stand_up"):
        if actor.chance(0.85):
            actor.turn_to(actor.stance[2] + turn * actor.between(0.7, 1.0), actor.seconds(0.5, 0.8))
    while (left := end - actor.clock) > 1.0:
        if actor.chance(0.4):
            actor.wait(min(actor.between(0.5, 2.0), left))
            continue
        behaviours = [_look_around, _move_trunk]
        if not actor.holding:
            behaviours += [_touch_head, _move_hands]
        if not actor.sitting:
            behaviours += [_shift_weight, _small_step]
        behaviours[actor.rng.integers(len(behaviours))](actor, left)
    actor.clock = max(actor.clock, end)


def _look_around(actor: Performer, seconds: float) -> None:
    look = actor.between(-60, 60)
    there, back = 0.4 * min(seconds, 2.0), 0.4 * min(seconds, 2.0)
    actor.move(there, **actor.posture(look=look, twist=0.2 * look, nod=actor.between(-8, 20)))
    actor.wait(0.2 * min(seconds, 2.0) * actor.rng.random())
    actor.move(back, **actor.posture(look=0, twist=0, nod=0))


def _move_trunk(actor: Performer, seconds: float) -> None:
    part = min(seconds, 3.0) / 2
    actor.move(part, **actor.posture(lean=actor.between(-3, 8), bow=actor.between(-3, 8), twist=actor.between(-10, 10)))
    actor.move(part, **actor.posture(lean=0, bow=0, twist=0))


def _shift_weight(actor: Performer, seconds: float) -> None:
    x, z = actor.ahead(actor.between(-0.02, 0.03), actor.between(-0.3, 0.3) * actor.stance_width)
    actor.move(min(seconds, actor.between(0.6, 1.5)), x=x, z=z, side=np.radians(actor.between(-3, 3)))


def _small_step(actor: Performer, seconds: float) -> None:
    x, z = actor.ahead(actor.between(-0.1, 0.15), actor.between(-0.08, 0.08))
    actor.step([(x, z, actor.stance[2] + np.radians(actor.between(-20, 20)))], actor.between(0.45, 0.6), arm_swing=0.0)


def _touch_head(actor: Performer, seconds: float) -> None:
    """Scratch the head or touch the face, briefly, with either hand."""
    side = SIDES[int(actor.chance(0.5))]
    part = min(seconds, 2.4) / 3
    arms = actor.arm_to(side, actor.between(0.05, 0.3), actor.between(0.2, 0.5), actor.between(0.15, 0.35), swivel=30)
    actor.move(part, **arms)
    for _ in range(int(actor.rng.integers(0, 3))):
        actor.move(0.15 + 0.1 * part, **{f"{side}_reach": arms[f"{side}_reach"] + actor.between(-0.03, 0.03)})
    actor.move(part, **actor.at_ease((side,)))


def _move_hands(actor: Performer, seconds: float) -> None:
    """Hands together in front, on the hips, or one looked at; and back."""
    part = min(seconds, actor.between(1.8, 4.0)) / 3
    kind = actor.rng.integers(3)
    sides = (SIDES[int(actor.chance(0.5))],) if kind == 2 else SIDES
    arms: dict[str, float] = {}
    for side in sides:
        if kind == 0:
            arms |= actor.arm_to(side, 0.06, actor.between(-0.85, -0.75), 0.35, swivel=25)
        elif kind == 1:
            arms |= actor.arm_to(side, 0.38, -0.8, 0.05, swivel=70)
        else:
            arms |= actor.arm_to(side, 0.15, actor.between(-0.5, -0.3), 0.5, swivel=25)
    actor.move(part, **arms)
    actor.wait(part)
    actor.move(part, **actor.at_ease(sides))
