"""The window and its resampling against numpy's interpolation a joint, a list of all samples, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from usdrl_ros.skeleton.window import SkeletonWindow, frame_times, resample, resample_together

START_NS = 1_700_000_000 * 10**9 + 1


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
    np.testing.assert_allclose(
        resample(stamps, joints, times), interpolated(stamps, joints, times), rtol=1e-12, atol=1e-12
    )


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
            until = stamp - int(rng.integers(0, span_ns))
            expected = [k for k in range(first, len(stamps)) if stamps[k] <= until]
            found_stamps, found_joints = window.until(until)
            assert found_stamps.tolist() == [stamps[k] for k in expected]
            np.testing.assert_array_equal(found_joints, np.reshape([joints[k] for k in expected], (-1, 25, 3)))
            if expected:
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
    stamps, joints = window.until(end_ns)
    times = frame_times(19.999, 5.0, 64)
    found = resample((stamps - START_NS) / 1e9, joints, times)
    np.testing.assert_allclose(found[:, 0, 0], np.sin(times), atol=0.008)  # at the end 7 ms old at most


@pytest.mark.parametrize("back_ns", [0, 1, 10**10])
def test_a_stamp_that_is_not_later_is_refused(back_ns: int) -> None:
    window = SkeletonWindow(1.0)
    window.append(START_NS, np.zeros((25, 3)))
    with pytest.raises(ValueError, match=f"stamp {START_NS - back_ns} ns is not after the last one, {START_NS} ns"):
        window.append(START_NS - back_ns, np.ones((25, 3)))
    stamps, joints = window.until(START_NS)
    assert stamps.tolist() == [START_NS]
    assert (joints == 0).all()


@pytest.mark.parametrize("unseen", [0.0, 0.01, 0.1, 1.0])
def test_what_resampling_does_not_need_may_be_left_out(unseen: float) -> None:
    """The same comes out; and little is kept where a whole skeleton is near."""
    rng = np.random.default_rng(5)
    window = SkeletonWindow(7.0)
    for i in range(200):
        joints = rng.normal(0, 1, (25, 3)).astype(np.float32)
        joints[rng.random(25) < unseen] = np.nan
        window.append(START_NS + i * 33_333_333, joints)
    end_ns = window.last_ns
    times = frame_times(0.0, 3.0, 64)
    since_ns = end_ns + int(np.floor(times[0] * 1e9))
    all_of_it, needed = window.until(end_ns), window.until(end_ns, since_ns)
    found, expected = (resample((stamps - end_ns) / 1e9, joints, times) for stamps, joints in (needed, all_of_it))
    np.testing.assert_array_equal(found, expected)
    assert (len(needed[0]) < 100) == (unseen < 0.1)
    assert window.until(START_NS + 5, START_NS + 10**9)[0].size in (0, 1)


def test_nothing_before_the_first_sample() -> None:
    window = SkeletonWindow(1.0)
    window.append(START_NS, np.zeros((25, 3)))
    stamps, joints = window.until(START_NS - 1)
    assert stamps.shape == (0,)
    assert joints.shape == (0, 25, 3)


def test_several_people_at_once_are_each_as_alone() -> None:
    """Other numbers of samples, other times, joints unseen or not; one person has nothing but the unseen."""
    rng = np.random.default_rng(7)
    times = frame_times(0.0, 4.0, 64)
    samples = []
    for unseen in (0.0, 0.3, 0.0, 0.9, 1.0, 0.02):
        stamps = -6.0 + np.cumsum(rng.uniform(0.01, 0.1, int(rng.integers(1, 120))))
        joints = rng.normal(0, 1, (len(stamps), 25, 3))
        joints[rng.random((len(stamps), 25)) < unseen] = np.nan
        samples.append((stamps, joints))
    given = [joints.copy() for _, joints in samples]
    stamps, joints = (np.concatenate(arrays) for arrays in zip(*samples, strict=True))
    together = resample_together(stamps, joints, np.cumsum([len(each) for each, _ in samples]), times)
    assert together.shape == (6, 64, 25, 3)
    for (stamps, joints), before, found in zip(samples, given, together, strict=True):
        np.testing.assert_array_equal(joints, before)  # what is given is not changed
        np.testing.assert_array_equal(found, resample(stamps, joints, times))
        np.testing.assert_allclose(found, interpolated(stamps, joints, times), rtol=1e-12, atol=1e-12)


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
