"""Shared constraints: against KKT points in closed form, and the conditions themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import minimax as mm
from minimax.projections import box
from minimax.transforms import accumulate, best_response, bilevel, coupled

pytestmark = pytest.mark.usefixtures("float64")

TIGHT = mm.Limits(tolerance=1e-11)


def cournot(costs: list[float], a: float = 10.0) -> mm.Game:
    """n firms: profit x_i (a - Σx - c_i)."""
    return mm.Game(*(lambda *x, i=i, c=c: -x[i] * (a - sum(x) - c) for i, c in enumerate(costs)))


def prices(costs: list[float], capacity: float, a: float = 10.0) -> tuple[list[float], float]:
    """From a - c_i - X - x_i = λ and λ >= 0, X <= C, λ (X - C) = 0: the quantities and the multiplier."""
    n, total = len(costs), sum(costs)
    X = (n * a - total) / (n + 1)  # Nash without a limit
    λ = 0.0
    if capacity < X:
        X, λ = capacity, a - capacity - (capacity + total) / n
    return [a - c - X - λ for c in costs], λ


@settings(max_examples=8)
@given(st.lists(st.floats(0, 2), min_size=1, max_size=3), st.floats(5, 9))
def test_cournot_with_a_capacity(costs: list[float], capacity: float) -> None:
    game = coupled(cournot(costs), lambda *x: sum(x) - capacity, players=len(costs))
    start = tuple(torch.tensor(1.0) for _ in range(len(costs) + 1))
    found = mm.solve(game, start, mm.ExtraGradient(mm.sgd(0.15)), steps=5000, limits=TIGHT)
    x, λ = prices(costs, capacity)
    assert found.status.kind == "converged"
    assert [float(z) for z in found.players] == pytest.approx([*x, λ], abs=1e-8)


@pytest.mark.parametrize("start", [0.0, 2.0])
def test_multipliers_of_one_s_own_find_an_equilibrium_that_depends_on_the_start(start: float) -> None:
    """Each firm's price of capacity is its own; their mean is the one they would share."""
    costs, capacity = [2.0, 1.0], 4.0
    game = coupled(cournot(costs), lambda x, y: x + y - capacity, own=True)
    z = (torch.tensor(1.0), torch.tensor(1.0), torch.tensor(start), torch.tensor(0.0))
    *x, λ, μ = map(float, mm.solve(game, z, mm.ExtraGradient(mm.sgd(0.15)), steps=5000, limits=TIGHT).players)
    assert sum(x) == pytest.approx(capacity, abs=1e-8) and min(λ, μ) > 0
    for own, cost, price in zip(x, costs, (λ, μ), strict=True):
        assert 10 - cost - capacity - own - price == pytest.approx(0, abs=1e-8)
    assert (λ + μ) / 2 == pytest.approx(2.5, abs=1e-8)
    assert abs(λ - μ - start) < 1, "the multipliers move alike, and keep their distance"


@settings(max_examples=8)
@given(st.integers(0, 10_000))
def test_the_conditions_of_a_random_monotone_game(seed: int) -> None:
    """Quadratic losses, several linear constraints: feasible, no price below 0, none where there is room."""
    g = torch.Generator().manual_seed(seed)
    A, c = torch.randn(2, 3, 3, generator=g, dtype=torch.float64), torch.randn(2, 3, generator=g, dtype=torch.float64)
    B, room = torch.randn(2, 2, 3, generator=g, dtype=torch.float64), torch.rand(2, generator=g, dtype=torch.float64)
    f = lambda x, y: x @ A[0] @ y / 3
    game = mm.Game(lambda x, y: f(x, y) + x @ x / 2 + c[0] @ x, lambda x, y: -f(x, y) + y @ y / 2 + c[1] @ y)
    use = lambda x, y: B[0] @ x + B[1] @ y - room
    z = (torch.zeros(3), torch.zeros(3), torch.zeros(2))
    found = mm.solve(
        coupled(game, use), z, mm.ExtraGradient(mm.sgd(0.1)), steps=20_000, limits=mm.Limits(tolerance=1e-9)
    )
    x, y, λ = found.players
    assert found.status.kind == "converged" and bool((λ >= 0).all()) and bool((use(x, y) <= 1e-8).all())
    torch.testing.assert_close(λ * use(x, y), torch.zeros(2), rtol=0, atol=1e-7)
    ξ = game.field((x, y))
    for i in range(2):
        torch.testing.assert_close(ξ[i] + B[i].T @ λ, torch.zeros(3), rtol=0, atol=1e-8)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", ["zero-sum", "separate", "joint"])
