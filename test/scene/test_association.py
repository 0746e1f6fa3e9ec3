"""Ids by motion against the truth: people who cross, come, go, are seen twice, or jump."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from usdrl_ros.demo.actor import View, play
from usdrl_ros.scene.association import AssociationSettings, Associator
from usdrl_ros.skeleton.layouts import NTU_25
from usdrl_ros.skeleton.person import Person

RATE_HZ = 15.0
STANDING = np.random.default_rng(7).normal(0.0, 0.3, (25, 3)) * [0.5, 1.0, 0.5]


def standing_at(x: float, z: float, hint: str = "") -> Person:
    return Person(hint, "ntu_25", STANDING - STANDING[0] + [x, 0.0, z])


def stamp(frame: int) -> int:
    return round(frame / RATE_HZ * 1e9)


def ids_of(associator: Associator, frame: int, *people: Person) -> list[str]:
    """The ids, in the order of the people; "" for who is left out."""
    named = associator.assign(stamp(frame), people, [])
    found = {id(person.joints): person.person_id for person in named}
    return [found.get(id(person.joints), "") for person in people]


def test_people_who_cross_keep_their_ids_in_any_order() -> None:
    """Two walk through each other's path at 1.4 m/s, half a metre apart where they meet; the list is shuffled."""
    rng = np.random.default_rng(0)
    associator, seen = Associator(), set()
    for frame in range(45):
        x = -2.0 + 1.4 * frame / RATE_HZ
        people = [standing_at(x, 0.0), standing_at(-x, 0.5)]
        order = rng.permutation(2)
        ids = ids_of(associator, frame, *(people[k] for k in order))
        seen.add(tuple(np.array(ids)[np.argsort(order)]))
    assert seen == {("track_1", "track_2")} or seen == {("track_2", "track_1")}


def test_those_who_meet_at_one_place_are_reported_apart_by_how_they_move() -> None:
    """One overtakes through the other's very place: only the velocity distinguishes them."""
    associator, seen = Associator(AssociationSettings(duplicate_m=0.0)), set()
    for frame in range(60):
        x = -2.0 + frame / RATE_HZ
        seen.add(tuple(ids_of(associator, frame, standing_at(x, 0.0), standing_at(-x + 0.01, 0.0))))
    assert len(seen) == 1


def test_who_is_hidden_for_a_while_comes_back_as_the_same() -> None:
    associator = Associator()
    before = [ids_of(associator, frame, standing_at(frame / RATE_HZ, 0.0)) for frame in range(15)]
    after = [ids_of(associator, frame, standing_at(frame / RATE_HZ, 0.0)) for frame in range(22, 30)]
    assert list(itertools.chain(*before, *after)) == ["track_1"] * 23


def test_who_was_away_for_long_is_somebody_new() -> None:
    associator = Associator(AssociationSettings(forget_s=1.0))
    assert ids_of(associator, 0, standing_at(0, 0)) == ["track_1"]
    assert ids_of(associator, 15, standing_at(0, 0)) == ["track_1"]  # one second
    assert ids_of(associator, 31, standing_at(0, 0)) == ["track_2"]  # a sixteenth more


def test_who_comes_gets_a_new_id_and_who_goes_takes_theirs_along() -> None:
    associator = Associator()
    assert ids_of(associator, 0, standing_at(0, 0)) == ["track_1"]
    assert ids_of(associator, 1, standing_at(0, 0), standing_at(1.5, 0)) == ["track_1", "track_2"]
    assert ids_of(associator, 2, standing_at(1.5, 0)) == ["track_2"]
    assert ids_of(associator, 3) == []
    assert ids_of(associator, 4, standing_at(-3, 0), standing_at(1.5, 0), standing_at(0, 0)) == [
        "track_3",
        "track_2",
        "track_1",
    ]


def test_a_person_seen_twice_is_one_and_the_fuller_sighting_counts() -> None:
    associator, problems = Associator(), []
    half = standing_at(0.05, 0.0)
    half.joints[:4] = np.nan
    whole = standing_at(0.0, 0.0)
    named = associator.assign(0, [half, whole], problems)
    assert [person.joints is whole.joints for person in named] == [True]
    assert [problem.cause for problem in problems] == ["repeated_person"]


def test_a_jump_is_nobody_known_and_the_one_who_jumped_is_found_again() -> None:
    """One wrong frame, two metres off at 15 Hz, does not carry the id away."""
    associator = Associator()
    for frame in range(10):
        assert ids_of(associator, frame, standing_at(0, 0)) == ["track_1"]
    assert ids_of(associator, 10, standing_at(2.0, 0)) == ["track_2"]
    assert ids_of(associator, 11, standing_at(0, 0)) == ["track_1"]


