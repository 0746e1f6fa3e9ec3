"""NTU RGB+D 120: all clips, see `ntu_rgbd`."""

from __future__ import annotations

from training.data import ntu_rgbd
from training.data.ntu_rgbd import ACTIONS, LAYOUT, find, read

__all__ = ["ACTIONS", "LAYOUT", "NAME", "PEOPLE", "PROTOCOLS", "TITLE", "find", "read"]

NAME, TITLE = "ntu120", "NTU RGB+D 120"
PEOPLE = 2
PROTOCOLS = {split: ntu_rgbd.PROTOCOLS[f"ntu120_{split}"] for split in ("cross_subject", "cross_setup")}
