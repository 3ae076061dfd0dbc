"""The contract of a problem, one function a clause."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.utils import _pytree as pytree

import minimax as mm
from benchmarks import pictures
from benchmarks.problem import Pictures, Problem, View
from benchmarks.testing._parts import (
    double,
    doubled,
    generic,
    judge,
    no_chance,
    setups,
    shared,
    spoiled,
    tensors,
    within,
)
from benchmarks.testing._play import Run
from minimax.optimizers import BY_NAME
from minimax.testing._compare import copied, demand, same, through_disk

Make: TypeAlias = Callable[[], Problem]

NAME = re.compile(r"[a-z][a-z0-9_]*")
STEPS = 20  # that every default optimizer has to play
TWIN = 300  # steps at most of what an evaluation trains beside perfect players, which is no more than compared with


def check_problem(
    kind: type[Problem],
    preset: str = "smoke",
    *,
    data: str | None = None,
    device: str = "cpu",
    skip: Collection[str] = (),
) -> None:
    """Put a problem through all of `CHECKS`.

    Args:
        kind: the problem's class.
        preset: the size to check it at, where a step takes milliseconds.
        data: the data set; None for the problem's first. It is prepared, unless that takes a download.
        device: where everything is to live.
        skip: names of checks to leave out.

    Raises:
        AssertionError: the contract is broken; the sentence says where.

    Example:
        >>> from benchmarks.problems.games.bilinear import Bilinear
        >>> check_problem(Bilinear)
    """
    kind.prepare(data, None, download=False)
    for name, check in CHECKS.items():
        if name not in skip:
            check(partial(kind, preset, data, device))


def _declarations(make: Make) -> None:
    problem = make()
    kind = type(problem)
    version: Any = kind.version
    demand(type(version) is int and version >= 1, f"version must be a positive whole number, got {version!r}.")
    for preset in ("smoke", "cpu", "gpu"):
        demand(preset in kind.presets, f"there is no preset {preset}: presets must hold smoke, cpu and gpu.")
    names = [metric.name for metric in problem.metrics]
    for name in names:
        demand(bool(NAME.fullmatch(name)), f"metric {name!r}: a name is letters a-z, digits and underscores.")
        demand(names.count(name) == 1, f"metric {name} is declared {names.count(name)} times.")
    leading = [metric for metric in problem.metrics if metric.headline]
    demand(len(leading) == 1, f"one metric must be the headline, but {len(leading)} are.")
    demand(leading[0].better is not None, f"the headline {leading[0].name} must say which values are better.")
    for metric in problem.metrics:
        goal = metric.target is None or (metric.better is not None and within(metric.target, metric.range))
        demand(goal, f"metric {metric.name}: a target needs a side that is better, and lies in the range.")
    for name, why in kind.skips.items():
        demand(name in BY_NAME and bool(why), f"skips[{name!r}]: give an optimizer's name, and why it makes no sense.")


def _recipe(make: Make) -> None:
    problem = make()
    recipe, count = problem.recipe, len(problem.players(0))
    for name, value in (("rule", recipe.rule), ("steps", recipe.steps), ("factors", recipe.factors)):
        fits = not isinstance(value, tuple) or len(value) == count
        demand(fits, f"recipe.{name} is for {len(value) if isinstance(value, tuple) else 1} of {count} players.")
    if recipe.order is not None:
        demand(sorted(recipe.order) == list(range(count)), f"recipe.order must name each of {count} players once.")


def _players(make: Make) -> None:
    problem = make()
    with no_chance("players"):
        one, again, other = problem.players(3), make().players(3), problem.players(4)
    demand(same(tensors(one), tensors(again)), "players(3) differs between two problems: draw them from the seed.")
    batches = [problem.batch(seed, 0, problem.memory(seed)) for seed in (3, 4)]
    differ = not same(tensors(one), tensors(other)) or not same(*batches)
    demand(differ, "seeds 3 and 4 make the same players and the same batches.")
    demand(not shared(one, problem.players(3)), "players(3) hands out the same tensors twice: build them anew.")
    places = {leaf.device.type for leaf in pytree.tree_leaves(tensors(one))}
    demand(places == {problem.device.type}, f"players lie on {', '.join(sorted(places))}, not on the device.")


def _batches(make: Make) -> None:
    problem, memory = make(), make().memory(3)
    kept = copied(memory)
    with no_chance("batch"):
        one, other, foreign = (problem.batch(*at, memory) for at in ((3, 7), (3, 8), (4, 7)))
    demand(same(memory, kept), "batch writes to the memory: make a new one in remember.")
    demand(same(one, make().batch(3, 7, memory)), "batch(3, 7) differs between two problems: draw it from both.")
    count = problem.samples_in(one)
    demand(type(count) is int and count >= 0, f"samples_in must give a whole number of samples, got {count!r}.")
    if one is not None:
        demand(not same(one, other), "batches 7 and 8 of a seed are the same: use problem.generator(seed, draw).")
        demand(not same(one, foreign), "batch 7 of two seeds is the same: use problem.generator(seed, draw).")


def _losses(make: Make) -> None:
    """Every loss is a pure function, whose gradient is its own player's: by finite differences in double precision.

    Of a problem that says what its gradients leave out they are not compared.
    """
    with doubled():
        problem = make()
        memory = problem.memory(0)
        batch, players = double(problem.batch(0, 0, memory)), tuple(map(generic, problem.players(0)))
        kept, drawn = tensors(players), copied(batch)
        game, z = problem.game().functional(players)
        with no_chance("a loss"):
            first, again = game.losses(z, batch), game.losses(z, batch)
        demand(same(first, again), "the losses differ between two calls on one batch: draw all that is random in it.")
        for i in range(0 if problem.leaves_out else len(z)):
            _check_gradient(game, z, i, batch)
    demand(same(kept, tensors(players)), "a loss writes to the players or their buffers.")
    demand(same(drawn, batch), "a loss writes to its batch.")


def _check_gradient(game: mm.Game, z: Any, i: int, batch: Any) -> None:
    ε = 1e-8  # far below the distance to the next kink of most rectifiers, far above the rounding of float64
    gradient, spec = pytree.tree_flatten(game.gradient(z, i, batch))
    stream = torch.Generator().manual_seed(i)
    direction = [torch.randn(g.shape, generator=stream, dtype=torch.float64).to(g) for g in gradient]

    def loss(t: float) -> float:
        moved = [x + t * v for x, v in zip(pytree.tree_leaves(z[i]), direction, strict=True)]
        return float(game.losses((*z[:i], pytree.tree_unflatten(moved, spec), *z[i + 1 :]), batch)[i])

    rate = (loss(ε) - loss(-ε)) / (2 * ε)
    slope = sum(float((g * v).sum()) for g, v in zip(gradient, direction, strict=True))
    size = math.sqrt(sum(float(g.square().sum()) for g in gradient))
    demand(
        abs(rate - slope) <= 1e-3 * size + 1e-6 * max(1.0, abs(loss(0.0))),
        f"the loss of player {i} changes at the rate {rate:.6g} as it moves, but its gradient says {slope:.6g}; is "
        "something detached? What a loss must not move is another player.",
    )


def _resume(make: Make) -> None:
    setup = setups(make())[0]
    whole, rest = (Run(make(), setup.build(6)) for _ in range(2))
    for step in range(6):
        if step == 3:
            rest.restore(through_disk(whole.save()))
        whole.step()
    for _ in range(3):
        rest.step()
    demand(same(whole.save(), rest.save()), "saved after 3 of 6 steps, loaded and resumed, play goes on differently.")


def _evaluation(make: Make) -> None:
    problem = make()
    view = View(problem.players(0), problem.memory(0), 0)
    kept = tensors(view.players), copied(view.memory)
    with no_chance("evaluate"):
        scores = problem.evaluate(view)
    judge(problem, scores)
    demand(same(kept, (tensors(view.players), view.memory)), "evaluate writes to the players, buffers or memory.")
    graded = [leaf for player in view.players if isinstance(player, nn.Module) for leaf in player.parameters()]
    demand(all(leaf.grad is None for leaf in graded), "evaluate leaves gradients: use torch.no_grad.")
    demand(repr(scores) == repr(problem.evaluate(view)), "two evaluations of the same players differ.")
    for name, value in scores.items():
        demand(math.isfinite(value), f"the initial players score {name} = {value}.")


def _lost(make: Make) -> None:
    """A diverged run is a result: it is scored and pictured."""
    problem = make()
    view = View(tuple(map(spoiled, problem.players(0))), problem.memory(0), 0)
    try:
        scores = problem.evaluate(view)
        problem.pictures(view)
    except Exception as error:
        raise AssertionError(f"players that are nan cannot be evaluated: {type(error).__name__}: {error}") from error
    judge(problem, scores)


def _floors(make: Make) -> None:
    problem = make()
    with no_chance("floors"):
        floors = list(problem.floors())
    known = {metric.name: metric for metric in problem.metrics}
    for metric, what, value, low, high in floors:
        demand(metric in known, f"floor {what} is of {metric}, which is no metric.")
        demand(within(value, known[metric].range), f"floor {what} of {metric} is {value}, which is out of its range.")
        band = (low is None and high is None) or (low is not None and high is not None and low <= value <= high)
        demand(band, f"floor {what} of {metric}, {value}, is not between low = {low} and high = {high}.")
    heads = [floor for floor in floors if floor.metric == problem.headline.name]
    demand(bool(heads), f"the headline {problem.headline.name} has no floor to be read against.")


def _pictured(make: Make) -> None:
    problem = make()
    view = View(problem.players(0), problem.memory(0), 0)
    kept = tensors(view.players)
    with no_chance("pictures"):
        taken = problem.pictures(view)
    demand(same(kept, tensors(view.players)), "pictures writes to the players or their buffers.")
    again = problem.pictures(view)
    _written(taken)
    for name, picture in taken.items():
        same_again = pictures.encoded(picture) == pictures.encoded(again[name])
        demand(same_again, f"picture {name} differs when it is taken again.")


def _truths(make: Make) -> None:
    """Pictures of real data look like those of samples, and are the same each time."""
    problem = make()
    taken = problem.pictures(View(problem.players(0), problem.memory(0), 0))
    with no_chance("truths"):
        truths, again = problem.truths(), problem.truths()
    _written(truths)
    for name, truth in truths.items():
        demand(name in {*taken, pictures.MODES}, f"truths show {name}, of which there is no picture.")
        kind, data = pictures.encoded(truth)
        demand((kind, data) == pictures.encoded(again[name]), f"the truth of {name} differs when it is taken again.")
        other = pictures.encoded(taken[name])[0] if name in taken else "npy"
        demand(kind == other, f"the truth of {name} is pixels where points are shown, or points where pixels are.")


def _written(taken: Pictures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in taken.items():
            try:
                pictures.write(Path(folder), name, 0, picture)
            except ValueError as error:
                raise AssertionError(str(error)) from error


def _plays(make: Make) -> None:
    """The players that the last optimizer leaves are evaluated, which those of all others are no different from."""
    problem = make()
    run: Run | None = None
    for setup in setups(problem):
        what = setup.optimizer
        try:
            run = Run(problem, setup.build(STEPS))
            start = copied(run.players)
            infos = [run.step() for _ in range(STEPS)]
        except mm.GameError as error:
            sentence = (
                f"{what}, which it is played by unless told, cannot: {error} Name others in optimizers, or skip it."
            )
            raise AssertionError(sentence) from error
        demand(all(bool(info.finite) for info in infos), f"{what}: losses or gradients are not finite.")
        for i, (before, now) in enumerate(zip(start, run.players, strict=True)):
            demand(not same(before, now), f"{what}: player {i} does not move in {STEPS} steps.")
    if run is not None:
        judge(problem, problem.evaluate(run.view))


def _rigged(make: Make) -> None:
    """Perfect players score so, and untrained ones do not; on the cpu preset, for which targets are stated."""
    small = make()
    problem = type(small)("cpu", small.data, small.device)
    # Nobody trains here but what an evaluation compares with, such as a twin.
    problem.preset = replace(problem.preset, steps=min(problem.preset.steps, TWIN))
    best, metric = problem.perfect(0), problem.headline
    if best is None:
        return
    perfect, fresh = (problem.evaluate(View(players, problem.memory(0), 0)) for players in (best, problem.players(0)))
    judge(problem, perfect)
    for each in problem.metrics:
        met = each.target is None or each.met(perfect[each.name])
        demand(met, f"perfect players miss the target {each.name} {each.aim}: they score {perfect[each.name]:.4g}.")
    value, other = perfect[metric.name], fresh[metric.name]
    ahead = value > other if metric.better == "higher" else value < other
    demand(ahead, f"perfect players score {metric.name} = {value:.4g}, no better than untrained ones: {other:.4g}.")
    missed = metric.target is None or not metric.met(other)
    demand(missed, f"untrained players reach the target of {metric.name} already: they score {other:.4g}.")


CHECKS: dict[str, Callable[[Make], None]] = {
    "declarations": _declarations,
    "recipe": _recipe,
    "players": _players,
    "batches": _batches,
    "losses": _losses,
    "resume": _resume,
    "evaluation": _evaluation,
    "lost": _lost,
    "floors": _floors,
    "pictures": _pictured,
    "truths": _truths,
    "plays": _plays,
    "rigged": _rigged,
}
"""The parts of `check_problem` by name; each takes a function that makes the problem."""
