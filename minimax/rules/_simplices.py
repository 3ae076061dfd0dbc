"""Players whose rows are distributions."""

from __future__ import annotations

import torch

from minimax import tree
from minimax.errors import GameError
from minimax.tree import Vector


def check_rows(rule: str, player: Vector) -> None:
    """Refuse a player with a row along the last dimension that is no distribution, where that can be read.

    Raises:
        GameError: with what was given, and where to start from.
    """
    for z in () if tree.transformed() else player:
        off = torch.tensor(1.0) if z.dim() == 0 else (z.sum(-1) - 1).abs().max()
        if not (float(off) <= torch.finfo(z.dtype).eps ** 0.5 and float(z.min()) >= 0):
            raise GameError(
                f"{rule} moves rows of numbers >= 0 that sum to 1, got a player of shape "
                f"{tuple(z.shape)} with entries from {float(z.min()):.4g} to {float(z.max()):.4g}: "
                "start from x.softmax(-1), say."
            )
