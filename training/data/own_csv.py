"""One's own recordings as tables: NAME.csv with skeletons, NAME.labels.csv with the actions, any number below ROOT.

ROOT/dataset.yaml names the joint layout (`layout: kinect_v1_20`, one of config/layouts) and may say how the axes lie,
who is recorded, and who tests: see `own_dataset`. All files are UTF-8, comma-separated, with a header.

NAME.csv: a line for each person in each frame, in the order of time. Columns, in any order: `stamp_s`, seconds;
`person`, a name for the one who is seen, the same throughout the recording; and for each joint J of the layout `J_x`,
`J_y`, `J_z`, metres, and, if known, `J_confidence`, 0 to 1. Empty cells, `nan`, and a confidence of 0 say that the
joint is unseen; a line without person says that nobody is seen at that time. No other columns. With a layout of two
joints:

    stamp_s,person,Head_x,Head_y,Head_z,Hand_x,Hand_y,Hand_z,Hand_confidence
    0.000,anna,0.10,0.52,2.31,0.35,0.11,2.12,0.9
    0.000,ben,-0.60,0.48,2.80,,,,0
    0.033,anna,0.10,0.53,2.31,0.36,0.14,2.12,0.8
    0.067,,,,,,,,

NAME.labels.csv: a line for each action, `start_s,end_s,action` and, where more than one person is in the recording,
`person`. Times are those of `stamp_s`. What is not labelled is background; without the file nothing is known of the
recording, and it serves pretraining.

    start_s,end_s,action,person
    0.000,0.060,wave,anna
"""

from __future__ import annotations

import contextlib
import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import read_text
from training.data.own_dataset import FILE_NAME, Description, check_names, check_segments, protocols, read_description
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.layouts import available_layouts, load_layout

__all__ = ["ACTIONS", "LAYOUT", "NAME", "PROTOCOLS", "TITLE", "Source", "actions", "find", "protocols", "read"]

NAME, TITLE, LAYOUT = "csv", "a directory of CSV tables", ""
ACTIONS: tuple[str, ...] = ()
"""They are in the label files; see `actions`."""
PROTOCOLS: dict = {}
"""They are in dataset.yaml; see `protocols`."""

_LABELS = ".labels.csv"


@dataclass(frozen=True)
class Source:
    """One recording's table, its name, its labels if there are any, and what dataset.yaml says."""

    path: Path
    name: str
    labels: Path | None
    description: Description

    def __str__(self) -> str:
        return str(self.path)


def find(root: Path) -> list[Source]:
    """The recordings, in order of path.

    Raises:
        DatasetError: There are none, labels belong to none, or dataset.yaml is missing or not right.
    """
    tables = sorted(root.glob("**/*.csv"))
    labels = {path for path in tables if path.name.endswith(_LABELS)}
    tables = [path for path in tables if path not in labels]
    if not tables:
        raise DatasetError(f"{root} holds no recording: no file NAME.csv", "not the data set")
    for path in sorted(labels):
        if path.with_name(path.name.removesuffix(_LABELS) + ".csv") not in tables:
            raise DatasetError(f"{path} are labels of no recording: {path.name.removesuffix(_LABELS)}.csv is not there")
    description = read_description(root)
    if not description.layout:
        raise DatasetError(
            f"{root / FILE_NAME} must name the joints' layout, such as `layout: kinect_v1_20`; there are "
            f"{', '.join(available_layouts())}",
            "no joint layout",
        )
    sources = [_source(root, path, labels, description) for path in tables]
    check_names(root, description, [source.name for source in sources])
    return sources


def _source(root: Path, path: Path, labels: set[Path], description: Description) -> Source:
    label_file = path.with_name(path.stem + _LABELS)
    name = path.relative_to(root).with_suffix("").as_posix()
    return Source(path, name, label_file if label_file in labels else None, description)


def actions(root: Path) -> tuple[str, ...]:
    """All actions that the label files tell of, in alphabetical order; what is wrong with one is for `read` to tell.

    Raises:
        DatasetError: As `find`.
    """
    found: set[str] = set()
    for source in find(root):
        with contextlib.suppress(DatasetError):
            found |= {segment.action for _, segment in _segments(source)}
    return tuple(sorted(found))


