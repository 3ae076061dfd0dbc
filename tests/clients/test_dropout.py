"""Dropout, as in pix2pix (Isola et al., 2017): every forward pass draws its mask from torch's generator, in order.

Losses should take their randomness from the batch, for then a step can evaluate twice on one sample. A network that
draws its own plays as in a loop by hand all the same: each evaluation draws anew.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import minimax as mm
from tests.clients.gan import batch, loss_d, loss_g, networks

STEPS = 12


def with_dropout() -> tuple[nn.Module, nn.Module]:
    g, d = networks()
    return nn.Sequential(*g[:3], nn.Dropout(0.5), g[3]), nn.Sequential(*d[:2], nn.Dropout(0.3), *d[2:])


def test_the_same_masks(schedule: Any, twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*with_dropout())
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, schedule.ours(mm.adam(2e-3, betas=(0.5, 0.999))))

    def seeded(take: Callable[[Any], Any]) -> Callable[[int], None]:
        def step(k: int) -> None:
            torch.manual_seed(k)
            take(batch(k))

        return step

    side_by_side(STEPS, (hand, seeded(loop.step)), (ours, seeded(trainer.step)))
