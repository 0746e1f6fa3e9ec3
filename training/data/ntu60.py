"""NTU RGB+D 60: the clips of the first 60 actions, see `ntu_rgbd`."""

from __future__ import annotations

from pathlib import Path

from training.data import ntu_rgbd
from training.data.errors import DatasetError
from training.data.ntu_rgbd import LAYOUT, Source, read

__all__ = ["ACTIONS", "LAYOUT", "NAME", "PEOPLE", "PROTOCOLS", "TITLE", "find", "read"]

NAME, TITLE = "ntu60", "NTU RGB+D 60"
PEOPLE = 2
ACTIONS = ntu_rgbd.ACTIONS[: ntu_rgbd.ACTIONS_60]
PROTOCOLS = {split: ntu_rgbd.PROTOCOLS[f"ntu60_{split}"] for split in ("cross_subject", "cross_view")}


def find(root: Path) -> list[Source]:
    """The clips of the set, in order of path; those of NTU RGB+D 120's further actions are left alone.

    Raises:
        DatasetError: There are none.
    """
    later = {f"A{number:03}" for number in range(len(ACTIONS) + 1, len(ntu_rgbd.ACTIONS) + 1)}
    if found := [source for source in ntu_rgbd.find(root) if source.path.stem[-4:] not in later]:
        return found
    raise DatasetError(f"{root} does not hold {TITLE}: there are no clips of A001 to A060", "not the data set")
