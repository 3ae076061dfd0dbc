"""RMSprop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from minimax import tree
from minimax.rules.rule import Hyperparameter, Memory, Rated, now
from minimax.tree import Vector
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class rmsprop(Rated):
    r"""RMSprop: s ← a s + (1-a) g², d = -h g / (√s + ε).

    Every number may be a float, a tensor or a schedule step -> float. Memory: one copy of the player.

    Args:
        lr: h >= 0.
        alpha: a in [0, 1), how slowly the squared gradient is averaged.
        eps: ε >= 0.

    Example:
        >>> import torch
        >>> rule = rmsprop(0.1, alpha=0.0)
        >>> rule.move([torch.tensor(1.0)], [torch.tensor(2.0)], rule.init([torch.tensor(1.0)]), torch.tensor(0))[0]
        [tensor(-0.1000)]

    Source: Tieleman & Hinton, Lecture 6.5: RMSprop, Neural Networks for Machine Learning, 2012.
    """

    alpha: Hyperparameter = 0.99
    eps: Hyperparameter = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("alpha", self.alpha, at_least=0, below=1)
        hyperparameter("eps", self.eps, at_least=0)

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return {"s": tree.zeros(player)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        s = tree.lerp(memory["s"], tree.mul(gradient, gradient), 1 - now(self.alpha, step))
        root = tree.shift(tree.sqrt(s), now(self.eps, step))
        return tree.scale(-self.rate(step), tree.div(gradient, root)), {"s": s}

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return [self.rate(step) / a for a in tree.shift(tree.sqrt(memory["s"]), now(self.eps, step))]
