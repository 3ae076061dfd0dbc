"""Mixed precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import validation
from minimax.game import Game
from minimax.oracle import Loss
from minimax.transforms.checks import checked_game


def autocast(game: Game, dtype: torch.dtype = torch.bfloat16, device: str | None = None) -> Game:
    """The same game with its losses evaluated under `torch.autocast`; players, gradients and losses keep float32.

    Args:
        game: the losses.
        dtype: of the matrix products; bfloat16 has float32's range and needs no loss scaling.
        device: the type of device to cast on, "cpu" or "cuda"; by default the players'.

    Raises:
        TypeError: what is no game.
        ValueError: a dtype that is neither bfloat16 nor float16.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.autocast(mm.zero_sum(lambda x, y: (x @ y).sum()))
        >>> game.field((torch.ones(1, 1), torch.full((1, 1), 1 / 3)))[0]
        tensor([[0.3340]])
    """
    checked_game("autocast", game)
    if dtype not in (torch.bfloat16, torch.float16):
        raise ValueError(f"dtype must be torch.bfloat16 or torch.float16, got {validation.shown(dtype)}.")

    def exact(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.dtype == dtype else value

    def wrapped(loss: Loss) -> Loss:
        def call(*args: Any) -> Any:
            with torch.autocast(device or _device(args), dtype=dtype):
                out = loss(*args)
            return pytree.tree_map(exact, out)

        return call

    return game.mapped(wrapped)


def _device(args: tuple[Any, ...]) -> str:
    """The type of device that the first tensor lies on."""
    for arg in args:
        for leaf in arg.parameters() if isinstance(arg, nn.Module) else pytree.tree_leaves(arg):
            if isinstance(leaf, Tensor):
                return leaf.device.type
    return "cpu"
