"""The one loop: `iterate` yields after every step, `solve` runs it to a result. Failure is a value with a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.admission import mismatch
from minimax.compiling import Compiled, compiled
from minimax.errors import GameError
from minimax.game import Game
from minimax.inspection import inspect, refuse_cuts
from minimax.optimizer import Cost, GameOptimizer, Info, State, checked
from minimax.saving import expected
from minimax.status import Limits, Status, measure, missed, not_finite, played_out, start_of
from minimax.status import magnitude as magnitude
from minimax.types import Batch, P, Players
from minimax.validation import flag, shown, whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Batches: TypeAlias = Iterable[Batch] | Callable[[int], Batch] | None


class Iterate(NamedTuple, Generic[P]):
    """Where play stands after a step.

    Args:
        step: how many steps have been taken.
        players: as they are now, in the structure in which they were passed; modules as dicts of their parameters.
        state: the optimizer's memory, which `iterate` and `GameOptimizer.step` go on from.
        info: what the step saw.
        cost: all that was spent since the loop began.
    """

    step: int
    players: P
    state: State
    info: Info
    cost: Cost

    def __repr__(self) -> str:
        return f"Iterate(step={self.step}, {summary(self.players)}, {self.info}, total {self.cost})"


def iterate(
    game: Game,
    players: P,
    optimizer: GameOptimizer,
    batches: Batches = None,
    *,
    state: State | None = None,
    check: bool = True,
) -> Iterator[Iterate[P]]:
    """Play forever, yielding after every step; ends when the batches do.

    Args:
        game: the losses.
        players: where to start; plain tensors (see `Game.functional`).
        optimizer: the algorithm.
        batches: an iterable of batches; or a function k -> k-th batch, which makes play resume exactly; or None.
            A step takes `optimizer.draws` of them.
        state: a saved state to go on from, with its `players`; by default a new one.
        check: look once, at the very first step, for losses that would be silently wrong (see `minimax.inspection`).

    Raises:
        GameError: players that cannot be played, or losses or gradients that are not finite at the very first step.
        TypeError: batches that are one batch and no iterable of batches, or an optimizer that is none.
        ValueError: the state of another optimizer, or of other players.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> for it in iterate(game, z, mm.ExtraGradient(mm.sgd(0.5))):
        ...     if it.step == 2: break
        >>> it.players, it.cost
        ((tensor(0.3125), tensor(0.7500)), Cost(gradients=8, hvps=0, samples=0))
    """
    check_playable(game, optimizer)
    flag("check", check)
    fresh, begins = optimizer.init(game, players), state is None
    state = fresh if state is None else state
    wrong = mismatch(state, fresh, "state")
    if wrong := wrong and mismatch(state, expected(optimizer, game, players), "state"):  # torch's make memory by moving
        raise ValueError(f"state is of another optimizer or of other players: {wrong}.")
    step, cost = int(state["step"]), Cost()
    for drawn in draws(batches, optimizer.draws, step):
        first = drawn[0] if optimizer.draws > 1 and drawn is not None else drawn
        if begins and check:
            inspect(game, players, first)
        start = players
        players, state, info = optimizer.step(game, players, state, drawn)
        step, cost = step + 1, cost + info.cost
        it = Iterate(step, players, state, info, cost)
        if begins:
            _check_start(it)
            if check and info.cost.hvps:
                refuse_cuts(game, start, first)
        begins = False
        game.commit(info.buffers)
        yield it


def check_playable(game: Game, optimizer: GameOptimizer) -> None:
    """Refuse what is no game, or no optimizer of games.

    Raises:
        TypeError: with what was given.
    """
    if not isinstance(game, Game):
        raise TypeError(f"game must be a Game, such as zero_sum(payoff), got {shown(game)}.")
    checked(optimizer)


def draws(batches: Batches, each: int, step: int) -> Iterator[Any]:
    """What the steps from `step` on are passed: the batch, or a list of batches if each step takes several."""
    if batches is None:
        while True:
            yield None
    iterable = isinstance(batches, Iterable) and not isinstance(batches, Tensor | np.ndarray | Mapping | str | bytes)
    if not (iterable or callable(batches)):
        raise TypeError(
            f"batches must be an iterable of batches or a function k -> k-th batch, got {shown(batches)}: for one "
            "batch at every step pass `lambda k: batch`, for a data set its DataLoader."
        )
    if callable(batches):
        while True:
            drawn = [batches(k) for k in range(step * each, (step + 1) * each)]
            yield drawn[0] if each == 1 else drawn
            step += 1
    source = iter(batches)
    while len(drawn := list(islice(source, each))) == each:
        yield drawn[0] if each == 1 else drawn


def _check_start(it: Iterate[Any]) -> None:
    if not bool(it.info.finite):
        losses = ", ".join(f"{float(loss):g}" for loss in it.info.losses)
        norms = ", ".join(f"{float(norm):g}" for norm in it.info.norms)
        raise GameError(
            f"the first step is not finite: losses ({losses}), gradient norms ({norms}), {not_finite(it)} first; check "
            "the initial players and the first batch."
        )


def summary(players: Players) -> str:
    """How many players and numbers there are."""
    size = sum(leaf.numel() for leaf in pytree.tree_leaves(_tensors(players)))
    return f"{len(players)} player{'s' * (len(players) != 1)} with {size:,} number{'s' * (size != 1)}"


def _tensors(players: Players) -> list[Any]:
    return [list(value.parameters()) if isinstance(value, nn.Module) else value for value in entries(players)]


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Generic[P]):
    """What `solve` found.

    Args:
        players: the last ones; of a run that diverged, the last that were recorded within the limits. Modules, if
            modules were passed.
        answer: what the optimizer says its answer is, for most `players` themselves; an average in the structure of the
            players, of modules in copies of them with the last buffers.
        state: the optimizer's memory that belongs to the players; `state["step"]` is the step they are of.
        status: how the run ended.
        cost: all that was spent.
        records: the history in lists, one entry per recorded step: `step`; `loss_0`, ...; `norm`, the residual that
            `Limits` judges; `gradients`, `hvps` and `samples` spent so far.
        measure: what `norm` is, as a formula: |F|, or with constraints |z - P(z - F)|.
    """

    players: P
    answer: P
    state: State
    status: Status
    cost: Cost
    records: dict[str, list[float]]
    measure: str = "|F|"

    def __repr__(self) -> str:
        spent = ", ".join(f"{value:,} {name}" for name, value in self.cost._asdict().items() if value)
        return f"Solution({str(self.status).rstrip('.')}; {summary(self.players)}; {spent or 'nothing spent'})"

    def _repr_html_(self) -> str:
        last = {name: f"{column[-1]:.6g}" for name, column in self.records.items() if column}
        rows = {"status": str(self.status), "players": summary(self.players), **last}
        cells = (f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
        return f"<table>{''.join(cells)}</table>"

    @property
    def history(self) -> pd.DataFrame:
        """One row per recorded step: losses, residual, cost. Needs pandas; `records` is the same in lists."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("history needs pandas: pip install pandas, or read solution.records.") from error
        return pd.DataFrame(self.records)

    def plot(self) -> Figure:
        """The losses, and the residual on a log axis, against the gradients spent. Needs matplotlib and seaborn.

        Raises:
            ImportError: these are not installed.
            ValueError: no step was recorded.

        Example:
            >>> import torch, minimax as mm
            >>> z = (torch.tensor(1.0), torch.tensor(1.0))
            >>> figure = mm.solve(mm.zero_sum(lambda x, y: x * y), z, mm.ExtraGradient(mm.sgd(0.3)), steps=50).plot()
            >>> [ax.get_ylabel() for ax in figure.axes]
            ['loss', '|F|']
        """
        from minimax.diagnostics._plots import draw_run

        return draw_run(self.records, str(self.status), self.measure)


