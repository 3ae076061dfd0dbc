"""The sign of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minimax import tree
from minimax.rules.rule import Hyperparameter, Memory, Rated, now, zero
from minimax.tree import Vector
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class sign(Rated):
    r"""Steepest descent in the largest entry, v ← b v + g, d = -h sign(v): signSGD, with momentum Signum.

    An attack's step: inside the box of half width ε, one step from its centre at h >= ε is FGSM, which is exact where
    the loss is monotone in a linear score; several are PGD. A linear game has no use for it: every move is h long.

    Every number may be a float, a tensor or a schedule step -> float. Memory: one copy of the player if momentum is
    used, else none.

    Args:
        lr: h >= 0, how far every entry moves.
        momentum: b, of any sign; 0 for none.

    Example:
        >>> import torch
        >>> sign(0.1).move([torch.zeros(3)], [torch.tensor([5.0, -0.1, 0.0])], {}, torch.tensor(0))[0]
        [tensor([-0.1000,  0.1000, -0.0000])]

    Source: Goodfellow, Shlens & Szegedy, Explaining and Harnessing Adversarial Examples, 2015; Bernstein et al.,
    signSGD: Compressed Optimisation for Non-Convex Problems, 2018.
    """

    momentum: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("momentum", self.momentum)

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return {} if zero(self.momentum) else {"v": tree.zeros(player)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        v = gradient
        if not zero(self.momentum):
            v = tree.axpy(now(self.momentum, step), memory["v"], gradient)
            memory = {"v": v}
        signs = [torch.where(g.isnan(), g, g.sign()) for g in v]  # torch calls the sign of a NaN 0
        return tree.scale(-self.rate(step), signs), memory
