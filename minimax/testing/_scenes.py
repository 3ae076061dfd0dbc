"""Small smooth games to be played, and playing them."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import Tensor, nn

from minimax.game import Game, cooperative, zero_sum
from minimax.linearization import Linearization
from minimax.optimizer import GameOptimizer, Info, State
from minimax.oracle import Oracle, Players
from minimax.rules import Rated, Rule, from_torch
from minimax.transforms import averaged

T = TypeVar("T")
SAMPLES, FEATURES = 5, 3


@dataclass(frozen=True)
class Scene:
    """A game with players to start from and batches of shape (SAMPLES, FEATURES)."""

    game: Game
    players: Players
    dtype: torch.dtype = torch.float64

    def batch(self, k: int) -> Tensor:
        """The k-th batch: not random, so that it can be made under `vmap` too."""
        angles = torch.arange(SAMPLES * FEATURES, dtype=torch.float64) * 2.4 + k * 1.3
        return angles.sin().reshape(SAMPLES, FEATURES).to(self.dtype) * 1.4

    def drawn(self, optimizer: GameOptimizer, step: int) -> Any:
        """What a step is passed: the batch, or a list if the optimizer draws several."""
        drawn = [self.batch(k) for k in range(step * optimizer.draws, (step + 1) * optimizer.draws)]
        return drawn[0] if optimizer.draws == 1 else drawn


def play(
    optimizer: GameOptimizer, scene: Scene, steps: int, players: Players | None = None
) -> tuple[Any, State, Info | None]:
    """So many steps, from the players given or else from the scene's."""
    players = scene.players if players is None else players
    state, info = optimizer.init(scene.game, players), None
    for step in range(steps):
        players, state, info = optimizer.step(scene.game, players, state, scene.drawn(optimizer, step))
    return players, state, info


