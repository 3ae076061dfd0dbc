"""What the clauses look at and with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from benchmarks.problem import Problem
from benchmarks.runner.plan import own
from benchmarks.runner.setup import Setup, resolve
from minimax.testing._compare import copied, demand

ROUNDING = 1e-6  # by which a score may lie outside its range


@contextmanager
def no_chance(what: str) -> Iterator[None]:
    """Whatever is called in here must not draw from torch's global generator."""
    before = torch.get_rng_state()
    yield
    cure = "draw from self.generator(seed, draw), in `batch` if it is a loss that needs it."
    demand(torch.equal(before, torch.get_rng_state()), f"{what} draws from torch's global generator: {cure}")


def judge(problem: Problem, scores: dict[str, float]) -> None:
    """Demand that an evaluation yields the declared metrics, as floats in their ranges or nan."""
    declared = {metric.name: metric for metric in problem.metrics}
    missing, unknown = sorted(declared.keys() - scores.keys()), sorted(scores.keys() - declared.keys())
    demand(not missing, f"evaluate yields no {', '.join(missing)}, which metrics declares.")
    demand(not unknown, f"evaluate yields {', '.join(unknown)}, which metrics does not declare.")
    for name, value in scores.items():
        demand(type(value) is float, f"evaluate gives {name} as {type(value).__name__}, not as a float.")
        holds = math.isnan(value) or within(value, declared[name].range)
        demand(holds, f"{name} = {value} lies outside its range {declared[name].range}.")


def within(value: float, bounds: tuple[float, float]) -> bool:
    low, high = bounds
    return low - ROUNDING * max(1.0, abs(low)) <= value <= high + ROUNDING * max(1.0, abs(high))


def setups(problem: Problem) -> list[Setup]:
    """The optimizers that a problem is played by unless told, without those that it skips."""
    resolved = [resolve(spec, problem.recipe) for spec in own(type(problem))]
    return [setup for setup in resolved if not problem.skips.keys() & set(setup.names)]


def tensors(players: tuple[Any, ...]) -> list[Any]:
    """Copies of everything that the players hold, in plain containers, a player each."""
    return [copied(_held(player)) for player in players]


def _held(player: Any) -> Any:
    return (
        {**dict(player.named_parameters()), **dict(player.named_buffers())} if isinstance(player, nn.Module) else player
    )


def shared(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """Whether a tensor of one is a tensor of the other."""
    first, second = (
        {leaf.data_ptr() for player in players for leaf in pytree.tree_leaves(_held(player))} for players in (one, two)
    )
    return not first.isdisjoint(second)


@contextmanager
def doubled() -> Iterator[None]:
    """Double precision by default, for what a problem makes in here."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def generic(player: Any) -> Any:
    """The player in double precision; a network a little aside, as biases of 0 may put rectifiers on their kinks."""
    player = double(player)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in player.parameters() if isinstance(player, nn.Module) else ():
            weight.add_(0.02 * torch.randn(weight.shape, generator=stream, dtype=torch.float64).to(weight))
    return player


def double(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return value.double()
    return pytree.tree_map(lambda x: x.double() if isinstance(x, Tensor) and x.is_floating_point() else x, value)


def spoiled(player: Any) -> Any:
    """The player with nan in all its numbers."""
    if isinstance(player, nn.Module):
        with torch.no_grad():
            for leaf in player.parameters():
                leaf.fill_(math.nan)
        return player
    return pytree.tree_map(lambda leaf: torch.full_like(leaf, math.nan), player)
