"""What a model is built from, and building its encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from training.model.dste import DSTE
from training.model.encoder import ATTENTION, Encoder
from training.model.modalities import MODALITIES, PARENTS
from training.model.sttr import STTR

ARCHITECTURES = ("dste", "sttr")


@dataclass(frozen=True)
class ModelOptions:
    """What a model is built from; stored in its checkpoint.

    Args:
        actions: K names, in the order of the outputs; background is not among them. None for an encoder without heads.
        modalities: Inputs of the encoder, of joint, bone and motion.
        architecture: "dste" (dense) or "sttr" (plain transformer).
        width: H. Published: 1024.
        heads: Heads of the attention. Published: 1.
        layers: Layers a stream.
        frames, joints, people: T, V, M of the input.
        attention: "full", or "causal" in the temporal stream (see `Encoder`).
        gap: DSTE: every how many tokens DSA keeps one as it was.
        alpha: DSTE: share of CA in a layer.
        drop_path: DSTE: share of samples for which a residual branch is left out in training.

    Raises:
        ValueError: A value cannot be; the message names it.
    """

    actions: tuple[str, ...] = ()
    modalities: tuple[str, ...] = MODALITIES
    architecture: str = "dste"
    width: int = 256
    heads: int = 1
    layers: int = 2
    frames: int = 64
    joints: int = 25
    people: int = 2
    attention: str = "full"
    gap: int = 4
    alpha: float = 0.5
    drop_path: float = 0.1

    def __post_init__(self) -> None:
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities {self.modalities}: give one or more distinct of {', '.join(MODALITIES)}")
        if unknown := set(self.modalities) - set(MODALITIES):
            raise ValueError(f"unknown modality '{min(unknown)}'; known are {', '.join(MODALITIES)}")
        if len(set(self.actions)) < len(self.actions):
            raise ValueError(f"actions are not distinct: {', '.join(self.actions)}")
        for name, known in (("architecture", ARCHITECTURES), ("attention", ATTENTION), ("joints", tuple(PARENTS))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; known are {', '.join(map(str, known))}")
        for name in ("width", "heads", "layers", "frames", "people", "gap"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} {value!r} is no whole number from 1")
        if self.width % 2 or self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}, or is odd")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha {self.alpha} is not in 0..1")
        if not 0.0 <= self.drop_path < 1.0:
            raise ValueError(f"drop_path {self.drop_path} is not from 0 to below 1")

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a checkpoint that loads with `weights_only=True`."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelOptions:
        """From what `as_dict` gave, of this version or an older one (what it did not know has its default).

        Raises:
            ValueError: A key is not known, or a value cannot be.
        """
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"unknown options of a model: {', '.join(sorted(unknown))}")
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)


def encoder(options: ModelOptions) -> Encoder:
    """A new encoder, with random weights."""
    shared: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("modalities", "width", "heads", "layers", "frames", "joints", "people", "attention")
    }
    if options.architecture == "sttr":
        return STTR(**shared)
    return DSTE(**shared, gap=options.gap, alpha=options.alpha, drop_path=options.drop_path)
