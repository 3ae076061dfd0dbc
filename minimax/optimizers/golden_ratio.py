"""The adaptive golden ratio algorithm: no step size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from minimax import tree
from minimax.optimizer import Info, Ruled, State, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import real


@dataclass(frozen=True)
class GoldenRatio(Ruled):
    r"""Adaptive golden ratio algorithm (aGRAAL): z̄_k = ((φ-1) z_k + z̄_{k-1}) / φ,  z_{k+1} = z̄_k - λ_k F(z_k).

    It finds its step size: λ_k = min(ρ λ_{k-1}, φ θ_{k-1} |z_k - z_{k-1}|² / (4 λ_{k-1} |F(z_k) - F(z_{k-1})|²)) with
    θ_k = φ λ_k / λ_{k-1} and ρ = 1/φ + 1/φ². Converges on every monotone, locally Lipschitz game, with projections too,
    without knowing L. The rule's moves stand for -F, so λ_k is in units of the rule's rate. Its first move is the
    exploration that measures L, for λ_1 = φ/(2L): from there on every small sgd rate plays alike. With other rules this
    is a heuristic that tunes their rate.

    Cost per step: one gradient per player. Memory: three copies of the players.
    State: `mean` z̄_{k-1}, `past` z_{k-1}, `past_move` the rule's move there, `λ` λ_{k-1}, `θ` θ_{k-1}; the rules'
    memories.
    Differs from the paper: the rule's first move finds λ_1.

    Args:
        rule: one rule for all players, or a tuple with one each.
        phi: φ in (1, (1 + √5)/2].
        longest: the largest λ_k, in units of the rule's rate.

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

    name: ClassVar[str] = "golden-ratio"
    combines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        real("phi", self.phi, above=1, at_most=(1 + 5**0.5) / 2)
        real("longest", self.longest, above=0, finite=False)

    @property
    def adaptive(self) -> bool:
        return True

    def start(self, z: Point, device: torch.device) -> State:
        one = torch.ones((), dtype=tree.precision(tree.join(z)), device=device)
        zeros = [tree.zeros(vector) for vector in z]
        return {"mean": zeros, "past": zeros, "past_move": zeros, "λ": one, "θ": one}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        λ, θ = self._step_size(z, d, state)
        mean = [
            tree.where(state["step"] < 2, z_i, tree.lerp(z̄, z_i, (self.phi - 1) / self.phi))
            for z_i, z̄ in zip(z, state["mean"], strict=True)
        ]
        new = moved(game, tuple(mean), scaled(λ, d))
        past = [tree.clone(vector) for vector in z]  # z may be the modules' own memory
        state = state | {"mean": mean, "past": past, "past_move": list(d), "λ": λ, "θ": θ}
        return new, counted(state), Info(losses, ξ)

    def _step_size(self, z: Point, d: Point, state: State) -> tuple[torch.Tensor, torch.Tensor]:
        """λ_k and θ_k; for k = 0 they are 1, for k = 1 λ is φ/(2L)."""
        φ, λ, θ = self.phi, state["λ"], state["θ"]
        Δz = _distance(z, state["past"], λ.dtype)
        ΔF = _distance(d, state["past_move"], λ.dtype)
        inverse_L = torch.where(ΔF > 0, Δz / ΔF, torch.inf)
        k = state["step"].to(λ.device)
        grown = torch.minimum((1 / φ + 1 / φ**2) * λ, φ * θ / (4 * λ) * inverse_L**2)
        new = torch.where(k == 0, 1.0, torch.where(k == 1, φ / 2 * inverse_L, grown)).clamp(max=self.longest)
        return new, torch.where(k < 2, 1.0, φ * new / λ)


def _distance(z: Sequence[tree.Vector], w: Sequence[tree.Vector], dtype: torch.dtype) -> torch.Tensor:
    """|z - w|, in a dtype wide enough for the squares."""
    Δ = tree.sub(tree.join(tuple(z)), tree.join(tuple(w)))
    return tree.norm(Δ if {leaf.dtype for leaf in Δ} == {dtype} else [leaf.to(dtype) for leaf in Δ])
