"""A player of three leaves, moved along given gradients by a rule, and by torch's optimizer."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import minimax as mm

SHAPES = [(3, 2), (4,), ()]
NAMES = ["weight", "bias", "scale"]
STEPS = 25


def players_and_gradients(generator: torch.Generator) -> tuple[list[Tensor], list[list[Tensor]]]:
    def draw() -> list[Tensor]:
        return [torch.randn(shape, generator=generator) for shape in SHAPES]

    return draw(), [draw() for _ in range(STEPS)]


def played(rule: mm.Rule, player: list[Tensor], gradients: list[list[Tensor]]) -> list[Tensor]:
    memory = rule.init(player, NAMES[: len(player)])
    for step, g in enumerate(gradients):
        d, memory = rule.move(player, g, memory, torch.tensor(step))
        player = [z + move for z, move in zip(player, d, strict=True)]
    return player


def stepped(
    optimizer: type,
    options: dict,
    player: list[Tensor],
    gradients: list[list[Tensor]],
    groups: Callable[[list[Tensor]], list[dict]] | None = None,
    before: Callable[[Sequence[Tensor]], object] = lambda leaves: None,
) -> list[Tensor]:
    """Torch's loop, with its parameter groups and with what is done to the gradients `before` a step."""
    player = [z.clone() for z in player]
    opt = optimizer(player if groups is None else groups(player), **options)
    for g in gradients:
        for z, part in zip(player, g, strict=True):
            z.grad = part.clone()
        before(player)
        opt.step()
    return player
