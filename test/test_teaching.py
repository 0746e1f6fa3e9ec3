"""Teaching, from the examples of a played person to the events of other people, with the shipped model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from usdrl_ros.actions.choice import Choice
from usdrl_ros.actions.classifier import Classifier
from usdrl_ros.actions.events import Event, Phase
from usdrl_ros.actions.few_shot import TeachingError
from usdrl_ros.actions.gallery import Gallery, write_action
from usdrl_ros.demo.actor import play
from usdrl_ros.inference.contract import Engine
from usdrl_ros.inference.factory import default_model, load_engine
from usdrl_ros.recognizer import Recognizer
from usdrl_ros.recording import Recording
from usdrl_ros.skeleton.person import Frame, Person
from usdrl_ros.teaching import Example, Teacher, example_of

NAME = "arm_circles"
START_NS = 10**9


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with load_engine(default_model()) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Four times the same gesture by one person, who rests in between."""
    recording = play([NAME] * 4, seed=100, idle_s=(1.5, 3.0), rate_hz=15)
    return [cut_example(recording, number) for number in range(4)]


@pytest.fixture
def teacher(engine: Engine, tmp_path: Path) -> Teacher:
    return Teacher(engine, default_model(), Gallery(tmp_path / "gallery"))


def cut_example(recording: Recording, number: int) -> Example:
    """One action of a recording, cut generously; where it begins and ends is to be found."""
    segment = recording.segments[number]
    inside = (recording.stamps > segment.start - 1.2) & (recording.stamps < segment.end + 1.5)
    return example_of(recording.stamps[inside], recording.joints["person_1"][inside])


def recognise(engine: Engine, classifier: Classifier, recording: Recording) -> list[Event]:
    """The last stage of all actions."""
    recognizer = Recognizer(engine, classifier=classifier)
    events: list[Event] = []
    for i, stamp in enumerate(recording.stamps):
        people = [Person(name, "ntu_25", joints[i]) for name, joints in recording.joints.items()]
        recognizer.observe(Frame(START_NS + round(stamp * 1e9), "camera", people))
        while step := recognizer.step():
            events += step.events
    events += recognizer.finish()
    return [event for event in events if event.phase == Phase.ENDED]


def seconds(event: Event) -> tuple[float, float]:
    return (event.start_ns - START_NS) / 1e9, (event.end_ns - START_NS) / 1e9


@pytest.mark.slow
def test_a_taught_action_of_another_person_is_recognised_beside_the_built_in_ones(
    engine: Engine, teacher: Teacher, examples: list[Example]
) -> None:
    report = teacher.teach(NAME, examples, taught_by="actor")
    assert report.similarity > 0.5
    reader, faults = teacher.reader()
    assert faults == []
    classifier = Classifier(engine.info.actions, Choice(), reader)
    assert classifier.actions == (*engine.info.actions, NAME)
    recording = play(["wave", NAME, "clap"], seed=1, idle_s=(1.5, 3.0), rate_hz=15)
    events = recognise(engine, classifier, recording)
    assert {event.action for event in events} == {"wave", NAME, "clap"}
    truth = recording.segments[1]
    best = max((event for event in events if event.action == NAME), key=lambda event: event.confidence)
    assert seconds(best) == pytest.approx((truth.start, truth.end), abs=0.7)
    assert best.confidence > 0.7


@pytest.mark.slow
def test_a_movement_that_is_no_action_is_unknown_and_the_known_ones_stay(engine: Engine, teacher: Teacher) -> None:
    reader, _ = teacher.reader()
    recording = play(["wave", NAME, "clap"], seed=1, idle_s=(1.5, 3.0), rate_hz=15)
    with_unknown = recognise(engine, Classifier(engine.info.actions, Choice(unknown=True), reader), recording)
    plain = recognise(engine, Classifier(engine.info.actions), recording)
    assert [event.action for event in with_unknown if event.action != "unknown"] == [event.action for event in plain]
    truth = recording.segments[1]
    assert any(
        event.action == "unknown" and seconds(event)[0] < truth.end and seconds(event)[1] > truth.start
        for event in with_unknown
    )


