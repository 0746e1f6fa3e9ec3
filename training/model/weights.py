"""The authors' released checkpoints (DSTE and STTR), brought into this implementation's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from training.model.encoder import COORDINATES
from training.model.modalities import PARENTS
from training.model.options import ModelOptions

_STREAMS = {"t": "temporal", "s": "spatial", "i": "instance"}
_PARTS = (
    (r"(self_)?attn\.in_proj_(weight|bias)", r"attention.in_proj.\2"),
    (r"(self_)?attn\.out_proj\.", "attention.out_proj."),
    (r"conv1\.", "convolution."),
    (r"wt([12])\.", r"mix\1."),
    (r"mlp\.fc1\.", "mlp.0."),
    (r"mlp\.fc2\.", "mlp.2."),
)
_EMBEDDING = re.compile(r"ske_emb\.([ts])_embedding\.(.+)")
_DSTE_LAYER = re.compile(r"([ts])_tr(\d*)\.(CA|DSA)\.(.+)")
_STTR_LAYER = re.compile(r"([ts])_tr\.layers\.(\d+)\.(.+)")
_PROJECTOR = re.compile(r"([tsi])_proj\.(.+)")


def encoder_from_authors(state: Mapping[str, Tensor], modality: str = "joint") -> dict[str, Tensor]:
    """Rename the encoder of an authors' checkpoint to the `state_dict` of `DSTE` or `STTR`.

    What is not of the encoder (projectors, a classifier) is left out; so are the fixed sinusoids. The attention of a
    DSTE layer, which the authors store twice, is checked to be the same.

    Args:
        state: Its "state_dict", with or without "module.".
        modality: What it was trained on, which it does not say.

    Raises:
        ValueError: There is no encoder, or one DSTE layer has two attentions.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _encoder_name(_plain(key).removeprefix("backbone."), modality)
        if name is None:
            continue
        value = value.squeeze(-1) if name.endswith("convolution.weight") else value
        if name in renamed and not renamed[name].equal(value):
            raise ValueError(f"'{key}': CA and DSA of a layer do not share their attention; this is no DSTE checkpoint")
        renamed[name] = value
    if not {"spatial.position", f"temporal_embedding.{modality}.0.weight"} <= set(renamed):
        raise ValueError(f"no encoder of USDRL among the {len(state)} entries of the checkpoint")
    return renamed


def projectors_from_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the projectors of an authors' checkpoint to `Projectors.state_dict`; empty where it has none."""
    found = ((_PROJECTOR.fullmatch(_plain(key)), value) for key, value in state.items())
    return {f"{_STREAMS[match[1]]}.{match[2]}": value for match, value in found if match}


def options_of_encoder(state: Mapping[str, Tensor], modality: str = "joint", heads: int = 1) -> ModelOptions:
    """What an encoder was built from, by the shapes of its weights.

    Shapes give architecture, width, layers, frames, joints and people. They do not give the number of attention heads,
    nor DSA's gap and the share of CA, for which the published values are taken.

    Args:
        state: What `encoder_from_authors` gave.
        modality: As there.
        heads: Heads of the attention. Published: 1.

    Raises:
        ValueError: The shapes are of no encoder that is known; the message says which.
    """
    _, tokens, width = state["spatial.position"].shape
    joints = next((count for count in PARENTS if tokens % count == 0), None)
    if joints is None:
        raise ValueError(f"{tokens} spatial tokens are not {' or '.join(map(str, PARENTS))} joints a person")
    layers = [int(match[1]) for key in state if (match := re.match(r"temporal\.layers\.(\d+)\.", key))]
    return ModelOptions(
        modalities=(modality,),
        architecture="sttr" if any(".linear1." in key for key in state) else "dste",
        width=width,
        heads=heads,
        layers=max(layers, default=-1) + 1,
        frames=state[f"spatial_embedding.{modality}.0.weight"].shape[1] // COORDINATES,
        joints=joints,
        people=tokens // joints,
    )


def _plain(key: str) -> str:
    return key.removeprefix("module.")


def _encoder_name(key: str, modality: str) -> str | None:
    if key == "spe":
        return "spatial.position"
    if match := _EMBEDDING.fullmatch(key):
        return f"{_STREAMS[match[1]]}_embedding.{modality}.{match[2]}"
    if match := _STTR_LAYER.fullmatch(key):
        return f"{_STREAMS[match[1]]}.layers.{match[2]}.{_part_name(match[3])}"
    if match := _DSTE_LAYER.fullmatch(key):
        stream, layer, block, part = _STREAMS[match[1]], int(match[2] or 0), match[3].lower(), _part_name(match[4])
        return f"{stream}.layers.{layer}.{part if part.startswith('attention.') else f'{block}.{part}'}"
    return None


def _part_name(part: str) -> str:
    for pattern, replacement in _PARTS:
        part = re.sub(f"^{pattern}", replacement, part)
    return part
