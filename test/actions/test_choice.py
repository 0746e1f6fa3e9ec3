"""Which actions are in use, and what that does to a posterior."""

from __future__ import annotations

import numpy as np
import pytest

from usdrl_ros.actions.choice import GROUPS, Choice, ChoiceError, parse_pairs, parse_thresholds
from usdrl_ros.actions.classifier import Classifier, softmax, without

ACTIONS = ("wave", "point", "walk", "push", "drink")


def test_groups_and_names_are_expanded_in_the_order_of_the_model() -> None:
    assert Choice().in_use(ACTIONS) == ACTIONS
    assert Choice(enabled=("everyday", "push")).in_use(ACTIONS) == ("walk", "push", "drink")
    assert Choice(disabled=("gestures",)).in_use(ACTIONS) == ("walk", "drink")
    assert Choice(enabled=("gestures",), disabled=("push",)).in_use(ACTIONS) == ("wave", "point")


def test_every_action_of_the_shipped_model_is_in_exactly_one_group() -> None:
    from usdrl_ros.inference.factory import default_model
    from usdrl_ros.inference.model_file import read_model_file

    members = [action for group in GROUPS.values() for action in group]
    assert sorted(members) == sorted(set(members))
    assert set(read_model_file(default_model()).info.actions) <= set(members)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(enabled=("waves",)), "no action 'waves'"),
        (Choice(names={"salute": "hello"}), "salute"),
        (Choice(names={"wave": " "}), "is empty"),
        (Choice(thresholds={"salute": 0.3}), "salute"),
        (Choice(thresholds={"wave": 0.0}), "from 0.01 to 1"),
        (Choice(disabled=("gestures", "everyday", "drink")), "no action is in use"),
        (Choice(unknown=True), "teaching.npz"),
    ],
)
def test_choices_of_what_there_is_not_are_refused(choice: Choice, said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        Classifier(ACTIONS, choice)


def test_pairs_are_read_or_refused() -> None:
    assert parse_pairs(["", "wave = hello", "push=shove"], "names") == {"wave": "hello", "push": "shove"}
    assert parse_thresholds(["wave=0.3"]) == {"wave": 0.3}
    for wrong in (["wave"], ["=x"], ["wave="], ["wave=a", "wave=b"]):
        with pytest.raises(ChoiceError):
            parse_pairs(wrong, "names")
    with pytest.raises(ChoiceError, match="expected a number"):
        parse_thresholds(["wave=often"])


def test_probabilities_still_sum_to_1_and_none_that_stays_gets_less() -> None:
    rng = np.random.default_rng(0)
    before = softmax(rng.normal(0.0, 3.0, (200, 64, 6)))
    kept = np.array([True, False, True, False, True])
    after, rest = without(before, kept)
    np.testing.assert_allclose(after.sum(-1), 1.0, atol=1e-6)
    assert (after[..., 1:][..., ~kept] == 0).all()
    assert (after[..., np.r_[True, kept]] >= before[..., np.r_[True, kept]] - 1e-7).all()
    assert (rest >= -1e-7).all()
    assert (rest <= before[..., 1:][..., ~kept].sum(-1) + 1e-7).all()


def test_a_sure_action_that_is_left_out_becomes_background() -> None:
    posterior = np.array([0.03, 0.95, 0.02])
    after, _ = without(posterior, np.array([False, True]))
    assert after[2] < 0.04
    assert after[0] > 0.95


def test_an_action_is_not_hidden_by_a_rival_that_is_left_out() -> None:
    """0.45 of 1 is not enough to start; without its rival of 0.5 it is."""
    posterior = np.array([0.05, 0.5, 0.45])
    after, _ = without(posterior, np.array([False, True]))
    assert after[2] > 0.5
    after, rest = without(np.array([0.0, 1.0, 0.0]), np.array([False, True]))
    np.testing.assert_allclose(after, [1.0, 0.0, 0.0])
    assert rest == pytest.approx(1.0)


def test_names_are_mapped_and_actions_of_one_name_are_one() -> None:
    names = {"wave": "hello", "push": "touch", "point": "touch"}
    classifier = Classifier(ACTIONS, Choice(names=names, thresholds={"wave": 0.3}))
    assert classifier.actions == ("hello", "touch", "walk", "drink")
    assert classifier.thresholds == {"hello": 0.3}
    logits = np.random.default_rng(1).normal(size=(2, 8, 6)).astype(np.float32)
    whole = logits.mean(1)[:, 1:]
    posterior = classifier.classify(logits, whole, np.zeros((2, 3)))
    plain = Classifier(ACTIONS).classify(logits, whole, np.zeros((2, 3)))
    expected = plain.detection[..., [0, 1, 2, 3, 5]].copy()
    expected[..., 2] += plain.detection[..., 4]
    np.testing.assert_allclose(posterior.detection, expected, atol=1e-6)
    np.testing.assert_allclose(posterior.recognition.sum(1), 1.0, atol=1e-6)


def test_a_choice_may_change_and_a_wrong_one_changes_nothing() -> None:
    classifier = Classifier(ACTIONS)
    classifier.change(Choice(disabled=("walk",)), None)
    assert classifier.actions == ("wave", "point", "push", "drink")
    with pytest.raises(ChoiceError):
        classifier.change(Choice(disabled=("nothing",)), None)
    assert classifier.choice == Choice(disabled=("walk",))
