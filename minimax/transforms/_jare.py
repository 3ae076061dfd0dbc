"""JARE's penalty."""

from __future__ import annotations

from minimax.game import Game
from minimax.rules import Hyperparameter
from minimax.transforms._gradient_norms import checked_weight, penalised


def jare(game: Game, gamma: Hyperparameter = 0.1) -> Game:
    """The game L_i + γ/2 Σ_{j≠i} |∂_j L_j|²: every player pays for the others' gradients.

    Args:
        game: the losses.
        gamma: γ >= 0, a float, a 0-dim tensor or a schedule step -> float.

    Raises:
        ValueError: a gamma that is negative or no number.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.jare(mm.zero_sum(lambda x, y: x * y), gamma=0.5)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(0.))

    Source: Nie & Patel, Towards a Better Understanding and Regularization of GAN Training Dynamics, 2020.
    """
    checked_weight("gamma", gamma)
    return penalised(game, lambda n: tuple(tuple(0.0 if i == j else gamma for j in range(n)) for i in range(n)))
