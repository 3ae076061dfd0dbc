"""Muon: momentum of matrices, made nearly orthogonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.rules.rule import Hyperparameter, Memory, Rated, now, zero
from minimax.tree import Vector
from minimax.validation import flag, hyperparameter, whole

A, B, C = 3.4445, -4.7750, 2.0315  # steep at 0, and about 1 from there on: Jordan's


@dataclass(frozen=True)
class muon(Rated):
    r"""Muon: v ← b v + (1-b) g, d = -h √max(1, rows/columns) O(v) - h w z, `torch.optim.Muon`.

    O(v) has v's singular vectors, and singular values near 1: those of v / |v| after K steps of s ← A s + B s³ + C s⁵
    (Newton-Schulz: matrix products alone; 0.68 to 1.16 from s >= 0.005 on). With nesterov it is O of (1-b) g + b v.

    For matrices; kernels of more dimensions count as (first, all others). `split` leaves the rest to another rule.
    Differs from torch, which computes O in bfloat16: here it is the player's own dtype. Memory: v, one copy of the
    player.

    Every number may be a float, a tensor or a schedule step -> float.

    Args:
        lr: h >= 0; entries move by about h / √columns.
        momentum: b in [0, 1).
        nesterov: look ahead along the momentum.
        weight_decay: w >= 0, decoupled as AdamW's.
        steps: K >= 1.

    Raises:
        GameError: at `init`, a leaf of less than two dimensions.

    Example:
        >>> import torch
        >>> rule, z = muon(0.1, weight_decay=0.0), [torch.zeros(2, 2)]
        >>> d = rule.move(z, [torch.tensor([[0.0, 3.0], [-5.0, 0.0]])], rule.init(z), torch.tensor(0))[0][0]
        >>> d.round(decimals=1)
        tensor([[-0.0000, -0.1000],
                [ 0.1000, -0.0000]])

    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.
    """

    momentum: Hyperparameter = 0.95
    nesterov: bool = True
    weight_decay: Hyperparameter = 0.1
    steps: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("momentum", self.momentum, at_least=0, below=1)
        flag("nesterov", self.nesterov)
        hyperparameter("weight_decay", self.weight_decay, at_least=0)
        whole("steps", self.steps, at_least=1)

    @property
    def entrywise(self) -> bool:
        return False

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        for leaf in player:
            if leaf.dim() < 2:
                raise GameError(
                    f"muon moves matrices, got a leaf of shape {tuple(leaf.shape)}: "
                    "split(lambda name, shape: len(shape) >= 2, muon(0.02), adamw(1e-3)) leaves it to another rule."
                )
        return {"v": tree.zeros(player)}

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        b, h = now(self.momentum, step), self.rate(step)
        v = tree.lerp(memory["v"], gradient, 1 - b)
        ahead = tree.lerp(gradient, v, b) if self.nesterov else v
        d = tree.scale(-h, [self._orthogonal(leaf) for leaf in ahead])
        w = now(self.weight_decay, step)
        return (d if zero(w) else tree.axpy(-h * w, player, d)), {"v": v}

    def _orthogonal(self, leaf: Tensor) -> Tensor:
        """√max(1, rows/columns) O(leaf)."""
        M = leaf.reshape(len(leaf), -1)
        rows, columns = M.shape
        s = M.mT if rows > columns else M  # (short, long): the products below are (short, short)
        s = s / s.norm().clamp(min=1e-7)
        for _ in range(self.steps):
            squares = s @ s.mT
            s = A * s + (B * squares + C * squares @ squares) @ s
        whole: Tensor = s.mT if rows > columns else s
        return whole.reshape(leaf.shape) * math.sqrt(max(1, rows / columns))