def some_players(n: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[dict[str, Tensor], ...]:
    """n players of two leaves: a matrix, and a 0-dim one, whose dtype careless scalars change."""
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return tuple({"weight": leaf(1, FEATURES), "bias": leaf()} for _ in range(n))


def score(player: Any, batch: Tensor) -> Tensor:
    """What a player says about each sample: an affine function, as tensors or as a module."""
    if isinstance(player, nn.Module):
        return player(batch)  # type: ignore[no-any-return]
    return nn.functional.linear(batch, player["weight"], player["bias"].reshape(1))


def payoff(x: Any, y: Any, batch: Tensor) -> Tensor:
    """Strongly concave in y, so that best responses exist."""
    u, v = score(x, batch), score(y, batch)
    return (u**2 / 4 + u.sin() * v - v**2 / 4).mean()


def general_sum(n: int) -> Game:
    """Every player's loss depends on itself and on the next player."""

    def loss(i: int) -> Callable[..., Tensor]:
        def of(*args: Any) -> Tensor:
            u, v = score(args[i], args[-1]), score(args[(i + 1) % n], args[-1])
            return (u**2 / 4 + 0.3 * u.sin() + u * (v - 0.5).tanh()).mean()

        return of

    return Game(*(loss(i) for i in range(n)))


def zero_sum_scene(dtype: torch.dtype = torch.float64, seed: int = 0) -> Scene:
    """Two players of a zero-sum game, which every optimizer must play."""
    return Scene(zero_sum(payoff), some_players(2, dtype, seed), dtype)


def scenes() -> dict[str, Scene]:
    """Games of all kinds by name."""
    return {
        "a zero-sum game": zero_sum_scene(),
        "a general-sum game": Scene(general_sum(2), some_players(2)),
        "a cooperative game": Scene(cooperative(payoff, players=2), some_players(2)),
        "one player": Scene(general_sum(1), some_players(1)),
        "three players": Scene(general_sum(3), some_players(3)),
    }


def module_scene() -> tuple[Scene, tuple[nn.Module, ...], Scene]:
    """The zero-sum game on plain tensors; modules with the same parameters; and the functional game of those."""
    modules = tuple(nn.Linear(FEATURES, 1, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        for module, player in zip(modules, some_players(2), strict=True):
            module.weight.copy_(player["weight"])
            module.bias.copy_(player["bias"].reshape(1))
    functional = Scene(*zero_sum(payoff).functional(modules))
    return Scene(zero_sum(payoff), functional.players), modules, functional


def rules(value: Any) -> list[Rule]:
    """All rules in an optimizer, also those of an optimizer inside it and those inside other rules."""
    if isinstance(value, GameOptimizer | Rule):
        inside = [rule for field in dataclasses.fields(value) for rule in rules(getattr(value, field.name))]
        return [value, *inside] if isinstance(value, Rule) else inside
    return [rule for part in value for rule in rules(part)] if isinstance(value, tuple) else []


def native(optimizer: GameOptimizer) -> bool:
    """Whether no rule wraps a torch optimizer."""
    return not any(isinstance(rule, from_torch) for rule in rules(optimizer))


def with_rates(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same optimizer with every rule's rate changed."""
    if isinstance(value, from_torch):
        return from_torch(value.optimizer, lr=change(value.lr), **dict(value.options))
    if isinstance(value, Rated):
        return dataclasses.replace(value, lr=change(value.lr))
    if isinstance(value, GameOptimizer | Rule):
        names = [field.name for field in dataclasses.fields(value) if rules(getattr(value, field.name))]
        return dataclasses.replace(value, **{name: with_rates(getattr(value, name), change) for name in names})
    return tuple(with_rates(part, change) for part in value)


def hyperparameters(optimizer: GameOptimizer) -> list[str]:
    """The names of the optimizer's numbers that may be scheduled: those annotated as Hyperparameter."""
    names = [field.name for field in dataclasses.fields(optimizer) if field.type == "Hyperparameter"]
    return [name for name in names if isinstance(getattr(optimizer, name), float)]


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Count the calls of the oracles from outside; a call inside another one is part of it."""
    calls, depth = {"gradients": 0, "hvps": 0}, 0

    def counted(method: Callable[..., Any], kind: str, amount: Callable[..., int]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            calls[kind] += amount(*args) if depth == 0 else 0
            depth += 1
            try:
                out = method(*args, **kwargs)
            finally:
                depth -= 1
            return products(out) if isinstance(out, Linearization) else out

        return call

    def products(local: Linearization) -> Linearization:
        names = [field.name for field in dataclasses.fields(local) if callable(getattr(local, field.name))]
        wrapped: Any = {name: counted(getattr(local, name), "hvps", lambda *_: 1) for name in names}
        return dataclasses.replace(local, **wrapped)

    amounts = {"gradient": lambda *_: 1, "field": lambda o, *_: o.players, "linearize": lambda o, *_: o.players}
    wrapped: Any = {name: counted(getattr(Oracle, name), "gradients", amount) for name, amount in amounts.items()}
    with mock.patch.multiple(Oracle, **wrapped):
        yield calls


def on_two_ranks(game: Game, play: Callable[[Game, int], T], patience: float = 30.0) -> list[T]:
    """What two ranks (here threads) find that average over each other, as under `transforms.data_parallel`."""
    said: list[list[Tensor]] = [[], []]
    both = threading.Barrier(2, timeout=patience)

    def start(rank: int) -> T:
        def merge(values: list[Tensor]) -> list[Tensor]:
            said[rank] = values
            both.wait()
            means = [(a + b) / 2 if a.is_floating_point() else a for a, b in zip(*said, strict=True)]
            both.wait()
            return means

        try:
            return play(averaged(game, lambda batch: [batch], merge), rank)
        except BaseException:
            both.abort()  # or the other one waits for ever
            raise

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(start, rank) for rank in range(2)]
    # A rank that failed breaks the other one's wait: its own error says more.
    errors = [error for run in runs if (error := run.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        lost = isinstance(error, threading.BrokenBarrierError)
        raise AssertionError("one of two ranks asked the game what the other did not ask.") if lost else error
    return [run.result() for run in runs]
