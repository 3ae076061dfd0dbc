"""Where a player may move to first order: how the projection on its feasible set changes with what it projects."""

from __future__ import annotations

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import Map, ravel, unravel
from minimax.oracle import Oracle
from minimax.tree import Vector


def tangent(game: Oracle, i: int, w: Vector) -> Map | None:
    """v -> DP(w) v on flat tensors, P the projection on player i's feasible set; None where nothing constrains it.

    On a box DP keeps the entries that are free and deletes those that w pushes out; on a ball it keeps the tangent
    directions, a little shorter. It is symmetric, as P is the gradient of a convex function.
    """
    constraints = game.game.constraints
    if constraints is None or constraints[i] is None:
        return None

    def project(flat: Tensor) -> Tensor:
        return ravel(game.project(i, unravel(flat, w)))

    pull = torch.func.vjp(project, ravel(w))[1]

    def apply(v: Tensor) -> Tensor:
        moved: Tensor = pull(v)[0]
        return moved

    return apply


def stopped(game: Oracle, i: int, z_i: Vector, d_i: Vector) -> tuple[Vector, Map | None]:
    """Player i's move from z_i as its projection leaves it, and `tangent` where it leads."""
    w = tree.add(z_i, d_i)
    Q = tangent(game, i, w)
    return (d_i, None) if Q is None else (tree.sub(game.project(i, w), z_i), Q)
