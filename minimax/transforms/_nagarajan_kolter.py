"""Nagarajan and Kolter's penalty."""

from __future__ import annotations

from minimax.game import Game
from minimax.rules import Hyperparameter
from minimax.transforms._gradient_norms import Weights, checked_weight, penalised
from minimax.transforms.checks import check_player
from minimax.validation import whole


def nagarajan_kolter(game: Game, eta: Hyperparameter = 0.1, generator: int = 0) -> Game:
    """The game in which the generator alone pays η |∂_j L_j|² for every other player j (no factor ½).

    Args:
        game: the losses.
        eta: η >= 0, a float, a 0-dim tensor or a schedule step -> float.
        generator: the index of the player who pays.

    Raises:
        ValueError: an eta that is negative or no number, or a generator that is no index.
        GameError: when the game is played, a generator that is no player.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.nagarajan_kolter(mm.zero_sum(lambda x, y: x * y), eta=0.25)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(-1.))

    Source: Nagarajan & Kolter, Gradient descent GAN optimization is locally stable, 2017.
    """
    checked_weight("eta", eta)
    whole("generator", generator, at_least=0)

    twice = (lambda step: 2 * eta(step)) if callable(eta) else 2 * eta

    def rows(n: int) -> Weights:
        check_player(generator, n)
        return tuple(tuple(twice if i == generator != j else 0.0 for j in range(n)) for i in range(n))

    return penalised(game, rows)
