"""A game written out to second order at a point."""

from __future__ import annotations

from typing import Any

import torch

from minimax.diagnostics._local import Common, Local
from minimax.game import Game
from minimax.linear_maps import Expansion
from minimax.oracle import Players


def expand(game: Game, players: Players, batch: Any = None) -> Expansion:
    """All players' losses to second order at a point, for small games: what an optimizer's `linear` map is made of.

    Costs (n + 1) gradients of every player's loss and as many Hessian-vector products, n the number of parameters,
    twice: the second time nearby, for `Expansion.bent`.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it.

    Example:
        >>> import torch, minimax as mm
        >>> zero = (torch.tensor(0.0), torch.tensor(0.0))
        >>> at = expand(mm.zero_sum(lambda x, y: x**2 + 4 * x * y - y**2), zero)
        >>> at.J
        tensor([[ 2.,  4.],
                [-4.,  2.]], dtype=torch.float64)
        >>> mm.ExtraGradient(mm.sgd(0.1)).linear(at).matrix
        tensor([[ 0.6800, -0.2400],
                [ 0.2400,  0.6800]], dtype=torch.float64)
    """
    game, players = game.functional(players)
    oracle, z = game.enter(players)
    nearby = oracle.leave(tuple([leaf + 0.01 for leaf in vector] for vector in z))
    every = [Local(_paid_by_all(game, i), players, batch) for i in range(len(z))]
    there = Local(_paid_by_all(game, len(z) - 1), nearby, batch)
    H, blocks = [local.matrix().double().cpu() for local in every], every[0].slices()
    y = blocks[-1]
    bent = not torch.allclose(there.matrix().double().cpu()[y, y], H[-1][y, y])
    return Expansion(H, [local.field.double().cpu() for local in every], blocks, bent)


def _paid_by_all(game: Game, i: int) -> Game:
    return game.through(lambda inner: Common(inner, i))
