"""PKU-MMD I and II (Liu et al., arXiv 1703.07475): long videos of 51 actions by one or two people, three Kinect v2.

As distributed: below ROOT, in directories whose names hold "skeleton", "label" and "split" (for instance
`Data/PKU_Skeleton_Renew`, `Label/Train_Label_PKU_final`, `Split`; case plays no part), a text a video:

- skeletons: a line a frame, 150 numbers: x y z of the 25 joints of each of two people, metres; zeros where there is
  none. The sensor's 30 frames a second. Axes and joints are those of NTU RGB+D.
- labels: a line an action, `class,start,end,confidence`: classes 1 to 51, frame numbers, counted from 0. Those of phase
  II overlap.
- splits: `cross-subject.txt` and `cross-view.txt` (phase II: `cross_subject_v2.txt`, ...): "Training videos:", a line
  of names, "Validataion videos:" (their spelling), a line of names.

A video is called NNNN-V in phase I and AnnNnn-V in phase II; V is the view, L, M or R. Who performs is not in
the set: the cross-subject split exists as a list only. Both phases may lie below one ROOT.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, read_table, read_text, unseen_as_nan
from usdrl_ros.recording import Recording, Segment

NAME, TITLE, LAYOUT = "pku_mmd", "PKU-MMD", "ntu_25"
PEOPLE = 2
ACTIONS = (
    "bow", "brush_hair", "brush_teeth", "check_watch", "cheer_up", "clap", "cross_hands_stop", "drink_water", "drop",
    "eat_meal", "fall", "give_object", "wave", "shake_hands", "hop", "hug", "jump_up", "kick_person", "kick_something",
    "phone_call", "pat_person_on_back", "pick_up", "play_with_phone", "point_at_person", "point_at_something",
    "punch_person", "push_person", "put_on_hat", "put_into_pocket", "read", "rub_hands", "salute", "sit_down",
    "stand_up", "take_off_hat", "take_off_glasses", "take_off_jacket", "take_out_of_pocket", "take_selfie",
    "tear_up_paper", "throw", "touch_back", "touch_chest", "touch_head", "touch_neck", "type_on_keyboard", "fan_self",
    "put_on_jacket", "put_on_glasses", "wipe_face", "write",
)  # fmt: skip
"""Classes 1 to 51; what NTU RGB+D has too is called as there."""
FRAMES_PER_SECOND = 30.0
TRAIN_VIEWS = ("M", "R")

_VIDEO = re.compile(r"(?:\d{4}|A\d{2}N\d{2})-(?P<view>[LMR])")
_SPLIT_FILE = re.compile(r"cross[-_ ](?P<kind>subject|view)\w*\.txt", re.IGNORECASE)
_HEADING = re.compile(r"\s*(?P<part>train|valid|test)\w*\s+videos\s*:?", re.IGNORECASE)


def _cross_view(name: str, person: str, view: str) -> str:
    return "train" if view in TRAIN_VIEWS else "test"


PROTOCOLS = {"cross_view": _cross_view}
"""What needs no split file; see `protocols`."""


@dataclass(frozen=True)
class Source:
    """The two files of a video; None where there is none."""

    name: str
    skeleton: Path | None
    label: Path | None

    def __str__(self) -> str:
        return str(self.skeleton or self.label)


def find(root: Path) -> list[Source]:
    """The videos of the set, in order of name.

    Raises:
        DatasetError: There are none, or one has two files of a kind.
    """
    files: dict[str, dict[str, Path]] = {"skeleton": {}, "label": {}}
    for path in sorted(path for path in root.glob("**/*") if path.is_file() and _VIDEO.fullmatch(path.stem)):
        directories = "/".join(path.relative_to(root).parts[:-1]).lower()
        kind = max(files, key=lambda word: directories.rfind(word))
        if kind not in directories:
            continue
        other = files[kind].setdefault(path.stem, path)
        if other != path:
            raise DatasetError(f"{path} and {other} are {kind} files of one video: remove one", "two files of a video")
    if not files["skeleton"]:
        raise DatasetError(
            f"{root} does not hold {TITLE}: there is no file like Data/Skeleton/0002-L.txt (a directory called "
            f"skeleton, files called NNNN-V.txt or AnnNnn-V.txt)",
            "not the data set",
        )
    names = sorted(files["skeleton"] | files["label"])
    return [Source(name, files["skeleton"].get(name), files["label"].get(name)) for name in names]


def protocols(root: Path) -> dict[str, Callable[[str, str, str], str]]:
    """The splits of the set, `cross_subject` first. Without a file for it, `cross_view` trains on M and R.

    Raises:
        DatasetError: There is no file for the split by subject, or one contradicts itself.
    """
    parts: dict[str, dict[str, str]] = {}
    for path in sorted(root.glob("**/*.txt")):
        if match := _SPLIT_FILE.fullmatch(path.name):
            known = parts.setdefault(f"cross_{match['kind'].lower()}", {})
            for name, part in _read_split(path).items():
                if known.setdefault(name, part) != part:
                    raise DatasetError(f"{path}: {name} is in both parts of the split", "split disagrees")
    if "cross_subject" not in parts:
        raise DatasetError(
            f"{root} holds no split file of {TITLE} by subject: cross-subject.txt or cross_subject_v2.txt was expected",
            "split missing",
        )
    by_view = _member(parts["cross_view"]) if "cross_view" in parts else _cross_view
    return {"cross_subject": _member(parts["cross_subject"]), "cross_view": by_view}


def _member(parts: dict[str, str]) -> Callable[[str, str, str], str]:
    return lambda name, person, view: parts.get(name, "")


def _read_split(path: Path) -> dict[str, str]:
    """Video and part."""
    parts: dict[str, str] = {}
    part = ""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if match := _HEADING.match(line):
            part = "train" if match["part"].lower() == "train" else "test"
            line = line[match.end() :]
        for word in line.replace(",", " ").split():
            name = word.removesuffix(".txt")
            if not part or not _VIDEO.fullmatch(name):
                raise DatasetError(
                    f"{path}, line {number}: expected 'Training videos:' or 'Validation videos:' and names of videos "
                    f"such as 0002-L, found '{word}'",
                    "not a split file",
                )
            if parts.setdefault(name, part) != part:
                raise DatasetError(f"{path}, line {number}: {name} is in both parts of the split", "split disagrees")
    return parts


def read(source: Source) -> Recording:
    """One video: `person_1` acts, `person_2` is there where the set has a second person.

    Raises:
        DatasetError: A file is missing or malformed, or the labels disagree with the skeletons.
    """
    match = _VIDEO.fullmatch(source.name)
    if match is None:
        raise DatasetError(f"{source}: '{source.name}' is no name of a video of {TITLE}", "not a name of the data set")
    if source.skeleton is None:
        raise DatasetError(f"{source.label}: the skeletons of {source.name} are missing", "skeletons missing")
    if source.label is None:
        raise DatasetError(f"{source.skeleton}: the labels of {source.name} are missing", "label missing")
    rows = read_table(source.skeleton, 150, "x y z of 25 joints of two people")
    if len(rows) < 2:
        raise DatasetError(f"{source.skeleton} has 1 frame, expected at least 2", "fewer than two frames")
    both = unseen_as_nan(rows.reshape(-1, 2, 25, 3))
    joints = {
        f"person_{number + 1}": both[:, number] for number in range(2) if np.isfinite(both[:, number]).all(-1).any()
    }
    if "person_1" not in joints:
        raise DatasetError(f"{source.skeleton}: the first person is in none of its frames", "nobody is seen")
    stamps = at_rate(len(rows), FRAMES_PER_SECOND)
    return Recording(source.name, LAYOUT, stamps, joints, read_labels(source.label, len(rows)), view=match["view"])


def read_labels(path: Path, frames: int) -> tuple[Segment, ...]:
    """The actions in a label file of a video of so many frames.

    Raises:
        DatasetError: The file is malformed, or its labels cannot be of this video.
    """
    segments = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        words = line.split(",")
        if len(words) != 4 or not all(re.fullmatch(r"\s*\d+\s*", word) for word in words):
            raise DatasetError(f"{where}: expected 'class,start,end,confidence', found '{line.strip()}'", "not a label")
        action, start, end = (int(word) for word in words[:3])
        if not 1 <= action <= len(ACTIONS):
            raise DatasetError(f"{where}: class {action}, expected 1 to {len(ACTIONS)}", "unknown action")
        if not start < end:
            raise DatasetError(f"{where}: start {start} is not before end {end}", "label disagrees")
        if end > frames:
            raise DatasetError(f"{where}: end {end}, but the video has {frames} frames", "label disagrees")
        segments.append(Segment(start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND, ACTIONS[action - 1]))
    return tuple(segments)