@pytest.mark.slow
def test_counter_examples_quieten_an_action(engine: Engine, teacher: Teacher) -> None:
    """A person's own way of waving is shown as what is no wave."""
    recording = play(["wave"] * 4, seed=3, idle_s=(1.5, 3.0), rate_hz=15)
    own = [cut_example(recording, number) for number in range(3)]
    teacher.teach("no_wave", own, counter_to="wave")
    reader, _ = teacher.reader()
    classifier = Classifier(engine.info.actions, Choice(), reader)
    assert classifier.actions == engine.info.actions
    other = play(["wave", "clap", "wave"], seed=3, idle_s=(1.5, 3.0), rate_hz=15)
    before = recognise(engine, Classifier(engine.info.actions), other)
    after = recognise(engine, classifier, other)
    waved = [sum(b - a for a, b in (seconds(e) for e in events if e.action == "wave")) for events in (before, after)]
    assert waved[0] > 5.0
    assert waved[1] < 0.1 * waved[0]
    assert "clap" in {event.action for event in after}


def test_galleries_of_another_model_are_run_again(teacher: Teacher, examples: list[Example]) -> None:
    action = teacher.teach(NAME, examples).action
    path = teacher.gallery.directory / f"{NAME}.npz"
    write_action(replace(action, model="cd" * 32, features=action.features[:, :1, :5]), path)
    own = teacher.reader()[0].few_shot
    path.unlink()
    write_action(action, path)
    np.testing.assert_allclose(own.prototypes, teacher.reader()[0].few_shot.prototypes, atol=2e-3)


def test_names_that_are_taken_are_refused(teacher: Teacher, examples: list[Example]) -> None:
    for name, said in (
        ("wave", "is an action of the model"),
        ("gestures", "has a meaning of its own"),
        ("unknown", "has a meaning of its own"),
        ("my gesture", "cannot be the name"),
    ):
        with pytest.raises(TeachingError, match=said):
            teacher.teach(name, examples)
    with pytest.raises(TeachingError, match="'salute' is no action"):
        teacher.teach("no_salute", examples, counter_to="salute")
    teacher.teach(NAME, examples)
    with pytest.raises(TeachingError, match="choose another name, or replace it"):
        teacher.teach(NAME, examples)
    assert teacher.teach(NAME, examples[:1], replace_existing=True).action.examples == 1


def test_examples_that_have_nothing_in_common_are_refused(teacher: Teacher, examples: list[Example]) -> None:
    script = ["wave", "pick_up", "clap", "throw", "walk"]
    recording = play(script, seed=5, idle_s=(1.5, 3.0), rate_hz=15)
    different = [cut_example(recording, number) for number in range(5)]
    with pytest.raises(TeachingError, match=r"5 examples of 'mixture' have little in common|shows something else"):
        teacher.teach("mixture", different)
    with pytest.raises(TeachingError, match="example 4 of 4 shows something else than the others"):
        teacher.teach("nearly", [*examples[:3], different[1]])
    with pytest.raises(TeachingError, match="there are 0 examples"):
        teacher.teach("nothing", [])
    assert teacher.gallery.names() == []


def test_what_is_no_example_is_refused_with_the_reason() -> None:
    recording = play([NAME], seed=100, idle_s=(2.0, 3.0), rate_hz=15)
    stamps, joints = recording.stamps, recording.joints["person_1"]
    still = np.repeat(joints[:1], len(joints), 0)
    for values, times, said in (
        (np.full_like(joints, np.nan), {}, "nobody is seen"),
        (still, {}, "nobody moves"),
        (joints, {"start": 1.0, "stop": 1.2}, "lasts 0.20 s, at least"),
        (np.repeat(joints, 4, 0)[: len(joints)], {"start": 0.0, "stop": 30.0}, "at most"),
        (np.where(stamps[:, None, None] > 3.0, np.nan, joints), {"start": 2.5, "stop": 6.0}, "seen in"),
    ):
        with pytest.raises(TeachingError, match=said):
            example_of(stamps, values, **times)  # type: ignore[arg-type]


def test_a_model_without_statistics_cannot_be_taught(engine: Engine, tmp_path: Path) -> None:
    copy = tmp_path / "own.onnx"
    copy.write_bytes(default_model().read_bytes())
    with pytest.raises(TeachingError, match=r"training\.shipped\.teaching"):
        Teacher(engine, copy, Gallery(tmp_path))


def test_damaged_files_and_names_of_the_model_are_left_out_and_reported(
    teacher: Teacher, examples: list[Example]
) -> None:
    action = teacher.teach(NAME, examples[:1]).action
    teacher.gallery.save(replace(action, name="wave"))
    (teacher.gallery.directory / "broken.npz").write_bytes(b"nothing")
    reader, faults = teacher.reader()
    assert reader.few_shot.actions == (NAME,)
    assert len(faults) == 2
    assert any("broken.npz cannot be read" in fault for fault in faults)
    assert any("'wave' is left out" in fault for fault in faults)
