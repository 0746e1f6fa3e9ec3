"""How often the check of bodies is wrong about real recordings, and how soon it finds wrong frames.

    python -m training.check_bodies utkinect_action3d=DIR utd_mhad=DIR ... [--json OUT.json]

Each recording runs through `usdrl_ros.skeleton.body.BodyCheck` as it is, and with the frame or
joints made wrong in the ways of `WRONG`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from training.data.errors import DatasetError
from training.data.sets import load_set, read_each
from usdrl_ros.problems import Problem
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.body import SWAPPED, BodyCheck
from usdrl_ros.skeleton.layouts import NTU_25, load_layout

_SHORTEST_S = 2.5
"""Recordings shorter than this say nothing about how soon a frame is reported."""
_JOINTS = ("joints_at_camera", "joints_out_of_reach", "joints_at_one_point")
_WRISTS = [NTU_25.index(name) for name in ("WristLeft", "HandLeft", "HandTipLeft", "ThumbLeft")]
Warp = Callable[[np.ndarray], np.ndarray]


def _negated(axis: int) -> Warp:
    return lambda joints: joints * np.where(np.arange(3) == axis, -1.0, 1.0)


def _hidden_depth(joints: np.ndarray) -> np.ndarray:
    """The left hand without depth: key points that a depth image has no value for."""
    wrong = joints.copy()
    wrong[:, _WRISTS] = np.where(np.isnan(wrong[:, _WRISTS]), np.nan, 0.0)
    return wrong


def _on_the_wall(joints: np.ndarray) -> np.ndarray:
    """The left hand at the depth of a wall 2 m behind the person, along the line of sight."""
    wrong = joints.copy()
    depth = np.linalg.norm(wrong[:, _WRISTS], axis=-1, keepdims=True)
    wrong[:, _WRISTS] *= (depth + 2.0) / depth
    return wrong


WRONG: dict[str, tuple[Warp, str]] = {
    "left-handed (x negated)": (_negated(0), "mirrored_skeletons"),
    "left-handed (z negated)": (_negated(2), "mirrored_skeletons"),
    "y down (y negated)": (_negated(1), "mirrored_skeletons"),
    "left and right swapped": (lambda joints: joints[:, SWAPPED], "mirrored_skeletons"),
    "upside down, vertical known": (lambda joints: joints * np.array([1.0, -1.0, -1.0]), "upside_down"),
    "millimetres": (lambda joints: joints * 1e3, "wrong_units"),
    "centimetres": (lambda joints: joints * 1e2, "wrong_units"),
    "zeros": (lambda joints: np.where(np.isnan(joints), np.nan, 0.0), "joints_at_camera"),
    "left hand without depth": (_hidden_depth, "joints_at_camera"),
    "left hand on the wall": (_on_the_wall, "joints_out_of_reach"),
}
"""What is made wrong of joints (T, 25, 3), and the cause that is to be reported."""


@dataclass
class Counts:
    """Of one set."""

    recordings: int = 0
    frames: int = 0
    with_joint_taken: int = 0
    false_reports: Counter[str] | None = None


def people_of(recording: Recording) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stamps (T,) in nanoseconds and NTU-25 joints (T, 25, 3) of each person, where anything is seen."""
    layout = load_layout(recording.layout)
    for joints in recording.joints.values():
        mapped, _ = layout.to_ntu25(joints.astype(float))
        there = np.isfinite(mapped).all(-1).any(-1)
        yield (recording.stamps[there] * 1e9).astype(np.int64), mapped[there]


def causes(stamps_ns: np.ndarray, joints: np.ndarray, up: np.ndarray | None = None) -> Iterator[set[str]]:
    """What is reported of each frame of one person."""
    check = BodyCheck()
    for stamp_ns, frame in zip(stamps_ns.tolist(), joints, strict=True):
        problems: list[Problem] = []
        check.check(stamp_ns, frame[None], ["person"], problems, up)
        yield {problem.cause for problem in problems}


