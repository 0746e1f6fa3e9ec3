"""Skeleton styles: what a tracker changes, and what it must not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from untrimmed import recording  # noqa: E402

from training.data.augmentations import NO_VARIATION, ViewOptions, _as_seen, _Draw  # noqa: E402
from training.data.styles import STYLE_NUMBERS, restyled  # noqa: E402

BASE, MID, SHOULDER = 0, 1, 20


def joints(samples: int = 6) -> torch.Tensor:
    """(N, 64, 1, 25, 3) of a person who moves their arms."""
    values = recording("r", "p", 0).joints["person_1"][:64]
    return torch.as_tensor(values, dtype=torch.float32)[None, :, None].repeat(samples, 1, 1, 1, 1)


def numbers(samples: int = 6, **columns: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Random numbers of which some columns are given, and no noise of placement."""
    uniform = torch.rand(samples, STYLE_NUMBERS, generator=torch.Generator().manual_seed(3))
    for column, value in columns.items():
        uniform[:, int(column.removeprefix("c"))] = value
    return uniform, torch.zeros(samples, 25, 3)


def plain() -> dict[str, float]:
    """Columns under which nothing changes."""
    return {"c2": 0.9, "c3": 0.0, "c4": 0.9, "c13": 0.9, "c15": 0.9, "c16": 0.9} | {f"c{i}": 0.5 for i in range(8, 13)}


def test_a_style_in_which_nothing_differs_changes_nothing() -> None:
    x = joints()
    torch.testing.assert_close(restyled(x, *numbers(**plain())), x)


def test_the_middle_of_the_spine_moves_along_the_trunk() -> None:
    x = joints()
    y = restyled(x, *numbers(**(plain() | {"c0": 0.0, "c1": 0.5, "c2": 0.0})))
    expected = x[..., BASE, :] + 0.15 * (x[..., SHOULDER, :] - x[..., BASE, :])
    torch.testing.assert_close(y[..., MID, :], expected)
    others = [joint for joint in range(25) if joint != MID]
    torch.testing.assert_close(y[..., others, :], x[..., others, :])


def test_longer_upper_arms_keep_the_forearms() -> None:
    x = joints()
    y = restyled(x, *numbers(**(plain() | {"c8": 1.0})))
    torch.testing.assert_close(y[..., 9, :] - y[..., 8, :], (x[..., 9, :] - x[..., 8, :]) * (1.0 + 0.5 / 3.0))
    torch.testing.assert_close(y[..., 10, :] - y[..., 9, :], x[..., 10, :] - x[..., 9, :])
    torch.testing.assert_close(y[..., 8, :], x[..., 8, :])


def test_hands_and_feet_may_be_missing() -> None:
    x = joints()
    y = restyled(x, *numbers(**(plain() | {"c13": 0.0, "c15": 0.0})))
    for end, source in ((7, 6), (21, 6), (22, 6), (11, 10), (23, 10), (24, 10), (15, 14), (19, 18)):
        torch.testing.assert_close(y[..., end, :], x[..., source, :])


def test_smoothing_lags_and_keeps_what_stands_still() -> None:
    x = torch.zeros(1, 64, 1, 25, 3)
    x[:, 32:] = 1.0
    y = restyled(x, *numbers(1, **(plain() | {"c16": 0.0, "c17": 1.0})))
    hand = y[0, :, 0, 11, 0]
    assert hand[31] == 0.0
    assert hand[32] == pytest.approx(0.3)
    assert hand[33] == pytest.approx(1.0 - 0.7**2)
    assert hand[63] == pytest.approx(1.0, abs=1e-4)


def test_unseen_joints_stay_unseen() -> None:
    x = joints()
    x[:, 10:20, :, 11] = torch.nan
    y = restyled(x, *numbers(**(plain() | {"c16": 0.0, "c17": 0.5})))
    assert torch.equal(torch.isnan(y), torch.isnan(x))


def test_each_sample_goes_through_a_layout_of_its_own() -> None:
    options = ViewOptions(**(NO_VARIATION.__dict__ | {"poorer": 1.0, "poorer_layout": "openni_15, coco_17"}))
    x = joints(40)
    y = _as_seen(x, options, _Draw(torch.Generator().manual_seed(0), x.device, 40))
    kinds = {tuple((row[0, 0, 11] - row[0, 0, 10]).abs().lt(1e-6).tolist()) for row in y}
    assert len(kinds) == 2, "OpenNI's hands are its wrists, COCO's are derived"


def test_one_arm_is_unseen_all_the_time() -> None:
    from training.data.augmentations import _augment

    options = ViewOptions(**(NO_VARIATION.__dict__ | {"one_arm": 1.0}))
    x = torch.ones(60, 64, 1, 25, 3)
    y = _augment(x, options, _Draw(torch.Generator().manual_seed(0), x.device, 60))
    gone = (y == 0.0).all(-1).all(1)[:, 0]
    assert (gone.sum(-1) == 5).all(), "elbow, wrist, hand, tip and thumb"
    assert 10 < gone[:, 9].sum() < 50
    assert not (gone[:, 5] & gone[:, 9]).any()
