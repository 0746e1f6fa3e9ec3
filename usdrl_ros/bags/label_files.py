"""Files of labels: which one belongs to a bag, and PKU-MMD's format.

PKU-MMD (arXiv 1703.07475): a text file, a line an action, `class,start,end,confidence`: class numbers from 1, frame
numbers from 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from usdrl_ros.bags.damage import STORAGE_SUFFIXES
from usdrl_ros.bags.labels import Label, LabelError, make_label, read_csv
from usdrl_ros.bags.tables import TableError, normalised, number_of, read_rows, short
from usdrl_ros.configuration import read_yaml
from usdrl_ros.files import ReadError, read_text
from usdrl_ros.resources import data_directory

_TABLES = (".csv", ".tsv")
_PKU_MMD = ".txt"


def bag_name(bag: Path | str) -> str:
    """The name of a bag: that of its directory, dots and all, or that of its storage file without .mcap or .db3."""
    path = Path(bag)
    name = path.name if path.name not in ("", ".", "..") else path.resolve().name
    return path.stem if path.suffix in STORAGE_SUFFIXES and not path.is_dir() else name


def labels_of_bag(
    labels: Path, bag: Path, *, frame_rate: float | None, classes: Sequence[str], one_bag: bool
) -> list[Label]:
    """The labels of a bag, from a file or from the file of a directory that is called like the bag.

    Args:
        labels: A table (.csv or another suffix), or one of PKU-MMD's .txt files, or a directory of such.
        bag: The bag.
        frame_rate: Frames a second; PKU-MMD's files need it.
        classes: The names of their classes.
        one_bag: Whether this is the only bag; with several, labels must be a directory.

    Raises:
        LabelError: There is no file for the bag, there are several, or it is not right.
    """
    if labels.is_dir():
        path = _file_of(labels, bag)
    elif one_bag:
        path = labels
    else:
        raise LabelError(f"{labels}: labels of several bags must be a directory, with a file called like each bag")
    if path.suffix.lower() != _PKU_MMD:
        return read_csv(path)
    if not frame_rate:
        raise LabelError(
            f"{path}: .txt files hold PKU-MMD's labels, which count frames: give their frame rate with --frame-rate; "
            f"a table of start,end,action must end in .csv"
        )
    return read_pku_mmd(path, frame_rate, classes)


def _file_of(directory: Path, bag: Path) -> Path:
    """The file of a directory that is called like a bag; suffixes in any case, names in any Unicode spelling."""
    name = normalised(bag_name(bag))
    found: dict[str, list[Path]] = {}
    for file in sorted(directory.iterdir()):
        suffix = next((end for end in (*_TABLES, _PKU_MMD) if file.name.lower().endswith(end)), "")
        stem = normalised(file.name)[: -len(suffix)]
        if stem.lower().endswith(".labels"):
            stem = stem[: -len(".labels")]
        if suffix and stem == name and file.is_file():
            found.setdefault("table" if suffix in _TABLES else "frames", []).append(file)
    files = found.get("table") or found.get("frames") or []
    if len(files) > 1:
        raise LabelError(f"{bag}: several files of labels, remove all but one: {', '.join(map(str, files))}")
    if not files:
        raise LabelError(f"{bag}: no labels for it: neither {name}.csv nor {name}.txt in {directory}")
    return files[0]


def read_pku_mmd(path: Path, frame_rate: float, classes: Sequence[str]) -> list[Label]:
    """The labels of one of PKU-MMD's files.

    Args:
        path: The file.
        frame_rate: Frames a second.
        classes: The name of each class, the first one that of class 1.

    Raises:
        LabelError: The file is not there, is empty, or a line of it is not right.
    """
    try:
        rows = read_rows(path)
    except TableError as error:
        raise LabelError(str(error)) from error
    if not rows:
        raise LabelError(f"{path}: is empty; where nothing happens, give a .csv file with a heading alone")
    labels = []
    for row in rows:
        numbers = [number for cell in row.cells if (number := number_of(cell)) is not None and abs(number) < 10**12]
        if not 3 <= len(row.cells) <= 4 or len(numbers) != len(row.cells):
            raise LabelError(
                f"{row.where}: '{short(','.join(row.cells))}' is no label; expected class,start,end,confidence in "
                f"frames, as PKU-MMD has them"
            )
        action, start, end = map(float, numbers[:3])
        if action != math.floor(action) or not 1 <= action <= len(classes):
            raise LabelError(
                f"{row.where}: class {short(row.cells[0])}, expected 1 to {len(classes)}; name yours with --classes"
            )
        start_ns, end_ns = (round(frame / frame_rate * 1e9) for frame in (start, end))
        labels.append(make_label(start_ns, end_ns, False, classes[int(action) - 1], "", row.where))
    return labels


def read_classes(name: str) -> list[str]:
    """The names of the classes of label files: of `config/classes/NAME.yaml`, or of a text file, a name a line.

    Raises:
        LabelError: There is neither.
    """
    shipped = data_directory("config") / "classes"
    known = sorted(path.stem for path in shipped.glob("*.yaml"))
    if name in known:
        return [str(action) for action in read_yaml(shipped / f"{name}.yaml")]
    if not Path(name).exists():
        raise LabelError(f"classes '{short(name)}': neither a file, nor one of {', '.join(known)}")
    try:
        return [line.strip() for line in normalised(read_text(name)).splitlines() if line.strip()]
    except ReadError as error:
        raise LabelError(str(error)) from error
