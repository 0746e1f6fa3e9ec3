"""Every setting: its range is checked, and the error names it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from usdrl_ros.settings import Settings

FIELDS = {f.name: f for f in fields(Settings)}


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_described_and_its_default_is_in_range(name: str) -> None:
    field = FIELDS[name]
    assert field.metadata["low"] <= field.default <= field.metadata["high"]
    assert field.metadata["description"].endswith(".")
    assert getattr(Settings(), name) == field.default


@pytest.mark.parametrize("name", FIELDS)
def test_out_of_range_is_refused_by_name(name: str) -> None:
    low, high = FIELDS[name].metadata["low"], FIELDS[name].metadata["high"]
    step = 1 if isinstance(FIELDS[name].default, int) else 1e-6
    for value in (low - step, high + step):
        with pytest.raises(ValueError, match=f"^{name} is {value}, must be from {low} to {high}$"):
            Settings(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["1", None, float("nan"), True, [1.0]])
def test_what_is_no_number_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} is "):
        Settings(**{name: value})


def test_max_people_is_a_whole_number() -> None:
    with pytest.raises(ValueError, match=r"max_people is 2\.5, must be a whole number"):
        Settings(max_people=2.5)
    assert Settings(max_people=np.int64(3)).max_people == 3


def test_the_limits_themselves_are_allowed() -> None:
    for name, field in FIELDS.items():
        for value in (field.metadata["low"], field.metadata["high"]):
            others = {"start_threshold": 1.0} if name == "end_threshold" else {}
            if name == "start_threshold":
                others = {"end_threshold": 0.0}
            assert getattr(Settings(**others | {name: value}), name) == value


def test_the_thresholds_are_in_order() -> None:
    with pytest.raises(ValueError, match=r"end_threshold is 0\.6, must not be above start_threshold, 0\.5"):
        Settings(start_threshold=0.5, end_threshold=0.6)
    assert Settings(start_threshold=0.5, end_threshold=0.5).end_threshold == 0.5
