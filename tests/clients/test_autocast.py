"""bfloat16 autocast, bit for bit: with SGD and rates that are powers of two, neither side rounds its update otherwise.

Any other rounding of an update moves a weight across a border of bfloat16 sooner or later, 0.4 % at once.
"""

import copy
from typing import Any

import pytest
import torch

import minimax as mm
from minimax.transforms import autocast
from tests.clients.gan import batch, loss_d, loss_g, networks

STEPS, RATE, MOMENTUM = 24, 2**-2, 0.5


@pytest.fixture(autouse=True)
def _single() -> None:
    """Weights in float32, as autocast wants them."""
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous", "extragradient"], indirect=True)
def test_bfloat16(schedule: Any, twins: Any) -> None:
    hand, ours = twins(*networks())
    start = copy.deepcopy(hand[0][0].weight)
    optimizers = [torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM) for module in hand]

    def cast(loss: Any) -> Any:
        def call(*args: Any) -> Any:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return loss(*args)

        return call

    loop = schedule.hand((cast(loss_g), cast(loss_d)), hand, optimizers)
    rule = mm.sgd(RATE, momentum=MOMENTUM)
    trainer = mm.bind(autocast(mm.Game(loss_g, loss_d)), ours, schedule.ours(rule))
    for k in range(STEPS):
        loop.step(batch(k))
        trainer.step(batch(k))
        for expected, found in zip(hand, ours, strict=True):
            torch.testing.assert_close(dict(found.state_dict()), dict(expected.state_dict()), rtol=0, atol=0)
    assert (hand[0][0].weight - start).abs().max() > 1e-2


def test_it_is_bfloat16(twins: Any) -> None:
    """The gradients differ from float32's as bfloat16's two or three digits do."""
    modules, _ = twins(*networks())
    game, players = mm.Game(loss_g, loss_d).functional(modules)
    exact, rounded = (of.field(players, batch(0))[0]["0.weight"] for of in (game, autocast(game)))
    error = (rounded - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.1 and rounded.dtype == torch.float32