def count(recordings: Iterator[Recording], delays: dict[str, list[float]], most_frames: int) -> Counts:
    """Check recordings as they are, and made wrong; seconds until that is reported are added to `delays`."""
    counts = Counts(false_reports=Counter())
    assert counts.false_reports is not None
    for recording in recordings:
        counts.recordings += 1
        for stamps_ns, joints in people_of(recording):
            false: set[str] = set()
            for found in causes(stamps_ns, joints):
                counts.frames += 1
                counts.with_joint_taken += bool(found & set(_JOINTS))
                false |= found - set(_JOINTS)
            counts.false_reports.update(false)
            if len(stamps_ns) and (stamps_ns[-1] - stamps_ns[0]) / 1e9 >= _SHORTEST_S:
                for name, (warp, cause) in WRONG.items():
                    delays[name].append(_delay(stamps_ns, warp(joints), cause))
        if counts.frames >= most_frames:
            break
    return counts


def _delay(stamps_ns: np.ndarray, joints: np.ndarray, cause: str) -> float:
    """Seconds until a cause is reported, infinite if it never is."""
    up = np.array([0.0, 1.0, 0.0]) if cause == "upside_down" else None
    for stamp_ns, found in zip(stamps_ns.tolist(), causes(stamps_ns, joints, up), strict=True):
        if cause in found:
            return (stamp_ns - int(stamps_ns[0])) / 1e9
    return float("inf")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 1 where a real recording is called wrong too often."""
    parser = argparse.ArgumentParser(
        prog="python -m training.check_bodies", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("sets", metavar="SET=DIR", nargs="+", help="a data set and its directory")
    parser.add_argument("--frames", type=int, default=10_000, help="frames of each set; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all counts to this file")
    options = parser.parse_args(arguments)
    counts: dict[str, Counts] = {}
    delays: dict[str, list[float]] = {name: [] for name in WRONG}
    try:
        for given in options.sets:
            name, _, root = given.partition("=")
            reader = load_set(name)
            sources = reader.find(Path(root))
            order = np.random.default_rng(0).permutation(len(sources))
            read = read_each(reader, [sources[i] for i in order], skip=lambda cause, message: None)
            counts[name] = count(read, delays, options.frames)
    except DatasetError as error:
        print(f"check_bodies: {error}", file=sys.stderr)
        return 2
    _show(counts, delays)
    if options.json:
        options.json.write_text(json.dumps(_document(counts, delays), indent=1) + "\n", encoding="utf-8")
    frames, taken = (sum(getattr(each, field) for each in counts.values()) for field in ("frames", "with_joint_taken"))
    return int(taken > 1e-3 * frames or any(each.false_reports for each in counts.values()))


def _document(counts: dict[str, Counts], delays: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "sets": {
            name: {**vars(each), "false_reports": dict(each.false_reports or {})} for name, each in counts.items()
        },
        "wrong": {name: {"cause": WRONG[name][1], **_summary(times)} for name, times in delays.items()},
    }


def _summary(times: list[float]) -> dict[str, float | int | None]:
    """Of seconds to a report: how many recordings, the share reported in 2 s and at all, and the median."""
    array = np.array(times)
    found = array[np.isfinite(array)]
    return {
        "recordings": len(array),
        "within_2_s": float((array <= 2.0).mean()) if len(array) else None,
        "ever": float(np.isfinite(array).mean()) if len(array) else None,
        "median_s": float(np.median(found)) if len(found) else None,
    }


def _show(counts: dict[str, Counts], delays: dict[str, list[float]]) -> None:
    console = Console()
    table = Table("set", "recordings", "frames", "with a joint taken", "false reports", title="Real recordings")
    for name, each in counts.items():
        table.add_row(
            name,
            str(each.recordings),
            str(each.frames),
            str(each.with_joint_taken),
            str(dict(each.false_reports or {})),
        )
    console.print(table)
    table = Table("made wrong", "reported as", "recordings", "within 2 s", "ever", "median s", title="Wrong frames")
    for name, times in delays.items():
        row = _summary(times)
        shares = [f"{row[key]:.1%}" if row[key] is not None else "-" for key in ("within_2_s", "ever")]
        median = f"{row['median_s']:.2f}" if row["median_s"] is not None else "-"
        table.add_row(name, WRONG[name][1], str(row["recordings"]), *shares, median)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
