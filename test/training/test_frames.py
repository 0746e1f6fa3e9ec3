"""Windows of whole recordings: where their frames lie, their labels, and how their scores become one posterior."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from untrimmed import DURATION_S, write_archive  # noqa: E402

from training.data.archive import Archive, ArchiveWriter  # noqa: E402
from training.data.augmentations import NO_VARIATION, make_windows  # noqa: E402
from training.data.frames import (  # noqa: E402
    IGNORE,
    FrameSource,
    RandomWindows,
    SlidingWindows,
    Window,
    WindowBatch,
    WindowLength,
    merge,
)
from usdrl_ros.recording import Recording, Segment  # noqa: E402
from usdrl_ros.skeleton.normalize import normalize  # noqa: E402
from usdrl_ros.skeleton.window import frame_times, resample  # noqa: E402

UPRIGHT = replace(NO_VARIATION, rotate_by="window")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return write_archive(tmp_path_factory.mktemp("archives") / "untrimmed")


def views(batch: WindowBatch, options: object = UPRIGHT, seed: int = 0) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    return make_windows(batch.clips, batch.positions, options, generator).numpy()  # type: ignore[arg-type]


def test_windows_are_those_of_the_robot(archive: Archive) -> None:
    """Irregular stamps, a window that begins before the recording, and a second person who is not there."""
    source = FrameSource(archive, [0, 3], WindowLength(4.0), people=2)
    places = [(0, 1.0), (3, 7.77), (0, 12.3), (3, 29.0), (0, float(source.stamps[0][-1]))]
    batch = source.batch([source.window(recording, end, 4.0) for recording, end in places])
    for (recording, end), found in zip(places, views(batch), strict=True):
        stamps, joints, _ = archive.recording_of(recording)
        sampled = resample(np.asarray(stamps), np.asarray(joints[:, 0], float), frame_times(end, 4.0, 64))
        np.testing.assert_allclose(found, normalize.model_input(sampled[None, :, None], 2)[0], atol=1e-5)


def test_windows_of_recorded_frames_show_those(archive: Archive) -> None:
    source = FrameSource(archive, [2], WindowLength(64, by_frames=True))
    window = source.window(2, 100.0, 64.0)
    np.testing.assert_array_equal(window.positions, np.arange(37, 101))
    batch = source.batch([window])
    assert batch.clips.length.tolist() == [64]
    np.testing.assert_array_equal(batch.labels[0], source.labels[2][37:101])
    expected = normalize.model_input(np.asarray(archive.recording_of(2)[1][37:101, :1], float)[None], 1)
    np.testing.assert_allclose(views(batch), expected, atol=1e-5)


def test_labels_by_hand(tmp_path: Path) -> None:
    stamps = np.arange(40) / 4.0
    joints = np.random.default_rng(0).normal(size=(40, 25, 3))
    segments = (Segment(6.0, 8.0, "b"), Segment(2.0, 4.0, "a"), Segment(3.0, 5.0, "b"))
    with ArchiveWriter(tmp_path / "x", name="x", actions=("a", "b")) as writer:
        writer.add(Recording("x", "ntu_25", stamps, {"person_1": joints}, segments))
    source = FrameSource(Archive(tmp_path / "x"), [0], WindowLength(4.0))
    seconds = [label for second in (0, 0, 1, 2, 2, 0, 2, 2, 0, 0) for label in [second] * 4]  # of two, the later one
    assert source.labels[0].tolist() == seconds
    batch = source.batch([source.window(0, 3.5, 4.0)])
    times = 3.5 - 4.0 * np.arange(63, -1, -1) / 64
    before, background, first, second = times < 0.0, times < 2.0, times < 3.0, times >= 3.0
    expected = np.select([before, background, first, second], [IGNORE, 0, 1, 2])
    np.testing.assert_array_equal(batch.labels[0], expected)
    assert [(s.start, s.end, s.action) for s in source.segments_of(0)] == [
        (2.0, 4.0, "a"),
        (3.0, 5.0, "b"),
        (6.0, 8.0, "b"),
    ]


def test_random_windows_follow_from_seed_epoch_and_index(archive: Archive) -> None:
    source = FrameSource(archive, [0, 1, 2], WindowLength(4.0))
    windows = RandomWindows(source, 32, slower=1.5, faster=2.0, seed=3)
    whole = windows.__getitems__(range(32))
    part = windows.__getitems__([7, 30])
    assert part.clips.index.tolist() == [7, 30]
    np.testing.assert_array_equal(views(part), views(whole)[[7, 30]])
    np.testing.assert_array_equal(part.labels, whole.labels[[7, 30]])
    np.testing.assert_array_equal(windows[7].labels[0], whole.labels[7])
    again = RandomWindows(source, 32, slower=1.5, faster=2.0, seed=3)
    again.epoch = 1
    assert not torch.equal(again.__getitems__(range(32)).labels, whole.labels)
    again.epoch = 0
    assert torch.equal(again.__getitems__(range(32)).positions, whole.positions)


def test_random_windows_vary_in_speed_and_place(archive: Archive) -> None:
    """Ends are spread evenly over the recordings, spans from window / slower to window * faster on a log scale."""
    source = FrameSource(archive, [0], WindowLength(4.0))
    windows = RandomWindows(source, 2000, slower=1.5, faster=2.0)
    drawn = [windows._draw(index) for index in range(2000)]
    seconds = np.interp([window.positions for window in drawn], np.arange(len(source.stamps[0])), source.stamps[0])
    ends = seconds[:, -1]
    spans = (ends - seconds[:, 0])[[window.shown.all() for window in drawn]] * 64 / 63
    log = np.log(spans / 4.0)
    assert log.min() == pytest.approx(-np.log(1.5), abs=0.03)
    assert log.max() == pytest.approx(np.log(2.0), abs=0.03)
    np.testing.assert_allclose(np.quantile(ends, [0.25, 0.5, 0.75]), DURATION_S * np.array([0.25, 0.5, 0.75]), atol=2)


@pytest.mark.parametrize(("length", "hop"), [(WindowLength(4.0), 0.7), (WindowLength(64, True), 10.0)])
def test_slid_windows_show_every_frame(archive: Archive, length: WindowLength, hop: float) -> None:
    source = FrameSource(archive, [0, 5], length)
    windows = SlidingWindows(source, hop).windows
    for recording in (0, 5):
        own = [window for window in windows if window.recording == recording]
        last = len(source.stamps[recording]) - 1
        assert own[0].positions[0] == pytest.approx(0.0, abs=1e-9)
        assert own[-1].positions[-1] == last
        clock = source.clock(recording)
        ends = np.interp([window.positions[-1] for window in own], np.arange(last + 1), clock)
        np.testing.assert_allclose(np.diff(ends)[:-1], hop, atol=1e-9)
        assert 0.0 < np.diff(ends)[-1] <= hop + 1e-9
        seen = [set(range(int(np.ceil(w.positions[0] - 1e-9)), int(w.positions[-1]) + 1)) for w in own]
        assert set.union(*seen) == set(range(last + 1))
        assert all(window.shown.all() for window in own)


def test_a_recording_shorter_than_a_window_is_one(archive: Archive) -> None:
    source = FrameSource(archive, [0], WindowLength(100.0))
    (window,) = SlidingWindows(source, 10.0).windows
    assert window.positions[-1] == len(source.stamps[0]) - 1
    assert window.shown.mean() == pytest.approx(source.stamps[0][-1] / 100.0, abs=0.02)
    score = np.stack([window.positions, np.ones(64)], -1)
    merged = merge([window], score[None], len(source.stamps[0]))
    np.testing.assert_allclose(merged[:, 0], np.arange(len(merged)), atol=1e-9)
    np.testing.assert_allclose(merged[:, 1], 1.0)


@pytest.mark.parametrize(("length", "hop"), [(WindowLength(4.0), 0.7), (WindowLength(64, True), 10.0)])
def test_merging_is_exact_for_linear_scores(archive: Archive, length: WindowLength, hop: float) -> None:
    source = FrameSource(archive, [4], length)
    windows, frames = SlidingWindows(source, hop).windows, len(source.stamps[4])
    scores = np.stack([np.stack([window.positions / frames, 1 - window.positions / frames], -1) for window in windows])
    merged = merge(windows, scores, frames)
    np.testing.assert_allclose(merged[:, 0], np.arange(frames) / frames, atol=1e-9)
    np.testing.assert_allclose(merged.sum(1), 1.0)


def test_merging_is_the_mean_of_the_windows_that_show_a_frame() -> None:
    windows = [Window(0, np.arange(4.0), np.ones(4, bool)), Window(0, np.arange(2.0, 6.0), np.ones(4, bool))]
    merged = merge(windows, np.stack([np.full((4, 1), 0.2), np.full((4, 1), 0.6)]), 6)
    np.testing.assert_allclose(merged[:, 0], [0.2, 0.2, 0.4, 0.4, 0.6, 0.6])


def test_the_camera_plays_no_part_and_the_shear_does(archive: Archive) -> None:
    """Turned upright by its own first frame, a window is the same from wherever the camera looks."""
    source = FrameSource(archive, [0], WindowLength(4.0))
    batch = source.batch([source.window(0, end, 4.0) for end in (9.0, 20.0)])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    joints = torch.from_numpy((batch.clips.joints.numpy() @ turn.T + [1.0, -2.0, 0.5]).astype(np.float32))
    moved = replace(batch, clips=replace(batch.clips, joints=joints))
    np.testing.assert_allclose(views(moved), views(batch), atol=1e-4)
    sheared = replace(UPRIGHT, shear=0.3)
    assert np.abs(views(batch, sheared) - views(batch)).max() > 0.01
    np.testing.assert_array_equal(views(batch, sheared, 5), views(batch, sheared, 5))
    assert not np.array_equal(views(batch, sheared, 5), views(batch, sheared, 6))


def test_bad_values_are_refused(archive: Archive) -> None:
    source = FrameSource(archive, [0], WindowLength(4.0))
    with pytest.raises(ValueError, match=r"a window is 0 frames long"):
        WindowLength(0, True)
    with pytest.raises(ValueError, match="no recording of untrimmed"):
        FrameSource(archive, [], WindowLength(4.0))
    for hop in (0.0, 4.0):
        with pytest.raises(ValueError, match=r"expected more than 0 and at most 3\.9375"):
            SlidingWindows(source, hop)
    with pytest.raises(ValueError, match=r"up to 0\.5 times slower"):
        RandomWindows(source, 8, slower=0.5)
