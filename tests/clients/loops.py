"""The schedules of game optimizers as loops in plain torch: what people write who have no library for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import minimax as mm

Modules = Sequence[nn.Module]


def values(module: nn.Module, buffers: bool) -> dict[str, Tensor]:
    """The module's tensors by name."""
    named = dict(module.named_parameters()) | (dict(module.named_buffers()) if buffers else {})
    return {name: tensor.detach() for name, tensor in named.items()}


class ByHand:
    """A schedule in plain torch: one optimizer per module, every player's loss by its own forward pass."""

    def __init__(self, losses: Sequence[Callable[..., Tensor]], modules: Modules, optimizers: Sequence[Any]) -> None:
        self.losses, self.modules, self.optimizers = losses, modules, optimizers
        self.players = [list(module.parameters()) for module in modules]
        self.memory: list[list[Tensor]] = []

    def gradient(self, i: int, batch: Any) -> list[Tensor]:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.losses[i](*self.modules, batch).backward()
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.players[i]]

    def move(self, i: int, gradient: list[Tensor]) -> None:
        for parameter, g in zip(self.players[i], gradient, strict=True):
            parameter.grad = g
        self.optimizers[i].step()

    def together(self, batch: Any) -> None:
        """All players move at once, each along the gradient at the same point."""
        gradients = [self.gradient(i, batch) for i in range(len(self.losses))]
        for i, gradient in enumerate(gradients):
            self.move(i, gradient)

    def saved(self) -> list[list[Tensor]]:
        return [[p.detach().clone() for p in player] for player in self.players]

    @torch.no_grad()
    def write(self, points: list[list[Tensor]]) -> None:
        for player, point in zip(self.players, points, strict=True):
            for parameter, value in zip(player, point, strict=True):
                parameter.copy_(value)

    def combined(self, of: Callable[..., Tensor], *points: list[list[Tensor]]) -> list[list[Tensor]]:
        return [[of(*leaves) for leaves in zip(*players, strict=True)] for players in zip(*points, strict=True)]


class Simultaneous(ByHand):
    def step(self, batch: Any) -> None:
        self.together(batch)


class Alternating(ByHand):
    """The last player, the critic, moves first."""

    def step(self, batch: Any) -> None:
        for i in reversed(range(len(self.losses))):
            self.move(i, self.gradient(i, batch))


class ExtraGradient(ByHand):
    """As in the authors' ExtraAdam: look ahead with the optimizer, come back, step with the gradient from there."""

    def step(self, batch: Any) -> None:
        start = self.saved()
        self.together(batch)
        gradients = [self.gradient(i, batch) for i in range(len(self.losses))]
        self.write(start)
        for i, gradient in enumerate(gradients):
            self.move(i, gradient)


class Optimistic(ByHand):
    """z + 2 d_t - d_{t-1} for the optimizer's displacement d, the first step being plain."""

    def step(self, batch: Any) -> None:
        start = self.saved()
        self.together(batch)
        d = self.combined(torch.sub, self.saved(), start)
        past = self.memory or d
        self.write(self.combined(lambda z, now, before: z + 2 * now - before, start, d, past))
        self.memory = d


class Lookahead(ByHand):
    """Every third simultaneous step goes half way back to where its round began."""

    count = 0

    def step(self, batch: Any) -> None:
        if self.count % 3 == 0:
            self.memory = self.saved()
        self.together(batch)
        self.count += 1
        if self.count % 3 == 0:
            self.write(self.combined(lambda slow, fast: slow + (fast - slow) / 2, self.memory, self.saved()))


@dataclass(frozen=True)
class Schedule:
    """One schedule twice: `ours` from a rule, `hand` from losses, modules and torch optimizers."""

    ours: Callable[..., mm.GameOptimizer]
    hand: type[ByHand]


SCHEDULES = {
    "alternating": Schedule(lambda rule: mm.AlternatingGDA(rule, order=(1, 0)), Alternating),
    "simultaneous": Schedule(mm.SimultaneousGDA, Simultaneous),
    "extragradient": Schedule(mm.ExtraGradient, ExtraGradient),
    "optimistic": Schedule(mm.OptimisticGDA, Optimistic),
    "lookahead": Schedule(lambda rule: mm.Lookahead(mm.SimultaneousGDA(rule), k=3, alpha=0.5), Lookahead),
}
