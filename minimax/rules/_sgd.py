"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from minimax import tree
from minimax.rules.rule import Hyperparameter, Memory, Rated, now, zero
from minimax.tree import Vector
from minimax.validation import flag, hyperparameter


@dataclass(frozen=True)
class sgd(Rated):
    r"""Gradient descent with momentum: v ← b v + g, d = -h v (Nesterov: d = -h (g + b v)).

    On its own this is the heavy ball z⁺ = z - h g + b (z - z₋). In games a *negative* b can help (Gidel et al., 2019).
    Memory: one copy of the player if momentum is used, else none.

    Every number may be a float, a tensor or a schedule step -> float.

    Args:
        lr: h >= 0.
        momentum: b, of any sign; 0 for none.
        nesterov: look ahead along the momentum.
        weight_decay: w >= 0 adds w z to the gradient, z being where that was taken. So first-order methods play as on
            the losses L + w/2 |z|²; those that turn the field by its Jacobian first (consensus, say) add w z after it.

    Example:
        >>> import torch
        >>> sgd(0.1).move([torch.tensor(1.0)], [torch.tensor(2.0)], {}, torch.tensor(0))
        ([tensor(-0.2000)], {})
    """

    momentum: Hyperparameter = 0.0
    nesterov: bool = False
    weight_decay: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("momentum", self.momentum)
        hyperparameter("weight_decay", self.weight_decay, at_least=0)
        flag("nesterov", self.nesterov)
        if self.nesterov and not self._heavy:
            raise ValueError("nesterov looks ahead along the momentum, got momentum=0: pass a momentum too.")

    @property
    def _heavy(self) -> bool:
        return not zero(self.momentum)

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return {"v": tree.zeros(player)} if self._heavy else {}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        w = now(self.weight_decay, step)
        g = gradient if zero(w) else tree.axpy(w, player, gradient)
        if not self._heavy:
            return tree.scale(-self.rate(step), g), memory
        b = now(self.momentum, step)
        v = tree.axpy(b, memory["v"], g)
        d = tree.axpy(b, v, g) if self.nesterov else v
        return tree.scale(-self.rate(step), d), {"v": v}

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return self.rate(step)
