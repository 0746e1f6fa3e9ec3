"""Whether a steadier "up" of the normalisation helps a model: validation clips, turned by several ups.

    python -m training.shipped.upright training/configs/hri_2_sessions.yaml --output upright.json

The model stays as it is: it was trained with the first of the ups, so the others have to overcome that.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from training.configuration import ConfigError, load
from training.data.errors import DatasetError
from training.data.vocabulary import load_vocabulary
from training.shipped.clips import BATCH, Clip, clips_of, stretched
from training.shipped.sessions import SessionsConfig
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.skeleton.layouts import NTU_25, SHOULDER_LEFT, SHOULDER_RIGHT, SPINE_BASE, SPINE_MID
from usdrl_ros.skeleton.normalize import normalize, rotation_to_z, shoulders_along_x

_SPINE_SHOULDER = NTU_25.index("SpineShoulder")
LEANING = ("bend", "bow", "pick_up", "squat", "lunge", "sit_down", "stand_up")
"""Actions in which the trunk leans or sinks."""


def _line(joints: np.ndarray, above: int) -> np.ndarray:
    """Unit vectors (N, T, 3) from the pelvis to another joint of the trunk, NaN unseen."""
    line = joints[:, :, above] - joints[:, :, SPINE_BASE]
    with np.errstate(invalid="ignore", divide="ignore"):
        return line / np.linalg.norm(line, axis=-1, keepdims=True)


def _first(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) of (N, T, 3): the first that is seen; zero where none is."""
    seen = np.isfinite(vectors).all(-1)
    return np.where(seen.any(1)[:, None], vectors[np.arange(len(vectors)), seen.argmax(1)], 0.0)


def _middle(vectors: np.ndarray) -> np.ndarray:
    """(N, 3) the median over the time of (N, T, 3); zero where nothing is seen."""
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.nanmedian(vectors, axis=1))


UPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "SpineMid, first frame (shipped)": lambda joints: _first(_line(joints, SPINE_MID)),
    "trunk, first frame": lambda joints: _first(_line(joints, _SPINE_SHOULDER)),
    "SpineMid, median": lambda joints: _middle(_line(joints, SPINE_MID)),
    "trunk, median": lambda joints: _middle(_line(joints, _SPINE_SHOULDER)),
    "y of the recording": lambda joints: np.tile([0.0, 1.0, 0.0], (len(joints), 1)),
}
"""(N, 3) the up of windows (N, T, 25, 3) in the frame that they were recorded in."""


def rotations(joints: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(N, 3, 3) as the normalisation turns windows (N, T, 25, 3), with another up (N, 3)."""
    turn = rotation_to_z(up)
    across = _first(joints[:, :, SHOULDER_RIGHT] - joints[:, :, SHOULDER_LEFT])
    return shoulders_along_x((turn @ across[..., None])[..., 0]) @ turn


def study(engine: Engine, clips: list[Clip]) -> dict[str, Any]:
    """Top-1 and recall of the leaning actions by each up; the first person of each clip."""
    windows = np.stack(
        [
            stretched(clip.recording.stamps, next(iter(clip.recording.joints.values())), engine.info.frames)
            for clip in clips
        ]
    )
    labels = np.array([engine.info.actions.index(clip.action) for clip in clips])
    result: dict[str, Any] = {}
    for name, up_of in UPS.items():
        found = []
        for first in range(0, len(windows), BATCH):
            joints = windows[first : first + BATCH]
            turned = normalize(joints[:, :, None], rotations(joints, up_of(joints)))
            skeletons = np.zeros((len(joints), 3, joints.shape[1], 25, engine.info.people), np.float32)
            skeletons[..., :1] = turned.transpose(0, 4, 1, 3, 2)
            found.append(engine.infer(skeletons).recognition.argmax(1))
        right = np.concatenate(found) == labels
        leaning = {action: labels == engine.info.actions.index(action) for action in LEANING}
        result[name] = {
            "top1": float(right.mean()),
            "by_action": {
                action: {"clips": int(own.sum()), "recall": float(right[own].mean())}
                for action, own in leaning.items()
                if own.any()
            },
        }
    return {"clips": len(clips), "ups": result}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.shipped.upright", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("config", type=Path, help="YAML file of the sessions: who is validated on")
    parser.add_argument("--model", type=Path, default=default_model(), help="an .onnx file; default: the shipped one")
    parser.add_argument("--at-most", type=int, default=2000, help="clips, drawn at random; default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="OUT", help="write what was measured to this file")
    options = parser.parse_args(arguments)
    try:
        config = load(SessionsConfig, options.config)
        clips = clips_of(config, load_vocabulary(Path(config.vocabulary)), "validation")
    except (ConfigError, DatasetError) as error:
        print(f"upright: {error}", file=sys.stderr)
        return 2
    chosen = np.sort(np.random.default_rng(0).permutation(len(clips))[: options.at_most])
    with load_engine(options.model) as engine:
        result = study(engine, [clips[i] for i in chosen])
    table = Table("up", "top-1", *LEANING)
    for name, row in result["ups"].items():
        cells = (row["by_action"].get(action) for action in LEANING)
        table.add_row(name, f"{row['top1']:.1%}", *(f"{c['recall']:.0%} of {c['clips']}" if c else "-" for c in cells))
    Console(width=130).print(f"{result['clips']} clips", table)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
