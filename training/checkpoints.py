"""Checkpoints of `training.fit`, read without trusting them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.model.options import ModelOptions
from training.model.usdrl import USDRL


def load_checkpoint(path: Path) -> tuple[USDRL, dict[str, Any]]:
    """A checkpoint of `training.fit`: the model in evaluation mode, and how it was trained.

    Raises:
        ValueError: The file is missing, is no such checkpoint, or holds more than plain values and tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken bytes make the unpickler raise whatever they hit
        raise ValueError(f"cannot load the checkpoint {path}: {_reason(error)}") from error
    try:
        options = content["hyper_parameters"]
        model = USDRL(ModelOptions.from_dict(options["model"]))
        prefix = "model."
        state = {key[len(prefix) :]: value for key, value in content["state_dict"].items() if key.startswith(prefix)}
        model.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is no checkpoint of training.fit: {_reason(error)}") from error
    return model.eval(), options["training"]


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