def solve(
    game: Game,
    players: P,
    optimizer: GameOptimizer,
    batches: Batches = None,
    *,
    steps: int = 1000,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    every: int = 1,
    compile: bool = False,
    check: bool = True,
) -> Solution[P]:
    """Play `steps` steps, or until the run has converged, diverged, or used up its batches.

    A run that diverges leaves the last players that were recorded within the limits, in modules too. `players` and
    `state` of what is returned are where to play on from; `answer` is what to evaluate.

    Args:
        game: the losses.
        players: where to start: tensors, or modules, which are moved in place.
        optimizer: the algorithm.
        batches: as for `iterate`.
        steps: the budget.
        limits: when to stop early.
        every: record and judge every so many steps, and the last (each costs a read from the device; above 1 the last
            recorded players are kept beside the present ones).
        compile: compile the step (see `compiled`); without batches and modules up to 16 in one, if they divide `every`.
        check: as for `iterate`.

    Raises:
        ValueError: steps or every below 1, or no integers.
        TypeError: limits that are no `Limits`; and as for `iterate`.
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
    check_playable(game, optimizer)
    check_budget(steps, every, limits, compile)
    optimizer = compiled(optimizer) if compile else optimizer
    modules, (game, players) = players, game.functional(players)
    it = Iterate(0, players, optimizer.init(game, players), Info((), (), buffers=_buffers(game)), Cost())
    watch, status = _Watch(limits, it), None
    for it in _played(game, players, optimizer, batches, check, every, steps):
        if it.step == 1:
            watch.start = start_of(watch.start, magnitude(it.players))
        if it.step % every == 0 or it.step == steps:
            status = watch.look(it)
            if status is not None:
                break
    if status is None and it.step > watch.seen:
        status = watch.look(it)
    if status is None:
        status = played_out(it.step, steps, optimizer.draws)
    if status.kind == "diverged":
        game.commit(watch.good.info.buffers)
    good, status = watch.good, replace(status, reason=status.reason + missed(watch.missed, watch.bent))
    players, answer = written(modules, good.players), optimizer.answer(good.players, good.state)
    answer = players if answer is good.players else copied(modules, answer)
    return Solution(players, answer, good.state, status, it.cost, watch.columns, measure(game.constraints))


def _played(
    game: Game, players: P, optimizer: GameOptimizer, batches: Batches, check: bool, every: int, steps: int
) -> Iterator[Iterate[P]]:
    """`iterate` for so many steps; compiled and where nothing comes in between, several at once, up to a look."""
    alone = isinstance(optimizer, Compiled) and batches is None and game.modules is None
    for it in islice(iterate(game, players, optimizer, batches, check=check), 1 if alone else steps):
        yield it
    if isinstance(optimizer, Compiled) and alone:
        for step, players, state, info in optimizer.leaps(game, it.players, it.state, every, steps):
            yield (it := Iterate(step, players, state, info, it.cost + info.cost))


def check_budget(steps: int, every: int, limits: Limits, compile: bool) -> None:
    """Refuse what `solve` and `ensemble` cannot count with.

    Raises:
        ValueError: steps or every that are no integers above 0, or a compile that is no boolean.
        TypeError: limits that are no `Limits`.
    """
    whole("steps", steps, at_least=1)
    whole("every", every, at_least=1)
    flag("compile", compile)
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be Limits(tolerance=..., growth=...), got {shown(limits)}.")


class _Watch(Generic[P]):
    """What `solve` remembers of a run: its history, and where play last stood within the limits."""

    def __init__(self, limits: Limits, first: Iterate[P]) -> None:
        self.limits, self.good = limits, first
        self.start = magnitude(first.players)
        self.seen, self.missed, self.bent = 0, 0.0, 0.0
        self.columns: dict[str, list[float]] = {}

    def look(self, it: Iterate[P]) -> Status | None:
        """Record a step and judge it."""
        self._record(it)
        self.seen = it.step
        status = self.limits.judge(it, self.start)
        if status is None or status.ok:
            self.good = it
        return status

    def _record(self, it: Iterate[P]) -> None:
        row = {"step": it.step, **{f"loss_{i}": float(loss) for i, loss in enumerate(it.info.losses)}}
        row |= {"norm": float(it.info.residual), **it.cost._asdict()}
        for key, value in row.items():
            self.columns.setdefault(key, []).append(value)
        if "missed" in it.info.extra:
            self.missed = max(self.missed, float(it.info.extra["missed"]))
            self.bent = max(self.bent, float(it.info.extra.get("bent", 0.0)))


def _buffers(game: Game) -> dict[str, Tensor]:
    """The buffers of the game's modules, copied."""
    modules = game.modules
    return {} if modules is None else {name: tensor.clone() for name, tensor in modules.read(modules.buffers).items()}


