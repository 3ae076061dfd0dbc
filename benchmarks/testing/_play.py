"""A problem under play, as the runner plays it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Problem, View
from minimax.playing import write


def play(problem: Problem, optimizer: mm.GameOptimizer, steps: int, seed: int = 0) -> View:
    """Where a problem stands after some steps, its players as it made them.

    Example:
        >>> from benchmarks.problems.games.bilinear import Bilinear
        >>> it = Bilinear("smoke")
        >>> it.evaluate(play(it, mm.ExtraGradient(mm.sgd(0.5)), 100))["distance"] < 0.01
        True
    """
    run = Run(problem, optimizer, seed)
    for _ in range(steps):
        run.step()
    return run.view


class Run:
    """A problem under play, as the runner plays it.

    Args:
        problem: what to play.
        optimizer: by which.
        seed: of the players and the batches.
    """

    def __init__(self, problem: Problem, optimizer: mm.GameOptimizer, seed: int = 0) -> None:
        self.problem, self.optimizer, self.seed = problem, optimizer, seed
        self.modules, self.memory = problem.players(seed), problem.memory(seed)
        self.game, self.players = problem.game().functional(self.modules)
        self.state = optimizer.init(self.game, self.players)

    def step(self) -> mm.Info:
        """Play one step."""
        draws, first = self.optimizer.draws, int(self.state["step"]) * self.optimizer.draws
        drawn = [self.problem.batch(self.seed, first + k, self.memory) for k in range(draws)]
        batch = drawn[0] if draws == 1 else drawn
        self.players, self.state, info = self.optimizer.step(self.game, self.players, self.state, batch)
        self.game.commit(info.buffers)
        self.memory = self.problem.remember(self.memory, self.view.players, drawn[-1])
        return info

    @property
    def view(self) -> View:
        """What is evaluated: parameters are written into the problem's modules."""
        shown = []
        for module, player in zip(self.modules, self.players, strict=True):
            if isinstance(module, nn.Module):
                write(module, player)
            shown.append(module if isinstance(module, nn.Module) else player)
        return View(tuple(shown), self.memory, self.seed)

    def save(self) -> Any:
        """All that a checkpoint holds."""
        return self.players, self.state, self.memory, _buffers(self.modules)

    def restore(self, saved: Any) -> None:
        """Go on from there."""
        self.players, self.state, self.memory, buffers = saved
        for module, values in zip(self.modules, buffers, strict=True):
            for name, value in values.items():
                module.get_buffer(name).copy_(value)


def _buffers(modules: tuple[Any, ...]) -> list[dict[str, Tensor]]:
    return [dict(module.named_buffers()) if isinstance(module, nn.Module) else {} for module in modules]
