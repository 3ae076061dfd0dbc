"""What the methods share that weigh a leader's loss against what its follower could still gain."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from minimax import tree
from minimax.linear_maps import ELSEWHERE, Expansion
from minimax.oracle import Oracle
from minimax.tree import Point, Vector


class Slopes(NamedTuple):
    """First derivatives of L_1 and of q = L_2(x, y) - L_2(x, w), w standing still.

    Args:
        first: ∂_x L_1 and ∂_y L_1.
        gain: ∂_x q and ∂_y q, which is ∂_y L_2.
        gap: q.
        losses: L_1 and L_2 at (x, y).
    """

    first: Point
    gain: Point
    gap: Tensor
    losses: tuple[Tensor, ...]


def slopes(game: Oracle, z: Point, w: Vector, batch: Any) -> Slopes:
    """Five gradients at z and at (x, w)."""
    (f_x, g_y), losses = game.field(z, batch)
    f_y, _ = game.gradient(z, 1, batch, of=0)
    g_x, here = game.gradient(z, 0, batch, of=1)
    least, there = game.gradient((z[0], w), 0, batch, of=1)
    return Slopes((f_x, f_y), (tree.sub(g_x, least), g_y), here - there, losses)


def elsewhere(at: Expansion) -> str:
    """Why play that weighs both losses does not rest at an equilibrium, where L_1 pulls y away; empty if it does."""
    if len(at.blocks) != 2:
        return "undefined: for two players"
    return ELSEWHERE if float(at.g[0][at.blocks[1]].abs().max()) > 1e-9 else ""
