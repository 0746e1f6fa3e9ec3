"""The window and its resampling against numpy's interpolation a joint, a list of all samples, and closed forms."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from usdrl_ros.skeleton.window import SkeletonWindow, frame_times, resample, resample_window

START_NS = 1_700_000_000 * 10**9 + 1


def window_at(window: SkeletonWindow, times_ns: np.ndarray) -> tuple[int, np.ndarray]:
    """The stamp of the last sample that counts, and the joints (T, 25, 3) at some times."""
    stamps_ns, joints = window.until(int(times_ns[-1]))
    return int(stamps_ns[-1]), resample_window(stamps_ns, joints, times_ns)


def interpolated(stamps: np.ndarray, joints: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The slow way: each coordinate of each joint alone, samples that do not show the joint left out."""
    result = np.full((len(times), *joints.shape[1:]), np.nan)
    for v in range(joints.shape[1]):
        seen = np.isfinite(joints[:, v]).all(-1)
        if seen.any():
            for c in range(3):
                result[:, v, c] = np.interp(times, stamps[seen], joints[seen, v, c])
    return result


@pytest.mark.parametrize("unseen", [0.0, 0.1, 0.6, 0.97])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_resampling_is_interpolation_of_each_joint(unseen: float, count: int) -> None:
    rng = np.random.default_rng(count)
    stamps = np.cumsum(rng.uniform(0.01, 0.4, count))
    joints = rng.normal(0, 1, (count, 25, 3))
    joints[rng.random((count, 25)) < unseen] = np.nan
    joints[rng.random((count, 25)) < unseen / 10, 1] = np.nan  # one coordinate missing: unseen as well
    times = np.sort(np.concatenate([rng.uniform(stamps[0] - 1, stamps[-1] + 1, 64), stamps]))
    given = joints.copy()
    np.testing.assert_allclose(
        resample(stamps, joints, times), interpolated(stamps, joints, times), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_array_equal(joints, given)  # what is given is not changed


@pytest.mark.parametrize("unseen", [0.0, 0.3])
def test_resampling_at_the_samples_gives_the_samples(unseen: float) -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.uniform(0.01, 0.4, 50))
    joints = rng.normal(0, 1, (50, 25, 3)).astype(np.float32)
    hidden = rng.random((50, 25)) < unseen
    given = np.where(hidden[..., None], np.float32(np.nan), joints)
    np.testing.assert_array_equal(resample(stamps, given, stamps)[~hidden], joints[~hidden])


def test_a_joint_never_seen_stays_unseen_and_the_others_do_not_care() -> None:
    rng = np.random.default_rng(1)
    stamps, joints = np.arange(10) / 10, rng.normal(0, 1, (10, 25, 3))
    whole = resample(stamps, joints, frame_times(0.9, 2.0, 64))
    joints[:, [3, 24]] = np.nan
    part = resample(stamps, joints, frame_times(0.9, 2.0, 64))
    assert np.isnan(part[:, [3, 24]]).all()
    others = np.delete(np.arange(25), [3, 24])
    np.testing.assert_array_equal(part[:, others], whole[:, others])


def test_frame_times_end_at_the_end_and_lie_a_frame_apart() -> None:
    times = frame_times(7.0, 5.0, 64)
    assert times.shape == (64,)
    assert times[-1] == 7.0
    np.testing.assert_allclose(np.diff(times), 5.0 / 64, atol=1e-12)


