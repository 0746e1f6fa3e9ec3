"""One's own recordings as tables: NAME.csv with skeletons, NAME.labels.csv with the actions, any number below ROOT.

ROOT/dataset.yaml names the joint layout (`layout: kinect_v1_20`, one of config/layouts) and may say how the axes lie,
who is recorded, and who tests: see `own_dataset`. All files are UTF-8, comma-separated, with a header.

NAME.csv: a line for each person in each frame, in the order of time. Columns, in any order: `stamp_s`, seconds;
`person`, a name for the one who is seen, the same throughout the recording; and for each joint J of the layout `J_x`,
`J_y`, `J_z`, metres, and, if known, `J_confidence`, 0 to 1. Empty cells, `nan`, and a confidence of 0 say that the
joint is unseen; a line without person says that nobody is seen at that time. No other columns. Cells may be separated
by semicolons or tabs instead, then with decimal commas as well. With a layout of two joints:

    stamp_s,person,Head_x,Head_y,Head_z,Hand_x,Hand_y,Hand_z,Hand_confidence
    0.000,anna,0.10,0.52,2.31,0.35,0.11,2.12,0.9
    0.000,ben,-0.60,0.48,2.80,,,,0
    0.033,anna,0.10,0.53,2.31,0.36,0.14,2.12,0.8
    0.067,,,,,,,,

NAME.labels.csv: a line for each action, `start_s,end_s,action` and, where more than one person is in the recording,
`person`. Times are those of `stamp_s`. What is not labelled is background: a file with a heading alone says that
nothing happens. Without the file nothing is known of the recording: it serves pretraining, and supervised tasks leave
it out.

    start_s,end_s,action,person
    0.000,0.060,wave,anna
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.own_dataset import (
    FILE_NAME,
    Description,
    check_names,
    check_segments,
    check_units,
    protocols,
    read_description,
)
from usdrl_ros.bags.tables import TableError, normalised, number_of, read_rows, short
from usdrl_ros.recording import Recording, Segment
from usdrl_ros.skeleton.layouts import available_layouts, load_layout

__all__ = ["ACTIONS", "LAYOUT", "NAME", "PROTOCOLS", "TITLE", "Source", "actions", "find", "protocols", "read"]

NAME, TITLE, LAYOUT = "csv", "a directory of CSV tables", ""
ACTIONS: tuple[str, ...] = ()
"""They are in the label files; see `actions`."""
PROTOCOLS: dict = {}
"""They are in dataset.yaml; see `protocols`."""

_LABELS = ".labels.csv"
_LIKE_LABELS = re.compile(r"(.+)[._-]labels?\.(csv|txt|tsv)", re.IGNORECASE)
_SLOWEST_S = 2.0
"""Frames are no farther apart than this, in the median."""
_UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


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
    files = sorted(path for path in root.glob("**/*") if path.suffix.lower() in (".csv", ".txt", ".tsv"))
    labels = {path for path in files if path.name.endswith(_LABELS)}
    if odd := [path for path in files if path not in labels and _LIKE_LABELS.fullmatch(path.name)]:
        stem = _LIKE_LABELS.fullmatch(odd[0].name)
        raise DatasetError(
            f"{odd[0]} looks like labels, but is not called so: rename it to {stem and stem[1]}{_LABELS}", "not a label"
        )
    tables = [path for path in files if path.suffix.lower() == ".csv" and path not in labels]
    if not tables:
        raise DatasetError(f"{root} holds no recording: no file NAME.csv", "not the data set")
    stems = {path.with_suffix("") for path in tables}
    for path in sorted(labels):
        if path.with_name(path.name.removesuffix(_LABELS)) not in stems:
            raise DatasetError(f"{path} are labels of no recording: there is no {path.name.removesuffix(_LABELS)}.csv")
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
    name = normalised(path.relative_to(root).with_suffix("").as_posix())
    return Source(path, name, label_file if label_file in labels else None, description)


def actions(root: Path) -> tuple[str, ...]:
    """All actions of the label files, in alphabetical order; a file that is wrong is left to `read`.

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
    layout = load_layout(source.description.layout)
    names = layout.joint_names
    times: list[float] = []
    seen: dict[str, dict[int, np.ndarray]] = {}
    for where, row in _table(source.path, names):
        stamp = _number(where, row, "stamp_s")
        if not math.isfinite(stamp):
            raise DatasetError(f"{where}: stamp_s is '{row['stamp_s']}', expected seconds", "no stamp")
        if not times or stamp > times[-1]:
            times.append(stamp)
        elif stamp < times[-1]:
            raise DatasetError(
                f"{where}: stamp_s {stamp} comes after {times[-1]}{_few_digits(times)}", "time does not advance"
            )
        frame, person = len(times) - 1, row["person"]
        if person and seen.setdefault(person, {}).setdefault(frame, joints := _joints(where, row, names)) is not joints:
            raise DatasetError(f"{where}: '{person}' comes twice at {stamp} s{_few_digits(times)}", "repeated person")
    if len(times) < 2 or not seen:
        found = f"{len(times)} frames and {len(seen)} people"
        raise DatasetError(f"{source} has {found}, expected 2 frames and 1 person or more", "fewer than two frames")
    stamps = np.array(times)
    _check_seconds(source.path, stamps)
    people = {}
    for person, frames in seen.items():
        people[person] = np.full((len(stamps), len(names), 3), np.nan)
        people[person][list(frames)] = source.description.upright(np.array(list(frames.values())))
    check_units(source, layout, people)
    segments = check_segments(_segments(source), stamps, people)
    subject = source.description.people.get(source.name, "")
    return Recording(
        source.name, source.description.layout, stamps, people, segments, subject, labelled=source.labels is not None
    )


