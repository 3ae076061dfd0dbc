"""Consensus optimization's penalty."""

from __future__ import annotations

from minimax.game import Game
from minimax.rules import Hyperparameter
from minimax.transforms._gradient_norms import checked_weight, penalised


def consensus(game: Game, gamma: Hyperparameter = 0.1) -> Game:
    """The game L_i + γ/2 |F|²: all players pay for the gradients of all, and plain play is consensus optimization.

    Args:
        game: the losses.
        gamma: γ >= 0, a float, a 0-dim tensor or a schedule step -> float.

    Raises:
        ValueError: a gamma that is negative or no number.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.consensus(mm.zero_sum(lambda x, y: x * y), gamma=0.5)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(0.))

    Source: Mescheder, Nowozin & Geiger, The Numerics of GANs, 2017.
    """
    checked_weight("gamma", gamma)
    return penalised(game, lambda players: ((gamma,) * players,) * players)
