"""Langevin samplers: rules that descend a loss L and are kicked by the batch, so that players visit exp(-L/T)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.rules.rule import Hyperparameter, Memory, Rated, now
from minimax.tree import Vector
from minimax.validation import function, hyperparameter


@dataclass(frozen=True)
class Langevin(Rated):
    """What `sgld` and `sghmc` share: the kick, -√(2αT/h) n on the gradient, with n the draw and α the friction."""

    noise: Callable[[Any], Any]
    temperature: Hyperparameter = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        function("noise", self.noise, "a function of the batch that returns its standard normal draw for the player")
        hyperparameter("temperature", self.temperature, at_least=0)

    @property
    def kicks(self) -> bool:
        return True

    def drag(self, step: Tensor) -> Any:
        """α, the friction: of a player without momentum all there is."""
        return 1.0

    def kick(self, player: Vector, batch: Any, memory: Memory, step: Tensor) -> Vector:
        n = tree.flatten(self.noise(batch))[0]
        mine, drawn = [list(leaf.shape) for leaf in player], [list(leaf.shape) for leaf in n]
        if mine != drawn:
            raise GameError(f"noise must draw a number for each of the player's, of shapes {mine}, got shapes {drawn}.")
        h = torch.as_tensor(self.rate(step), dtype=torch.float64)
        heat = 2 * self.drag(step) * now(self.temperature, step)
        size = torch.where(h > 0, heat / h, 0.0) ** 0.5  # a rate may end at 0, where nothing moves
        return [leaf.to(z) for leaf, z in zip(tree.scale(-size, n), player, strict=True)]

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return self.rate(step)
