"""A game whose products with the Jacobian are differences of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from minimax import tree
from minimax.game import Game
from minimax.linear import reciprocal
from minimax.linearization import Linearization
from minimax.oracle import Oracle
from minimax.transforms.around import Around
from minimax.transforms.checks import checked_game
from minimax.tree import Point, Vector
from minimax.validation import real


def finite_differences(game: Game, radius: float = 0.01) -> Game:
    """The same game, whose products with the Jacobian are central differences, (F(z + εv) - F(z - εv)) / 2ε.

    Every method that takes such products becomes one of first order: `StackelbergGradient` solves its system so, and
    `Unrolled(steps=1)` is DARTS. It plays losses that torch cannot differentiate twice, and keeps no graph of F. Exact,
    up to rounding, where losses are quadratic; else off by O(radius²).

    Costs two gradients in place of a product with a block of the Jacobian; in place of one with all of it two per
    player, transposed two per pair of players. Leave it inside of transforms that penalise gradients, which
    differentiate twice by themselves.

    Args:
        game: the losses.
        radius: ε|v| > 0: how far off the gradients are taken.

    Raises:
        TypeError: what is no game.
        ValueError: a radius that is not positive.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + 2 * x * y - y**2 / 2)
        >>> z, opt = (torch.tensor(1.0), torch.tensor(1.0)), mm.StackelbergGradient(mm.sgd(0.1))
        >>> opt.step(mm.transforms.finite_differences(game), z, opt.init(game, z))[2].cost
        Cost(gradients=6, hvps=0, samples=0)

    Source: Liu, Simonyan & Yang, DARTS: Differentiable Architecture Search, 2019.
    """
    checked_game("game", game)
    real("radius", radius, above=0)
    return game.through(lambda inner: _Differences(inner, radius))


class _Differences(Around):
    """Linearises by gradients at two points."""

    def __init__(self, inner: Oracle, radius: float) -> None:
        super().__init__(inner)
        self.radius = radius

    def linearize(self, z: Point, batch: Any) -> Linearization:
        field, losses = self.inner.field(z, batch)
        everyone, signs = range(self.players), self.signs if self.players > 1 else (1,)

        def slopes(at: Point, asked: Sequence[tuple[int, int]]) -> Point:
            """∂_i L_k for every (i, k), which leave no trace but what they cost."""
            silent = self.inner.silent()
            found = tuple(silent.gradient(at, i, batch, of=k)[0] for i, k in asked)
            self.shared.gradients += silent.gradients
            self.shared.hvps += silent.hvps
            return found

        def difference(by: Sequence[int], v: Point, asked: Sequence[tuple[int, int]]) -> Point:
            """What the slopes change by along v, per unit of it."""
            ε = self.radius * reciprocal(tree.norm(tree.join(v)))
            there, back = (slopes(_moved(z, by, v, sign * ε), asked) for sign in (1, -1))
            per = torch.where(ε > 0, 1 / (2 * torch.where(ε > 0, ε, 1)), 0)
            return tuple(tree.scale(per, tree.sub(a, b)) for a, b in zip(there, back, strict=True))

        def jvp(of: Sequence[int], by: Sequence[int], v: Point) -> Point:
            return difference(by, v, [(i, i) for i in of])

        def vjp(of: Sequence[int], by: Sequence[int], u: Point) -> Point:
            """(∂_j∂_i L_i)ᵀ u_i is how ∂_j L_i changes as player i moves along u_i."""
            rows = [difference([i], (u_i,), [(j, i) for j in by]) for i, u_i in zip(of, u, strict=True)]
            return tuple(
                [tree.total(parts) for parts in zip(*column, strict=True)] for column in zip(*rows, strict=True)
            )

        return Linearization(
            field=field,
            losses=losses,
            jvp=lambda v: jvp(everyone, everyone, v),
            vjp=lambda u: vjp(everyone, everyone, u),
            jvp_block=lambda i, j, v: jvp([i], [j], (v,))[0],
            vjp_block=lambda i, j, u: vjp([i], [j], (u,))[0],
            symmetry=0 if signs is None else 1 if len(set(signs)) == 1 else -1,
        )


def _moved(z: Point, by: Sequence[int], v: Point, ε: Any) -> Point:
    place: dict[int, Vector] = dict(zip(by, v, strict=True))
    return tuple(tree.axpy(ε, place[i], z_i) if i in place else z_i for i, z_i in enumerate(z))
