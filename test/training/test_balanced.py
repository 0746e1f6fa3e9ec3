"""Even draws from uneven sets: cells, windows that end in actions, pieces of long clips, label spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from untrimmed import recording  # noqa: E402

from training.data.archive import Archive, ArchiveWriter, Clips  # noqa: E402
from training.data.balanced import (  # noqa: E402
    AFTER,
    EVENNESS,
    ActionWindows,
    CellBalanced,
    cells_of,
    chances,
    label_spaces,
    of_sets,
    short_clips,
)
from training.data.frames import FrameSource, WindowLength  # noqa: E402
from training.data.vocabulary import IGNORED, OTHER  # noqa: E402
from usdrl_ros.recording import Recording, Segment  # noqa: E402

WORDS = ("raise", "bend", "jump")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Two sets: `arms` shows `raise` and `bend` a hundred seconds long, `legs` a `jump` of one second."""
    stamps = np.arange(0.0, 100.0, 0.1)
    with ArchiveWriter(tmp_path / "both", name="both", actions=(*WORDS, OTHER, IGNORED)) as writer:
        made = recording("arms/p/0", "arms/p", 0)
        joints = np.repeat(made.joints["person_1"][:1], len(stamps), 0)
        joints = joints + np.random.default_rng(0).normal(0.0, 0.01, joints.shape)
        arms = (Segment(5.0, 95.0, "raise"), Segment(96.0, 98.0, "bend"), Segment(98.5, 99.0, OTHER))
        writer.add(Recording("arms/p/0", made.layout, stamps, {"person_1": joints}, arms, "arms/p"), {"x": "train"})
        legs = (Segment(50.0, 51.0, "jump"),)
        writer.add(Recording("legs/q/0", made.layout, stamps, {"person_1": joints}, legs, "legs/q"), {"x": "train"})
    return Archive(tmp_path / "both")


def test_a_cell_is_drawn_by_a_power_of_its_size() -> None:
    cells = np.repeat(["many", "few"], [1000, 10])
    chance = chances(cells)
    assert chance.sum() == pytest.approx(1.0)
    assert chance[:1000].sum() / chance[1000:].sum() == pytest.approx(100.0**EVENNESS)
    drawn = np.concatenate([np.array(batch) for batch in CellBalanced(cells, 100, 200, seed=0)])
    assert (drawn >= 1000).mean() == pytest.approx(chance[1000:].sum(), abs=0.02)


def test_batches_depend_on_seed_and_epoch_and_are_shared_by_processes() -> None:
    cells = np.repeat([0, 1], [100, 4])
    first, again, other = (CellBalanced(cells, 8, 3, seed=0) for _ in range(3))
    other.set_epoch(1)
    assert list(first) == list(again) != list(other)
    halves = [list(CellBalanced(cells, 8, 3, seed=0, rank=rank, processes=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == list(first)


def test_windows_drawn_for_actions_end_in_them_or_soon_after(archive: Archive) -> None:
    source = FrameSource(archive, [0, 1], WindowLength(5.0))
    windows = ActionWindows(source, 300, len(WORDS), 1.0, seed=1)
    ends = {0: [], 1: []}
    for index in range(300):
        window = windows._draw(index)
        ends[window.recording].append(float(window.positions[-1]) * 0.1)
    jumps = np.array(ends[1])
    assert (jumps >= 50.0).all()
    assert (jumps <= 51.0 + AFTER * 5.0 + 0.1).all()
    assert len(jumps) / 300 == pytest.approx(1 / 3, abs=0.08), "one cell of three"
    anywhere = ActionWindows(source, 300, len(WORDS), 0.0, seed=1)
    far = [w for w in map(anywhere._draw, range(300)) if w.recording == 1 and not 50 <= 0.1 * w.positions[-1] <= 54]
    assert len(far) > 100


def test_long_clips_become_pieces_that_cover_them(archive: Archive) -> None:
    clips = archive.clips()
    pieces = short_clips(archive, clips)
    long = pieces.label == 0
    assert long.sum() == 18
    assert pieces.length[long].sum() == clips.length[clips.label == 0][0]
    assert (np.sort(pieces.first[long])[1:] == (pieces.first + pieces.length)[long][:-1]).all()
    assert (~long).sum() == len(clips) - 1
    assert cells_of(archive, Clips(*(getattr(pieces, f)[:1] for f in ("first", "length", "label", "recording"))))[
        0
    ] == ("arms/0")


def test_label_spaces_are_what_a_set_shows(archive: Archive) -> None:
    spaces = label_spaces(archive, len(WORDS))
    assert spaces.tolist() == [[True, True, True, False], [True, False, False, True]]


def test_sets_are_left_out(archive: Archive) -> None:
    assert of_sets(archive, np.array([0, 1]), ["arms"]).tolist() == [1]
    assert of_sets(archive, np.array([0, 1]), []).tolist() == [0, 1]
