"""Runs that are alike, played as one ensemble: a vmapped step moves them all, and each is recorded as if alone.

Alike are runs of one problem under one optimizer and kind of rule: their seeds differ, their numbers (rates, momenta,
the optimizer's own), or both. Every run keeps its own players, batches, evaluations and end, so that what it records is
what it would record alone, within rounding.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import minimax as mm
from benchmarks.quality import stability
from benchmarks.runner.play import Run
from minimax.composite import CompositeBatchNorm
from minimax.ensembles import stacked
from minimax.recording import Traced

Ended: TypeAlias = dict[str, Any]


class Apart(Exception):
    """Runs cannot be played as one ensemble; says why."""


class Group:
    """Runs under way as one ensemble.

    Args:
        runs: at least one, none of which has begun.

    Raises:
        Apart: they cannot be played together.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs, self.first = list(runs), runs[0]
        for run in runs:
            if run.memory is not None:
                raise Apart("the problem remembers more than its players")
            if run.step:
                raise Apart("a run has begun before, and goes on by itself")
            if (run.steps, run.answer) != (self.first.steps, self.first.answer):
                raise Apart("the budget pays for different numbers of steps")
            run.deadline += run.task.timeout * (len(runs) - 1)
            run.curve.sync = False  # nobody goes on from its rows
        self.random = torch.get_rng_state()
        self.numbers: list[Tensor] = []
        self.optimizer = merged([run.optimizer for run in runs], self.numbers)
        self.numbers = [value.to(self.first.problem.device) for value in self.numbers]
        self.seeds = list(dict.fromkeys(run.cell.seed for run in runs))
        self.whose = torch.tensor([self.seeds.index(run.cell.seed) for run in runs])
        self.step, self.cost, self.seconds = 0, mm.Cost(), 0.0
        self.samples = dict.fromkeys(self.seeds, 0)

    def play(self) -> Iterator[tuple[Run, Ended | Exception]]:
        """Play all runs to their ends; yields each as it comes to its own, with that or with what it failed of.

        Raises:
            Exception: of the step they share; those that have not ended are better played alone.
        """
        playing = dict(enumerate(self.runs))
        for k, run in list(playing.items()):
            try:
                run.begin()
            except Exception as error:  # its own
                yield run, error
                del playing[k]
        self.stack()
        while playing:
            self.advance()
            for k, run in list(playing.items()):
                if ended := self.looked(k, run):
                    yield run, ended
                    del playing[k]

    def stack(self) -> None:
        """Put the runs' players and memories on top of each other."""
        first = self.first
        game, players, held = stacked(first.problem.game(), [run.modules for run in self.runs])
        next(mm.iterate(first.game, first.players, first.optimizer, first.draw))  # for what it refuses
        state = torch.vmap(lambda z, h: filled(self.optimizer, h).init(game, z))(players, self.numbers)
        state = pytree.tree_map(lambda leaf: leaf.contiguous(), state)
        path = pytree.tree_map(lambda *leaves: torch.stack(leaves), *(vars(run.path) for run in self.runs))
        self.ema = None if first.ema is None else mm.EMA(players, first.ema.decay)

        def step(players: Any, held: Any, state: Any, path: Any, numbers: list[Tensor], drawn: Any) -> Any:
            with CompositeBatchNorm():
                players, state, info = filled(self.optimizer, numbers).step(game.holding(held), players, state, drawn)
            path = vars(stability.Path(**path).add(pytree.tree_leaves(players)))
            return players, info.buffers, state, path, info

        alone = None if len(self.seeds) == 1 or first.batch is None else 0
        self.all = players, held, state, path
        self.advanced = Traced(torch.vmap(step, in_dims=(0, 0, 0, 0, 0, alone)))
        self.info: Any = None

    def advance(self) -> None:
        """One step of all, on the clock."""
        began = time.perf_counter()
        drawn = self.drawn()
        *moved, self.info = self.advanced(*self.all, self.numbers, drawn)
        self.all = tuple(moved)
        if self.first.problem.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - began
        self.step, self.cost = self.step + 1, self.cost + self.info.cost
        if self.ema is not None:
            self.ema.update(self.all[0], torch.tensor(self.step - 1))

    def drawn(self) -> Any:
        """The batches of this step, as every seed alone draws them; with a dimension of runs if there are several."""
        each, problem = self.first.optimizer.draws, self.first.problem
        rows = []
        for seed in self.seeds:
            row = [problem.batch(seed, k) for k in range(self.step * each, (self.step + 1) * each)]
            self.samples[seed] += sum(map(problem.samples_in, row))
            rows.append(row[0] if each == 1 else row)
        if all(leaf is None for leaf in pytree.tree_leaves(rows)):
            return None
        if not all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(rows)):
            raise Apart("its batches hold more than tensors")
        if len(rows) == 1:
            return rows[0]
        return pytree.tree_map(lambda *leaves: torch.stack(leaves)[self.whose], *rows)

    def looked(self, k: int, run: Run) -> Ended | Exception | None:
        """How a run ended, if this step was its last; judged and evaluated where a run alone would be."""
        run.step = self.step
        run.progress()
        ending = self.step == self.first.steps
        cut = not ending and run.cut() is not None
        if not (run.due or cut or self.step == 1):
            return None
        try:
            info = self.put(k, run)
            if self.step == 1 and not bool(info.finite):
                raise Apart("its first step is not finite")
            ended = run.judged() or (run.finished() if ending else run.cut())
        except Exception as error:  # its own
            return error
        if not torch.equal(self.random, torch.get_rng_state()):
            raise Apart("its evaluation draws from torch's global random numbers")
        return ended

    def put(self, k: int, run: Run) -> mm.optimizer.Info:
        """Let a run stand where its member stands; returns what the last step saw of it."""
        (players, _, state, path), info = pytree.tree_map(lambda leaf: leaf[k], (self.all, self.info))
        run.players, run.state, run.path, run.info = players, state, stability.Path(**path), info
        run.cost = self.cost._replace(samples=self.samples[run.cell.seed])
        run.seconds = self.seconds / len(self.runs)
        run.game.commit(info.buffers)
        if run.ema is not None and self.ema is not None:
            run.ema.load(pytree.tree_map(lambda leaf: leaf[k], self.ema.players))
        seen: mm.optimizer.Info = info
        return seen


