"""Langevin samplers: rules that descend a loss L and are kicked by the batch, so that players visit exp(-L/T)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class sgld(Langevin):
    r"""Stochastic gradient Langevin dynamics: d = -h g + √(2hT) n, n standard normal: samples of exp(-L/T) for small h.

    Of L = λ/2 z² the stationary variance is (T/λ) / (1 - hλ/2). The kick is in the gradient when it gets here, as the
    linear term -√(2T/h) ⟨n, z⟩ of the player's loss would be, n being what `noise` finds in the batch. So a step that
    evaluates twice on a batch sees one draw; of the temperature above only simultaneous and alternating play are sure,
    and `Info.gradients` holds the kick. In an ensemble pass `own_batches=True`, or all members are kicked alike.

    Every number may be a float, a tensor or a schedule step -> float. Memory: none.

    Args:
        lr: h >= 0; at 0 nothing moves.
        noise: batch -> the draw, with a leaf of standard normal numbers for each of the player's that this rule moves.
        temperature: T >= 0; 1/N for the posterior where the loss is a mean over N data, the prior's share divided by N.

    Raises:
        TypeError: a noise that is no function.
        ValueError: an lr or a temperature below 0.
        GameError: when played, a draw that is not shaped like the player.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.Game(lambda x, batch: x**2 / 2), (torch.tensor(1.0),)
        >>> opt = mm.SimultaneousGDA(sgld(0.02, noise=lambda batch: batch["n"]))
        >>> opt.step(game, z, opt.init(game, z), {"n": torch.tensor(3.0)})[0]  # 1 - 0.02 + 0.2 * 3
        (tensor(1.5800),)

    Source: Welling & Teh, Bayesian Learning via Stochastic Gradient Langevin Dynamics, 2011.
    """

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        return tree.scale(-self.rate(step), gradient), memory


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
