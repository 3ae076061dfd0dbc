"""Clipping gradients by their norm, `torch.nn.utils.clip_grad_norm_`, as a rule of the user's own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

import minimax as mm
from tests.clients.gan import batch, loss_d, loss_g, networks

STEPS, LIMIT = 24, 0.1


@dataclass(frozen=True)
class clipped_adam(mm.adam):
    """Adam on gradients that are scaled down to the norm `limit`."""

    limit: float = LIMIT

    def move(self, player: list[Tensor], gradient: list[Tensor], memory: Any, step: Tensor) -> Any:
        factor = (self.limit / (get_total_norm(gradient) + 1e-6)).clamp(max=1.0)
        return super().move(player, [factor * g for g in gradient], memory, step)


def test_clipped_gradients(twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    norms: list[Tensor] = []

    def step(k: int) -> None:
        for i, loss in ((1, loss_d), (0, loss_g)):
            optimizers[i].zero_grad()
            loss(*hand, batch(k)).backward()
            norms.append(clip_grad_norm_(hand[i].parameters(), LIMIT))
            optimizers[i].step()

    optimizer = mm.AlternatingGDA(clipped_adam(2e-3, betas=(0.5, 0.999)), order=(1, 0))
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, optimizer)
    side_by_side(STEPS, (hand, step), (ours, lambda k: trainer.step(batch(k))))
    assert min(norms) < LIMIT < max(norms), "some are clipped, some are not"


def test_both_half_steps_are_clipped(schedule: Any, twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())

    class Clipped(schedule.hand):
        def move(self, i: int, gradient: list[Tensor]) -> None:
            for parameter, g in zip(self.players[i], gradient, strict=True):
                parameter.grad = g
            clip_grad_norm_(self.players[i], LIMIT)
            self.optimizers[i].step()

    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    loop = Clipped((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, schedule.ours(clipped_adam(2e-3, betas=(0.5, 0.999))))
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))
