"""What a model is built from, and building its encoder."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from training.configuration import build, configuration, option
from training.model.dste import DSTE
from training.model.encoder import ATTENTION, Encoder
from training.model.modalities import MODALITIES, PARENTS
from training.model.sttr import STTR

ARCHITECTURES = ("dste", "sttr")


@configuration
class ModelOptions:
    """What a model is built from; stored in its checkpoint.

    Raises:
        ValueError: A value is not allowed; the message names it.
    """

    actions: tuple[str, ...] = option((), "K names in the order of the outputs, without background; none: no heads")
    modalities: tuple[str, ...] = option(MODALITIES, "inputs of the encoder", choices=MODALITIES)
    architecture: str = option("dste", "dste (dense) or sttr (plain transformer)", choices=ARCHITECTURES)
    width: int = option(256, "H; published: 1024", low=2)
    heads: int = option(1, "attention heads; published: 1", low=1)
    layers: int = option(2, "layers a stream", low=1)
    frames: int = option(64, "T of the input", low=1)
    joints: int = option(25, "V of the input", choices=tuple(PARENTS))
    people: int = option(2, "M of the input", low=1)
    attention: str = option("full", "full, or causal in the temporal stream (see `Encoder`)", choices=ATTENTION)
    gap: int = option(4, "DSTE: every how many tokens DSA keeps one as it was", low=1)
    alpha: float = option(0.5, "DSTE: share of CA in a layer", low=0.0, high=1.0)
    drop_path: float = option(0.1, "DSTE: share of samples without a residual branch in training", low=0.0, below=1.0)

    def __post_init__(self) -> None:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities are {self.modalities}: give one or more distinct ones")
        if len(set(self.actions)) < len(self.actions):
            raise ValueError(f"actions are not distinct: {', '.join(self.actions)}")
        if self.width % 2 or self.width % self.heads:
            raise ValueError(f"width is {self.width}, must be even and a multiple of heads ({self.heads})")

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a checkpoint that loads with `weights_only=True`."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelOptions:
        """From what `as_dict` returned, in this version or an older one (missing keys have their defaults).

        Raises:
            ValueError: A key is not known, or a value is not allowed.
        """
        return build(cls, values, "the model's options")


def encoder(options: ModelOptions) -> Encoder:
    """A new encoder, with random weights."""
    shared: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("modalities", "width", "heads", "layers", "frames", "joints", "people", "attention")
    }
    if options.architecture == "sttr":
        return STTR(**shared)
    return DSTE(**shared, gap=options.gap, alpha=options.alpha, drop_path=options.drop_path)
