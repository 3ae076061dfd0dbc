"""The golden ratio algorithm, which needs no step size, or has a fixed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap, assembled
from minimax.optimizer import Info, Ruled, State, counted, moved, scaled
from minimax.optimizers._golden import fresh, next_size
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import flag, real


@dataclass(frozen=True)
class GoldenRatio(Ruled):
    r"""Adaptive golden ratio algorithm (aGRAAL): z̄_k = ((φ-1) z_k + z̄_{k-1}) / φ,  z_{k+1} = z̄_k - λ_k F(z_k).

    It finds its step size: λ_k = min(ρ λ_{k-1}, φ θ_{k-1} |z_k - z_{k-1}|² / (4 λ_{k-1} |F(z_k) - F(z_{k-1})|²)) with
    θ_k = φ λ_k / λ_{k-1} and ρ = 1/φ + 1/φ². Converges on every monotone, locally Lipschitz game, with projections too,
    without knowing L. The rule's moves stand for -F, so λ_k is in units of the rule's rate. Its first move is the
    exploration that measures L, for λ_1 = φ/(2L): from there on every small sgd rate plays alike. With other rules this
    is a heuristic that tunes their rate.

    `fixed` keeps λ_k = 1 (GRAAL), for h ≤ φ/(2L): without projections z⁺ = z - h (F(z) - F(z₋)/φ), optimistic play of
    b = 1/(φ-1) at h (φ-1)/φ. Golden φ converges on bilinear games for hσ < √(3 - φ), fastest at hσ = 1: by 1/√φ a step.

    Cost per step: one gradient per player. Memory: three copies of the players, fixed one.
    State: `mean` z̄_{k-1}, `past` z_{k-1}, `past_move` the rule's move there, `λ` λ_{k-1}, `θ` θ_{k-1}; the rules'
    memories. Fixed: `mean` and the rules' memories.
    Differs from the paper: the rule's first move finds λ_1.

    Args:
        rule: one rule for all players, or a tuple with one each.
        phi: φ in (1, (1 + √5)/2].
        longest: the largest λ_k, in units of the rule's rate.
        fixed: keep to the rule's rate.

    Raises:
        ValueError: a phi out of its range, or a longest that is not above 0.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.GoldenRatio(mm.sgd(0.001))
        >>> mm.solve(game, z, opt, steps=300, limits=mm.Limits(tolerance=1e-6)).status.kind
        'converged'

    Source: Malitsky, Golden Ratio Algorithms for Variational Inequalities, 2020.
    """

    phi: float = 1.5
    longest: float = 1e6
    fixed: bool = False

    name: ClassVar[str] = "golden-ratio"
    combines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        real("phi", self.phi, above=1, at_most=(1 + 5**0.5) / 2)
        real("longest", self.longest, above=0, finite=False)
        flag("fixed", self.fixed)

    @property
    def adaptive(self) -> bool:
        return not self.fixed

    def start(self, z: Point, device: torch.device) -> State:
        return {"mean": [tree.zeros(vector) for vector in z]} | ({} if self.fixed else fresh(z, device))

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        begins, weight = state["step"] < (1 if self.fixed else 2), (self.phi - 1) / self.phi
        means = zip(state["mean"], z, strict=True)
        mean = [tree.where(begins, z_i, tree.lerp(z̄, z_i, weight)) for z̄, z_i in means]
        state = state | {"mean": mean}
        if not self.fixed:
            λ, θ = next_size(z, d, state, self.phi, self.longest)
            past = [tree.clone(vector) for vector in z]  # z may be the modules' own memory
            state, d = state | {"past": past, "past_move": list(d), "λ": λ, "θ": θ}, scaled(λ, d)
        return moved(game, tuple(mean), d), counted(state), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        eye, old = at.eye, at.eye / self.phi  # of z and its mean so far
        rows = [[eye - old - D @ at.J, old], [eye - old, old]]
        return LinearMap(assembled(rows), start=torch.cat([eye, eye]))
