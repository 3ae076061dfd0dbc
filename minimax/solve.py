"""The one loop: `iterate` yields after every step, `solve` runs it to a result. Failure is a value with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.compiled import compiled
from minimax.game import Game, GameError, Players
from minimax.optimizer import Cost, GameOptimizer, Info, State

if TYPE_CHECKING:
    import pandas as pd

Batches: TypeAlias = Iterable[Any] | Callable[[int], Any] | None


class Iterate(NamedTuple):
    """Where play stands after a step. `step` counts the steps taken, `cost` all that was spent."""

    step: int
    players: Players
    state: State
    info: Info
    cost: Cost


def iterate(
    game: Game,
    players: Players,
    optimizer: GameOptimizer,
    batches: Batches = None,
    *,
    state: State | None = None,
) -> Iterator[Iterate]:
    """Play forever, yielding after every step; ends when the batches do.

    Args:
        game: the losses.
        players: where to start; plain tensors (see `Game.functional`).
        optimizer: the algorithm.
        batches: an iterable of batches; or a function k -> k-th batch, which makes play resume exactly; or None.
            A step takes `optimizer.draws` of them.
        state: a saved state to go on from, with its `players`; by default a new one.

    Raises:
        GameError: players that cannot be played, or losses or gradients that are not finite at the very first step.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> for it in iterate(game, z, mm.ExtraGradient(mm.sgd(0.5))):
        ...     if it.step == 2: break
        >>> it.players, it.cost
        ((tensor(0.3125), tensor(0.7500)), Cost(gradients=8, hvps=0, samples=0))
    """
    resumed = state is not None
    state = optimizer.init(game, players) if state is None else state
    step, cost = int(state["step"]), Cost()
    for drawn in draws(batches, optimizer.draws, step):
        players, state, info = optimizer.step(game, players, state, drawn)
        if step == 0 and not resumed:
            _check_start(game, info)
        game.commit(info.buffers)
        step, cost = step + 1, cost + info.cost
        yield Iterate(step, players, state, info, cost)


def draws(batches: Batches, each: int, step: int) -> Iterator[Any]:
    """What the steps from `step` on are passed: the batch, or a list of batches if each step takes several."""
    if batches is None:
        while True:
            yield None
    if callable(batches):
        while True:
            drawn = [batches(k) for k in range(step * each, (step + 1) * each)]
            yield drawn[0] if each == 1 else drawn
            step += 1
    source = iter(batches)
    while len(drawn := list(islice(source, each))) == each:
        yield drawn[0] if each == 1 else drawn


def _check_start(game: Game, info: Info) -> None:
    if not bool(info.finite):
        losses = ", ".join(f"{float(loss):g}" for loss in info.losses)
        norms = ", ".join(f"{float(norm):g}" for norm in info.norms)
        raise GameError(
            f"the first step is not finite: losses ({losses}), gradient norms ({norms}); check the initial players and "
            "the first batch."
        )


@dataclass(frozen=True)
class Status:
    """How a run ended: `kind` is converged, budget, diverged or exhausted; printed, it is a sentence."""

    kind: str
    step: int
    reason: str

    @property
    def ok(self) -> bool:
        """Whether the players are worth keeping."""
        return self.kind in ("converged", "budget")

    def __str__(self) -> str:
        return f"{self.kind} after {self.step} steps: {self.reason}."


@dataclass(frozen=True)
class Limits:
    """When a run has converged or diverged. The one place where either is decided.

    Args:
        tolerance: converged when |F| falls to this (0: never).
        growth: diverged when |z| exceeds this many times max(1, |z_0|).
    """

    tolerance: float = 0.0
    growth: float = 1e3

    def judge(self, it: Iterate, start: Tensor) -> Status | None:
        """The verdict after a step, or None to play on. `start` is |z_0|. Reads three numbers off the device."""
        norm, size = float(it.info.norm), float(magnitude(it.players))
        if not (bool(it.info.finite) and size < float("inf")):
            return Status("diverged", it.step, "a loss, a gradient or a player is not finite")
        if size > self.growth * max(1.0, float(start)):
            return Status("diverged", it.step, f"|z| = {size:.3g} exceeds {self.growth:g} times its start")
        if 0 < self.tolerance >= norm:
            return Status("converged", it.step, f"|F| = {norm:.3g} <= {self.tolerance:g}")
        return None


def magnitude(players: Players) -> Tensor:
    """|z|, the norm of all players together."""
    return tree.norm(pytree.tree_leaves(players))


@dataclass(frozen=True)
class Solution:
    """What `solve` found: the last players, how the run ended, and its history."""

    players: Players
    state: State
    status: Status
    cost: Cost
    records: dict[str, list[float]]

    @property
    def history(self) -> pd.DataFrame:
        """One row per recorded step: losses, gradient norm, cost. Needs pandas; `records` is the same in lists."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("history needs pandas: pip install pandas, or read solution.records.") from error
        return pd.DataFrame(self.records)


