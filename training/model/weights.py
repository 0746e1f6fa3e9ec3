"""The authors' released checkpoints, brought into this implementation's names."""

from __future__ import annotations

import re

from torch import Tensor

_STREAMS = {"t": "temporal", "s": "spatial"}
_PARTS = (
    (r"attn\.in_proj_(weight|bias)", r"attention.in_proj.\1"),
    (r"attn\.out_proj\.", "attention.out_proj."),
    (r"conv1\.", "convolution."),
    (r"wt([12])\.", r"mix\1."),
    (r"mlp\.fc1\.", "mlp.0."),
    (r"mlp\.fc2\.", "mlp.2."),
)


def encoder_from_authors(state: dict[str, Tensor], modality: str = "joint") -> dict[str, Tensor]:
    """Rename the DSTE of an authors' checkpoint (its "state_dict", with or without "module.") to `DSTE.state_dict`.

    What is not of the encoder (projectors) is left out; so are the fixed sinusoids. The attention of a layer, which the
    authors store twice, is checked to be the same.

    Raises:
        ValueError: The checkpoint holds no DSTE encoder, or one layer has two attentions.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _rename(key.removeprefix("module.").removeprefix("backbone."), modality)
        if name is None:
            continue
        value = value.squeeze(-1) if name.endswith("convolution.weight") else value
        if name in renamed and not renamed[name].equal(value):
            raise ValueError(f"'{key}': CA and DSA of a layer do not share their attention; this is no DSTE checkpoint")
        renamed[name] = value
    if "spatial.position" not in renamed:
        raise ValueError(f"no DSTE encoder among the {len(state)} entries of the checkpoint")
    return renamed


def _rename(key: str, modality: str) -> str | None:
    if key == "spe":
        return "spatial.position"
    if match := re.fullmatch(r"ske_emb\.([ts])_embedding\.(.+)", key):
        return f"{_STREAMS[match[1]]}_embedding.{modality}.{match[2]}"
    if match := re.fullmatch(r"([ts])_tr(\d*)\.(CA|DSA)\.(.+)", key):
        stream, layer, block, rest = _STREAMS[match[1]], int(match[2] or 0), match[3].lower(), match[4]
        for pattern, replacement in _PARTS:
            rest = re.sub(f"^{pattern}", replacement, rest)
        part = rest if rest.startswith("attention.") else f"{block}.{rest}"
        return f"{stream}.layers.{layer}.{part}"
    return None
