"""AdamW: Adam that decays beside its moments."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from minimax import tree
from minimax.rules._adam import Moments
from minimax.rules.rule import Hyperparameter, Memory, now, zero
from minimax.tree import Vector


@dataclass(frozen=True)
class adamw(Moments):
    r"""Adam with decoupled weight decay: d = -h m̂ / (√v̂ + ε) - h w z, `torch.optim.AdamW`.

    z is where the gradient was taken, so extragradient's second half step decays z½. Everything else is as in `adam`,
    but for the decay that torch has by default. Memory: as `adam`.

    Args:
        lr: h >= 0.
        betas: (β₁, β₂) in [0, 1).
        eps: ε >= 0.
        weight_decay: w >= 0, per unit of h.
        amsgrad: divide by the largest v so far.

    Example:
        >>> import torch
        >>> rule, z = adamw(0.1, weight_decay=0.5), [torch.tensor(1.0)]
        >>> rule.move(z, [torch.tensor(2.0)], rule.init(z), torch.tensor(0))[0]  # -0.1 - 0.1 * 0.5 * 1
        [tensor(-0.1500)]

    Source: Loshchilov & Hutter, Decoupled Weight Decay Regularization, 2019.
    """

    weight_decay: Hyperparameter = 0.01

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        d, memory = self.descend(gradient, memory, step)
        w = now(self.weight_decay, step)
        return (d if zero(w) else tree.axpy(-self.rate(step) * w, player, d)), memory