def solve(
    game: Game,
    players: Players,
    optimizer: GameOptimizer,
    batches: Batches = None,
    *,
    steps: int = 1000,
    limits: Limits = Limits(),
    every: int = 1,
    compile: bool = False,
) -> Solution:
    """Play `steps` steps, or until the run has converged, diverged, or used up its batches.

    Args:
        game: the losses.
        players: where to start: tensors, or modules, which are moved in place.
        optimizer: the algorithm.
        batches: as for `iterate`.
        steps: the budget.
        limits: when to stop early.
        every: record and judge every so many steps (each costs a read from the device).
        compile: compile the step (see `compiled`).

    Raises:
        ValueError: steps or every below 1.
        GameError: as for `iterate`.

    Example:
        >>> import torch, minimax as mm
        >>> A = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
        >>> game = mm.zero_sum(lambda x, y: x @ A @ y)
        >>> z = (torch.ones(2), torch.ones(2))
        >>> solution = solve(game, z, mm.ExtraGradient(mm.sgd(0.3)), limits=mm.Limits(tolerance=1e-6))
        >>> solution.status.kind, solution.players[0].abs().max() < 1e-5
        ('converged', tensor(True))
    """
    for name, value in (("steps", steps), ("every", every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    optimizer = compiled(optimizer) if compile else optimizer
    modules, (game, players) = players, game.functional(players)
    state = optimizer.init(game, players)
    start, records = magnitude(players), _Records()
    it, status = Iterate(0, players, state, Info((), ()), Cost()), None
    for it in islice(iterate(game, players, optimizer, batches), steps):
        if it.step % every == 0 or it.step == steps:
            records.add(it)
            if (status := limits.judge(it, start)) is not None:
                break
    if status is None:
        status = (
            Status("budget", it.step, f"the budget of {steps} steps is spent")
            if it.step == steps
            else Status("exhausted", it.step, f"the batches ran out before {steps} steps; pass more, or a function")
        )
    return Solution(written(modules, it.players), it.state, status, it.cost, records.columns)


class _Records:
    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {}

    def add(self, it: Iterate) -> None:
        row = {"step": it.step, **{f"loss_{i}": float(loss) for i, loss in enumerate(it.info.losses)}}
        row |= {"norm": float(it.info.norm), "gradients": it.cost.gradients, "hvps": it.cost.hvps}
        row |= {"samples": it.cost.samples}
        for key, value in row.items():
            self.columns.setdefault(key, []).append(value)


def written(originals: Players, players: Players) -> Players:
    """The players, with those that are modules in `originals` written back into these."""
    named = isinstance(originals, dict)
    values = list(players.values()) if named else list(players)
    for i, original in enumerate(originals.values() if named else originals):
        if isinstance(original, nn.Module):
            write(original, values[i])
            values[i] = original
    return dict(zip(originals, values, strict=True)) if named else tuple(values)


@torch.no_grad()
def write(module: nn.Module, parameters: dict[str, Tensor]) -> None:
    """Copy parameters into a module in place, so that optimizers, hooks and references to them stay valid."""
    targets: list[Tensor] = [module.get_parameter(name) for name in parameters]
    torch._foreach_copy_(targets, list(parameters.values()))