# ------------------------------------------------------------------------------- the numbers in which optimizers differ


@dataclass(frozen=True)
class Slot:
    """Where a number belongs of which every run has its own."""

    index: int


def merged(parts: Sequence[Any], numbers: list[Tensor]) -> Any:
    """What optimizers have in common, with a slot for each number in which they differ.

    Args:
        parts: the optimizers, or what they hold.
        numbers: the differing ones are appended, a tensor with an entry a part.

    Raises:
        Apart: they differ in more than numbers.
    """
    first = parts[0]
    if all(type(part) is type(first) and part == first for part in parts):
        return first
    if all(isinstance(part, tuple | mm.Rule) for part in parts) and len(sizes := _sizes(parts)) == 1:  # one for all
        parts = [part if isinstance(part, tuple) else (part,) * sizes[0] for part in parts]
        return tuple(merged(each, numbers) for each in zip(*parts, strict=True))
    if all(type(part) is float for part in parts):
        numbers.append(torch.tensor(parts, dtype=torch.float64))
        return Slot(len(numbers) - 1)
    if len({type(part) for part in parts}) == 1 and is_dataclass(first):
        own = [item.name for item in fields(first)]
        return _with(first, {name: merged([getattr(part, name) for part in parts], numbers) for name in own})
    raise Apart(f"they differ in more than numbers: {first!r} and others")


def _sizes(parts: Sequence[Any]) -> list[int]:
    """The different lengths of those that are tuples."""
    return list({len(part) for part in parts if isinstance(part, tuple)})


def filled(part: Any, numbers: Sequence[Tensor]) -> Any:
    """What `merged` has made, with numbers in its slots."""
    if isinstance(part, Slot):
        return numbers[part.index]
    if isinstance(part, tuple):
        return tuple(filled(value, numbers) for value in part)
    if numbers and is_dataclass(part):
        return _with(part, {item.name: filled(getattr(part, item.name), numbers) for item in fields(part)})
    return part


def _with(part: Any, values: dict[str, Any]) -> Any:
    """A copy with other values, which have been checked where they were numbers: a schedule refuses tensors."""
    part = copy.copy(part)
    for name, value in values.items():
        object.__setattr__(part, name, value)
    return part
