"""Multiplicative weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minimax import tree
from minimax.rules._simplices import check_rows
from minimax.rules.rule import Hyperparameter, Memory, Rated, now, zero
from minimax.tree import Vector
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class entropic(Rated):
    r"""Multiplicative weights: z⁺ ∝ z exp(-h g) along the last dimension, the mirror step on the probability simplex.

    Every leaf holds one distribution per row and stays one (a zero stays zero), so no projection is needed;
    `ExtraGradient(entropic(h))` is mirror-prox. For schedules that add one move to the point it was made at:
    simultaneous, alternating, extragradient (methods that add several refuse it).

    With optimism b it is z⁺ ∝ z exp(-h (g + b (g - g₋))), g₋ the last gradient, and at first g: with b = 1 optimistic
    multiplicative weights, of which `SimultaneousGDA(entropic(h, optimism=1.0))` solves matrix games where plain ones
    spiral out. Near an inner equilibrium they are `OptimisticGDA` in the metric diag(z) - zzᵀ. Memory: g₋ and a counter
    with optimism, else none.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float; for mirror-prox on xᵀAy at most 1 / max |A_ij|.
        optimism: b, of any sign, likewise.

    Raises:
        GameError: at `init`, a player outside the simplex.

    Example:
        >>> import torch
        >>> entropic(1.0).move([torch.tensor([0.5, 0.5])], [torch.tensor([0.0, 20.0])], {}, torch.tensor(0))[0]
        [tensor([ 0.5000, -0.5000])]

    Source: Nemirovski, Prox-method with rate of convergence O(1/t), 2004; Freund & Schapire, 1999; Daskalakis &
    Panageas, Last-Iterate Convergence: Zero-Sum Games and Constrained Min-Max Optimization, 2019, for optimism.
    """

    optimism: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("optimism", self.optimism)

    @property
    def sums(self) -> bool:
        return False

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        check_rows("entropic", player)
        if zero(self.optimism):
            return {}
        return {"past": tree.zeros(player), "t": torch.zeros((), dtype=torch.int64)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        if not zero(self.optimism):
            past = [
                torch.where(memory["t"].to(g.device) > 0, p, g) for p, g in zip(memory["past"], gradient, strict=True)
            ]
            memory = {"past": tree.clone(gradient), "t": memory["t"] + 1}
            gradient = tree.axpy(now(self.optimism, step), tree.sub(gradient, past), gradient)
        logits = tree.axpy(-self.rate(step), gradient, [z.log() for z in player])
        return tree.sub([z.softmax(-1) for z in logits], player), memory

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        return self.move(start, gradient, memory, step)
