"""What the stability problems share: the methods they are played by, and a ridge on a critic that is a tensor."""

from __future__ import annotations

from torch import Tensor

import minimax as mm

LOOKAHEAD = "lookahead[inner=alternating;k=5;alpha=0.5]"
METHODS: tuple[str, ...] = ("simultaneous", "alternating", "extragradient", "optimistic", LOOKAHEAD)
"""Two kinds of plain play, and the methods that are to hold."""


def with_ridge(game: mm.Game, weight: float) -> mm.Game:
    """The game of two tensors whose critic, the second, pays weight/2 |D|² more."""
    return mm.transforms.add(game, half_square, player=1, weight=weight)


def half_square(x: Tensor, D: Tensor) -> Tensor:
    """|D|²/2."""
    return D.square().sum() / 2
