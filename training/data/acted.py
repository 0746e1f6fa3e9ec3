"""Takes of the package's own kinematic actor, for training and validation: one a seed.

The demo and the tests use seeds below 1,000 and are never trained on.
"""

from __future__ import annotations

from usdrl_ros.demo.actor import play, random_script
from usdrl_ros.recording import Recording

TRAIN_SEED = 100_000
"""The first seed of training."""
VALIDATION_SEED = 900_000
"""The first seed of validation."""


def act(takes: int, first_seed: int, actions: tuple[str, ...]) -> list[Recording]:
    """Acted recordings of all kinds of people and views; every other one with the joints of Kinect v1."""
    return [
        play(
            random_script(seed, 10, actions),
            seed=seed,
            layout=("ntu_25", "kinect_v1_20")[seed % 2],
            tempo=(0.8, 2.0),
            name=f"actor_{seed}",
        )
        for seed in range(first_seed, first_seed + takes)
    ]
