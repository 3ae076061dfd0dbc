"""Fast extragradient, FEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class FastExtraGradient(Ruled):
    r"""Fast extragradient (FEG): z½ = ẑ - (1 - β)(h + 2ρ) F(z_k),  z_{k+1} = ẑ - h F(z½) - (1 - β) 2ρ F(z_k).

    Here ẑ = z_k + β (z_0 - z_k) with β = 1/(k + 1), so the first step is plain. With h = 1/L, |F(z_k)|² ≤
    4 |z_0 - z*|² / ((1/L + 2ρ)² k²) for every F that is ρ-comonotone, <F(w) - F(z), w - z> ≥ ρ |F(w) - F(z)|², with
    ρ > -1/(2L): convex-concave games (ρ = 0), and with ρ < 0 some that are not.

    Cost per step: two gradients per player. Memory: one copy of the players.
    State: `anchor` z_0; the rules' memories.
    Differs from the paper: ρ is given in units of h.

    Args:
        rule: one rule for all players, or a tuple with one each; sgd(1/L) is what the theory is about.
        rho: ρ/h, the comonotonicity of F in units of the step, above -1/2; a float, tensor, or schedule.

    Raises:
        ValueError: rho at or below -1/2.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.FastExtraGradient(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(1.), tensor(0.5000))

    Source: Lee & Kim, Fast Extra Gradient Methods for Smooth Structured Nonconvex-Nonconcave Minimax Problems, 2021.
    """

    rho: Hyperparameter = 0.0

    name: ClassVar[str] = "fast-extragradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("rho", self.rho, above=-0.5)

    def start(self, z: Point, device: torch.device) -> State:
        return {"anchor": [tree.clone(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        β, ρ = 1 / (state["step"].double() + 1), self.at(self.rho, state)
        pulled = tuple(tree.lerp(z_i, z_0, β) for z_i, z_0 in zip(z, state["anchor"], strict=True))
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(pulled, ξ, state, at=z)
        half = moved(game, pulled, tuple(tree.scale((1 - β) * (1 + 2 * ρ), d_i) for d_i in d))
        ξ_half, _ = game.field(half, batches[0])
        d_half, state = self.directions(pulled, ξ_half, state, at=half)
        d = tuple(tree.axpy((1 - β) * 2 * ρ, d_i, d_h) for d_i, d_h in zip(d, d_half, strict=True))
        return moved(game, pulled, d), counted(state), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        hJ, reach = D @ at.J, 1 + 2 * constant(self.rho)
        return LinearMap(at.eye - reach * hJ + reach * hJ @ hJ, late=True, sublinear=True)
