"""Motions that the shipped model has no word for: what the actor teaches to a robot.

They are no part of `motions.MOTIONS`, so that scripts drawn at random never hold them.
"""

from __future__ import annotations

import numpy as np

from usdrl_ros.demo.body import SIDES
from usdrl_ros.demo.motions import Limits
from usdrl_ros.demo.performer import Performer


def arm_circles(actor: Performer) -> Limits:
    """Both arms out to the sides draw large circles."""
    turns, radius, aside = 2 + int(actor.chance(0.5)), actor.between(0.28, 0.36), actor.between(0.95, 1.05)
    start, turn_s = actor.clock, actor.seconds(0.8, 1.1)
    for step in range(turns * _STEPS + 1):
        angle = 2 * np.pi * step / _STEPS
        up, forward = radius * float(np.sin(angle)) - 0.1, radius * float(np.cos(angle))
        arms: dict[str, float] = {}
        for side in SIDES:
            arms |= actor.arm_to(side, aside, up, forward, swivel=10)
        actor.move(actor.seconds(0.6, 0.9) if step == 0 else turn_s / _STEPS, **arms)
    actor.move(actor.seconds(0.6, 0.9), **actor.at_ease())
    return start, actor.clock


_STEPS = 8
"""Keys of one turn."""
EXTRA_MOTIONS = {"arm_circles": arm_circles}
"""Names and motions."""