@pytest.mark.parametrize(
    ("metres", "frames", "same"), [(0.6, 1, True), (0.7, 1, False), (1.4, 7, True), (1.5, 7, False)]
)
def test_the_gate_is_half_a_metre_and_two_metres_a_second(metres: float, frames: int, same: bool) -> None:
    """0.5 + 2 t: 0.63 m after a fifteenth of a second, 1.43 m after seven."""
    associator = Associator()
    assert ids_of(associator, 0, standing_at(0, 0)) == ["track_1"]
    assert (ids_of(associator, frames, standing_at(metres, 0)) == ["track_1"]) == same


def test_the_trackers_id_reports_between_two_who_are_as_near() -> None:
    for hints in (("7", "9"), ("9", "7")):
        associator = Associator()
        assert ids_of(associator, 0, standing_at(-0.2, 0, "7"), standing_at(0.2, 0, "9")) == ["track_1", "track_2"]
        named = ids_of(associator, 1, standing_at(0.01, 0.2, hints[0]), standing_at(0.01, -0.2, hints[1]))
        assert named == (["track_1", "track_2"] if hints[0] == "7" else ["track_2", "track_1"])


def test_ids_that_change_all_the_time_do_no_harm() -> None:
    associator = Associator()
    for frame in range(20):
        people = [standing_at(0, 0, str(2 * frame)), standing_at(1, 0, str(2 * frame + 1))]
        assert ids_of(associator, frame, *people) == ["track_1", "track_2"]


def test_calls_of_one_stamp_show_different_people() -> None:
    """As messages of one person each do: whoever is seen already at this stamp is not seen again."""
    associator = Associator()
    for frame in range(5):
        assert ids_of(associator, frame, standing_at(0.0, 0)) == ["track_1"]
        assert ids_of(associator, frame, standing_at(0.4, 0)) == ["track_2"]


def test_a_late_stamp_is_reported_and_a_clock_that_jumps_back_begins_anew() -> None:
    associator, problems = Associator(), []
    assert ids_of(associator, 60, standing_at(0, 0)) == ["track_1"]
    assert associator.assign(stamp(59), [standing_at(0, 0)], problems) == []
    assert [problem.cause for problem in problems] == ["late_stamp"]
    assert ids_of(associator, 0, standing_at(0, 0)) == ["track_2"]


@pytest.mark.parametrize("unseen", [np.nan, np.inf, 1e30])
def test_without_the_pelvis_the_trunk_reports_and_without_a_trunk_nothing_does(unseen: float) -> None:
    associator, problems = Associator(), []
    assert ids_of(associator, 0, standing_at(0, 0), standing_at(1, 0)) == ["track_1", "track_2"]
    parts = standing_at(1.05, 0)
    parts.joints[[NTU_25.index(name) for name in ("SpineBase", "SpineMid", "HipLeft", "HipRight")]] = unseen
    assert ids_of(associator, 1, parts) == ["track_2"]
    nothing = standing_at(0, 0)
    nothing.joints[:] = unseen
    assert associator.assign(stamp(2), [nothing], problems) == []
    assert [problem.cause for problem in problems] == ["no_trunk"]


def test_a_joint_that_comes_back_is_compared_with_where_it_would_be() -> None:
    """The hips hidden while a person walks three metres on: when they show again, it is the same person."""
    associator = Associator()
    for frame in range(45):
        person = standing_at(frame / RATE_HZ, 0)
        if 5 < frame < 40:
            person.joints[[0, 1, 12, 16]] = np.nan
        assert ids_of(associator, frame, person) == ["track_1"], frame


def test_three_actors_with_noise_and_unseen_joints_keep_their_ids() -> None:
    """Whole scenes of people who act beside each other, each person's id taken away and the order shuffled."""
    script = {f"person_{k}": ["walk", "pick_up", "wave"] for k in range(3)}
    scene = play(script, seed=4, rate_hz=10.0, drop=0.1, view=View(azimuth_deg=30.0))
    rng, associator, given = np.random.default_rng(0), Associator(), {}
    for t, seconds in enumerate(scene.stamps):
        people = [Person("", "ntu_25", joints[t]) for joints in scene.joints.values()]
        order = rng.permutation(3)
        named = associator.assign(round(seconds * 1e9), [people[k] for k in order], [])
        assert len(named) == 3
        for k, person in zip(order, named, strict=True):
            given.setdefault(k, set()).add(person.person_id)
    assert sorted(set.union(*given.values())) == ["track_1", "track_2", "track_3"]
    assert all(len(ids) == 1 for ids in given.values())
