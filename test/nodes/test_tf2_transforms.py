"""tf2's buffer and the package's own give the same poses.

tf2_ros is C++ inside and not on PyPI: `StandIn` has the calls of its Python buffer and its rules (geometry2,
`buffer_core.cpp`), with scipy's rotations. With tf2_ros installed, the tests run on the real one as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

pytest.importorskip("rclpy", reason="no ROS 2 here: run by `make test`")

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time

from usdrl_ros.nodes.transforms import Tf2Transforms
from usdrl_ros.scene.transforms import TransformBuffer

SECOND = 10**9


class TransformException(Exception):  # noqa: N818 (the name is tf2's)
    """As tf2's."""


class StandIn:
    """Buffer of tf2_ros."""

    def __init__(self, cache_time: Duration) -> None:
        self._span_ns = cache_time.nanoseconds
        self._links: dict[str, tuple[str, bool, dict[int, tuple[np.ndarray, Rotation]]]] = {}

    def clear(self) -> None:
        for _, static, samples in self._links.values():
            if not static:
                samples.clear()

    def set_transform_static(self, stamped: Any, authority: str) -> None:
        self._set(stamped, static=True)

    def set_transform(self, stamped: Any, authority: str) -> None:
        self._set(stamped, static=False)

    def _set(self, stamped: Any, *, static: bool) -> None:
        place, turn = stamped.transform.translation, stamped.transform.rotation
        value = np.array([place.x, place.y, place.z]), Rotation.from_quat([turn.x, turn.y, turn.z, turn.w])
        _, _, samples = self._links.setdefault(stamped.child_frame_id, (stamped.header.frame_id, static, {}))
        stamp_ns = stamped.header.stamp.sec * SECOND + stamped.header.stamp.nanosec
        if samples and stamp_ns < max(samples) - self._span_ns:
            return  # TF_OLD_DATA
        samples[stamp_ns] = value
        for old in [each for each in samples if each < max(samples) - self._span_ns]:
            del samples[old]

    def _chain(self, frame: str) -> list[str]:
        chain = [frame]
        while chain[-1] in self._links:
            chain.append(self._links[chain[-1]][0])
        return chain

    def _branches(self, target: str, source: str) -> tuple[list[str], list[str]]:
        up, down = self._chain(source), self._chain(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            raise TransformException("not part of the same tree")
        return up[: up.index(shared)], down[: down.index(shared)]

    def get_latest_common_time(self, target: str, source: str) -> Time:
        moving = [self._links[child] for branch in self._branches(target, source) for child in branch]
        newest = [max(samples, default=0) for _, static, samples in moving if not static]
        return Time(nanoseconds=min(newest, default=0))

    def lookup_transform(self, target: str, source: str, time: Time) -> TransformStamped:
        up, down = self._branches(target, source)
        stamp_ns = time.nanoseconds or self.get_latest_common_time(target, source).nanoseconds
        place, turn = np.zeros(3), Rotation.identity()
        for child in up:
            link_place, link_turn = self._at(child, stamp_ns)
            place, turn = link_place + link_turn.apply(place), link_turn * turn
        other, other_turn = np.zeros(3), Rotation.identity()
        for child in down:
            link_place, link_turn = self._at(child, stamp_ns)
            other, other_turn = link_place + link_turn.apply(other), link_turn * other_turn
        place, turn = other_turn.inv().apply(place - other), other_turn.inv() * turn
        return stamped(target, source, stamp_ns, place, turn)

    def _at(self, child: str, stamp_ns: int) -> tuple[np.ndarray, Rotation]:
        _, static, samples = self._links[child]
        if static:
            return next(iter(samples.values()))
        if stamp_ns in samples:
            return samples[stamp_ns]
        stamps = sorted(samples)
        if not stamps or not stamps[0] < stamp_ns < stamps[-1]:
            raise TransformException("Lookup would require extrapolation")
        after = next(i for i, each in enumerate(stamps) if each > stamp_ns)
        one, two = samples[stamps[after - 1]], samples[stamps[after]]
        share = (stamp_ns - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
        turn = Slerp([0.0, 1.0], Rotation.concatenate([one[1], two[1]]))(share)
        return one[0] + share * (two[0] - one[0]), turn


def stamped(parent: str, child: str, stamp_ns: int, place: np.ndarray, turn: Rotation) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(int(stamp_ns), SECOND)
    for axis, value in zip("xyz", place, strict=True):
        setattr(message.transform.translation, axis, float(value))
    for axis, value in zip("xyzw", turn.as_quat(), strict=True):
        setattr(message.transform.rotation, axis, float(value))
    return message


@pytest.fixture(params=["stand-in", "tf2_ros"])
def tf2(request: pytest.FixtureRequest) -> Iterator[Tf2Transforms]:
    if request.param == "tf2_ros":
        yield Tf2Transforms(pytest.importorskip("tf2_ros"))
    else:
        yield Tf2Transforms(SimpleNamespace(Buffer=StandIn, TransformException=TransformException))


class Both:
    """Both buffers with the same transforms."""

    def __init__(self, tf2: Tf2Transforms) -> None:
        self.tf2, self.own = tf2, TransformBuffer()

    def add(self, parent: str, child: str, stamp_ns: int, rng: np.random.Generator, *, static: bool = False) -> None:
        place, turn = rng.normal(size=3), Rotation.random(random_state=rng)
        self.tf2.add(stamped(parent, child, stamp_ns, place, turn), static=static)
        fault = self.own.add(parent, child, stamp_ns, tuple(place), tuple(turn.as_quat()), static=static)
        assert fault == ""

    def check(self, target: str, source: str, stamp_ns: int) -> bool:
        """Whether there is a pose; the same one of both."""
        tf2, own = self.tf2.lookup(target, source, stamp_ns), self.own.lookup(target, source, stamp_ns)
        assert (tf2.pose is None, tf2.pending, bool(tf2.fault)) == (own.pose is None, own.pending, bool(own.fault))
        if own.pose is None:
            return False
        np.testing.assert_allclose(tf2.pose, own.pose, atol=1e-9)
        return True

    def check_latest(self, target: str, source: str) -> None:
        np.testing.assert_allclose(
            self.tf2.latest(target, source).pose, self.own.latest(target, source).pose, atol=1e-9
        )


@pytest.fixture
def both(tf2: Tf2Transforms) -> Both:
    rng, both = np.random.default_rng(0), Both(tf2)
    both.add("head", "camera", 0, rng, static=True)
    both.add("base", "lidar", 0, rng, static=True)
    for i in range(60):  # 20 Hz, and 12 Hz
        both.add("map", "base", 100 * SECOND + i * SECOND // 20, rng)
        if i % 5 < 3:
            both.add("base", "head", 100 * SECOND + i * SECOND // 20 + 7_000_000, rng)
    return both


@pytest.mark.parametrize("frames", [("map", "camera"), ("camera", "map"), ("lidar", "camera"), ("head", "base")])
def test_lookups_are_the_same_over_time(both: Both, frames: tuple[str, str]) -> None:
    known = [both.check(*frames, 99 * SECOND + i * 17_000_000) for i in range(300)]
    assert 100 < sum(known) < 250
    both.check_latest(*frames)


def test_what_lacks_is_the_same(both: Both) -> None:
    assert not both.check("map", "nowhere", 101 * SECOND)
    assert not both.check("map", "camera", 103 * SECOND)  # may still come
    assert both.own.lookup("map", "camera", 103 * SECOND).pending
    assert not both.check("map", "camera", 90 * SECOND)


def test_a_clock_that_is_set_back_starts_over(both: Both) -> None:
    rng = np.random.default_rng(1)
    for i in range(10):
        for parent, child in (("map", "base"), ("base", "head")):
            both.add(parent, child, 5 * SECOND + i * SECOND // 10, rng)
    assert both.check("map", "camera", 5 * SECOND + 33_000_000)
    both.check_latest("map", "camera")
