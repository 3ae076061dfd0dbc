"""Stochastic gradient Hamiltonian Monte Carlo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from minimax import tree
from minimax.rules._langevin import Langevin
from minimax.rules.rule import Hyperparameter, Memory, now
from minimax.tree import Vector
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class sghmc(Langevin):
    r"""Stochastic gradient Hamiltonian Monte Carlo: v ← (1-α) v - h g + √(2αhT) n, d = v, n standard normal.

    The heavy ball of momentum 1-α and rate h, kicked so that it samples exp(-L/T) for small h. Of L = λ/2 z², with
    gradients of variance s² besides, the stationary variance is (T/λ) (1 + hs²/2αT) / (1 - hλ/(2(2-α))). With α = 1 it
    is `sgld`, which says how the kick arrives and what it is sure of.

    Every number may be a float, a tensor or a schedule step -> float. Memory: v, one copy of the player.

    Args:
        lr: h >= 0.
        noise: batch -> the draw, with a leaf of standard normal numbers for each of the player's that this rule moves.
        temperature: T >= 0; 1/N for the posterior where the loss is a mean over N data, the prior's share divided by N.
        friction: α in [0, 1].

    Raises:
        TypeError: a noise that is no function.
        ValueError: an lr or a temperature below 0, or a friction outside [0, 1].
        GameError: when played, a draw that is not shaped like the player.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.Game(lambda x, batch: x**2 / 2), (torch.tensor(1.0),)
        >>> opt = mm.SimultaneousGDA(sghmc(0.2, noise=lambda batch: batch["n"]))
        >>> opt.step(game, z, opt.init(game, z), {"n": torch.tensor(3.0)})[0]  # 1 - 0.2 + 0.2 * 3
        (tensor(1.4000),)

    Source: Chen, Fox & Guestrin, Stochastic Gradient Hamiltonian Monte Carlo, 2014; Saatci & Wilson,
    Bayesian GAN, 2017.
    """

    friction: Hyperparameter = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("friction", self.friction, at_least=0, at_most=1)

    def drag(self, step: Tensor) -> Any:
        return now(self.friction, step)

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return {"v": tree.zeros(player)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        v = tree.sub(tree.scale(1 - self.drag(step), memory["v"]), tree.scale(self.rate(step), gradient))
        return v, {"v": v}
