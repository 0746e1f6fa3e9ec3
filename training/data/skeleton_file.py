"""The text files in which NTU RGB+D and UAV-Human store skeletons (the layout of Shahroudy et al.'s development kit).

Number of frames; for each frame the number of bodies; for each body a line of 10 numbers that begins with the body's
id, a line with the number of joints, and for each joint a line that begins with x y z.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.errors import DatasetError

_HEADER = 10
"""Numbers in a body's line: id, clipped edges, hands' confidences and states, restricted, lean x y, tracking state."""


def read_bodies(path: Path, joints: int, fields: int | None = None) -> tuple[int, dict[str, np.ndarray]]:
    """The bodies of a file, by id.

    An id that comes twice in one frame names two bodies, distinguished by their order.

    Args:
        path: The file.
        joints: V, how many joints each body must have.
        fields: How many numbers a joint's line must have, x y z the first; None: as many as the first one has.

    Returns:
        The number of frames T, and (T, V, 3) by body as stored, NaN in frames where the body is absent.

    Raises:
        DatasetError: The file cannot be read, is empty, ends too early or too late, or breaks the format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}", "unreadable file") from error
    lines = content.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DatasetError(f"{path} is empty, expected the number of frames and skeletons", "empty file")

    frames = _count(path, lines, 0, "frames")
    position = 1
    rows: list[bytes] = []
    places: dict[str, tuple[list[int], list[int]]] = {}
    for frame in range(frames):
        bodies = _count(path, lines, position, "bodies")
        position += 1
        named: dict[str, int] = {}
        for _ in range(bodies):
            count = _count(path, lines, position + 1, "joints")
            if count != joints:
                raise DatasetError(f"{path}, line {position + 2}: {count} joints, expected {joints}", "wrong joints")
            body = lines[position].split()[0].decode("ascii", "replace") if lines[position].strip() else ""
            named[body] = named.get(body, 0) + 1
            in_frames, in_rows = places.setdefault(f"{body}#{named[body]}", ([], []))
            in_frames.append(frame)
            in_rows.append(len(rows) // joints)
            rows += lines[position + 2 : position + 2 + joints]
            position += 2 + joints
    if position != len(lines):
        left = f"{len(lines) - position} lines more" if position < len(lines) else "the last is cut off"
        raise DatasetError(f"{path} should end after {frames} frames with line {position}, but {left}", "wrong length")

    if fields is None:
        fields = len(rows[0].split()) if rows else 3
    numbers = 1 + frames + sum(len(found) for found, _ in places.values()) * (_HEADER + 1 + joints * fields)
    if _count_words(content) != numbers:
        raise DatasetError(
            f"{path} holds {_count_words(content)} numbers, expected {numbers}: each body's line has {_HEADER}, each "
            f"joint's {fields}; the file is cut off or damaged",
            "wrong length",
        )
    if not rows:
        return frames, {}
    try:
        values = np.loadtxt(rows, usecols=(0, 1, 2), comments=None, ndmin=2).reshape(-1, joints, 3)
    except ValueError as error:
        raise DatasetError(f"{path}: a joint's x y z are no numbers: {error}", "not numbers") from error
    found = {}
    for body, (in_frames, in_rows) in places.items():
        found[body] = np.full((frames, joints, 3), np.nan)
        found[body][in_frames] = values[in_rows]
    return frames, found


def _count(path: Path, lines: list[bytes], position: int, what: str) -> int:
    """The whole number that a line holds."""
    if position >= len(lines):
        raise DatasetError(f"{path} ends with line {len(lines)}, where the number of {what} is due", "wrong length")
    if not lines[position].strip().isdigit():
        text = lines[position].decode("utf-8", "replace").strip()[:40]
        raise DatasetError(
            f"{path}, line {position + 1}: expected the number of {what}, found '{text}'", "not a skeleton file"
        )
    return int(lines[position])


def _count_words(content: bytes) -> int:
    """How many words, separated by white space, a text has."""
    white = np.frombuffer(content, np.uint8) <= ord(" ")
    return int(np.count_nonzero(white[:-1] & ~white[1:])) + int(not white[0])
