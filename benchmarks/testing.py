"""The contract of a problem as a test that ships."""

from __future__ import annotations

from typing import Any

from torch import nn

import minimax as mm
from benchmarks.problem import Problem, View
from minimax.solve import write


def play(problem: Problem, optimizer: mm.GameOptimizer, steps: int, seed: int = 0) -> View:
    """Where a problem stands after some steps, its players as it made them.

    Example:
        >>> from benchmarks.problems import discover
        >>> kind = discover()["bilinear"].kind
        >>> view = play(kind("smoke"), mm.ExtraGradient(mm.sgd(0.5)), 100)
        >>> kind("smoke").evaluate(view)["distance"] < 0.01
        True
    """
    players, memory = problem.players(seed), problem.memory(seed)
    game, z = problem.game().functional(players)
    state = optimizer.init(game, z)
    for step in range(steps):
        first = step * optimizer.draws
        drawn = [problem.batch(seed, first + k, memory) for k in range(optimizer.draws)]
        z, state, _ = optimizer.step(game, z, state, drawn[0] if optimizer.draws == 1 else drawn)
        players = tuple(_written(player, new) for player, new in zip(players, z, strict=True))
        memory = problem.remember(memory, players, drawn[-1])
    return View(players, memory, seed)


def _written(player: Any, new: Any) -> Any:
    """The player at its new values: a module holds them, anything else is them."""
    if not isinstance(player, nn.Module):
        return new
    write(player, new)
    return player