@pytest.mark.parametrize("rate", [5.0, 10.0, 30.0, 60.0])
def test_a_smooth_motion_comes_out_at_any_rate(rate: float) -> None:
    """Linear interpolation of f between samples h apart is wrong by h^2 / 8 * max |f''| at most."""
    rng = np.random.default_rng(2)
    count = int(6 * rate)
    stamps = (np.arange(count) + rng.uniform(-0.4, 0.4, count)) / rate
    gap = rng.permutation(np.arange(5, count - 5))[: count // 6]
    stamps = np.delete(stamps, gap)
    phase = rng.uniform(0, 6, (25, 3))
    omega = 2 * np.pi * 0.5

    def motion(times: np.ndarray) -> np.ndarray:
        return np.sin(omega * times[:, None, None] + phase)

    times = frame_times(stamps[-1], 5.0, 64)
    times = times[times >= stamps[0]]
    bound = np.diff(stamps).max() ** 2 / 8 * omega**2
    assert np.abs(resample(stamps, motion(stamps), times) - motion(times)).max() <= bound


@pytest.mark.parametrize("start_ns", [0, -5 * 10**9, START_NS])
def test_the_window_keeps_its_span_and_one_sample_before(start_ns: int) -> None:
    """Against a list of everything, over thousands of samples: the buffer slides several times."""
    rng = np.random.default_rng(3)
    span_ns = 2 * 10**9
    window = SkeletonWindow(2.0)
    stamps: list[int] = []
    joints: list[np.ndarray] = []
    stamp = start_ns
    for i in range(6000):
        stamp += int(rng.choice([4, 7, 16, 33, 400], p=[0.3, 0.3, 0.2, 0.199, 0.001]) * 1e6 + rng.integers(0, 1000))
        stamps.append(stamp)
        joints.append(rng.normal(0, 1, (25, 3)).astype(np.float32))
        window.append(stamp, joints[-1])
        if i % 97 == 0:
            assert window.last_ns == stamp
            first = max(k for k in range(len(stamps)) if k == 0 or stamps[k] <= stamp - span_ns)
            assert window.first_ns == stamps[first]
            until = max(stamp - int(rng.integers(0, span_ns)), stamps[first])
            expected = [k for k in range(first, len(stamps)) if stamps[k] <= until]
            asked = np.sort(rng.choice(np.arange(len(expected)), 9))
            times_ns = np.array([stamps[expected[k]] for k in asked] + [until])
            last_ns, found = window_at(window, times_ns)
            assert last_ns == stamps[expected[-1]]
            np.testing.assert_array_equal(found[:-1], [joints[expected[k]] for k in asked])
            np.testing.assert_array_equal(found[-1], joints[expected[-1]])
            np.testing.assert_array_equal(window.newest(until), joints[expected[-1]])


def test_a_fast_source_still_fills_the_whole_span() -> None:
    """1 kHz for 20 s: what lies closer than a thousandth of the span is thinned, and the motion still comes out."""
    span_s, step_ns = 6.5, 10**6
    window = SkeletonWindow(span_s)
    for i in range(20_000):
        window.append(START_NS + i * step_ns, np.full((25, 3), np.sin(i * 1e-3)))
    end_ns = START_NS + 19_999 * step_ns
    assert window.last_ns == end_ns
    assert end_ns - window.first_ns >= span_s * 1e9
    assert len(window) <= 1002
    times = frame_times(19.999, 5.0, 64)
    _, found = window_at(window, START_NS + np.round(times * 1e9).astype(np.int64))
    np.testing.assert_allclose(found[:, 0, 0], np.sin(times), atol=0.008)  # at the end 7 ms old at most


@pytest.mark.parametrize("back_ns", [0, 1, 10**10])
def test_a_stamp_that_is_not_later_is_refused(back_ns: int) -> None:
    window = SkeletonWindow(1.0)
    window.append(START_NS, np.zeros((25, 3)))
    with pytest.raises(ValueError, match=f"stamp {START_NS - back_ns} ns is not after the last one, {START_NS} ns"):
        window.append(START_NS - back_ns, np.ones((25, 3)))
    last_ns, joints = window_at(window, np.array([START_NS, START_NS + 10**9]))
    assert last_ns == START_NS
    assert (joints == 0).all()


FRAMES_NS = np.round(frame_times(0.0, 3.0, 64) * 1e9).astype(np.int64)


def flickering(rng: np.random.Generator, count: int, unseen: float) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (n,) ns and joints (n, 25, 3), each unseen for some samples at a time, one of them always."""
    stamps = START_NS + np.cumsum(rng.integers(8, 80, count)) * 10**6
    joints = rng.normal(0, 1, (count, 25, 3)).astype(np.float32)
    turns = rng.random((count, 25)) < unseen / 4
    hidden = turns | np.roll(turns, 1, 0) | np.roll(turns, 2, 0) | np.roll(turns, 3, 0)
    joints[hidden] = np.nan
    joints[:, 7] = np.nan
    joints[rng.random(count) < unseen / 5, 3, 1] = np.nan  # one coordinate missing: unseen as well
    joints[: count // 2, 9] = np.nan  # comes late
    joints[count // 4 :, 11] = np.nan  # goes
    return stamps, joints


@pytest.mark.parametrize("unseen", [0.0, 0.02, 0.3, 0.9])
def test_what_comes_bit_by_bit_is_resampled_as_at_once(unseen: float) -> None:
    """Thousands of samples, for now and a while ago; a joint not seen in the window is not held for ever."""
    rng = np.random.default_rng(int(unseen * 100))
    window = SkeletonWindow(7.0)
    stamps, joints = flickering(rng, 3000, unseen)
    checked = 0
    for i, stamp in enumerate(stamps.tolist()):
        window.append(stamp, joints[i])
        if i % 41 and i > 5:
            continue
        end_ns = max(stamp - int(rng.choice([0, 0, 10**6, 5 * 10**8, 3 * 10**9])), int(stamps[0]))
        last_ns, found = window_at(window, end_ns + FRAMES_NS)
        past = (stamps <= end_ns) & (stamps >= window.first_ns)
        assert last_ns == stamps[past][-1]
        expected = interpolated((stamps[past] - end_ns) / 1e9, joints[past], FRAMES_NS / 1e9)
        recent = np.isfinite(joints[past & (stamps >= end_ns + FRAMES_NS[0])]).all(-1).any(0)
        expected[:, ~recent] = np.nan
        checked += int(recent.sum())
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert checked > 1000


@pytest.mark.slow
@pytest.mark.parametrize("unseen", [0.02, 0.5])
def test_what_comes_later_does_not_change_an_earlier_window(unseen: float) -> None:
    """A worker that is behind sees, bit for bit, what it would have seen in time."""
    rng = np.random.default_rng(11)
    window = SkeletonWindow(7.0)
    stamps, joints = flickering(rng, 900, unseen)
    in_time: list[tuple[np.ndarray, np.ndarray]] = []
    for i, stamp in enumerate(stamps.tolist()):
        window.append(stamp, joints[i])
        in_time.append((stamp + FRAMES_NS, window_at(window, stamp + FRAMES_NS)[1]))
        for times_ns, before in in_time[-20:]:
            np.testing.assert_array_equal(window_at(window, times_ns)[1], before)


def test_a_gap_longer_than_what_is_kept_is_not_bridged() -> None:
    window = SkeletonWindow(1.0)
    for i in range(60):
        joints = np.full((25, 3), float(i), np.float32)
        if 5 <= i < 50:
            joints[4] = np.nan
        window.append(START_NS + i * 10**8, joints)
    times_ns = START_NS + np.arange(49, 60) * 10**8
    _, found = window_at(window, times_ns)
    np.testing.assert_array_equal(found[:, 0, 0], np.arange(49, 60))
    np.testing.assert_array_equal(found[:, 4, 0], [50, *range(50, 60)])


def test_memory_grows_with_what_comes() -> None:
    """A new window of two people is small, a full one is bounded by its span."""
    window = SkeletonWindow(7.0, 50)
    window.append(START_NS, np.zeros((50, 3)))
    assert sys.getsizeof(window._joints) < 32 * 50 * 3 * 4 + 200
    for i in range(1, 30_000):
        window.append(START_NS + i * 10**6, np.full((50, 3), i))
    assert window._joints.nbytes <= 2 * 1002 * 50 * 3 * 4
    stamps_ns, joints = window.until(START_NS + 10**12)
    assert joints.shape == (len(window), 50, 3)
    np.testing.assert_array_equal(joints[:, 49, 2], (stamps_ns - START_NS) // 10**6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_resampling_keeps_the_type(kind: type) -> None:
    joints = np.random.default_rng(0).normal(0, 1, (9, 25, 3))
    stamps, times = np.arange(9) / 9, frame_times(0.9, 1.0, 64)
    found = resample(stamps, joints.astype(kind), times)
    assert found.dtype == kind
    np.testing.assert_allclose(found, resample(stamps, joints, times), atol=1e-6)


def test_numbers_whose_squares_overflow_are_numbers() -> None:
    joints = np.random.default_rng(0).normal(0, 1e30, (20, 25, 3)).astype(np.float32)
    stamps, times = np.arange(20) / 10, frame_times(1.9, 1.0, 64)
    found = resample(stamps, joints, times)
    np.testing.assert_allclose(found, interpolated(stamps, joints, times), rtol=1e-4, atol=1e25)
