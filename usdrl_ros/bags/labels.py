"""True actions in files beside a bag: CSV as people write it, and PKU-MMD's label files.

CSV: a line an action, `start,end,action[,person]`; a first line with these names may be there, and may put them in
another order. Times are seconds: below 10^8 they count from the bag's first skeletons, from there on they are stamps
(since the epoch; from 10^16 on in nanoseconds). Blank lines and lines that begin with # do not count.

PKU-MMD (arXiv 1703.07475): a text file, a line an action, `class,start,end,confidence`: class numbers from 1, frame
numbers from 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import yaml

from usdrl_ros.evaluation.metrics.detection import Interval
from usdrl_ros.resources import data_directory

COLUMNS = ("start", "end", "action", "person")
_STAMPS_FROM = 10**8
_NANOSECONDS_FROM = 10**16
_MARK = "\ufeff"  # what some spreadsheets write first


class LabelError(ValueError):
    """A file of labels cannot be used; the message is one line that names the file, the line, the fault."""


@dataclass(frozen=True)
class Label:
    """One true action.

    Args:
        start_ns, end_ns: From when to when; counted from the bag's first skeletons, or stamps.
        stamps: Whether they are stamps.
        action: What.
        person_id: Who; "" where the file does not tell.
    """

    start_ns: int
    end_ns: int
    stamps: bool
    action: str
    person_id: str = ""

    def interval(self, recording: str, origin_ns: int) -> Interval:
        """The action in a recording whose first skeletons are of `origin_ns`."""
        offset_ns = origin_ns if self.stamps else 0
        start, end = ((time_ns - offset_ns) / 1e9 for time_ns in (self.start_ns, self.end_ns))
        return Interval(recording, self.action, start, end, person_id=self.person_id)


def read_csv(path: Path) -> list[Label]:
    """The labels of a CSV file.

    Raises:
        LabelError: The file is not there, or a line of it is not right.
    """
    rows = csv.reader(io.StringIO(_text(path)))
    order: Sequence[str] = COLUMNS
    labels: list[Label] = []
    first = True
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        where = f"{path}, line {rows.line_num}"
        if first and "start" in (named := [cell.lower() for cell in cells]):
            order = named
            if missing := [name for name in COLUMNS[:3] if name not in order]:
                raise LabelError(f"{where}: its heading lacks {', '.join(missing)}; expected {','.join(COLUMNS)}")
        else:
            labels.append(_row(dict(zip(order, cells, strict=False)), where))
        first = False
    return labels


def _row(cells: Mapping[str, str], where: str) -> Label:
    if not cells.get("action") or "end" not in cells:
        raise LabelError(f"{where}: '{','.join(cells.values())}' is no label; expected start,end,action[,person]")
    (start_ns, stamps), (end_ns, other) = (_time(cells[name], where) for name in ("start", "end"))
    if stamps != other:
        raise LabelError(f"{where}: start and end must both be seconds from the start, or both be stamps")
    return _label(start_ns, end_ns, stamps, cells["action"], cells.get("person", ""), where)


def _label(start_ns: int, end_ns: int, stamps: bool, action: str, person_id: str, where: str) -> Label:
    if not end_ns > start_ns:
        raise LabelError(f"{where}: the end of '{action}' is not after its start")
    return Label(start_ns, end_ns, stamps, action, person_id)


def _time(text: str, where: str) -> tuple[int, bool]:
    """Nanoseconds, and whether they are a stamp. Decimal, since a stamp has more digits than a float."""
    try:
        number = Decimal(text)
        if not number.is_finite():
            raise InvalidOperation
    except InvalidOperation:
        raise LabelError(f"{where}: '{text}' is no time; expected seconds") from None
    unit = 1 if abs(number) >= _NANOSECONDS_FROM else 10**9
    return round(number * unit), abs(number) >= _STAMPS_FROM


def write_csv(path: Path, labels: Iterable[Sequence[object]], *, note: str = "") -> None:
    """Write (start, end, action, person) rows, in the order of time, under their heading.

    Raises:
        LabelError: The file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(f"# {line}\n" for line in note.splitlines())
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(labels)
    except OSError as error:
        raise LabelError(f"{path}: cannot be written: {error.strerror}") from error


def read_pku_mmd(path: Path, frame_rate: float, classes: Sequence[str]) -> list[Label]:
    """The labels of one of PKU-MMD's files.

    Args:
        path: The file.
        frame_rate: Frames a second.
        classes: The name of each class, the first one that of class 1.

    Raises:
        LabelError: The file is not there, or a line of it is not right.
    """
    labels = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        cells = [cell.strip() for cell in line.split(",")]
        if not any(cells):
            continue
        where = f"{path}, line {number}"
        try:
            action, start, end = int(cells[0]), float(cells[1]), float(cells[2])
        except (ValueError, IndexError):
            raise LabelError(f"{where}: '{line.strip()}' is no label; expected class,start,end,confidence") from None
        if not 1 <= action <= len(classes):
            raise LabelError(f"{where}: class {action}, expected 1 to {len(classes)}; name yours with --classes")
        start_ns, end_ns = (round(frame / frame_rate * 1e9) for frame in (start, end))
        labels.append(_label(start_ns, end_ns, False, classes[action - 1], "", where))
    return labels


def read_classes(name: str) -> list[str]:
    """The names of the classes of label files: of `config/classes/NAME.yaml`, or of a text file, a name a line.

    Raises:
        LabelError: There is neither.
    """
    shipped = data_directory("config") / "classes"
    known = sorted(path.stem for path in shipped.glob("*.yaml"))
    if name in known:
        return [str(action) for action in yaml.safe_load((shipped / f"{name}.yaml").read_text(encoding="utf-8"))]
    if not Path(name).is_file():
        raise LabelError(f"classes '{name}': neither a file, nor one of {', '.join(known)}")
    return [line.strip() for line in _text(Path(name)).splitlines() if line.strip()]


def labels_of_bag(
    labels: Path, bag: Path, *, frame_rate: float | None, classes: Sequence[str], one_bag: bool
) -> list[Label]:
    """The labels of a bag, from a file or from the file of a directory that is called like the bag.

    Args:
        labels: A .csv file, or one of PKU-MMD's .txt files, or a directory of such.
        bag: The bag.
        frame_rate: Frames a second; PKU-MMD's files need it.
        classes: The names of their classes.
        one_bag: Whether this is the only bag; with several, labels must be a directory.

    Raises:
        LabelError: There is no file for the bag, or it is not right.
    """
    path = labels
    if labels.is_dir():
        found = [labels / f"{bag.stem}{suffix}" for suffix in (".csv", ".txt")]
        path = next((file for file in found if file.is_file()), found[0])
        if not path.is_file():
            raise LabelError(f"{bag}: no labels for it: neither {found[0].name} nor {found[1].name} in {labels}")
    elif not one_bag:
        raise LabelError(f"{labels}: labels of several bags must be a directory, with a file called like each bag")
    if path.suffix != ".txt":
        return read_csv(path)
    if not frame_rate:
        raise LabelError(f"{path}: PKU-MMD's labels count frames: say how many a second, with --frame-rate")
    return read_pku_mmd(path, frame_rate, classes)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removeprefix(_MARK)
    except OSError as error:
        raise LabelError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: cannot be read: it is no UTF-8 text") from error
