"""Kuhn's poker in sequence form: bilinear on treeplexes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import torch
from torch import Tensor

from minimax.game import zero_sum
from minimax.games.closed_form import ClosedForm
from minimax.games.matrices import bilinear
from minimax.projections import Bounded, simplex
from minimax.validation import real

CHECK, BET, FOLD, CALL = range(4)


def kuhn_poker(alpha: float = 1 / 6) -> ClosedForm:
    """Three cards, two players who ante 1 and may bet 1 more: the first player loses 1/18 a game, what it minimises.

    Players are plans, the probabilities that they leave a run of their own moves open. The first, x of shape (3, 4):
    for each card check, bet, check and fold, check and call, so that x_0 + x_1 = 1 and x_2 + x_3 = x_0. The second, y
    of shape (3, 2, 2): for each card after a check (check, bet), after a bet (fold, call). With the empty sequence
    these are 13 each. The payoff is bilinear in them, and the constraint the projection on the plans.

    The second player's answer is the only one, the first's one of many: it bets the lowest card with probability α.
    Eigenvalues ±iσ, those of the payoff matrix on all numbers.

    Args:
        alpha: α in [0, ⅓].

    Example:
        >>> closed = kuhn_poker()
        >>> closed.game.losses(closed.equilibrium)
        (tensor(0.0556), tensor(-0.0556))

    Source: Kuhn, A Simplified Two-Person Poker, 1950; von Stengel, Efficient Computation of Behavior Strategies, 1996,
    for the sequence form.
    """
    real("alpha", alpha, at_least=0, at_most=1 / 3)
    α, A = alpha, _losses()
    matrix = A.reshape(12, 12)
    first = [[1 - α, α, 1 - α, 0], [1, 0, 2 / 3 - α, 1 / 3 + α], [1 - 3 * α, 3 * α, 0, 1 - 3 * α]]
    second = [[[2 / 3, 1 / 3], [1, 0]], [[1, 0], [2 / 3, 1 / 3]], [[0, 1], [0, 1]]]
    return replace(
        bilinear(matrix),
        name="Kuhn poker",
        game=zero_sum(
            lambda x, y: x.reshape(12) @ matrix @ y.reshape(12),
            constraints=(_FirstPlans(), simplex()),
        ),
        start=(torch.tensor([[0.5, 0.5, 0.25, 0.25]]).repeat(3, 1), torch.full((3, 2, 2), 0.5)),
        equilibrium=(torch.tensor(first), torch.tensor(second)),
    )


def _losses() -> Tensor:
    """What the first player loses, times the deal's probability, shape (3, 4, 3, 2, 2)."""
    A = torch.zeros(3, 4, 3, 2, 2)
    for i, j in permutations(range(3), 2):
        won = 1.0 if i > j else -1.0
        A[i, CHECK, j, 0, 0] = won
        A[i, FOLD, j, 0, 1] = -1.0
        A[i, CALL, j, 0, 1] = 2 * won
        A[i, BET, j, 1, 0] = 1.0
        A[i, BET, j, 1, 1] = 2 * won
    return -A / 6


@dataclass(frozen=True)
class _FirstPlans(Bounded):
    """The nearest plans {x_0 + x_1 = 1, x_2 + x_3 = x_0, x >= 0} of the first player, along the last dimension.

    For a probability c of checking, the best fold and call are the projection on c times the simplex. What remains is
    convex in c, with a slope of two straight pieces: they meet at c = |x_2 - x_3|, below which one of the two is 0.
    """

    def __call__(self, x: Tensor) -> Tensor:
        check, bet, fold, call = x.unbind(-1)
        pure = (1 + check - bet + torch.maximum(fold, call)) / 3
        mixed = (2 * (1 + check - bet) + fold + call) / 5
        c = torch.where(pure <= (fold - call).abs(), pure, mixed).clamp(0, 1)
        folds = torch.minimum(((fold - call + c) / 2).clamp(min=0), c)
        return torch.stack((c, 1 - c, folds, c - folds), -1)

    def lowest(self, g: Tensor) -> Tensor:
        """The best answer, the later move first."""
        check, bet, fold, call = g.unbind(-1)
        checks, folds = check + torch.minimum(fold, call) < bet, fold < call
        return torch.stack((checks, ~checks, checks & folds, checks & ~folds), -1).to(g)
