"""How far along its sources a derived joint lies, fitted on recordings that show the joint itself.

    python -m training.derived_joints utkinect_action3d=/data/utkinect_action3d nw_ucla=/data/nw_ucla

A layout without, say, hands puts a hand at wrist + t * (wrist - elbow) (`usdrl_ros.skeleton.layouts.DERIVATIONS`). For
every set whose layout has the joint, t is fitted by least squares over all people, sides and frames, and it is told how
far the joint then is from its true place, and how far with the t that is used. The last line pools the sets, each with
the same weight. A joint that lies on the line to the millimetre was computed by its tracker and tells nothing of
people: such a set is named and left out of the pool.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from training.data.errors import DatasetError
from training.data.sets import SETS, load_set, read_all
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import DERIVATIONS, NTU_25, load_layout

LONGEST_M, SHORTEST_M = 0.6, 0.05
"""Longer or shorter bones are faults of the tracker, and not counted."""
COMPUTED_CM = 0.2
"""A joint this near to the line is computed from it."""

_TARGETS = {
    "mid": ("SpineMid",),
    "neck": ("Neck",),
    "hand": ("HandLeft", "HandRight"),
    "tip": ("HandTipLeft", "HandTipRight"),
}


@dataclass(frozen=True)
class Samples:
    """A derived joint's true place from its first source, and the direction in which it is sought, (n, 3) m each."""

    offset: np.ndarray
    direction: np.ndarray

    def fit(self) -> float:
        """The t of the least squares of offset - t * direction."""
        return float((self.offset * self.direction).sum() / (self.direction**2).sum())

    @property
    def computed(self) -> bool:
        """Whether the tracker made the joint out of the others."""
        return self.error_cm(self.fit())[0] < COMPUTED_CM

    def error_cm(self, t: float) -> tuple[float, float]:
        """Root mean square and median distance from the true place, cm."""
        distance = np.linalg.norm(self.offset - t * self.direction, axis=-1) * 100.0
        return float(np.sqrt((distance**2).mean())), float(np.median(distance))


def samples_of(recordings: Sequence[Recording], rule: str) -> Samples | None:
    """What recordings of one layout tell of a rule; None where the layout does not have the joint itself."""
    layout = load_layout(recordings[0].layout)
    offsets, directions = [], []
    for target in _TARGETS[rule]:
        base, far, sign = _line(rule, target)
        places = [NTU_25.index(name) for name in (target, base, far)]
        same = np.array_equal(layout.matrix[places[0]], layout.matrix[places[1]])
        if layout.derived[places].any() or same:
            continue
        for recording in recordings:
            for joints in recording.joints.values():
                truth, first, second = np.moveaxis(layout.to_ntu25(joints)[0][:, places], 1, 0)
                direction = sign * (second - first)
                length = np.linalg.norm(direction, axis=-1)
                away = np.linalg.norm(truth - first, axis=-1)
                sound = (length < LONGEST_M) & (length > SHORTEST_M) & (away < LONGEST_M) & (away > 1e-6)
                offsets.append((truth - first)[sound])
                directions.append(direction[sound])
    if not sum(map(len, offsets)):
        return None
    return Samples(np.concatenate(offsets), np.concatenate(directions))


def t_in_use(rule: str) -> float:
    """The t of `DERIVATIONS`."""
    return abs(list(DERIVATIONS[rule].values())[1])


def _line(rule: str, target: str) -> tuple[str, str, float]:
    """The source where the line begins, the other one, and on which side of the first the joint lies."""
    side = "Left" if target.endswith("Left") else "Right"
    (base, _), (far, weight) = ((source.format(side=side), weight) for source, weight in DERIVATIONS[rule].items())
    return base, far, float(np.sign(weight))


def pooled(found: Sequence[Samples]) -> float:
    """The t of the least squares over all sets, each with the same weight."""
    above = sum((one.offset * one.direction).sum(-1).mean() for one in found)
    return float(above / sum((one.direction**2).sum(-1).mean() for one in found))


def report(sets: Mapping[str, Sequence[Recording]]) -> Table:
    """One line a rule and set."""
    table = Table("joint", "set", "samples", "t", "rms cm", "median cm", "t in use", "rms cm", "median cm")
    for rule in _TARGETS:
        found = {name: one for name, recordings in sets.items() if (one := samples_of(recordings, rule)) is not None}
        for name, one in found.items():
            known = f"{name} (computed)" if one.computed else name
            table.add_row(rule, known, str(len(one.offset)), *_figures(one, one.fit()), *_figures(one, t_in_use(rule)))
        if seen := [one for one in found.values() if not one.computed]:
            table.add_row(rule, "all", "", f"{pooled(seen):.3f}", "", "", f"{t_in_use(rule):.3f}", "", "")
        else:
            table.add_row(rule, "none shows it", *[""] * 7)
    return table


def _figures(samples: Samples, t: float) -> tuple[str, str, str]:
    rms, median = samples.error_cm(t)
    return f"{t:.3f}", f"{rms:.1f}", f"{median:.1f}"


def _tell_skipped(console: Console, name: str, reason: str) -> None:
    console.print(f"left out: {name}: {reason}", highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=DIRECTORY", help=f"one of {', '.join(SETS)}, and where it is")
    console = Console()
    sets = {}
    for given in parser.parse_args(arguments).sets:
        name, _, directory = given.partition("=")
        if name not in SETS or not directory:
            parser.error(f"'{given}': expected NAME=DIRECTORY with a NAME of {', '.join(SETS)}")
        try:
            skip = partial(_tell_skipped, console)
            sets[load_set(name).TITLE] = list(read_all(name, Path(directory), skip))
        except DatasetError as error:
            parser.error(str(error))
    console.print(report(sets))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
