"""What the readers of data sets share: finding files, reading tables of numbers, trimmed clips."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from usdrl_ros.recording import Recording, Segment


def find_files(root: Path, pattern: str, title: str) -> list[Path]:
    """Files under `root` that match a glob pattern, in order of name.

    Raises:
        DatasetError: There is none.
    """
    if found := sorted(path for path in root.glob(pattern) if path.is_file()):
        return found
    raise DatasetError(f"{root} does not hold {title}: there is no file {root / pattern}", "not the data set")


def parse_name(path: Path, pattern: str, expected: str) -> re.Match[str]:
    """What a file's name says.

    Raises:
        DatasetError: The name is none of the data set's.
    """
    if match := re.fullmatch(pattern, path.name):
        return match
    raise DatasetError(f"{path}: a name like {expected} was expected", "not a name of the data set")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DatasetError: It cannot be read, is no text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}", "unreadable file") from error
    if not text.strip():
        raise DatasetError(f"{path} is empty", "empty file")
    return text


def read_table(path: Path, columns: int, holds: str, *, delimiter: str | None = None) -> np.ndarray:
    """A text file of numbers, (lines, `columns`).

    Args:
        path: The file.
        columns: How many numbers a line must have.
        holds: What a line holds, for the error message.
        delimiter: What stands between two numbers; None: white space.

    Raises:
        DatasetError: The file cannot be read, is empty, holds something else than numbers, or has other columns.
    """
    return parse_table(path, read_text(path), columns, holds, delimiter=delimiter)


def parse_table(path: Path, text: str, columns: int, holds: str, *, delimiter: str | None = None) -> np.ndarray:
    """As `read_table`, of a text that was read from `path`."""
    try:
        rows = np.loadtxt(io.StringIO(text), delimiter=delimiter, ndmin=2, comments=None)
    except ValueError as error:
        raise DatasetError(f"{path} cannot be read: {error}", "not numbers") from error
    if rows.shape[1] != columns:
        raise DatasetError(f"{path} has {rows.shape[1]} columns, expected {columns} ({holds})", "wrong columns")
    return rows


def at_rate(frames: int, rate_hz: float) -> np.ndarray:
    """Stamps (frames,) seconds from 0, for sets without clock."""
    return np.arange(frames) / rate_hz


def unseen_as_nan(joints: np.ndarray) -> np.ndarray:
    """A copy of joints (..., 3) in which those at the origin, or not finite, are NaN."""
    unseen = (joints == 0.0).all(-1, keepdims=True) | ~np.isfinite(joints).all(-1, keepdims=True)
    return np.where(unseen, np.nan, joints)


def trimmed_clip(
    source: Path | str,
    name: str,
    layout: str,
    stamps: np.ndarray,
    joints: Mapping[str, np.ndarray],
    action: str,
    *,
    person: str,
    view: str = "",
) -> Recording:
    """A recording that shows one action of `person_1` from beginning to end.

    The segment ends one frame's time after the last stamp, so that the last frame is in it. Joints at the origin are
    unseen.

    Args:
        source: The file, for error messages.
        name, layout, stamps, joints, person, view: See `Recording`.
        action: What is done.

    Raises:
        DatasetError: There are fewer than two frames, or nobody is seen in two of them, or time does not advance.
    """
    if len(stamps) < 2:
        raise DatasetError(f"{source} has {len(stamps)} frame, expected at least 2", "fewer than two frames")
    if not (np.isfinite(stamps).all() and (np.diff(stamps) > 0).all()):
        raise DatasetError(f"{source}: the times of its frames do not increase", "time does not advance")
    seen = {person_id: unseen_as_nan(values) for person_id, values in joints.items()}
    if np.isfinite(seen["person_1"]).all(-1).any(-1).sum() < 2:
        raise DatasetError(f"{source}: the person is seen in fewer than 2 frames", "nobody is seen")
    end = float(stamps[-1] + np.median(np.diff(stamps)))
    return Recording(name, layout, stamps, seen, (Segment(float(stamps[0]), end, action),), person, view)


def numbered_action(actions: Sequence[str], number: str, source: Path) -> str:
    """The action that the set numbers so, from 1 on.

    Raises:
        DatasetError: There is none.
    """
    if 1 <= int(number) <= len(actions):
        return actions[int(number) - 1]
    raise DatasetError(f"{source}: actions are numbered 1 to {len(actions)}, not {number}", "unknown action")


def odd_people_train(name: str, person: str, view: str) -> str:
    """The split of many small sets: people with odd numbers ("s1", "s03") train, the others test."""
    return "train" if int(person[1:]) % 2 else "test"
