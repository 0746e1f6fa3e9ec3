"""Tables in text files, as people, spreadsheets and other programs leave them; refused by line where that loses a cell.

Cells are separated by commas, or by semicolons or tabs (spreadsheets of many countries), then with decimal commas
as well. Lines that are blank or begin with # do not count. Text is normalised (Unicode NFC), so that one name has one
spelling.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from usdrl_ros.files import ReadError, read_text

LONGEST_LINE = 100_000
_NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


class TableError(ValueError):
    """A table cannot be used; the message is one line that names the file, the line, the fault and its likely cause."""


@dataclass(frozen=True)
class Row:
    """A line of a table: its place, for messages, and its cells, without the blanks around them."""

    where: str
    cells: tuple[str, ...]


def read_rows(path: Path | str) -> list[Row]:
    """The lines of a table.

    Raises:
        TableError: The file cannot be read, or a line of it is no line of a table.
    """
    try:
        text = normalised(read_text(path))
    except ReadError as error:
        raise TableError(str(error)) from error
    rows: list[Row] = []
    separator = ""
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not line.strip(" \t,;") or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(line) > LONGEST_LINE:
            raise TableError(f"{where}: {len(line)} characters, expected a line of a table")
        if found := re.search(r"[\x00-\x08\x0a-\x1f\x7f]", line):
            raise TableError(f"{where}: holds the control character {found[0]!r}, expected text")
        separator = separator or _separator(line)
        try:
            (cells,) = csv.reader([line], delimiter=separator, strict=True)
        except csv.Error as error:
            cause = "a quote is opened and not closed" if "end of data" in str(error) else str(error)
            raise TableError(f"{where}: {cause}: {short(line)}") from error
        rows.append(Row(where, tuple(cell.strip() for cell in cells)))
    return rows


def _separator(line: str) -> str:
    """What separates the cells of a table, by its first line; labels have three cells or more."""
    return next((mark for mark in (";", "\t") if line.count(mark) >= 2), ",")


def columns_of(row: Row, needed: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns, in lower case, of a table's heading.

    Raises:
        TableError: One of the needed ones is missing, or one comes twice.
    """
    names = tuple(cell.lower() for cell in row.cells)
    if missing := [name for name in needed if name not in names]:
        raise TableError(f"{row.where}: its heading lacks {', '.join(missing)}; it has {short(','.join(row.cells))}")
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise TableError(f"{row.where}: its heading has {short(twice[0])} twice")
    return names


def cells_by_name(row: Row, columns: Sequence[str], needed: Sequence[str]) -> dict[str, str]:
    """The cells of a line by the names of the columns; cells that are left out at the end are empty.

    Raises:
        TableError: There are more cells than columns, or one of the needed ones is left out.
    """
    given = len(row.cells)
    if given > len(columns) and any(row.cells[len(columns) :]):
        raise TableError(
            f"{row.where}: {given} cells, expected {len(columns)} ({','.join(columns)}): "
            f"'{short(','.join(row.cells))}'; with decimal commas, separate the cells by semicolons"
        )
    cells = dict(zip(columns, (*row.cells, *[""] * (len(columns) - given)), strict=False))
    if missing := [name for name in needed if not cells[name]]:
        raise TableError(
            f"{row.where}: '{short(','.join(row.cells))}' has no {' and no '.join(missing)}; "
            f"expected {','.join(columns)}"
        )
    return cells


def number_of(text: str) -> Decimal | None:
    """The number in a cell, exactly; None where it is none. A decimal comma counts as a point."""
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if len(text) > 60 or not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return number if -30 < number.adjusted() < 30 or not number else None


def normalised(text: str) -> str:
    """One spelling (Unicode NFC) of what may be composed in several ways, such as an umlaut."""
    return unicodedata.normalize("NFC", text)


def short(text: str, length: int = 80) -> str:
    """A text from outside for a message: cut, and its control characters escaped."""
    cut = text if len(text) <= length else f"{text[:length]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in cut)