def test_every_derivative_is_that_of_differences(kind: str, own: bool) -> None:
    f = lambda x, y: (x.sin() * y).sum() + x.square().sum() / 2 - y.square().sum() / 2
    game = {
        "zero-sum": mm.zero_sum(f),
        "separate": mm.Game(f, lambda x, y: -f(x, y)),
        "joint": mm.Game(lambda x, y: {"x": f(x, y), "y": -f(x, y)}),
    }[kind]
    whole = coupled(game, lambda x, y: torch.stack([x.square().sum() - 1, (x * y).sum()]), own=own, players=2)
    z = (torch.tensor([0.3, 0.5]), torch.tensor([-0.2, 0.4]), *(torch.tensor([0.5, 1.2]) + k for k in range(1 + own)))
    mm.testing.check_game(whole, z)
    g = torch.stack([z[0].square().sum() - 1, (z[0] * z[1]).sum()])
    torch.testing.assert_close(whole.losses(z)[0], f(*z[:2]) + z[2] @ g)
    torch.testing.assert_close(whole.losses(z)[1], -f(*z[:2]) + z[2 + own] @ g)
    torch.testing.assert_close(whole.field(z)[2:], (-g,) * (1 + own))


def test_modules_batches_and_the_game_s_own_constraints() -> None:
    """A network whose mean output may not exceed a half, on batches, micro-batches, in an ensemble and compiled."""
    data = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    game = mm.Game(lambda net, b: (net(b) - 1).square().mean(), constraints=(box(-2, 2),))
    limited = coupled(game, lambda net, b: net(b).mean() - 0.5)
    torch.manual_seed(0)
    players = (nn.Linear(3, 1), torch.tensor(0.0))
    copies = [(nn.Linear(3, 1), torch.tensor(0.0)) for _ in range(2)]
    for copy in copies:
        copy[0].load_state_dict(players[0].state_dict())
    optimizer = mm.ExtraGradient(mm.sgd(0.2))
    members = mm.ensemble(limited, optimizer, copies, lambda k: data, steps=300)
    trainer = mm.bind(limited, players, optimizer)
    functional, start = limited.functional(copies[0])
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(functional, z, s, data)[:2], fullgraph=True, backend="eager")
    state = optimizer.init(functional, start)
    for _ in range(300):
        trainer.step(data)
        start, state = step(start, state)
    net, λ = players[0], trainer.players[1]
    assert float(net(data).mean().detach()) == pytest.approx(0.5, abs=1e-6) and float(λ) == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(members.member(1), trainer.players)
    torch.testing.assert_close(start, trainer.players)
    micro = accumulate(limited, 2)
    torch.testing.assert_close(micro.field(players, data), limited.field(players, data))


def test_costs() -> None:
    game, z = coupled(cournot([2.0, 1.0]), lambda x, y: x + y - 4), tuple(torch.ones(3).unbind())
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    assert optimizer.step(game, z, optimizer.init(game, z))[2].cost[:2] == (3, 0)


def test_around_a_player_who_answers() -> None:
    """The constraint is one of those who are left."""
    f = lambda x, a: (x**2 / 2 - 2 * x + x * a - a**2 / 2).sum()
    answered = best_response(mm.zero_sum(f), 1, lambda _: torch.zeros(1), mm.sgd(1.0), 1)  # x² - 2x
    game = coupled(answered, lambda x: x - 0.25, players=1)
    z = (torch.zeros(1), torch.zeros(1))
    found = mm.solve(game, z, mm.ExtraGradient(mm.sgd(0.2)), steps=2000, limits=TIGHT)
    assert [float(v) for v in found.players] == pytest.approx([0.25, 1.5], abs=1e-8)


ONE = torch.tensor(1.0).double()
TWO = cournot([1.0, 1.0])


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: coupled(3, max), TypeError, "game must be a Game, got 3"),
        (lambda: coupled(TWO, 3), TypeError, "constraint must be a function of the players .*, got 3"),
        (lambda: coupled(TWO, max, own=1), ValueError, "own must be True or False, got 1"),
        (lambda: coupled(mm.Game(lambda x, y: (x, y)), max), mm.GameError, "say players=2"),
        (lambda: coupled(bilevel(max, max), max), mm.GameError, "a bilevel game shares no constraints"),
        (
            lambda: coupled(TWO, lambda x, y: x + y).field((ONE, ONE)),
            mm.GameError,
            "2 players and 1 multipliers of the shared constraint, got 2 players",
        ),
        (
            lambda: coupled(TWO, lambda x, y: 3).field((ONE, ONE, ONE)),
            mm.GameError,
            "the shared constraint must return a tensor, got 3",
        ),
        (
            lambda: coupled(TWO, lambda x, y: x + y).field((ONE, ONE, torch.ones(2))),
            mm.GameError,
            r"players\[2\] multiplies a constraint of shape \(\): .* got \(2,\)",
        ),
    ],
)
def test_refusals(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
