"""How the adaptive golden ratio algorithm finds its step size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from minimax import tree
from minimax.optimizer import State
from minimax.tree import Point


def fresh(z: Point, device: torch.device) -> State:
    """What is remembered for it: the last point and the move there, λ_{k-1} and θ_{k-1}."""
    one = torch.ones((), dtype=tree.precision(tree.join(z)), device=device)
    zeros = [tree.zeros(vector) for vector in z]
    return {"past": zeros, "past_move": zeros, "λ": one, "θ": one}


def next_size(z: Point, d: Point, state: State, φ: float, longest: float) -> tuple[Tensor, Tensor]:
    """λ_k and θ_k; for k = 0 they are 1, for k = 1 λ is φ/(2L).

    Args:
        z: where play stands.
        d: the rules' moves there.
        state: as `fresh` makes it.
        φ: of the inertia.
        longest: the largest λ_k.
    """
    λ, θ = state["λ"], state["θ"]
    Δz = _distance(z, state["past"], λ.dtype)
    ΔF = _distance(d, state["past_move"], λ.dtype)
    inverse_L = torch.where(ΔF > 0, Δz / ΔF, torch.inf)
    k = state["step"].to(λ.device)
    grown = torch.minimum((1 / φ + 1 / φ**2) * λ, φ * θ / (4 * λ) * inverse_L**2)
    new = torch.where(k == 0, 1.0, torch.where(k == 1, φ / 2 * inverse_L, grown)).clamp(max=longest)
    return new, torch.where(k < 2, 1.0, φ * new / λ)


def _distance(z: Sequence[tree.Vector], w: Sequence[tree.Vector], dtype: torch.dtype) -> Tensor:
    """|z - w|, in a dtype wide enough for the squares."""
    Δ = tree.sub(tree.join(tuple(z)), tree.join(tuple(w)))
    return tree.norm(Δ if {leaf.dtype for leaf in Δ} == {dtype} else [leaf.to(dtype) for leaf in Δ])
