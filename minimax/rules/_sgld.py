"""Stochastic gradient Langevin dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from minimax import tree
from minimax.rules._langevin import Langevin
from minimax.rules.rule import Memory
from minimax.tree import Vector


@dataclass(frozen=True)
class sgld(Langevin):
    r"""Stochastic gradient Langevin dynamics: d = -h g + √(2hT) n, n standard normal: samples of exp(-L/T) for small h.

    Of L = λ/2 z² the stationary variance is (T/λ) / (1 - hλ/2). The kick is in the gradient when it gets here, as the
    linear term -√(2T/h) ⟨n, z⟩ of the player's loss would be, n being what `noise` finds in the batch. So a step that
    evaluates twice on a batch sees one draw; of the temperature above only simultaneous and alternating play are sure,
    and `Info.gradients` holds the kick. In an ensemble pass `own_batches=True`, or all members are kicked alike; pass
    all ranks of `transforms.data_parallel` the same draw.

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