def _check_seconds(path: Path, stamps: np.ndarray) -> None:
    """Refuse stamps that are not in seconds, by how far apart the frames are."""
    step = float(np.median(np.diff(stamps)))
    if step <= _SLOWEST_S:
        return
    units = [unit for unit, factor in _UNITS.items() if 1e-3 <= step / factor <= 1.0]
    likely = f": they look like {units[0]}" if units else ""
    raise DatasetError(f"{path}: frames are {step:g} s apart; stamp_s must be in seconds{likely}", "not seconds")


def _few_digits(times: list[float]) -> str:
    """A hint where stamps since the epoch went through 32-bit floating point numbers."""
    if times[0] > 1e7 and all(float(np.float32(time)) == time for time in times):
        return ": the stamps have too few digits (32-bit numbers?); write seconds with six decimals"
    return ""


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
        lines = read_rows(path)
    except TableError as error:
        raise DatasetError(str(error), "unreadable file") from error
    if not lines:
        raise DatasetError(f"{path} is empty", "empty file")
    where, header = lines[0].where, lines[0].cells
    if missing := [column for column in needed if column not in header]:
        raise DatasetError(f"{where}: columns {', '.join(missing)} are missing", "missing column")
    if strange := [column for column in header if column not in (*needed, *further)]:
        raise DatasetError(f"{where}: columns {short(', '.join(strange))} are not known", "unknown column")
    if len(set(header)) != len(header):
        raise DatasetError(f"{where}: a column's name comes twice", "repeated column")
    for line in lines[1:]:
        if len(line.cells) != len(header):
            raise DatasetError(
                f"{line.where}: {len(line.cells)} cells, the header has {len(header)} (with decimal commas, separate "
                "the cells by semicolons)",
                "wrong columns",
            )
    return [(line.where, dict(zip(header, line.cells, strict=True))) for line in lines[1:]]


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
    if not text or text.lower() == "nan":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        decimal = number_of(text)  # with a decimal comma
        value = math.inf if decimal is None else float(decimal)
    if not math.isfinite(value):
        raise DatasetError(f"{where}: {column} is '{short(text)}', expected a number", "not numbers")
    return value


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
