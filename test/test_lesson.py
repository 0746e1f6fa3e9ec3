"""Lessons: a played person acts when asked to, and everything that can go wrong is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.demo.actor import play
from usdrl_ros.lesson import Lesson, LessonState, Progress
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.layouts import SPINE_BASE
from usdrl_ros.skeleton.person import Frame, Person


def show(lesson: Lesson, recording: Recording) -> list[tuple[float, Progress]]:
    """Play a recording into a lesson; what it said, and when."""
    said = []
    for i, stamp in enumerate(recording.stamps):
        people = [Person(name, "ntu_25", joints[i]) for name, joints in recording.joints.items()]
        said += [(float(stamp), one) for one in lesson.observe(Frame(round((stamp + 5.0) * 1e9), "camera", people))]
        if lesson.complete:
            break
    return said


def frame(seconds: float, *places: tuple[str, float]) -> Frame:
    people = []
    for name, distance in places:
        joints = np.zeros((25, 3))
        joints[:, 2] = distance
        joints[20, 1] = 0.5
        people.append(Person(name, "ntu_25", joints))
    return Frame(round(seconds * 1e9), "camera", people)


def test_examples_are_taken_where_the_person_acts() -> None:
    recording = play(["arm_circles"] * 4, seed=4, idle_s=(0.95, 1.0), rate_hz=15)
    lesson = Lesson(3)
    said = show(lesson, recording)
    assert lesson.complete
    assert lesson.person_id == "person_1"
    states = [one.state for _, one in said]
    assert states[0] is LessonState.ACT
    assert states.count(LessonState.TAKEN) == 3
    assert [one.examples for _, one in said if one.state is LessonState.TAKEN] == [1, 2, 3]
    taken = [at for at, one in said if one.state is LessonState.TAKEN]
    for at, example in zip(taken, lesson.examples, strict=True):
        before = [s for s in recording.segments if s.end < at]
        assert before  # an action has ended before it is taken
        assert example.window.shape == (64, 25, 3)
        assert 0.6 < example.duration_s < 9.0


def test_two_people_about_equally_near_are_refused_unless_one_is_named() -> None:
    with pytest.raises(TeachingError, match=r"equally near, 'a' at 2\.0 m and 'b' at 2\.3 m"):
        Lesson(1).observe(frame(1.0, ("b", 2.3), ("a", 2.0)))
    lesson = Lesson(1)
    lesson.observe(frame(1.0, ("b", 3.0), ("a", 2.0)))
    assert lesson.person_id == "a"
    lesson = Lesson(1, "b")
    lesson.observe(frame(1.0, ("b", 2.3), ("a", 2.0)))
    assert lesson.person_id == "b"


def test_who_is_nearest_counts_from_the_camera_not_from_the_origin_of_a_fixed_frame() -> None:
    pose = np.eye(4)
    pose[2, 3] = 6.0  # in the map, beyond both
    lesson = Lesson(1)
    lesson.observe(replace(frame(1.0, ("b", 3.0), ("a", 2.0)), pose=pose))
    assert lesson.person_id == "b"


def test_nobody_and_somebody_who_leaves_are_reported() -> None:
    lesson = Lesson(2)
    assert lesson.observe(frame(1.0)) == []
    assert "nobody was seen" in lesson.missing
    lesson = Lesson(2, "a")
    lesson.observe(frame(1.0, ("b", 2.0)))
    assert "'a' was not seen" in lesson.missing
    lesson.observe(frame(1.1, ("a", 2.0)))
    lesson.observe(frame(2.0))
    with pytest.raises(TeachingError, match="has not been seen for 2 s"):
        lesson.observe(frame(4.0))


def test_somebody_who_never_moves_gives_no_example() -> None:
    lesson = Lesson(2)
    for i in range(60):
        lesson.observe(frame(1.0 + i / 15, ("a", 2.0)))
    assert not lesson.examples
    assert "moved 0 times and 2 examples are wanted" in lesson.missing


def test_a_clock_that_jumps_back_ends_a_lesson() -> None:
    lesson = Lesson(1)
    lesson.observe(frame(100.0, ("a", 2.0)))
    assert lesson.observe(frame(100.0, ("a", 2.0))) == []
    with pytest.raises(TeachingError, match="jumped back"):
        lesson.observe(frame(10.0, ("a", 2.0)))


def test_a_jerk_is_no_example() -> None:
    lesson = Lesson(1)
    for i in range(90):
        shown = frame(1.0 + i / 15, ("a", 2.0))
        shown.people[0].joints[10, 0] = 0.3 if i == 40 else 0.0
        shown.people[0].joints[SPINE_BASE, 2] = 2.0
        lesson.observe(shown)
    assert not lesson.examples