def entries(players: Players) -> list[Any]:
    """One player after the other."""
    return list(players.values() if isinstance(players, Mapping) else players)


def like(originals: P, values: list[Any]) -> P:
    """Other players in the places of the originals."""
    new: Any = dict(zip(originals, values, strict=True)) if isinstance(originals, Mapping) else tuple(values)
    players: P = new
    return players


def written(originals: P, players: Players) -> P:
    """The players, with those that are modules in `originals` written back into these."""
    values = entries(players)
    for i, original in enumerate(entries(originals)):
        if isinstance(original, nn.Module):
            write(original, values[i])
            values[i] = original
    return like(originals, values)


def copied(originals: P, players: Players) -> P:
    """The players, with copies of the modules in `originals` that hold them: a module each, buffers as they are."""
    values = entries(originals)
    # Old-style weight_norm leaves tensors with a graph behind, which nothing can copy deeply.
    memo = {id(tensor): tensor.detach() for tensor in _attributes(values) if tensor.grad_fn is not None}
    copies = [copy.deepcopy(value, memo) if isinstance(value, nn.Module) else value for value in values]
    return written(like(originals, copies), players)


def _attributes(players: list[Any]) -> Iterator[Tensor]:
    """All tensors that modules among the players have as plain attributes."""
    for player in players:
        for owner in player.modules() if isinstance(player, nn.Module) else ():
            yield from (value for value in vars(owner).values() if isinstance(value, Tensor))


@torch.no_grad()
def write(module: nn.Module, parameters: dict[str, Tensor]) -> None:
    """Copy parameters into a module in place, so that optimizers, hooks and references to them stay valid."""
    targets: list[Tensor] = [module.get_parameter(name) for name in parameters]
    tree.overwrite(targets, list(parameters.values()))