def read(source: Source) -> Recording:
    """One recording.

    Raises:
        DatasetError: A table is malformed, or the labels disagree with the skeletons; the message names file and line.
    """
    names = load_layout(source.description.layout).joint_names
    times: list[float] = []
    seen: dict[str, dict[int, np.ndarray]] = {}
    for where, row in _table(source.path, names):
        stamp = _number(where, row, "stamp_s")
        if not math.isfinite(stamp):
            raise DatasetError(f"{where}: stamp_s is '{row['stamp_s']}', expected seconds", "no stamp")
        if not times or stamp > times[-1]:
            times.append(stamp)
        elif stamp < times[-1]:
            raise DatasetError(f"{where}: stamp_s {stamp} comes after {times[-1]}", "time does not advance")
        frame, person = len(times) - 1, row["person"]
        if person and seen.setdefault(person, {}).setdefault(frame, joints := _joints(where, row, names)) is not joints:
            raise DatasetError(f"{where}: '{person}' comes twice at {stamp} s", "repeated person")
    if len(times) < 2 or not seen:
        found = f"{len(times)} frames and {len(seen)} people"
        raise DatasetError(f"{source} has {found}, expected 2 frames and 1 person or more", "fewer than two frames")
    stamps = np.array(times)
    people = {}
    for person, frames in seen.items():
        people[person] = np.full((len(stamps), len(names), 3), np.nan)
        people[person][list(frames)] = source.description.upright(np.array(list(frames.values())))
    segments = check_segments(_segments(source), stamps, people)
    subject = source.description.people.get(source.name, "")
    return Recording(
        source.name, source.description.layout, stamps, people, segments, subject, labelled=source.labels is not None
    )


def _table(path: Path, names: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    needed = ["stamp_s", "person", *(f"{name}_{axis}" for name in names for axis in "xyz")]
    rows = _rows(path, needed, [f"{name}_confidence" for name in names])
    if not rows:
        raise DatasetError(f"{path} has a header only", "empty file")
    return rows


def _labels(path: Path) -> list[tuple[str, dict[str, str]]]:
    return _rows(path, ["start_s", "end_s", "action"], ["person"])


def _rows(path: Path, needed: list[str], further: list[str]) -> list[tuple[str, dict[str, str]]]:
    """The lines of a table by column, each with its place, for messages."""
    try:
        reader = csv.reader(read_text(path).lstrip("\ufeff").splitlines(), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise DatasetError(f"{path} is not a table: {error}", "unreadable file") from error
    header = lines[0][1]
    if missing := [column for column in needed if column not in header]:
        raise DatasetError(f"{path}, line 1: columns {', '.join(missing)} are missing", "missing column")
    if strange := [column for column in header if column not in (*needed, *further)]:
        raise DatasetError(f"{path}, line 1: columns {', '.join(strange)} are not known", "unknown column")
    if len(set(header)) != len(header):
        raise DatasetError(f"{path}, line 1: a column's name comes twice", "repeated column")
    rows = []
    for number, cells in lines[1:]:
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise DatasetError(
                f"{path}, line {number}: {len(cells)} cells, the header has {len(header)}", "wrong columns"
            )
        rows.append((f"{path}, line {number}", dict(zip(header, cells, strict=True))))
    return rows


def _joints(where: str, row: dict[str, str], names: tuple[str, ...]) -> np.ndarray:
    joints = np.array([[_number(where, row, f"{name}_{axis}") for axis in "xyz"] for name in names])
    confidence = np.array([_number(where, row, f"{name}_confidence", 1.0) for name in names])
    if ((confidence < 0.0) | (confidence > 1.0)).any():
        raise DatasetError(f"{where}: a confidence is not from 0 to 1", "wrong confidence")
    joints[~(confidence > 0.0) | ~np.isfinite(joints).all(-1)] = np.nan
    return joints


def _number(where: str, row: dict[str, str], column: str, absent: float = math.nan) -> float:
    text = row.get(column)
    if text is None:
        return absent
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise DatasetError(f"{where}: {column} is '{text}', expected a number", "not numbers") from error


def _segments(source: Source) -> list[tuple[str, Segment]]:
    if source.labels is None:
        return []
    segments = []
    for where, row in _labels(source.labels):
        start, end = _number(where, row, "start_s"), _number(where, row, "end_s")
        if not (start < end and math.isfinite(start) and math.isfinite(end)) or not row["action"]:
            raise DatasetError(f"{where}: expected start_s before end_s, and an action", "not a label")
        segments.append((where, Segment(start, end, row["action"], row.get("person", ""))))
    return segments
