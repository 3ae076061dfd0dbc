"""Extra anchored gradient, EAG-C and EAG-V."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import real


@dataclass(frozen=True)
class ExtraAnchoredGradient(Ruled):
    r"""Extra anchored gradient (EAG): z½ = ẑ - α_k F(z_k),  z_{k+1} = ẑ - α_k F(z½), ẑ = z_k + (z_0 - z_k) / (k + 2).

    The anchor makes the last iterate's |F|² fall as 1/k², where extragradient has 1/k, on every convex-concave game.
    EAG-C keeps α_k = h: |F(z_k)|² ≤ 260 L² |z_0 - z*|² / (k + 1)² for h = 1/(8L). EAG-V starts from a larger α_0 = h
    and decreases it: α_{k+1} = α_k (1 - α_k²L² / ((k + 1)(k + 3)(1 - α_k²L²))).

    Cost per step: two gradients per player. Memory: one copy of the players.
    State: `anchor` z_0; `ratio` α_k/h, a 0-dim float64; the rules' memories.
    Differs from the paper: in nothing with sgd.

    Args:
        rule: one rule for all players, or a tuple with one each; sgd is what the theory is about.
        variable: hL for EAG-V, in (0, 3/4), 0.618 in the paper; None for EAG-C.

    Raises:
        ValueError: variable outside (0, 3/4).

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.ExtraAnchoredGradient(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.7500), tensor(0.5000))

    Source: Yoon & Ryu, Accelerated Algorithms for Smooth Convex-Concave Minimax Problems with O(1/k²) Rate, 2021.
    """

    variable: float | None = None

    name: ClassVar[str] = "extra-anchored-gradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variable is not None:
            real("variable", self.variable, above=0, below=0.75)

    @property
    def adaptive(self) -> bool:
        return self.variable is not None

    def start(self, z: Point, device: torch.device) -> State:
        anchor = [tree.clone(vector) for vector in z]
        return {"anchor": anchor, "ratio": torch.ones((), dtype=torch.float64)}  # α_k / h

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        k, α = state["step"].double(), state["ratio"]
        β = 1 / (k + 2)
        pulled = tuple(tree.lerp(z_i, z_0, β) for z_i, z_0 in zip(z, state["anchor"], strict=True))
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(pulled, ξ, state, at=z)
        half = moved(game, pulled, self._scaled(α, d))
        ξ_half, _ = game.field(half, batches[0])
        d, state = self.directions(pulled, ξ_half, state, at=half)
        new = moved(game, pulled, self._scaled(α, d))
        if self.variable is not None:
            αL = α * self.variable
            α = α * (1 - αL**2 / ((k + 1) * (k + 3) * (1 - αL**2)))
        return new, counted(state | {"ratio": α}), Info(losses, ξ)

    def _scaled(self, α: torch.Tensor, d: Point) -> Point:
        return d if self.variable is None else scaled(α, d)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        hJ = D @ at.J
        return LinearMap(at.eye - hJ + hJ @ hJ, late=True, sublinear=True)
