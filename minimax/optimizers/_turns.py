"""Who moves in which order and how often, in play by turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from minimax.errors import GameError
from minimax.validation import shown, whole

Steps: TypeAlias = int | tuple[int, ...]
Order: TypeAlias = tuple[int, ...] | None


def check(steps: Steps, order: Order) -> None:
    """Refuse steps that are no counts, and an order that is none.

    Raises:
        ValueError: steps that are not positive integers, or an order that is no permutation.
    """
    if not isinstance(steps, int | tuple) or steps == ():
        raise ValueError(f"steps must be an integer >= 1 or a tuple with one per player, got {shown(steps)}.")
    for k in listed(steps):
        whole("steps", k, at_least=1)
    permutes = isinstance(order, tuple) and set(order) == set(range(len(order)))
    if order is not None and not permutes:
        raise ValueError(f"order must be a permutation of 0..n-1 in a tuple, got {shown(order)}.")


def listed(steps: Steps) -> tuple[int, ...]:
    """The numbers of moves that are given, one or one per player."""
    return (steps,) if isinstance(steps, int) else steps


def scheduled(steps: Steps, order: Order, players: int) -> tuple[tuple[int, ...], Sequence[int]]:
    """The number of every player's moves, and the players in the order in which they make them.

    Raises:
        GameError: another number of either than there are players.
    """
    each = (steps,) * players if isinstance(steps, int) else steps
    turns = range(players) if order is None else order
    for name, entries in (("steps", each), ("order", turns)):
        if len(entries) != players:
            raise GameError(f"{name} has {len(entries)} entries for {players} players: pass one per player.")
    return each, turns
