"""The innermost oracle of every game: it calls the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from minimax.errors import GameError
from minimax.oracle import Oracle
from minimax.shared import Seating, Shared
from minimax.tree import Point

if TYPE_CHECKING:
    from minimax.game import Game


class Bare(Oracle):
    """The oracle of the losses themselves, which it calls.

    Raises:
        GameError: losses or constraints that are not as many as the players.
    """

    def __init__(self, game: Game, seating: Seating, shared: Shared) -> None:
        super().__init__(game, seating, shared)
        functions, signs = game.functions, game.signs
        self.joint = len(functions) == 1
        self.signs = None if signs is None else tuple([sign * signs[0] for sign in signs])
        given = len(functions) if signs is None else len(signs)
        if given != self.players and not (self.joint and signs is None):
            raise GameError(
                f"the game has {given} losses for {self.players} players: pass one loss per player, or one function "
                "that returns them all."
            )
        check_constraints(game.constraints, self.players)

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        if self.game.signs is not None:
            payoff = self.payoff(z, batch)
            return payoff if self.game.signs[i] > 0 else -payoff
        if self.joint:
            return self.losses(z, batch)[i]
        return self.scalar(self.call(self.game.functions[i], z, batch), i)

    def payoff(self, z: Point, batch: Any) -> Tensor:
        """What the losses are up to their signs, differentiable."""
        return self.scalar(self.call(self.game.functions[0], z, batch), 0)

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        if not self.joint:
            return tuple(self.loss(z, i, batch) for i in range(self.players))
        if self.game.signs is not None:
            payoff = self.payoff(z, batch)
            return tuple(payoff if sign > 0 else -payoff for sign in self.game.signs)
        values = listed(self.call(self.game.functions[0], z, batch))
        if len(values) != self.players:
            raise GameError(
                f"the loss function returned {len(values)} losses for {self.players} players: return one per player, "
                "or use zero_sum."
            )
        return tuple(self.scalar(value, i) for i, value in enumerate(values))

    def silent(self) -> Oracle:
        return Bare(self.game, self.seating, self.shared.silent())

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self, z, batch


def check_constraints(constraints: Sequence[Any] | None, players: int) -> None:
    """Refuse constraints that are not one per player."""
    if constraints is not None and len(constraints) != players:
        raise GameError(f"constraints has {len(constraints)} entries for {players} players: use None.")


def listed(losses: Any) -> tuple[Any, ...]:
    """What a joint loss function returned, a mapping, a sequence or one loss, as a tuple."""
    if isinstance(losses, Mapping):
        return tuple(losses.values())
    return tuple(losses) if isinstance(losses, tuple | list) else (losses,)
