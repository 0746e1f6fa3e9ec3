"""NTU RGB+D's skeletons of two dimensions, found in its videos by HRNet (Duan et al., PYSKL, ACM Multimedia 2022).

`ntu60_hrnet.pkl` or `ntu120_hrnet.pkl`, below ROOT or ROOT itself, is a pickle of `split`, names of parts and their
clips, and `annotations`, a list of clips: `frame_dir` (name), `label` (0 is A001), `total_frames` T, `img_shape`
(height, width), `keypoint` (M, T, 17, 2) pixels of COCO's joints, `keypoint_score` (M, T, 17). To name this data set is
to ask for its pickle to be opened; it may hold arrays only (`safe_pickle`).

30 frames a second. Coordinates are normalised as in `pixels`; of more than two people the two that vary most are kept,
main person first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from training.data import ntu_rgbd
from training.data.errors import DatasetError
from training.data.files import at_rate, trimmed_clip
from training.data.people import main_people
from training.data.pixels import from_pixels
from training.data.safe_pickle import load_arrays
from usdrl_ros.recording import Recording

NAME, TITLE, LAYOUT = "ntu_2d", "NTU RGB+D (2D, HRNet)", "coco_17"
DIMENSIONS = 2
ACTIONS = ntu_rgbd.ACTIONS
FRAMES_PER_SECOND = 30.0
IMAGE_SHAPE = (1080, 1920)
"""Height and width of NTU RGB+D's videos, where a clip does not say."""
PEOPLE = 2
PROTOCOLS: dict[str, Callable[[str, str, str], str]] = {}
"""The splits are in the file; see `protocols`."""

_FILES = ("ntu60_hrnet.pkl", "ntu120_hrnet.pkl")
_PROTOCOLS = {"xsub": "cross_subject", "xview": "cross_view", "xset": "cross_setup"}
_PARTS = {"train": "train", "val": "test"}
_KEYS = ("frame_dir", "label", "total_frames", "keypoint", "keypoint_score")


@dataclass(frozen=True)
class Source:
    """One clip of a file."""

    path: Path
    number: int
    annotation: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.path}, clip {self.annotation.get('frame_dir', self.number)}"


def find(root: Path) -> list[Source]:
    """The clips, in the file's order.

    Raises:
        DatasetError: There is no such file, there are two, or it is refused or damaged.
    """
    path = _file(root)
    annotations = _content(path)["annotations"]
    return [Source(path, number, annotation) for number, annotation in enumerate(annotations)]


def protocols(root: Path) -> dict[str, Callable[[str, str, str], str]]:
    """The splits that the file holds, `cross_subject` first.

    Raises:
        DatasetError: As `find`; also if the file holds no split, or one that contradicts itself.
    """
    path = _file(root)
    parts: dict[str, dict[str, str]] = {}
    for key, names in _content(path)["split"].items():
        match = re.fullmatch(r"(\w+)_(train|val)", str(key))
        if match is None or not isinstance(names, (list, tuple)):
            raise DatasetError(f"{path}: part '{key}' of the split, expected a list like xsub_train", "split disagrees")
        known = parts.setdefault(_PROTOCOLS.get(match[1], match[1]), {})
        for name in names:
            if known.setdefault(name, _PARTS[match[2]]) != _PARTS[match[2]]:
                raise DatasetError(f"{path}: {name} is in both parts of the split {match[1]}", "split disagrees")
    if not parts:
        raise DatasetError(f"{path} holds no split", "split missing")
    order = sorted(parts, key=lambda protocol: (protocol != "cross_subject", protocol))
    return {protocol: _member(parts[protocol]) for protocol in order}


def _member(parts: dict[str, str]) -> Callable[[str, str, str], str]:
    return lambda name, person, view: parts.get(name, "")


def _file(root: Path) -> Path:
    if root.is_file():
        return root.resolve()
    found = sorted(path for path in root.glob("**/*.pkl") if path.name in _FILES)
    if not found:
        raise DatasetError(f"{root} does not hold {TITLE}: there is no {' or '.join(_FILES)}", "not the data set")
    if len(found) > 1:
        raise DatasetError(f"{root} holds {' and '.join(map(str, found))}: give the one to read as root")
    return found[0].resolve()


def _content(path: Path) -> dict[str, Any]:
    state = path.stat()
    return _load(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _load(path: Path, changed_ns: int, size: int) -> dict[str, Any]:
    content = load_arrays(path)
    kinds = {"annotations": list, "split": dict}
    if not isinstance(content, dict) or any(not isinstance(content.get(key), kind) for key, kind in kinds.items()):
        raise DatasetError(f"{path} does not hold `split`, a dictionary, and `annotations`, a list", "not the data set")
    for number, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict):
            raise DatasetError(f"{path}: annotation {number} is a {type(annotation).__name__}, expected a dictionary")
    return content


def read(source: Source) -> Recording:
    """One clip: x, y and score of the main person, `person_1`, and of a second one, if there is any, `person_2`.

    Raises:
        DatasetError: The clip lacks something or contradicts itself, or nobody is in it.
    """
    clip = source.annotation
    if missing := [key for key in _KEYS if key not in clip]:
        raise DatasetError(f"{source} has no {', '.join(missing)}", "not as expected")
    name, label = str(clip["frame_dir"]), clip["label"]
    match = re.fullmatch(ntu_rgbd.CLIP_NAME, name)
    if match is None:
        raise DatasetError(f"{source}: a name like S001C001P001R001A001 was expected", "not a name of the data set")
    if not isinstance(label, (int, np.integer)) or label != int(match["action"]) - 1 or not 0 <= label < len(ACTIONS):
        raise DatasetError(f"{source}: label {label!r}, but the name says A{match['action']}", "label disagrees")
    frames = clip["total_frames"]
    pixels, score = (np.asarray(clip[key]) for key in ("keypoint", "keypoint_score"))
    numbers = all(array.dtype.kind in "fiu" for array in (pixels, score))
    if not numbers or score.ndim != 3 or score.shape[1:] != (frames, 17) or pixels.shape != (*score.shape, 2):
        raise DatasetError(
            f"{source}: keypoint {pixels.shape} and keypoint_score {score.shape}, expected numbers (people, {frames}, "
            f"17, 2) and (people, {frames}, 17)",
            "wrong shape",
        )
    size = np.asarray(clip.get("img_shape", IMAGE_SHAPE))
    if size.shape != (2,) or size.dtype.kind not in "fiu" or not (size > 0).all():
        raise DatasetError(f"{source}: img_shape is {clip['img_shape']!r}, expected height and width", "wrong shape")
    height, width = size
    people = {
        f"{number:03}": from_pixels(pixels[number].astype(float), score[number].astype(float), height, width)
        for number in range(len(pixels))
    }
    chosen = main_people({body: _in_plane(values) for body, values in people.items()}, PEOPLE)
    if not chosen:
        raise DatasetError(f"{source}: nobody is seen in its {frames} frames", "nobody is seen")
    joints = {f"person_{number}": people[body] for number, body in enumerate(chosen, 1)}
    return trimmed_clip(
        str(source), name, LAYOUT, at_rate(frames, FRAMES_PER_SECOND), joints, ACTIONS[label],
        person=f"P{match['person']}", view=f"C{match['camera']}",
    )  # fmt: skip


def _in_plane(joints: np.ndarray) -> np.ndarray:
    """Without the score, which is no coordinate."""
    return np.where(np.isnan(joints), np.nan, joints * [1.0, 1.0, 0.0])
