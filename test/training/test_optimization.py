"""Learning rates by closed form, and which weights decay."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from training.optimization import LOWEST, adamw, cosine_schedule, rate_share  # noqa: E402


def test_the_rate_rises_then_falls() -> None:
    found = [rate_share(done, 0.2) for done in (0.0, 0.1, 0.2, 0.6, 1.0, 1.1)]
    assert found == pytest.approx([LOWEST, 0.5, 1.0, 0.5, 0.0, 0.0])
    assert [rate_share(done, 0.0) for done in (0.0, 0.5)] == pytest.approx([1.0, 0.5])
    assert rate_share(0.5, 1.0) == 0.5


@pytest.mark.parametrize(("epochs", "warmup"), [(5, 0.0), (5, 0.1), (50, 0.1), (1, 0.0), (1, 0.5)])
def test_the_schedule_is_that_of_the_runs_epochs(epochs: int, warmup: float) -> None:
    """With three batches an epoch of which two make a step, whatever `max_epochs` says."""
    trainer = SimpleNamespace(
        fit_loop=SimpleNamespace(setup_data=lambda: None),
        num_training_batches=3,
        accumulate_grad_batches=2,
        max_epochs=1,
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.5)
    schedule = cosine_schedule(trainer, optimizer, epochs, warmup)["lr_scheduler"]["scheduler"]  # type: ignore
    steps = 2 * epochs
    for step in range(steps):
        done = step / steps
        fall = 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
        expected = max(done / warmup, 0.04) if done < warmup else fall
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * expected)
        optimizer.step()
        schedule.step()


def test_matrices_alone_decay_each_part_at_its_rate() -> None:
    """One step without gradients from a loss: matrices shrink by rate * decay, all else stays."""
    torch.manual_seed(0)
    first, second = torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.LayerNorm(2))
    second[0].weight.requires_grad_(False)
    parts = torch.nn.ModuleList([first, second])
    before = {name: value.clone() for name, value in parts.named_parameters()}
    optimizer = adamw([(first, 0.1), (second, 0.2)], 0.5)
    for parameter in parts.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in parts.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "0.weight" else 1.0
        torch.testing.assert_close(value, factor * before[name], msg=name)
