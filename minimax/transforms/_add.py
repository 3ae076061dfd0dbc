"""A term on one player's loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from minimax.game import Game
from minimax.oracle import Loss, Oracle
from minimax.rules import Hyperparameter
from minimax.transforms.around import Payoff
from minimax.transforms.checks import check_player, checked_game
from minimax.tree import Point
from minimax.validation import function, hyperparameter, whole


def add(game: Game, term: Loss, player: int, weight: Hyperparameter = 1.0) -> Game:
    """The game in which one player pays weight · `term(*players, batch)` more; a zero-sum one becomes general-sum.

    Costs nothing more: the player's gradient is that of the sum. Wrap micro-batches and ranks around it, not inside:
    `accumulate(add(game, term, 1), 4)`.

    Args:
        game: the losses.
        term: a scalar, of the losses' arguments; one of `minimax.penalties`, say.
        player: the index of the player who pays it.
        weight: a float, a 0-dim tensor or a schedule step -> float.

    Raises:
        TypeError: a game that is none, or a term that is no function.
        ValueError: a player that is no index, or a weight that is no number.
        GameError: a player that there is not (at the first evaluation, if only that tells how many there are).

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.add(mm.zero_sum(lambda x, y: x * y), lambda x, y: 0.3 / 2 * y**2, player=1)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.), tensor(-0.4000))
    """
    checked_game("game", game)
    function("term", term, "a function of the players (and the batch)")
    whole("player", player, at_least=0)
    hyperparameter("weight", weight)
    if game.count is not None:
        check_player(player, game.count)
    return game.through(lambda inner: _Added(inner, term, player, weight))


class _Added(Payoff):
    def __init__(self, inner: Oracle, term: Loss, player: int, weight: Hyperparameter) -> None:
        super().__init__(inner)
        check_player(player, self.players)
        self.term, self.player, self.weight = term, player, weight

    def pays(self, i: int, loss: Tensor, z: Point, batch: Any) -> Tensor:
        if i != self.player:
            return loss
        return self.scalar(loss + self.weighed(self.weight, self.call(self.term, z, batch)), i)
