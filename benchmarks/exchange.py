"""The one exchange rate: how many gradients a product with the Jacobian costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import minimax as mm

FEW = 1e5  # operations that take no time beside all else


@dataclass(frozen=True)
class Rate:
    """What a product costs on one problem.

    Args:
        product: a product with the whole Jacobian, in gradients of one player.
        measured: whether it was measured, or is what theory says.
    """

    product: float
    measured: bool = False

    def units(self, cost: mm.Cost) -> float:
        """A cost in gradients of one player.

        >>> Rate(4.0).units(mm.Cost(gradients=2, hvps=3))
        14.0
        """
        return cost.gradients + self.product * cost.hvps


def theory(players: int) -> Rate:
    """Two gradients of each player: a product is one backward pass through the graph of the field."""
    return Rate(2.0 * players)


def measure(game: mm.Game, players: Any, batch: Any) -> Rate:
    """The rate on a problem, by the floating point operations of its matrix products and convolutions.

    They are the same on every machine, which seconds are not, so that they may decide how long a run is; to two digits.
    It is what theory says where there are next to none, as on games of a few numbers, and where no product can be had.

    Args:
        game: the losses.
        players: where.
        batch: what the losses take.

    Raises:
        GameError: losses that cannot be played.
    """
    oracle, z = game.enter(players)
    field = operations(lambda: oracle.field(z, batch))
    if field < FEW:
        return theory(len(z))
    try:
        local = oracle.linearize(z, batch)
        product = operations(lambda: local.vjp(local.field))
    except (mm.GameError, torch.OutOfMemoryError):  # no second derivatives, or no room for them
        return theory(len(z))
    return Rate(float(f"{product / (field / len(z)):.2g}"), measured=True)


def operations(of: Callable[[], Any]) -> int:
    """The floating point operations of the matrix products and convolutions in a call: the passes that it makes."""
    with _Counter() as counter:
        of()
    return counter.total


class _Counter(TorchDispatchMode):
    """Adds up floating point operations. torch's own counter hooks into modules, which gradient penalties forbid."""

    total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        count = flop_registry.get(function._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out
