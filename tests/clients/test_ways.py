"""Other ways to play than a trainer's step, on one GAN with BatchNorm: `solve`, many runs at once, a compiled step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import minimax as mm
from minimax.transforms import accumulate
from tests.clients.gan import batch, loss_d, loss_g, networks
from tests.clients.loops import values

STEPS, RATES = 12, (5e-4, 2e-3, 8e-3)
GAN = mm.Game(loss_g, loss_d)


def played(schedule: Any, modules: Any, rate: float) -> Any:
    """The modules after all steps of the loop by hand."""
    optimizers = [torch.optim.Adam(module.parameters(), lr=rate, betas=(0.5, 0.999)) for module in modules]
    loop = schedule.hand((loss_g, loss_d), modules, optimizers)
    for k in range(STEPS):
        loop.step(batch(k))
    return modules


def assert_equal(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(values(one, True), values(other, True), rtol=1e-10, atol=1e-10)


def adam(rate: Any) -> mm.Rule:
    return mm.adam(rate, betas=(0.5, 0.999))


def test_solve(schedule: Any, twins: Any) -> None:
    hand, ours = twins(*networks())
    solution = mm.solve(GAN, ours, schedule.ours(adam(2e-3)), batch, steps=STEPS)
    assert_equal(solution.players, played(schedule, hand, 2e-3))
    assert_equal(ours, hand)


@pytest.mark.parametrize("schedule", ["alternating", "optimistic"], indirect=True)
def test_an_ensemble_of_seeds_and_rates(schedule: Any, twins: Any) -> None:
    """Every member as its own loop by hand, its statistics too."""
    pairs = [twins(*networks()) for _ in RATES]
    optimizer = schedule.ours(adam(torch.tensor(RATES)))
    found = mm.ensemble(GAN, optimizer, [ours for _, ours in pairs], batch, steps=STEPS)
    for k, (hand, ours) in enumerate(pairs):
        assert_equal(found.member(k, into=ours), played(schedule, hand, RATES[k]))


def halves(loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A loss on the two halves of its batch in turn."""

    def mean(g: nn.Module, d: nn.Module, drawn: dict[str, torch.Tensor]) -> torch.Tensor:
        chunks = zip(drawn["real"].chunk(2), drawn["noise"].chunk(2), strict=True)
        return sum(loss(g, d, {"real": real, "noise": noise}) for real, noise in chunks) / 2

    return mean


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("schedule", ["extragradient"], indirect=True)
def test_compiled(schedule: Any, twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(GAN, ours, schedule.ours(adam(2e-3)), compile=True)
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("schedule", ["alternating"], indirect=True)
def test_compiled_on_micro_batches(schedule: Any, twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((halves(loss_g), halves(loss_d)), hand, optimizers)
    trainer = mm.bind(accumulate(GAN, 2), ours, schedule.ours(adam(2e-3)), compile=True)
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))
