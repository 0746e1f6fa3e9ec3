"""The data sets that can be read, by name, and reading one with its faults reported.

Each is a module of this package with the same few names, see `Reader`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from training.data.errors import DatasetError
from usdrl_ros.recording import Recording

__all__ = [
    "SETS",
    "DatasetError",
    "Protocols",
    "Reader",
    "actions_of",
    "load_set",
    "protocols_of",
    "read_all",
    "read_each",
]

Protocols = Mapping[str, Callable[[str, str, str], str]]
"""Splits, the usual one first: from a recording's name, person and view to "train", "test" or "" (in neither)."""

SETS: dict[str, str] = {
    "utkinect_action3d": "training.data.utkinect",
    "kinder_gator": "training.data.kinder_gator",
    "msrc12": "training.data.msrc12",
    "utd_mhad": "training.data.utd_mhad",
    "nw_ucla": "training.data.nw_ucla",
    "msr_daily_activity3d": "training.data.msr_daily_activity3d",
    "msr_action3d": "training.data.msr_action3d",
    "florence3d": "training.data.florence3d",
    "sbu_interaction": "training.data.sbu_interaction",
    "zed_body34_samples": "training.data.zed_body34_samples",
    "ui_prmd": "training.data.clip_tables:ui_prmd",
    "kimore": "training.data.clip_tables:kimore",
    "cad60": "training.data.clip_tables:cad60",
    "cdta_hri": "training.data.clip_tables:cdta_hri",
    "handover_zed": "training.data.clip_tables:handover_zed",
    "hdm05_subset": "training.data.clip_tables:hdm05_subset",
    "irds_subset": "training.data.clip_tables:irds_subset",
    "bandai_namco": "training.data.clip_tables:bandai_namco",
    "cmu_subset": "training.data.clip_tables:cmu_subset",
    "hifi_apache": "training.data.clip_tables:hifi_apache",
    "ntu60": "training.data.ntu60",
    "ntu120": "training.data.ntu120",
    "pku_mmd": "training.data.pku_mmd",
    "uav_human": "training.data.uav_human",
    "ntu_2d": "training.data.ntu_2d",
    "bags": "training.data.own_bags",
    "csv": "training.data.own_csv",
}
"""The module of each set, and, after a colon, the reader in it where one module reads several sets."""


class Reader(Protocol):
    """What a data set's module holds.

    Attributes:
        NAME: As in `SETS`.
        TITLE: As in papers.
        LAYOUT: The joint layout of its recordings.
        ACTIONS: Its actions in the order of their class numbers; () where there are none, or the files name them, in
            which case the module has `actions(root)`.
        PROTOCOLS: The splits that papers use; those that the files define are given by the module's `protocols(root)`.

    A module may have `DIMENSIONS = 2`: joints are x, y, score; and `PEOPLE = 2`: two people act together in it.
    """

    NAME: str
    TITLE: str
    LAYOUT: str
    ACTIONS: tuple[str, ...]

    @property
    def PROTOCOLS(self) -> Protocols: ...  # noqa: N802

    def find(self, root: Path) -> list[Any]:
        """What there is to read under `root`, in a stable order; str() of each names its file."""

    def read(self, source: Any) -> Recording:
        """One recording."""


def load_set(name: str) -> Reader:
    """The reader of a set.

    Raises:
        DatasetError: There is none of this name.
    """
    if name not in SETS:
        raise DatasetError(f"there is no data set '{name}'; known are {', '.join(SETS)}", "unknown data set")
    module, _, reader = SETS[name].partition(":")
    found = importlib.import_module(module)
    return cast(Reader, getattr(found, reader) if reader else found)


def actions_of(reader: Reader, root: Path) -> tuple[str, ...]:
    """The set's actions in the order of their class numbers, from the files where the set has none of its own."""
    of_files: Callable[[Path], tuple[str, ...]] | None = getattr(reader, "actions", None)
    return reader.ACTIONS or (of_files(root) if of_files else ())


def protocols_of(reader: Reader, root: Path) -> Protocols:
    """The set's splits, from the files where they define them."""
    of_files: Callable[[Path], Protocols] | None = getattr(reader, "protocols", None)
    return of_files(root) if of_files else reader.PROTOCOLS


def read_each(
    reader: Reader, sources: Iterable[Any], skip: Callable[[str, str], None] | None = None
) -> Iterator[Recording]:
    """The recordings of sources, one at a time.

    Args:
        reader: The set.
        sources: From its `find`.
        skip: Takes the cause, in a few words, and the whole message of a source that cannot be used; None: the first
            such source ends the reading.

    Raises:
        DatasetError: A source cannot be used, and there is no `skip`.
    """
    for source in sources:
        try:
            recording = reader.read(source)
        except DatasetError as error:
            if skip is None:
                raise
            skip(error.cause, str(error))
        else:
            yield recording


def read_all(name: str, root: Path, skip: Callable[[str, str], None] | None = None) -> Iterator[Recording]:
    """All recordings of a set, one at a time; `skip` as in `read_each`.

    Raises:
        DatasetError: There is no such set, or `root` does not hold it, or, without `skip`, a file cannot be used.
    """
    reader = load_set(name)
    return read_each(reader, reader.find(root), skip)
