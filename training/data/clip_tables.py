"""Ten sets of one form: clips in `NAME.npz`, and a table of what they show in `labels.csv`.

`ROOT/*.npz` (plain arrays) hold one clip a key, int16 (T, J, 3) millimetres, beside `__joints__` (names) and `__fps__`.
`ROOT/labels.csv` has a line for each piece of a clip: clip, person, action_text, mapped, start, end (frames, the end is
not in it), frames, fps, note. `mapped` is what the piece stands for: an action of the shipped vocabulary, `background`
(something else, known not to be any of its actions), or `ignore` (a mixture, or doubtful), which is read as `ignored`.

The axes of motion capture are turned to y up. Where people are not named, what stands in for them is written below.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from training.data.errors import DatasetError
from training.data.files import at_rate, find_files, trimmed_clip
from training.data.vocabulary import IGNORED
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import Layout, load_layout

BACKGROUND = "background"
"""Label of a piece that shows none of the vocabulary's actions."""
_LABELS = "labels.csv"
_LAYOUTS = Path(__file__).parent / "layouts"
_AXES = {"y_up": (0, 1, 2), "z_up_y_left": (1, 2, 0), "z_up_y_back": (0, 2, 1)}
"""Which recorded axis becomes x, y and z."""


@dataclass(frozen=True)
class Piece:
    """One line of a set's table: frames `start` to before `end` of a clip in a file of arrays."""

    arrays: Path
    clip: str
    start: int
    end: int
    whole: bool
    action: str
    person: str

    def __str__(self) -> str:
        return f"{self.arrays}: {self.name}"

    @property
    def name(self) -> str:
        """The clip's name, with the frame where the piece begins if it is not the whole clip."""
        return self.clip if self.whole else f"{self.clip}_from_{self.start}"


@dataclass(frozen=True)
class ClipTable:
    """The reader of one of the sets (`training.data.sets.Reader`).

    Args:
        NAME: As in `training.data.sets.SETS`.
        TITLE: As in papers.
        layouts: Joint layouts: of the package, or of `training/data/layouts`. The one whose joints a file has is taken.
        axes: Key of `_AXES`, by the beginning of a clip's name; "" stands for all others.
        test: Regular expression of the people who are tested on.
        person: What stands for a person, from a line's `person` and `clip`.
    """

    NAME: str
    TITLE: str
    layouts: tuple[str, ...]
    test: str
    axes: Mapping[str, str]
    person: Callable[[str, str], str]

    LAYOUT = "ntu_25"
    ACTIONS = ()

    @property
    def PROTOCOLS(self) -> Mapping[str, Callable[[str, str, str], str]]:  # noqa: N802
        """One split, by what stands for a person."""
        return {"by_people": partial(_part, self.test)}

    def actions(self, root: Path) -> tuple[str, ...]:
        """The labels of the set's table, in order of name."""
        return tuple(sorted({piece.action for piece in self.find(root)}))

    def find(self, root: Path) -> list[Piece]:
        """The pieces of the set, in the order of its table.

        Raises:
            DatasetError: The table or the arrays are missing, or do not belong together.
        """
        files = find_files(root, "*.npz", self.TITLE)
        where = {clip: path for path in files for clip in _arrays(path)}
        return [self._piece(root / _LABELS, row, where) for row in _rows(root / _LABELS, self.TITLE)]

    def _piece(self, table: Path, row: dict[str, str], where: Mapping[str, Path]) -> Piece:
        clip = row["clip"]
        if clip not in where:
            raise DatasetError(f"{table} names the clip {clip}, which no .npz beside it holds", "clip missing")
        start, end, frames = (int(row[key]) for key in ("start", "end", "frames"))
        label = IGNORED if row["mapped"] == "ignore" else row["mapped"]
        return Piece(where[clip], clip, start, end, end - start == frames, label, self.person(row["person"], clip))

    def read(self, source: Piece) -> Recording:
        """One piece as a clip of its own.

        Raises:
            DatasetError: The arrays do not hold it, or have other joints than the set's layouts.
        """
        content = _arrays(source.arrays)
        values = content[source.clip]
        if values.ndim != 3 or values.shape[2] != 3 or not 0 <= source.start < source.end <= len(values):
            raise DatasetError(
                f"{source}: frames {source.start} to {source.end} of an array of shape {values.shape}, "
                "expected (T, J, 3) that has them",
                "frames missing",
            )
        layout, order = _layout_of(tuple(content["__joints__"].tolist()), self.layouts, source)
        axes = next(axes for begin, axes in self.axes.items() if source.clip.startswith(begin))
        joints = values[source.start : source.end, order][..., _AXES[axes]].astype(float) / 1000.0
        if axes == "z_up_y_back":
            joints[..., 2] *= -1.0
        joints[(values[source.start : source.end, order] == 0).all(-1)] = np.nan
        if (tracked := content.get(f"{source.clip}__tracked")) is not None:
            joints[~tracked[source.start : source.end, order]] = np.nan
        mapped = layout.to_ntu25(joints)[0]
        stamps = at_rate(len(mapped), float(content["__fps__"]))
        people = {"person_1": mapped}
        return trimmed_clip(str(source), source.name, self.LAYOUT, stamps, people, source.action, person=source.person)


