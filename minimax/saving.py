"""What a saved state must look like to be loaded: whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.admission import mismatch
from minimax.compiling import Compiled
from minimax.game import Game
from minimax.optimizer import GameOptimizer, State
from minimax.oracle import Players
from minimax.rules import Memory, Rule, from_torch
from minimax.tree import Vector


def described(part: Any) -> str:
    """The classes that an optimizer is made of, without its numbers, which may change from run to run.

    Example:
        >>> import minimax as mm
        >>> described(mm.Lookahead(mm.AlternatingGDA((mm.sgd(0.1), mm.from_torch(torch.optim.Adam)))))
        'Lookahead(AlternatingGDA(sgd, from_torch(Adam)))'
    """
    if isinstance(part, Compiled):
        return described(part.inner)
    if isinstance(part, from_torch):
        return f"from_torch({getattr(part.optimizer, '__name__', part.optimizer)})"
    if isinstance(part, tuple):
        return ", ".join(filter(None, map(described, part)))
    if not isinstance(part, GameOptimizer | Rule):
        return ""
    inside = ", ".join(filter(None, (described(getattr(part, field.name)) for field in fields(part))))
    return type(part).__name__ + (f"({inside})" if inside else "")


def fitting(optimizer: GameOptimizer, game: Game, players: Players, saved: Any) -> State:
    """A state of the kind that a saved one should be: torch's optimizers make their memory at the first step.

    Raises:
        ValueError: a saved one that has taken steps and lost that memory.
    """
    fresh = optimizer.init(game, players)
    if mismatch(saved, fresh, "state"):
        return expected(optimizer, game, players)
    if saved["step"] > 0 and (wrong := mismatch(fresh, expected(optimizer, game, players), "state")):
        raise ValueError(
            f"the saved state has taken {int(saved['step'])} steps and has no memory of them ({wrong}): "
            "torch.distributed.checkpoint reads only what is there already, so take one step before dcp.load, or save "
            "by torch.save."
        )
    return fresh


def expected(optimizer: GameOptimizer, game: Game, players: Players) -> State:
    """The state as it will be after a step, with the memories that torch's optimizers make only then."""
    full: GameOptimizer = _mapped(optimizer, lambda rule: _Moved(rule))
    return full.init(game, players)


@dataclass(frozen=True)
class _Moved(Rule):
    """A rule whose first memory is the one after a move along no gradient."""

    rule: Rule

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return self.rule.move(player, tree.zeros(player), self.rule.init(player, names), torch.tensor(0))[1]

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        return self.rule.move(player, gradient, memory, step)


def _mapped(part: Any, change: Callable[[from_torch], Rule]) -> Any:
    """The optimizer with its `from_torch` rules changed."""
    if isinstance(part, from_torch):
        return change(part)
    if isinstance(part, tuple):
        return tuple(_mapped(value, change) for value in part)
    if isinstance(part, GameOptimizer | Rule):
        values = {field.name: getattr(part, field.name) for field in fields(part) if field.init}
        return replace(part, **{name: _mapped(value, change) for name, value in values.items()})
    return part
