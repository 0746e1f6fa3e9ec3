"""True actions in a table beside a bag: a line an action, `start,end,action[,person]`.

A first line with these names may be there, and may put them in another order. Times are seconds: below 10^8 they count
from the bag's first skeletons, from there on they are stamps since the epoch, in seconds, milliseconds, microseconds or
nanoseconds by their size. A heading may name the unit: `start_s`, `start_ms`, `start_us`, `start_ns`.

A table with a heading alone says that nothing happens; an empty file says nothing, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from usdrl_ros.bags.tables import Row, TableError, cells_by_name, columns_of, number_of, read_rows, short
from usdrl_ros.files import WriteError, write_text

COLUMNS = ("start", "end", "action", "person")
_NEEDED = COLUMNS[:3]
_UNITS_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_STAMPS_FROM = 10**8
_STAMP_UNITS_NS = ((10**16, 1), (10**14, 10**3), (10**11, 10**6), (_STAMPS_FROM, 10**9))
"""From which number on a stamp is in nanoseconds, microseconds, milliseconds, seconds: as 1973 to 5138 have it."""


class LabelError(ValueError):
    """A file of labels cannot be used; the message is one line that names the file, the line, the fault."""


@dataclass(frozen=True)
class Label:
    """One true action.

    Args:
        start_ns, end_ns: From when to when; counted from the bag's first skeletons, or stamps.
        stamps: Whether they are stamps.
        action: What.
        person_id: Who; "" where the file does not say.
        where: The file and the line, for messages.
    """

    start_ns: int
    end_ns: int
    stamps: bool
    action: str
    person_id: str = ""
    where: str = ""

    def times_ns(self, origin_ns: int) -> tuple[int, int]:
        """Start and end as stamps, in a recording whose first skeletons have the stamp `origin_ns`."""
        offset_ns = 0 if self.stamps else origin_ns
        return self.start_ns + offset_ns, self.end_ns + offset_ns


def make_label(start_ns: int, end_ns: int, stamps: bool, action: str, person_id: str, where: str) -> Label:
    """A label, checked.

    Raises:
        LabelError: It ends before it starts, or its action is a number.
    """
    if not end_ns > start_ns:
        raise LabelError(f"{where}: the end of '{short(action)}' is not after its start")
    if number_of(action) is not None:
        raise LabelError(
            f"{where}: the action is '{short(action)}', expected a name; with decimal commas in the times, separate "
            f"the cells by semicolons"
        )
    return Label(start_ns, end_ns, stamps, action, person_id, where)


def read_csv(path: Path) -> list[Label]:
    """The labels of a table.

    Raises:
        LabelError: The file is not there, is empty, or a line of it is not right.
    """
    try:
        rows = read_rows(path)
        if not rows:
            raise LabelError(
                f"{path}: is empty; where nothing happens in the recording, write the heading {','.join(COLUMNS)} alone"
            )
        columns, units = _heading(rows[0])
        lines = rows[1:] if units else rows
        return [_label(row, columns, units) for row in lines]
    except TableError as error:
        raise LabelError(str(error)) from error


def _heading(row: Row) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns, and the unit that the heading names for start and end ("" for none); no units without a heading."""
    names, units = [], {}
    for cell in row.cells:
        name, _, unit = cell.lower().rpartition("_")
        if name in ("start", "end") and unit in _UNITS_NS:
            units[name] = unit
            names.append(name)
        else:
            names.append(cell.lower())
    if not {"start", "end", "action"} & set(names):
        return COLUMNS, {}
    columns = columns_of(Row(row.where, tuple(names)), _NEEDED)
    return columns, {name: units.get(name, "") for name in ("start", "end")}


def _label(row: Row, columns: Sequence[str], units: dict[str, str]) -> Label:
    cells = cells_by_name(row, columns, _NEEDED)
    (start_ns, stamps), (end_ns, other) = (
        _time(cells[name], units.get(name, ""), row.where) for name in ("start", "end")
    )
    if stamps != other:
        raise LabelError(f"{row.where}: start and end must both be seconds from the start, or both be stamps")
    return make_label(start_ns, end_ns, stamps, cells["action"], cells.get("person", ""), row.where)


def _time(text: str, unit: str, where: str) -> tuple[int, bool]:
    """Nanoseconds, exactly, and whether they are a stamp."""
    number = number_of(text)
    if number is None or abs(number) > 10**20:
        raise LabelError(f"{where}: '{short(text)}' is no time; expected seconds, such as 12.5")
    if unit:
        time_ns = round(number * _UNITS_NS[unit])
        return time_ns, abs(time_ns) >= _STAMPS_FROM * _UNITS_NS["s"]
    scale = next((scale for least, scale in _STAMP_UNITS_NS if abs(number) >= least), 0)
    return round(number * Decimal(scale or _UNITS_NS["s"])), bool(scale)


def write_csv(path: Path, labels: Iterable[Sequence[object]], *, note: str = "") -> None:
    """Write (start, end, action, person) rows under their heading, whole or not at all.

    Raises:
        LabelError: The file cannot be written.
    """
    lines = [f"# {line}" for line in note.splitlines()]
    lines += [",".join(_cell(str(value)) for value in row) for row in (COLUMNS, *labels)]
    try:
        write_text(path, "\n".join(lines) + "\n")
    except WriteError as error:
        raise LabelError(str(error)) from error


def _cell(text: str) -> str:
    """A cell in one line, quoted where it must be."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',;"') or text.strip() != text else text
