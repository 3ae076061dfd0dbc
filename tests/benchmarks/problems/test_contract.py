"""Every problem there is against the contract."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.problem import Problem, View
from benchmarks.problems import discover
from benchmarks.testing import play
from minimax.optimizers import BY_NAME

KINDS = {name: found.kind for name, found in discover().items()}
OPTIMIZERS = ("alternating", "consensus", "extragradient")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    for kind in KINDS.values():
        kind.prepare(None, None, download=False)


def leaves(value: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(value)


def weights(players: tuple[Any, ...]) -> list[Tensor]:
    return [w.clone() for p in players for w in (p.parameters() if isinstance(p, nn.Module) else [p])]


def equal(one: Any, two: Any) -> bool:
    if one is None or two is None:
        return one is two
    return all(torch.equal(a, b) for a, b in zip(leaves(one), leaves(two), strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_trains_and_scores(kind: type[Problem], optimizer: str) -> None:
    it = kind("smoke")
    before = weights(it.players(0))
    view = play(it, BY_NAME[optimizer].of(it.recipe.rule), it.preset.steps)
    assert not equal(before, weights(view.players))
    scores = it.evaluate(view)
    assert set(scores) == {metric.name for metric in it.metrics}
    assert all(type(value) is float and math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_is_a_function_of_seed_and_draw(kind: type[Problem]) -> None:
    it, again = kind("smoke"), kind("smoke")
    assert equal(weights(it.players(3)), weights(again.players(3)))
    assert not equal(weights(it.players(3)), weights(it.players(4)))
    memory = it.memory(3)
    one = it.batch(3, 7, memory)
    assert equal(one, again.batch(3, 7, memory))
    if one is not None:
        assert not equal(one, it.batch(3, 8, memory)) and not equal(one, it.batch(4, 7, memory))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_looking_changes_nothing(kind: type[Problem]) -> None:
    it = kind("smoke")
    view = View(it.players(0), it.memory(0), 0)
    before, state = weights(view.players), torch.random.get_rng_state()
    scores, pictures = it.evaluate(view), it.pictures(view)
    assert scores == it.evaluate(view)
    assert all((pictures[name] == again).all() for name, again in it.pictures(view).items())
    assert equal(before, weights(view.players)) and torch.equal(state, torch.random.get_rng_state())
    assert all(w.grad is None for p in view.players if isinstance(p, nn.Module) for w in p.parameters())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_states_its_floors(kind: type[Problem]) -> None:
    it = kind("smoke")
    floors = list(it.floors())
    assert all(math.isfinite(floor.value) for floor in floors)
    assert {it.headline.name} <= {floor.metric for floor in floors} <= {metric.name for metric in it.metrics}
    assert {"smoke", "cpu", "gpu"} <= set(it.presets)
