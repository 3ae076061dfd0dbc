"""Multiplicative weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.rules.rule import Memory, Rated
from minimax.tree import Vector


@dataclass(frozen=True)
class entropic(Rated):
    r"""Multiplicative weights: z⁺ ∝ z exp(-h g) along the last dimension, the mirror step on the probability simplex.

    Every leaf holds one distribution per row and stays one (a zero stays zero), so no projection is needed;
    `ExtraGradient(entropic(h))` is mirror-prox. For schedules that add one move to the point it was made at:
    simultaneous, alternating, extragradient (methods that add several refuse it). Memory: none.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float; for mirror-prox on xᵀAy at most 1 / max |A_ij|.

    Raises:
        GameError: at `init`, a player outside the simplex.

    Example:
        >>> import torch
        >>> entropic(1.0).move([torch.tensor([0.5, 0.5])], [torch.tensor([0.0, 20.0])], {}, torch.tensor(0))[0]
        [tensor([ 0.5000, -0.5000])]

    Source: Nemirovski, Prox-method with rate of convergence O(1/t), 2004; Freund & Schapire, 1999.
    """

    @property
    def sums(self) -> bool:
        return False

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        for z in () if tree.transformed() else player:
            off = torch.tensor(1.0) if z.dim() == 0 else (z.sum(-1) - 1).abs().max()
            if not (float(off) <= torch.finfo(z.dtype).eps ** 0.5 and float(z.min()) >= 0):
                raise GameError(
                    "entropic moves rows of numbers >= 0 that sum to 1, got a player of shape "
                    f"{tuple(z.shape)} with entries from {float(z.min()):.4g} to {float(z.max()):.4g}: "
                    "start from x.softmax(-1), say."
                )
        return {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        logits = tree.axpy(-self.rate(step), gradient, [z.log() for z in player])
        return tree.sub([z.softmax(-1) for z in logits], player), memory

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        return self.move(start, gradient, memory, step)
