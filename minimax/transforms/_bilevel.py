"""A leader and a follower."""

from __future__ import annotations

from collections.abc import Sequence

from minimax.game import Game
from minimax.oracle import Loss
from minimax.projections import Projection


def bilevel(outer: Loss, inner: Loss, *, constraints: Sequence[Projection | None] | None = None) -> Game:
    r"""The bilevel game min_x outer(x, y*(x)), y*(x) = argmin_y inner(x, y): player 0 leads, player 1 follows.

    The leader need not appear in its own loss, as hyperparameters do not appear in the validation loss: it moves by the
    follower's answer. Optimizers that take that into account play the game: `StackelbergGradient` by the implicit
    function theorem, `Unrolled` through the follower's next steps, `LOLA` and `SOS` through one; `ValueFunction`,
    `BOME` and `MehraHamm` by what the follower could still gain, the first two without second derivatives. The others
    would let the leader stand still, and refuse the game at `init`. Or let the follower answer from afresh, and any
    optimizer moves the leader: `best_response(bilevel(outer, inner), 1, start, rule, steps, through=True)`.

    Args:
        outer: the leader's loss, of (x, y) or (x, y, batch).
        inner: the follower's loss, likewise; must depend on y.
        constraints: as for `Game`.

    Raises:
        GameError: losses or constraints that are none; at `init`, an optimizer under which the leader would stand
            still; at the first evaluation, an inner loss that ignores the follower.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.bilevel(lambda x, y: (y - 1) ** 2, lambda x, y: (y - 2 * x) ** 2)
        >>> z, rules = (torch.tensor(0.0), torch.tensor(0.0)), (mm.sgd(0.05), mm.sgd(0.5))
        >>> mm.solve(game, z, mm.StackelbergGradient(rules, damping=0.0), steps=200).players
        (tensor(0.5000), tensor(1.0000))
        >>> mm.AlternatingGDA(mm.sgd(0.1)).init(game, z)
        Traceback (most recent call last):
        ...
        minimax.errors.GameError: under AlternatingGDA the leader of a bilevel game stands still, as ...

    Source: Colson, Marcotte & Savard, An Overview of Bilevel Optimization, 2007.
    """
    return Game(outer, inner, constraints=constraints, leader=0)
