from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from usdrl_ros.scene.transforms import TransformBuffer

SECOND = 1_000_000_000


def add(buffer: TransformBuffer, parent: str, child: str, second: float, x: float = 0.0, yaw_deg: float = 0.0) -> None:
    """A transform `x` metres along x and turned about z; static where the second is NaN."""
    static = bool(np.isnan(second))
    rotation = Rotation.from_euler("z", yaw_deg, degrees=True).as_quat()
    stamp_ns = 0 if static else round(second * SECOND)
    assert buffer.add(parent, child, stamp_ns, (x, 0.0, 0.0), tuple(rotation), static=static) == ""


def test_between_two_stamps_as_scipy_interpolates() -> None:
    rng = np.random.default_rng(0)
    stamps = np.cumsum(rng.uniform(0.01, 0.2, 20))
    positions, rotations = rng.standard_normal((20, 3)), Rotation.random(20, rng=1)
    buffer = TransformBuffer()
    for second, position, rotation in zip(stamps, positions, rotations, strict=True):
        # q and -q are one rotation
        sign = rng.choice([-1.0, 1.0])
        buffer.add("map", "camera", round(second * SECOND), tuple(position), tuple(sign * rotation.as_quat()))
    asked = rng.uniform(stamps[0], stamps[-1], 50)
    expected = Slerp(stamps, rotations)(asked).as_matrix()
    for second, rotation in zip(asked, expected, strict=True):
        pose = buffer.lookup("map", "camera", round(second * SECOND)).pose
        assert pose is not None
        np.testing.assert_allclose(pose[:3, :3], rotation, atol=1e-6)
        place = [np.interp(second, stamps, positions[:, axis]) for axis in range(3)]
        np.testing.assert_allclose(pose[:3, 3], place, atol=1e-6)


def test_at_a_stamp_exactly_the_transform_of_that_stamp() -> None:
    buffer = TransformBuffer()
    for second in range(5):
        add(buffer, "map", "camera", second, x=second**2)
    for second in range(5):
        pose = buffer.lookup("map", "camera", second * SECOND).pose
        assert pose is not None
        assert pose[0, 3] == second**2


def test_links_are_chained_up_and_down_the_tree() -> None:
    buffer = TransformBuffer()
    add(buffer, "map", "odom", float("nan"), x=10.0)
    add(buffer, "odom", "base", 1.0, yaw_deg=90.0)
    add(buffer, "odom", "base", 2.0, yaw_deg=90.0)
    add(buffer, "base", "camera", float("nan"), x=1.0)
    add(buffer, "base", "hand", float("nan"), x=3.0)
    pose = buffer.lookup("map", "/camera", round(1.5 * SECOND)).pose
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], [10.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)
    across = buffer.lookup("hand", "camera", round(1.5 * SECOND)).pose
    assert across is not None
    np.testing.assert_allclose(across[:3, 3], [-2.0, 0.0, 0.0], atol=1e-12)
    back = buffer.lookup("camera", "map", round(1.5 * SECOND)).pose
    assert back is not None
    np.testing.assert_allclose(back @ pose, np.eye(4), atol=1e-12)


def test_a_frame_in_itself_is_the_identity() -> None:
    found = TransformBuffer().lookup("camera", "camera", 5)
    assert found.pose is not None
    np.testing.assert_array_equal(found.pose, np.eye(4))


def test_what_is_not_known_names_the_link() -> None:
    buffer = TransformBuffer()
    found = buffer.lookup("map", "camera", SECOND)
    assert found.pose is None
    assert found.pending
    assert "nobody publishes /tf" in found.fault
    add(buffer, "map", "odom", 1.0)
    add(buffer, "base", "camera", float("nan"))
    assert "a transform from 'odom' to 'base'" not in buffer.lookup("map", "lidar", SECOND).fault
    assert "'lidar'" in buffer.lookup("map", "lidar", SECOND).fault
    found = buffer.lookup("map", "camera", SECOND)
    assert found.pending
    assert "from 'map' to 'base' is missing" in found.fault


def test_newer_stamps_may_still_come_and_older_may_not() -> None:
    buffer = TransformBuffer()
    add(buffer, "map", "camera", 5.0, x=1.0)
    add(buffer, "map", "camera", 6.0, x=2.0)
    late = buffer.lookup("map", "camera", round(6.25 * SECOND))
    assert (late.pose, late.pending) == (None, True)
    assert "from 'map' to 'camera' is 0.250 s older" in late.fault
    early = buffer.lookup("map", "camera", 4 * SECOND)
    assert (early.pose, early.pending) == (None, False)
    assert "begins 1.000 s after" in early.fault
    latest = buffer.latest("map", "camera").pose
    assert latest is not None
    assert latest[0, 3] == 2.0


def test_transforms_may_come_out_of_order() -> None:
    buffer = TransformBuffer()
    for second in (3.0, 1.0, 2.0):
        add(buffer, "map", "camera", second, x=second)
    pose = buffer.lookup("map", "camera", round(1.5 * SECOND)).pose
    assert pose is not None
    assert pose[0, 3] == pytest.approx(1.5)


def test_ten_seconds_are_kept_and_a_clock_that_jumps_back_starts_over() -> None:
    buffer = TransformBuffer()
    for second in range(100):
        add(buffer, "map", "camera", second, x=second)
    assert buffer.lookup("map", "camera", 89 * SECOND).pose is not None
    assert buffer.lookup("map", "camera", 88 * SECOND).pose is None
    add(buffer, "map", "camera", 1.0, x=7.0)
    pose = buffer.latest("map", "camera").pose
    assert pose is not None
    assert pose[0, 3] == 7.0


@pytest.mark.parametrize(
    ("parent", "child", "translation", "rotation"),
    [
        ("map", "map", (0, 0, 0), (0, 0, 0, 1)),
        ("map", "", (0, 0, 0), (0, 0, 0, 1)),
        ("map", "camera", (np.nan, 0, 0), (0, 0, 0, 1)),
        ("map", "camera", (0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_what_is_no_transform_is_refused(parent: str, child: str, translation: tuple, rotation: tuple) -> None:
    buffer = TransformBuffer()
    assert "ignored" in buffer.add(parent, child, 1, translation, rotation)
    assert buffer.lookup("map", "camera", 1).pose is None


def test_frames_are_bounded() -> None:
    buffer = TransformBuffer()
    refused = [buffer.add("map", f"frame_{number}", 1, (0, 0, 0), (0, 0, 0, 1)) for number in range(1100)]
    assert not any(refused[:1000])
    assert all(refused[1000:])


def test_circles_end() -> None:
    buffer = TransformBuffer()
    add(buffer, "a", "b", 1.0)
    add(buffer, "b", "a", 1.0)
    assert buffer.lookup("map", "a", SECOND).pose is None
