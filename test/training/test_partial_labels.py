"""Losses of partial labels and of embeddings, against closed forms and torch's own cross-entropy."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.nn import functional  # noqa: E402

from training.model.partial_labels import cross_entropy_within, supervised_contrastive  # noqa: E402

IGNORE = -100


def test_with_whole_label_spaces_it_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(40, 5), torch.randint(0, 5, (40,))
    labels[::7] = IGNORE
    everything = torch.ones(40, 5, dtype=torch.bool)
    for smoothing in (0.0, 0.2):
        found = cross_entropy_within(logits, labels, everything, ignore=IGNORE, label_smoothing=smoothing)
        expected = functional.cross_entropy(logits, labels, ignore_index=IGNORE, label_smoothing=smoothing)
        torch.testing.assert_close(found, expected)


def test_background_of_a_set_counts_with_the_actions_that_it_does_not_label() -> None:
    probabilities = torch.tensor([[0.2, 0.5, 0.3]])
    spaces = torch.tensor([[True, False, True]])
    found = cross_entropy_within(probabilities.log(), torch.tensor([0]), spaces, ignore=IGNORE)
    assert found.item() == pytest.approx(-torch.tensor(0.7).log().item(), abs=1e-6)
    of_action = cross_entropy_within(probabilities.log(), torch.tensor([2]), spaces, ignore=IGNORE)
    assert of_action.item() == pytest.approx(-torch.tensor(0.3).log().item(), abs=1e-6)


def test_an_unlabelled_action_is_not_pushed_down_by_background() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    spaces = torch.tensor([[True, False, True]])
    cross_entropy_within(logits, torch.tensor([0]), spaces, ignore=IGNORE).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] < 0.0 < logits.grad[0, 2]


def test_background_may_weigh_less() -> None:
    torch.manual_seed(1)
    logits, labels = torch.randn(30, 4), torch.randint(0, 4, (30,))
    everything = torch.ones(30, 4, dtype=torch.bool)
    found = cross_entropy_within(logits, labels, everything, ignore=IGNORE, background_weight=0.25)
    expected = functional.cross_entropy(logits, labels, torch.tensor([0.25, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(found, expected)


def test_nothing_labelled_costs_nothing_and_still_has_a_gradient() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    nothing = torch.full((3,), IGNORE)
    loss = cross_entropy_within(logits, nothing, torch.ones(3, 4, dtype=torch.bool), ignore=IGNORE)
    assert loss.item() == 0.0
    (loss + supervised_contrastive(logits, nothing, ignore=IGNORE)).backward()
    assert not logits.grad.any()


def test_the_contrastive_loss_of_two_pairs_is_the_closed_form() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    found = supervised_contrastive(embeddings, torch.tensor([0, 0, 1, 1]), ignore=IGNORE, temperature=0.5)
    near, far = torch.tensor(2.0).exp(), torch.tensor(0.0).exp()
    assert found.item() == pytest.approx(-(near / (near + 2 * far)).log().item(), abs=1e-6)
    mixed = supervised_contrastive(embeddings, torch.tensor([0, 1, 0, 1]), ignore=IGNORE, temperature=0.5)
    assert mixed > found


def test_samples_without_a_partner_take_part_as_others_alone() -> None:
    torch.manual_seed(2)
    embeddings = torch.randn(5, 6)
    with_other = supervised_contrastive(embeddings, torch.tensor([0, 0, 1, 1, 2]), ignore=IGNORE)
    without = supervised_contrastive(embeddings, torch.tensor([0, 0, 1, 1, IGNORE]), ignore=IGNORE)
    assert with_other > without, "one more that must be far"
