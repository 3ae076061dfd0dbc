"""The contract of a game."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.game import Game
from minimax.oracle import Oracle, Players
from minimax.testing._compare import close, demand, increment, same
from minimax.tree import Point


def check_game(game: Game, players: Players, batch: Any = None, *, directions: int = 3) -> None:
    """Compare a game's oracles with finite differences of its losses.

    Finds losses that are random or write to their arguments, gradients that a `detach` or `no_grad` cut off, gradients
    that leak from one player to another, and second derivatives that are not those of the field.

    Args:
        game: the losses.
        players: where to look, a point at which the losses are smooth; float64 if possible, since float32 hides small
            errors. Tensors, pytrees or modules.
        batch: the batch to look at.
        directions: how many random directions to try.

    Raises:
        AssertionError: the oracles disagree; the sentence says which, and by how much.
        GameError: the losses are not scalars, ignore their player, or do not match the players.

    Example:
        >>> import torch, minimax as mm
        >>> x, y = torch.tensor(0.5, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64)
        >>> check_game(mm.zero_sum(lambda x, y: x * y), (x, y))
        >>> check_game(mm.zero_sum(lambda x, y: x.detach() * y + x), (x, y))
        Traceback (most recent call last):
        ...
        AssertionError: players[0]: its loss changes at the rate ... by finite differences, but ... by its gradient; ...
    """
    game, players = game.functional(players)
    oracle, z = game.enter(players)
    field = oracle.field(z, batch)[0]
    demand(
        same(game.losses(players, batch), game.losses(players, batch)),
        "the losses differ between two calls on one batch: draw all randomness in the batch.",
    )
    for i in range(oracle.players):
        alone = oracle.gradient(z, i, batch)[0]
        demand(close(alone, field[i], 1e-5), f"{oracle.name(i)}: gradient and field disagree; a gradient leaks.")
    generator = torch.Generator().manual_seed(0)
    for _ in range(directions):
        u, v = _direction(z, generator), _direction(z, generator)
        for i in range(oracle.players):
            _check_gradient(oracle, z, i, v, batch, field)
        _check_products(oracle, z, u, v, batch)


def _check_gradient(oracle: Oracle, z: Point, i: int, v: Point, batch: Any, field: Point) -> None:
    ε, tolerance = increment(z)

    @torch.no_grad()
    def loss(t: float) -> float:
        return float(oracle.loss((*z[:i], tree.axpy(t, v[i], z[i]), *z[i + 1 :]), i, batch))

    rate, slope = (loss(ε) - loss(-ε)) / (2 * ε), float(tree.dot(field[i], v[i]))
    demand(
        abs(rate - slope) <= tolerance * max(1.0, abs(rate), abs(slope), abs(loss(0.0))),
        f"{oracle.name(i)}: its loss changes at the rate {rate:.6g} by finite differences, but {slope:.6g} by its "
        "gradient; is something detached, or not smooth here?",
    )


def _check_products(oracle: Oracle, z: Point, u: Point, v: Point, batch: Any) -> None:
    ε, tolerance = increment(z)

    def field(t: float) -> Point:
        return oracle.field(tuple(tree.axpy(t, v_i, z_i) for v_i, z_i in zip(v, z, strict=True)), batch)[0]

    local = oracle.linearize(z, batch)
    forward, backward = tree.join(local.jvp(v)), tree.join(local.vjp(u))
    difference = tree.scale(0.5 / ε, tree.sub(tree.join(field(ε)), tree.join(field(-ε))))
    demand(
        close(difference, forward, tolerance),
        "jvp is not the derivative of the field: is something detached on which another player's gradient depends?",
    )
    left, right = tree.dot(tree.join(u), forward), tree.dot(backward, tree.join(v))
    demand(close(left, right, tolerance), f"jvp and vjp are not adjoint: <u, Jv> = {left:.6g}, <Jᵀu, v> = {right:.6g}.")


def _direction(z: Point, generator: torch.Generator) -> Point:
    def like(leaf: Tensor) -> Tensor:
        return torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf)

    return tuple([like(leaf) for leaf in vector] for vector in z)
