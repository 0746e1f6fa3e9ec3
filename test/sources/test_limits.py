"""What a message may hold, and that one odd message spoils nothing of the next ones."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from usdrl_ros.problems import shown
from usdrl_ros.scene.naming import Naming
from usdrl_ros.skeleton.layouts import load_layout
from usdrl_ros.skeleton.person import Frame
from usdrl_ros.sources.limits import LONGEST_ID, LONGEST_LAYOUT, MOST_PEOPLE
from usdrl_ros.sources.reader import SourceReader, load_source

sys.path.append(str(Path(__file__).parents[1]))

from source_messages import in_layout, messages, plain

STAMP = 7_000_000_123


def causes(frame: Frame) -> list[str]:
    return [problem.cause for problem in frame.problems]


def array(people: list[SimpleNamespace], layout: str = "ntu_25", second: int = 1) -> SimpleNamespace:
    stamp = SimpleNamespace(sec=second, nanosec=0)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id="c"), layout=layout, skeletons=people)


def skeleton(person_id: str, place: float = 0.0) -> SimpleNamespace:
    positions = np.random.default_rng(0).normal(place, 0.3, 75).astype(np.float32)
    return SimpleNamespace(person_id=person_id, positions=positions, confidences=[])


@pytest.mark.parametrize("association", ["off", "on"])
def test_a_crowd_in_one_message_is_cut_before_it_costs_memory(association: str) -> None:
    reader, naming = SourceReader(load_source("skeletons"), association=association), Naming()
    message = array([skeleton(str(number), 3.0 * number) for number in range(10_000)])
    naming.update(reader.read(array([skeleton("a")], second=1)))  # what is loaded once is loaded
    message.header.stamp.sec = 2
    tracemalloc.start()
    frame = naming.update(reader.read(message))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frame.people) == MOST_PEOPLE
    assert causes(frame) == ["too_many_in_message"]
    assert "10000 people in a message, expected at most 128" in frame.problems[0].message
    assert peak < 50e6


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda m: setattr(m.skeletons[0], "person_id", "i" * (LONGEST_ID + 1)), "too_long"),
        (lambda m: setattr(m, "layout", "l" * (LONGEST_LAYOUT + 1)), "too_long"),
        (lambda m: setattr(m.header, "frame_id", "f" * (LONGEST_ID + 1)), "too_long"),
        (lambda m: setattr(m, "layout", "left_shoulder," * 500), "unknown_layout"),
        (lambda m: setattr(m, "layout", ",".join(f"left_shoulder{k}" for k in range(400))), "unknown_layout"),
    ],
)
def test_texts_that_are_too_long_are_refused_and_reported(change: Any, cause: str) -> None:
    message = array([skeleton("a"), skeleton("b")])
    change(message)
    frame = SourceReader(load_source("skeletons")).read(message)
    assert set(causes(frame)) == {cause}
    assert len(frame.people) == (
        1 if "person_id" in frame.problems[0].message or "an id" in frame.problems[0].message else 0
    )
    assert all(len(problem.message) < 600 for problem in frame.problems)


@pytest.mark.slow
def test_layouts_that_nobody_knows_are_not_kept() -> None:
    """A thousand texts as long as they may be, each another one."""
    reader = SourceReader(load_source("skeletons"))
    message = array([skeleton("a")])
    tracemalloc.start()
    for number in range(1000):
        joints = ",".join(f"left_shoulder right_shoulder{number}x{k}" for k in range(190))
        message.layout = (f"{number}," + joints)[:LONGEST_LAYOUT] if number % 2 else f"{number}".ljust(LONGEST_LAYOUT)
        assert causes(reader.read(message)) == ["unknown_layout"]
    assert tracemalloc.get_traced_memory()[0] < 5e6
    tracemalloc.stop()


def test_shown_cuts_and_escapes() -> None:
    assert shown("plain text, \u00e9") == "plain text, \u00e9"
    assert shown("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert shown("x" * 10_000_000) == "x" * 80 + "..."
    assert shown("\x00" * 100, 10) == "\\x00\\x00\\x" + "..."
    assert shown(None) == "None"


# People whose joints are known by names.


def hi_ros(second: int, people: str = "1") -> Any:
    layout, rng = load_layout("openpose_body_25"), np.random.default_rng(0)
    joints = {name: in_layout(rng.normal(0, 0.3, (25, 3)), layout).astype(np.float32) for name in people}
    return messages("hi_ros", plain, second * 10**9, "cam", joints)[0]


def ntu_of(frame: Frame, number: int = 0) -> np.ndarray:
    person = frame.people[number]
    return load_layout(person.layout).to_ntu25(person.joints, person.confidence)[0]


ODD = ["foo/bar", "x.yaml", "a,b", "Nose ", " Nose", "LeftWrist", "l_wri", "spine", "hips", "pelvis", ",", "\0",
       "waist", "LHand", "LHandTip", "n" * 1_000_000, "thorax", 7, None, ""]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda name: repr(name)[:12])
def test_one_odd_joint_name_changes_nothing_of_the_messages_after_it(odd: Any) -> None:
    reader = SourceReader(load_source("hi_ros"))
    before = [ntu_of(reader.read(hi_ros(second))) for second in range(1, 40)]
    message = hi_ros(40)
    message.skeletons[0].markers[3].name = odd  # was RElbow
    assert len(reader.read(message).people) == 1
    for second in range(41, 60):
        frame = reader.read(hi_ros(second))
        assert causes(frame) == []
        np.testing.assert_array_equal(ntu_of(frame), before[0])


@pytest.mark.parametrize("odd", [name for name in ODD if name != "thorax"], ids=lambda name: repr(name)[:12])
def test_an_odd_joint_name_in_the_first_message_is_forgotten(odd: Any) -> None:
    expected = ntu_of(SourceReader(load_source("hi_ros")).read(hi_ros(1)))
    reader = SourceReader(load_source("hi_ros"))
    message = hi_ros(1)
    message.skeletons[0].markers[3].name = odd
    reader.read(message)
    for second in range(2, 40):
        frame = reader.read(hi_ros(second))
    np.testing.assert_array_equal(ntu_of(frame), expected)


def test_names_that_come_for_ever_take_no_memory() -> None:
    reader = SourceReader(load_source("hi_ros"))
    message = hi_ros(1)
    tracemalloc.start()
    for number in range(600):
        for k, marker in enumerate(message.skeletons[0].markers):
            marker.name = (
                f"{'left' if k % 2 else 'right'}_{'shoulder wrist knee hip'.split()[k % 4]}"
                + " " * (number % 7 + k)
                + "joint"
            )
        reader.read(message)
    assert tracemalloc.get_traced_memory()[0] < 8e6
    tracemalloc.stop()


def test_two_people_may_be_of_two_estimators() -> None:
    """They spell the joints in two ways, as merged cameras may: each is read by their own."""
    reader = SourceReader(load_source("hi_ros"))
    for second in range(1, 30):
        message = hi_ros(second, "12")
        for marker in message.skeletons[1].markers:
            side = {"L": "left_", "R": "right_"}.get(marker.name[0], "")
            marker.name = side + (marker.name[1:] if side else marker.name).lower()
        frame = reader.read(message)
        assert causes(frame) == []
        assert len(frame.people) == 2
        assert [int(np.isfinite(ntu_of(frame, k)).all(-1).sum()) for k in (0, 1)] == [25, 25]
