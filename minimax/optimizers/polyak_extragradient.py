"""Extragradient with a step to the separating hyperplane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from minimax import tree
from minimax.optimizer import Info, Ruled, State, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class PolyakExtraGradient(Ruled):
    r"""Extragradient with Polyak's step: w = P(z - h F(z)),  z⁺ = P(z - t F(w)),  t = <F(w), z - w> / |F(w)|².

    t F(w) leads to the hyperplane through w across F(w), beyond which all solutions of a monotone game lie: z⁺ is z
    projected there, and no step along F(w) is sure to come closer to them. A bilinear game converges for every h; where
    it has one σ only, the step is the proximal point's, 1 / (1 + hλ). Constrained games and others take h < 1/L.

    Cost per step: two gradients per player.
    State: the rules' memories alone, which both half steps update.
    Differs from the paper: any rule moves: z⁺ = z + <F(w), w - z> / <F(w), d> d with d its displacement at F(w), so
    that players of different rates project in the norm of these. Where F(w) = 0, z⁺ is w.

    Args:
        rule: one rule for all players, or a tuple with one each.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.PolyakExtraGradient(mm.sgd(2.0))
        >>> opt.step(game, z, opt.init(game, z))[0]  # 1 / (1 ± 2i)
        (tensor(0.2000), tensor(0.4000))

    Source: Solodov & Svaiter, A New Projection Method for Variational Inequality Problems, 1999; Khobotov, 1987.
    """

    name: ClassVar[str] = "polyak-extragradient"
    combines: ClassVar[bool] = True

    @property
    def adaptive(self) -> bool:
        return True

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        w = moved(game, z, d)
        ξ_w, _ = game.field(w, batches[0])
        d, state = self.directions(z, ξ_w, state, at=w)
        wide, F = tree.precision(tree.join(z)), tree.join(ξ_w)
        along, reach = _dot(F, tree.join(d), wide), _dot(F, tree.sub(tree.join(w), tree.join(z)), wide)
        flat = along == 0
        step = moved(game, z, scaled(torch.where(flat, 0, reach / torch.where(flat, 1, along)), d))
        new = tuple(tree.where(flat, w_i, z_i) for w_i, z_i in zip(w, step, strict=True))
        return new, counted(state), Info(losses, ξ)


def _dot(x: tree.Vector, y: tree.Vector, dtype: torch.dtype) -> torch.Tensor:
    """<x, y>, in a dtype wide enough for the squares."""
    return tree.dot([a.to(dtype) for a in x], [b.to(dtype) for b in y])
