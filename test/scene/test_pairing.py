from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usdrl_ros.scene.pairing import Pairing
from usdrl_ros.skeleton.person import Person

ACTIONS = ("wave", "push", "hug")


def person(name: str, x: float) -> Person:
    return Person(name, "ntu_25", np.full((25, 3), (x, 0.0, 2.0)))


def pairs(pairing: Pairing, people: Sequence[Person]) -> list[tuple[str, ...]]:
    """The ids of the pairs that are made of people who all have new joints."""
    subjects = pairing.subjects(people, frozenset(each.person_id for each in people), ACTIONS)
    return [subject.ids for subject in subjects if len(subject.ids) == 2]


def test_people_near_each_other_are_a_pair_beside_each_alone() -> None:
    people = [person("a", 0.0), person("b", 0.8), person("c", 5.0)]
    subjects = Pairing().subjects(people, frozenset("abc"), ACTIONS)
    assert [subject.ids for subject in subjects] == [("a",), ("b",), ("c",), ("a", "b")]
    np.testing.assert_array_equal(subjects[-1].joints, np.stack([people[0].joints, people[1].joints]))
    assert (subjects[-1].person_id, subjects[-1].partner_id) == ("a", "b")


def test_each_action_is_recognised_in_one_subject() -> None:
    people = [person("a", 0.0), person("b", 0.8), person("c", 5.0)]
    excluded = {each.ids: each.excluded for each in Pairing().subjects(people, frozenset("abc"), ACTIONS)}
    assert excluded["a",] == excluded["b",] == {"push", "hug"}
    assert excluded["c",] == frozenset()
    assert excluded["a", "b"] == {"wave"}


def test_a_pair_lasts_until_they_are_well_apart() -> None:
    pairing = Pairing()
    assert pairs(pairing, [person("a", 0.0), person("b", 1.4)]) == []
    assert pairs(pairing, [person("a", 0.0), person("b", 1.1)]) == [("a", "b")]
    assert pairs(pairing, [person("a", 0.0), person("b", 1.4)]) == [("a", "b")]
    assert pairs(pairing, [person("a", 0.0), person("b", 1.7)]) == []
    assert pairs(pairing, [person("a", 0.0), person("b", 1.4)]) == []


def test_each_is_of_one_pair_the_nearest_first_and_who_is_paired_stays() -> None:
    pairing = Pairing()
    assert pairs(pairing, [person("a", 0.0), person("b", 1.0), person("c", 1.9)]) == [("b", "c")]
    assert pairs(pairing, [person("a", 0.0), person("b", 0.6), person("c", 1.9)]) == [("b", "c")]


def test_a_pair_whose_people_are_not_new_gives_nothing() -> None:
    pairing = Pairing()
    people = [person("a", 0.0), person("b", 0.8)]
    assert pairing.subjects(people, frozenset(), ACTIONS) == []
    assert [each.ids for each in pairing.subjects(people, frozenset("b"), ACTIONS)] == [("b",), ("a", "b")]


def test_people_of_whom_no_trunk_is_seen_are_of_no_pair() -> None:
    unseen = Person("b", "ntu_25", np.full((25, 3), np.nan))
    assert pairs(Pairing(), [person("a", 0.0), unseen]) == []