def _part(test: str, name: str, person: str, view: str) -> str:
    return "test" if re.fullmatch(test, person) else "train"


def _rows(table: Path, title: str) -> list[dict[str, str]]:
    if not table.is_file():
        raise DatasetError(f"{table} is missing: it says what the clips of {title} show", "not the data set")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = {"clip", "person", "mapped", "start", "end", "frames"}
    if not rows or not wanted <= set(rows[0]):
        raise DatasetError(f"{table} has not the columns {', '.join(sorted(wanted))}", "wrong columns")
    return rows


@lru_cache(maxsize=2)
def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; an object in it is refused."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read: {error}", "unreadable file") from error


def _layout_of(joints: tuple[str, ...], names: tuple[str, ...], source: Piece) -> tuple[Layout, list[int]]:
    """The first of some layouts whose joints are all among the given ones, and where each is."""
    plain = [_plain(joint) for joint in joints]
    for name in names:
        own = _LAYOUTS / f"{name}.yaml"
        layout = load_layout(str(own) if own.is_file() else name)
        wanted = [_plain(joint) for joint in layout.joint_names]
        if set(wanted) <= set(plain):
            return layout, [plain.index(joint) for joint in wanted]
    raise DatasetError(f"{source}: its joints {', '.join(joints)} are not those of {', '.join(names)}", "other joints")


def _plain(joint: str) -> str:
    """`LEFT_HAND` and `LeftHand` are one joint."""
    return joint.replace("_", "").lower()


def _named(person: str, clip: str) -> str:
    return person


def _cdta_person(person: str, clip: str) -> str:
    """People are named in 110 clips; of the others, which of three recordings a clip is from stands in for who."""
    if person != "unknown":
        return person
    series = re.search(r"_(v2|v3)_\d+$", clip)
    return f"recording_{series[1] if series else 'v1'}"


def _handover_person(person: str, clip: str) -> str:
    """The set does not say who acts: 150 takes in a row, or the takes of varied motions, stand in for one pair."""
    kind, number = re.match(r"motion_(normal|variation)_(\d+)_", clip).groups()  # type: ignore[union-attr]
    return "takes_varied" if kind == "variation" else f"takes_{int(number) // 150 * 150}"


def _style(person: str, clip: str) -> str:
    """The set does not say which of three actors acts: one part of the set in one style stands in for a person."""
    return f"{person}_{clip.split('_')[-2]}"


_Y_UP = {"": "y_up"}

ui_prmd = ClipTable(
    "ui_prmd", "UI-PRMD", ("vicon_30", "kinect_v2_bvh_17"), "s08|s09|s10",
    {"vicon": "z_up_y_back", "": "y_up"}, _named,
)  # fmt: skip
kimore = ClipTable("kimore", "KIMORE", ("kinect_v2_21",), r".*_(1|2)", _Y_UP, _named)
cad60 = ClipTable("cad60", "CAD-60", ("openni_15",), "p4", _Y_UP, _named)
cdta_hri = ClipTable("cdta_hri", "CDTA gestures", ("openni_15",), "recording_v3", _Y_UP, _cdta_person)
handover_zed = ClipTable(
    "handover_zed", "Dynamic Handover Dataset", ("zed_body_34",), "takes_750|takes_varied",
    {"": "z_up_y_left"}, _handover_person,
)  # fmt: skip
hdm05_subset = ClipTable("hdm05_subset", "HDM05 (part)", ("asf_27",), "tr", _Y_UP, _named)
irds_subset = ClipTable("irds_subset", "IntelliRehabDS (part)", ("ntu_25",), "217", _Y_UP, _named)
bandai_namco = ClipTable(
    "bandai_namco", "Bandai-Namco-Research-Motiondataset", ("bandai_namco_17",), "ds1_old|ds1_tired|ds2_elderly",
    _Y_UP, _style,
)  # fmt: skip
cmu_subset = ClipTable("cmu_subset", "CMU Motion Capture (part)", ("asf_27",), "s07|s14", _Y_UP, _named)
hifi_apache = ClipTable("hifi_apache", "High Fidelity animations", ("hifi_25",), "nobody", _Y_UP, _named)
