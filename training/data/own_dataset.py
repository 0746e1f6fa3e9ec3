"""What `dataset.yaml` says of one's own recordings (`own_bags`, `own_csv`), and what both readers check.

    layout: kinect_v1_20        # joint layout of the tables, one of config/layouts; bags carry theirs in each message
    axes: kinect                # how x, y, z lie, see below; kinect unless told, or as another source says
    source: zed                 # of bags: whose skeletons they hold, one of config/sources; skeletons unless told
    topic: /skeletons           # of bags: the topic to read; only needed where there are several
    people: {take_1: anna, take_2: ben}     # who is recorded, by the recording's name
    test_people: [ben]          # the split `by_people`: these test, everybody else trains
    test_recordings: [take_2]   # the split `by_recordings`

Axes: `kinect`, x to the sensor's left, y up, z away from it, as the recordings are given on; `optical` (REP 103), x
right, y down, z forward; `flu`, x forward, y left, z up. All are in metres and right-handed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from training.data.errors import DatasetError
from usdrl_ros.recording import Segment
from usdrl_ros.skeleton.layouts import available_layouts
from usdrl_ros.sources.reader import DEFAULT_SOURCE, load_source

FILE_NAME = "dataset.yaml"
OVERHANG_S = 0.5
"""How far a label may reach beyond the first and the last frame."""

_AXES = {
    "kinect": np.eye(3),
    "optical": np.diag([-1.0, -1.0, 1.0]),
    "flu": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
}


@dataclass(frozen=True)
class Description:
    """The content of a `dataset.yaml`; see the module."""

    layout: str = ""
    axes: str = ""
    source: str = DEFAULT_SOURCE
    topic: str = ""
    people: dict[str, str] = field(default_factory=dict)
    test_people: tuple[str, ...] = ()
    test_recordings: tuple[str, ...] = ()

    def upright(self, joints: np.ndarray) -> np.ndarray:
        """Joints (..., 3) with y up."""
        of_source = not self.axes and self.source != DEFAULT_SOURCE
        return joints @ (load_source(self.source).to_kinect if of_source else _AXES[self.axes or "kinect"]).T


def read_description(root: Path) -> Description:
    """The description in a directory, or the defaults where there is none.

    Raises:
        DatasetError: The file says something that it cannot; the message names it.
    """
    path = root / FILE_NAME
    if not path.is_file():
        return Description()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"{path} cannot be read: {' '.join(str(error).split())}", "unreadable file") from error
    known = [f.name for f in fields(Description)]
    if not isinstance(content, dict) or not set(content) <= set(known):
        found = ", ".join(sorted(map(str, set(content) - set(known)))) if isinstance(content, dict) else "no settings"
        raise DatasetError(f"{path}: expected only {', '.join(known)}; found {found}")
    description = Description(
        layout=_text(path, content, "layout", available_layouts()),
        axes=_text(path, content, "axes", tuple(_AXES)),
        source=_text(path, content, "source") or DEFAULT_SOURCE,
        topic=_text(path, content, "topic"),
        people=_people(path, content.get("people") or {}),
        test_people=_names(path, content, "test_people"),
        test_recordings=_names(path, content, "test_recordings"),
    )
    if strangers := set(description.test_people) - set(description.people.values()):
        raise DatasetError(f"{path}: test_people names {', '.join(sorted(strangers))}, who are not among `people`")
    return description


def protocols(root: Path) -> dict[str, Callable[[str, str, str], str]]:
    """The splits that `dataset.yaml` names: `by_people`, `by_recordings`, both or none.

    Raises:
        DatasetError: The file says something that it cannot.
    """
    description = read_description(root)
    found: dict[str, Callable[[str, str, str], str]] = {}
    if description.test_people:
        found["by_people"] = lambda name, person, view: _part(person, description.test_people) if person else ""
    if description.test_recordings:
        found["by_recordings"] = lambda name, person, view: _part(name, description.test_recordings)
    return found


def check_names(root: Path, description: Description, names: Sequence[str]) -> None:
    """Check that the recordings' names are unique, and that those in the description are among them.

    Raises:
        DatasetError: They are not.
    """
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DatasetError(f"{root}: two recordings are called {', '.join(twice)}", "repeated name")
    if strangers := (set(description.people) | set(description.test_recordings)) - set(names):
        raise DatasetError(
            f"{root / FILE_NAME} names {', '.join(sorted(strangers))}, but the recordings are {', '.join(names)}"
        )


def check_segments(
    segments: Iterable[tuple[str, Segment]], stamps: np.ndarray, people: Iterable[str]
) -> tuple[Segment, ...]:
    """Segments with the place where each is told, in order; checked against the recording that they belong to.

    A segment without a person is of the only one in the frames.

    Raises:
        DatasetError: A segment lies beyond the frames, or is of a person who is not in them, or of none of several.
    """
    there = list(people)
    checked = []
    for where, told in segments:
        segment = replace(told, person_id=there[0]) if not told.person_id and len(there) == 1 else told
        if not segment.person_id:
            raise DatasetError(
                f"{where}: who does '{segment.action}'? The frames show {', '.join(there)}: name the person",
                "not a label",
            )
        if segment.person_id not in there:
            raise DatasetError(
                f"{where}: '{segment.action}' of '{segment.person_id}', but the frames show {', '.join(there)}",
                "label disagrees",
            )
        if segment.start < stamps[0] - OVERHANG_S or segment.end > stamps[-1] + OVERHANG_S:
            raise DatasetError(
                f"{where}: '{segment.action}' from {segment.start:g} to {segment.end:g} s, but the frames last from "
                f"{stamps[0]:g} to {stamps[-1]:g} s",
                "label disagrees",
            )
        checked.append(segment)
    return tuple(checked)


def _part(value: str, test: tuple[str, ...]) -> str:
    return "test" if value in test else "train"


def _text(path: Path, content: dict[str, Any], key: str, choices: tuple[str, ...] = ()) -> str:
    value = content.get(key, "")
    if not isinstance(value, str) or (value and choices and value not in choices):
        expected = f"one of {', '.join(choices)}" if choices else "text"
        raise DatasetError(f"{path}: {key} is {value!r}, expected {expected}")
    return value


def _names(path: Path, content: dict[str, Any], key: str) -> tuple[str, ...]:
    value = content.get(key) or []
    if not isinstance(value, list) or not all(isinstance(name, (str, int)) for name in value):
        raise DatasetError(f"{path}: {key} is {value!r}, expected a list of names")
    return tuple(str(name) for name in value)


def _people(path: Path, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(name, (str, int)) for pair in value.items() for name in pair):
        raise DatasetError(f"{path}: people is {value!r}, expected one line `recording: person` for each recording")
    return {str(recording): str(person) for recording, person in value.items()}
