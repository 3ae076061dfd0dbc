"""The contract of an optimizer, one function a clause."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax.errors import GameError
from minimax.game import Game
from minimax.modules import bind
from minimax.optimizer import Cost, GameOptimizer
from minimax.testing._compare import close, copied, demand, same, shapes, shared, stacked, through_disk
from minimax.testing._linear import linear
from minimax.testing._scenes import (
    SAMPLES,
    counting,
    hyperparameters,
    module_scene,
    native,
    on_two_ranks,
    play,
    scenes,
    with_rates,
    zero_sum_scene,
)


def check_optimizer(optimizer: GameOptimizer, *, skip: Collection[str] = ()) -> None:
    """Put an optimizer through all of `CHECKS`.

    Plays small smooth games of one, two and three players. An optimizer may refuse a number of players, or a game that
    is not zero-sum, by a GameError that speaks of players or of zero-sum; two players of a zero-sum game it must play.

    Args:
        optimizer: the configuration to check, with a rule whose steps are small, say sgd(0.05).
        skip: names of checks to leave out.

    Raises:
        AssertionError: the contract is broken; the sentence says where.

    Example:
        >>> import minimax as mm
        >>> check_optimizer(mm.OptimisticGDA(mm.adam(0.01)), skip=["compiled"])
    """
    for name, check in CHECKS.items():
        if name not in skip:
            check(optimizer)


def _configuration(optimizer: GameOptimizer) -> None:
    kind = type(optimizer).__name__
    params = getattr(type(optimizer), "__dataclass_params__", None)
    demand(params is not None and params.frozen, f"{kind} must be a frozen dataclass.")
    copy = dataclasses.replace(optimizer)
    demand(copy == optimizer and hash(copy) == hash(optimizer), f"a copy of {kind} must equal it, and hash alike.")
    demand(repr(optimizer).startswith(kind), f"the repr of {kind} must open with its name.")
    demand(optimizer.draws >= 1, f"draws must be at least 1, got {optimizer.draws}.")


def _purity(optimizer: GameOptimizer) -> None:
    scene = zero_sum_scene()
    players, state = scene.players, optimizer.init(scene.game, scene.players)
    kept: list[tuple[int, Any, Any]] = []
    for step in range(4):
        arguments = (players, state, scene.drawn(optimizer, step))
        kept.append((step, arguments, copied(arguments)))
        players, state, info = optimizer.step(scene.game, *arguments)
        again = optimizer.step(scene.game, *arguments)
        demand(same((players, state), again[:2]), f"step {step} gives another result when it is called again.")
        seen = info.losses, info.gradients
        kept.append((step, seen, copied(seen)))
        leaves = pytree.tree_leaves((players, state, seen))
        graph = any(leaf.requires_grad for leaf in leaves if isinstance(leaf, Tensor))
        demand(not graph, f"step {step} returns tensors that carry a graph: detach them.")
    for step, now, then in kept:
        demand(same(now, then), f"the players, state, batches or info of step {step} were written to.")


def _storage(optimizer: GameOptimizer) -> None:
    scene = zero_sum_scene()
    players, state = scene.players, optimizer.init(scene.game, scene.players)
    demand(not shared(state, players), "the state that init makes holds memory of the players: clone it.")
    for step in range(4):
        before = players
        players, state, _ = optimizer.step(scene.game, players, state, scene.drawn(optimizer, step))
        demand(
            not shared(state, before), f"the state after step {step} holds memory of the players passed in: clone it."
        )
        demand(not shared(state, players), f"the state after step {step} holds memory of the new players: clone it.")


def _plays(optimizer: GameOptimizer) -> None:
    for name, scene in scenes().items():
        try:
            players, state, info = play(optimizer, scene, 3)
        except GameError as error:
            speaks = "player" in str(error) or "zero-sum" in str(error)
            demand(name != "a zero-sum game" and speaks, f"{name}: refused with {str(error)!r}.")
            continue
        n = len(scene.players)
        demand(shapes(players) == shapes(scene.players), f"{name}: players changed structure, shape, dtype or device.")
        demand(not any(map(same, players, scene.players)), f"{name}: a player did not move in three steps.")
        demand(int(state["step"]) == 3, f"{name}: state['step'] is {state['step']} after three steps.")
        demand(info is not None and bool(info.finite), f"{name}: losses or gradients are not finite.")
        demand(info is not None and len(info.losses) == len(info.gradients) == n, f"{name}: info needs {n} losses.")
        keys = [f"player {i}" for i in range(n)]
        named, _, _ = play(optimizer, scene, 3, dict(zip(keys, scene.players, strict=True)))
        demand(list(named) == keys, f"{name}: a dict of players came back with the keys {list(named)}.")
        demand(same(tuple(named.values()), players), f"{name}: a dict of players is played unlike a tuple.")


def _precision(optimizer: GameOptimizer) -> None:
    scene = zero_sum_scene(torch.float32)
    moved = play(optimizer, scene, 1)[0]
    demand(shapes(moved) == shapes(scene.players), "float32 players changed shape or dtype.")
    players, state, _ = play(optimizer, scene, 3)
    if native(optimizer):  # torch's optimizers make their state at the first step
        fresh = optimizer.init(scene.game, scene.players)
        demand(shapes(state) == shapes(fresh), "the state changed structure, shape or dtype while playing.")
    double = play(optimizer, zero_sum_scene(), 3)[0]
    demand(close(players, double, 1e-3), "play in float32 and in float64 differ.")


def _resume(optimizer: GameOptimizer) -> None:
    """Every step goes on from what was saved after the last one; what is not in there is lost."""
    scene = zero_sum_scene()
    players, state = scene.players, optimizer.init(scene.game, scene.players)
    resumed = players, state
    for stop in range(5):
        drawn = scene.drawn(optimizer, stop)
        loaded, memory = through_disk(resumed)
        resumed = optimizer.step(scene.game, loaded, memory, drawn)[:2]
        players, state, _ = optimizer.step(scene.game, players, state, drawn)
        demand(
            same((players, state), resumed), f"saved, loaded and resumed after step {stop}, play goes on differently."
        )


def _modules(optimizer: GameOptimizer) -> None:
    plain, modules, functional = module_scene()
    trainer = bind(functional.game, modules, optimizer)
    for step in range(4):
        drawn = functional.drawn(optimizer, step)
        trainer.step(*(drawn if optimizer.draws > 1 else [drawn]))
    for scene, what in ((functional, "the pure step"), (plain, "the same game on plain tensors")):
        demand(same(trainer.players, play(optimizer, scene, 4)[0]), f"bind(...).step and {what} play differently.")


def _ranks(optimizer: GameOptimizer) -> None:
    scene, draws = zero_sum_scene(), optimizer.draws

    def end(game: Game, ranks: Sequence[int]) -> Any:
        players, state, info = scene.players, optimizer.init(game, scene.players), None
        for step in range(3):
            drawn = [torch.cat([scene.batch(2 * (step * draws + k) + rank) for rank in ranks]) for k in range(draws)]
            players, state, info = optimizer.step(game, players, state, drawn if draws > 1 else drawn[0])
        return players, info.losses if info else ()

    whole = end(scene.game, (0, 1))
    for rank, found in enumerate(on_two_ranks(scene.game, lambda game, rank: end(game, (rank,)))):
        demand(close(found, whole, 1e-9), f"rank {rank} of two with half a batch each plays unlike one process.")


def _vmapped(optimizer: GameOptimizer) -> None:
    if not native(optimizer):
        return
    members = [zero_sum_scene(seed=seed) for seed in range(3)]
    game = members[0].game
    players = stacked([scene.players for scene in members])
    state = stacked([optimizer.init(game, scene.players) for scene in members])
    for k in range(3):
        drawn = members[0].drawn(optimizer, k)
        players, state, _ = torch.vmap(lambda z, s, d=drawn: optimizer.step(game, z, s, d))(players, state)
    loop = stacked([play(optimizer, scene, 3)[0] for scene in members])
    demand(close(players, loop, 1e-9), "vmap over players differs from a loop.")


def _vmapped_rates(optimizer: GameOptimizer) -> None:
    if not native(optimizer):
        return
    scene, factors = zero_sum_scene(), [0.5, 1.0]

    def end(factor: Any) -> Any:
        return play(with_rates(optimizer, lambda rate: factor * rate), scene, 3)[0]

    grid = torch.vmap(end)(torch.tensor(factors, dtype=torch.float64))
    demand(close(grid, stacked([end(factor) for factor in factors]), 1e-9), "vmap over rates differs from a loop.")


def _compiled(optimizer: GameOptimizer) -> None:
    if not native(optimizer):
        return
    scene = zero_sum_scene()
    torch._dynamo.reset()
    step = torch.compile(lambda z, s, d: optimizer.step(scene.game, z, s, d)[:2], fullgraph=True, backend="eager")
    players, state = scene.players, optimizer.init(scene.game, scene.players)
    for k in range(3):
        players, state = step(players, state, scene.drawn(optimizer, k))
    demand(close(players, play(optimizer, scene, 3)[0], 1e-9), "torch.compile differs from eager play.")


def _answer(optimizer: GameOptimizer) -> None:
    scene = zero_sum_scene()
    players, state = scene.players, optimizer.init(scene.game, scene.players)
    demand(
        same(optimizer.answer(players, state), players), "before the first step the answer is not where play starts."
    )
    players, state, _ = play(optimizer, scene, 3)
    before = copied((players, state))
    answer = optimizer.answer(players, state)
    demand(same((players, state), before), "answer writes to the players or the state.")
    demand(shapes(answer) == shapes(players), "the answer has other structure, shapes, dtypes or devices than players.")
    demand(not shared(answer, state), "the answer holds memory of the state: clone it.")
    named = optimizer.answer(dict(enumerate(players)), through_disk(state))
    demand(same(named, dict(enumerate(answer))), "of a dict of players, or from a saved state, the answer is another.")


def _costs(optimizer: GameOptimizer) -> None:
    scene = zero_sum_scene()
    players, state = scene.players, optimizer.init(scene.game, scene.players)
    for step in range(3):
        with counting() as calls:
            players, state, info = optimizer.step(scene.game, players, state, scene.drawn(optimizer, step))
        spent = Cost(calls["gradients"], calls["hvps"], optimizer.draws * SAMPLES)
        demand(info.cost == spent, f"step {step} reports {info.cost} but spent {spent}.")


def _schedules(optimizer: GameOptimizer) -> None:
    scene, asked = zero_sum_scene(), set[int]()

    def constant(value: Any) -> Callable[[Tensor], Any]:
        def schedule(step: Tensor) -> Any:
            asked.add(int(step))
            return value

        return schedule

    usual = play(optimizer, scene, 4)[0]
    changed = {"the rate": with_rates(optimizer, constant)}
    for name in hyperparameters(optimizer):
        options: Any = {name: constant(getattr(optimizer, name))}
        changed[name] = dataclasses.replace(optimizer, **options)
    for name, scheduled in changed.items():
        asked.clear()
        demand(same(usual, play(scheduled, scene, 4)[0]), f"a constant schedule of {name} plays unlike the number.")
        demand(asked == {0, 1, 2, 3}, f"in four steps the schedule of {name} was asked for steps {sorted(asked)}.")


def _draws(optimizer: GameOptimizer) -> None:
    scene, draws = zero_sum_scene(), optimizer.draws
    players, state, _ = play(optimizer, scene, 2)
    batches = [scene.batch(k) for k in range(draws)]

    def step(drawn: list[Tensor]) -> Any:
        return optimizer.step(scene.game, players, state, drawn if draws > 1 else drawn[0])[:2]

    for j in range(draws):
        other = [*batches[:j], batches[j] + 1, *batches[j + 1 :]]
        demand(not same(step(batches), step(other)), f"batch {j} of {draws} makes no difference to a step.")
    for wrong in ([], batches[:-1], [*batches, batches[0]]) if draws > 1 else ():
        try:
            step(wrong)
        except GameError:
            continue
        raise AssertionError(f"a step that takes {draws} batches accepts {len(wrong)}.")


CHECKS: dict[str, Callable[[GameOptimizer], None]] = {
    "configuration": _configuration,
    "purity": _purity,
    "storage": _storage,
    "plays": _plays,
    "precision": _precision,
    "resume": _resume,
    "modules": _modules,
    "ranks": _ranks,
    "vmapped": _vmapped,
    "vmapped_rates": _vmapped_rates,
    "compiled": _compiled,
    "answer": _answer,
    "linear": linear,
    "costs": _costs,
    "schedules": _schedules,
    "draws": _draws,
}
"""The parts of `check_optimizer` by name; each takes the optimizer."""
