"""What `dataset.yaml` says of one's own recordings (`own_bags`, `own_csv`), and what both readers check.

    layout: kinect_v1_20        # joint layout of the tables, one of config/layouts; bags carry theirs in each message
    axes: kinect                # how x, y, z lie, see below; default kinect, or as another source says
    source: zed                 # of bags: whose skeletons they hold, one of config/sources; default skeletons
    topic: /skeletons           # of bags: the topic to read; only needed where there are several
    people: {take_1: anna, take_2: ben}     # who is recorded, by the recording's name
    test_people: [ben]          # the split `by_people`: these test, everybody else trains
    test_recordings: [take_2]   # the split `by_recordings`

Axes: `kinect`, x to the sensor's left, y up, z away from it, as the recordings are given on; `optical` (REP 103), x
right, y down, z forward; `flu`, x forward, y left, z up. All are in metres and right-handed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from training.configuration import configuration, option
from training.data.errors import DatasetError
from usdrl_ros.bags.tables import normalised
from usdrl_ros.configuration import ConfigurationError, parse, read_yaml
from usdrl_ros.recording import Segment
from usdrl_ros.skeleton.body import LIMB, LIMB_M, UNITS, evidence
from usdrl_ros.skeleton.layouts import Layout, available_layouts
from usdrl_ros.sources.reader import DEFAULT_SOURCE, load_source

FILE_NAME = "dataset.yaml"
OVERHANG_S = 0.5
"""How far a label may reach beyond the first and the last frame."""

_AXES = {
    "kinect": np.eye(3),
    "optical": np.diag([-1.0, -1.0, 1.0]),
    "flu": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
}


@configuration
class Description:
    """The content of a `dataset.yaml`; see the module."""

    layout: str = option("", "joint layout of the tables", choices=("", *available_layouts()))
    axes: str = option("", "how x, y, z lie", choices=("", *_AXES))
    source: str = option(DEFAULT_SOURCE, "of bags: whose skeletons they hold")
    topic: str = option("", "of bags: the topic to read")
    people: dict[str, str] = option({}, "who is recorded, by the recording's name")
    test_people: tuple[str, ...] = option((), "people of the test part of the split by_people")
    test_recordings: tuple[str, ...] = option((), "recordings of the test part of the split by_recordings")

    def __post_init__(self) -> None:
        if strangers := set(self.test_people) - set(self.people.values()):
            raise ValueError(f"test_people names {', '.join(sorted(strangers))}, who are not among `people`")

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
        content = read_yaml(path)
        return parse(Description, {} if content is None else _without_empty(content), str(path))
    except ConfigurationError as error:
        raise DatasetError(str(error), "unreadable file") from error


def _without_empty(content: Any) -> Any:
    """Keys that are empty are as if they were not there; names have one spelling (NFC)."""
    if not isinstance(content, dict):
        return content
    return {key: _one_spelling(value) for key, value in content.items() if value is not None}


def _one_spelling(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(_one_spelling(key)): _one_spelling(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_one_spelling(item) for item in value]
    return normalised(value) if isinstance(value, str) else value


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
    """Segments with the place where each is written, in order; checked against the recording that they belong to.

    A segment without a person is of the only one in the frames.

    Raises:
        DatasetError: A segment lies beyond the frames, or is of a person who is not in them, or of none of several.
    """
    there = list(people)
    checked = []
    for where, given in segments:
        segment = replace(given, person_id=there[0]) if not given.person_id and len(there) == 1 else given
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


def check_units(source: object, layout: Layout, people: Mapping[str, np.ndarray]) -> None:
    """Refuse positions that are not in metres.

    Args:
        source: The recording, for messages.
        layout: Its joint layout.
        people: (T, V, 3) by person.

    Raises:
        DatasetError: Arms and legs have a person's length in another unit.
    """
    for person, joints in people.items():
        limbs = evidence(layout.to_ntu25(joints)[0])[:, LIMB]
        if not np.isfinite(limbs).any():
            continue
        limb = float(np.nanmedian(limbs))
        if unit := next((unit for unit, factor in UNITS.items() if LIMB_M[0] <= limb * factor <= LIMB_M[1]), ""):
            raise DatasetError(
                f"{source}: the median limb of '{person}' is {limb:.4g} m long: the positions are in {unit}, "
                "expected metres",
                "not metres",
            )


def _part(value: str, test: tuple[str, ...]) -> str:
    return "test" if value in test else "train"
