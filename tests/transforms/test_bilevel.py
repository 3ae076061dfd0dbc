"""Leaders who do not appear in their own loss: hypergradients against closed forms (ridge on diabetes, Cournot)."""

import functools
from typing import Any

import pytest
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.transforms import accumulate, best_response, bilevel

pytestmark = pytest.mark.usefixtures("float64")

LEADS = {"stackelberg", "unrolled", "lola", "sos", "value-function", "bome", "mehra-hamm"}


@functools.cache
def diabetes() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Even rows to train on, odd ones to validate; X of unit variance, y standardised."""
    data = load_diabetes()
    X, y = torch.tensor(data.data * 442**0.5), torch.tensor(data.target)
    y = (y - y.mean()) / y.std(correction=0)
    return X[::2], y[::2], X[1::2], y[1::2]


def value(w: Tensor) -> Tensor:
    _, _, X, y = diabetes()
    return (X @ w - y).square().mean() / 2


def fit(θ: Tensor, w: Tensor) -> Tensor:
    X, y, _, _ = diabetes()
    return (X @ w - y).square().mean() / 2 + θ.exp() / 2 * (w @ w)


def ridge(θ: Tensor) -> Tensor:
    X, y, _, _ = diabetes()
    return torch.linalg.solve(X.T @ X / len(y) + θ.exp() * torch.eye(X.shape[1]), X.T @ y / len(y))


RIDGE = bilevel(lambda θ, w: value(w), fit)
ZERO = torch.tensor(0.0).double()


def hypergradient(optimizer: mm.GameOptimizer, players: tuple[Tensor, Tensor]) -> float:
    """What a step of size 1 moves the leader by."""
    moved = optimizer.step(RIDGE, players, optimizer.init(RIDGE, players))[0]
    return float(players[0] - moved[0])


def test_the_implicit_hypergradient() -> None:
    rules = (mm.sgd(1.0), mm.sgd(0.1))
    exact = mm.StackelbergGradient(rules, damping=0.0, tolerance=1e-14, iterations=100)
    assert hypergradient(exact, (ZERO, ridge(ZERO))) == pytest.approx(0.0205746805, abs=1e-8)


@pytest.mark.parametrize("steps, found", [(1, 0.0), (5, 0.0072728239)])
def test_the_unrolled_hypergradient(steps: int, found: float) -> None:
    unrolled = mm.Unrolled((mm.sgd(1.0), mm.sgd(0.1)), steps=steps)
    assert hypergradient(unrolled, (ZERO, torch.zeros(10))) == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize("steps, found", [(1, 0.0), (5, 0.0072728239)])
def test_the_follower_s_answer_differentiated_through_is_the_same(steps: int, found: float) -> None:
    game = best_response(RIDGE, 1, lambda _: torch.zeros(10), mm.sgd(0.1), steps, through=True)
    assert float(game.field((ZERO,))[0]) == pytest.approx(found, abs=1e-8)


FIXED = {
    "stackelberg": (lambda: mm.StackelbergGradient((mm.sgd(60.0), mm.sgd(0.3)), damping=0.0), -2.0256413604, 350),
    "lola": (lambda: mm.LOLA((mm.sgd(60.0), mm.sgd(0.3)), alpha=0.1), -0.8229268326, 150),
    "unrolled 1": (lambda: mm.Unrolled((mm.sgd(60.0), mm.sgd(0.3)), steps=1), -0.8229268326, 150),
    "unrolled 5": (lambda: mm.Unrolled((mm.sgd(60.0), mm.sgd(0.3)), steps=5), -2.2733464593, 500),
}


@pytest.mark.parametrize("name", FIXED)
def test_fixed_points(name: str) -> None:
    """Stackelberg's is the minimum of V; those that look a few steps ahead have others."""
    make, θ, steps = FIXED[name]
    at = (torch.tensor(θ), ridge(torch.tensor(θ)))
    solution = mm.solve(RIDGE, (at[0] + 0.3, at[1]), make(), steps=steps, limits=mm.Limits(tolerance=0))
    assert float(solution.players[0]) == pytest.approx(θ, abs=1e-8)
    if name == "stackelberg":
        assert float(value(solution.players[1])) == pytest.approx(0.240801083026, abs=1e-10)


def test_the_leader_s_gradient_is_zero_and_not_refused() -> None:
    z = (ZERO, ridge(ZERO) + 0.1)
    assert float(RIDGE.gradient(z, 0)) == 0 and float(RIDGE.field(z)[0]) == 0
    mm.testing.check_game(RIDGE, z)


@pytest.mark.parametrize("name", BY_NAME)
def test_those_that_would_let_the_leader_stand_still_say_so(name: str) -> None:
    optimizer = BY_NAME[name].of(mm.sgd(0.1))
    z = (ZERO, torch.zeros(10))
    for each in (optimizer, mm.compiled(optimizer), mm.Lookahead(optimizer)):
        if name in LEADS:
            each.init(RIDGE, z)
        else:
            with pytest.raises(mm.GameError, match=r"the leader of a bilevel game stands still.*StackelbergGradient"):
                each.init(RIDGE, z)
    if name in LEADS:
        (θ, _), state = z, optimizer.init(RIDGE, z)
        for _ in range(40 if name == "bome" else 2):  # at first both losses want the same of w
            z, state, _ = optimizer.step(RIDGE, z, state)
        assert float(z[0]) != float(θ)


FEW: dict[str, dict[str, int]] = {"unrolled": {"steps": 2}, "bome": {"steps": 2}, "stackelberg": {"iterations": 2}}


@pytest.mark.parametrize("name", sorted(LEADS))
def test_members_graphs_and_modules(name: str) -> None:
    """Hyperparameters beside a network; under vmap and compiled; on micro-batches."""

    def game(batches: Any = None) -> mm.Game:
        outer = lambda θ, net, b: net(b[1]).square().mean() + 0 * b[0].sum()
        inner = lambda θ, net, b: (net(b[0]) - 1).square().mean() + (θ.exp() * net.weight.square()).sum()
        return bilevel(outer, inner)

    g = torch.Generator().manual_seed(0)
    data = torch.randn(2, 4, 3, generator=g, dtype=torch.float64).unbind()
    made = lambda: (torch.zeros(3), nn.Linear(3, 1))
    torch.manual_seed(0)
    players, copy = made(), made()
    copy[1].load_state_dict(players[1].state_dict())
    optimizer = BY_NAME[name].of(mm.sgd(0.1), **FEW.get(name, {}))  # what the compiler unrolls
    functional, start = game().functional(copy)
    together = mm.ensemble(game(), optimizer, [copy, copy], lambda k: data, steps=2)
    trainer = mm.bind(game(), players, optimizer)
    for _ in range(2):
        trainer.step(data)
    assert trainer.players[0].abs().min() > 0
    torch.testing.assert_close(together.member(1), trainer.players)
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(functional, z, s, data)[:2], fullgraph=True, backend="eager")
    state = optimizer.init(functional, start)
    for _ in range(2):
        start, state = step(start, state)
    torch.testing.assert_close(start, trainer.players)
    micro = accumulate(game(), 2)
    torch.testing.assert_close(micro.field(players, data), game().field(players, data))


def test_cournot() -> None:
    """The leader's (3.5, 2.75), and LOLA's fixed point at α = .1."""
    profit = lambda c: lambda q, own: -own * (10 - q[0] - q[1] - c)
    game = bilevel(lambda x, y: profit(2)((x, y), x), lambda x, y: profit(1)((x, y), y))
    start = (torch.tensor(1.0), torch.tensor(1.0))
    for optimizer, found in (
        (mm.StackelbergGradient(mm.sgd(0.2), damping=0.0), (3.5, 2.75)),
        (mm.LOLA(mm.sgd(0.1), alpha=0.1), (2.392308, 3.492308)),
    ):
        solution = mm.solve(game, start, optimizer, steps=200, limits=mm.Limits(tolerance=0))
        assert [float(q) for q in solution.players] == pytest.approx(found, abs=1e-6)


def test_the_point_of_view_matters() -> None:
    """f = |u|² + |v|², g = |1 - u - v|²: the leader's (½, ½), where gradient play ends in (0, 1)."""
    f, g = (lambda u, v: u**2 + v**2), (lambda u, v: (1 - u - v) ** 2)
    start = (torch.tensor(0.3), torch.tensor(0.2))
    led = mm.solve(bilevel(f, g), start, mm.StackelbergGradient(mm.sgd(0.1), damping=0.0), steps=500)
    assert [float(x) for x in led.players] == pytest.approx((0.5, 0.5), abs=1e-5)
    played = mm.solve(mm.Game(f, g), start, mm.SimultaneousGDA(mm.sgd(0.1)), steps=500)
    assert [float(x) for x in played.players] == pytest.approx((0.0, 1.0), abs=1e-5)


def test_followers_must_not_be_ignored() -> None:
    game = bilevel(lambda x, y: y**2, lambda x, y: x**2)
    with pytest.raises(mm.GameError, match=r"the loss of players\[1\] does not depend on that player"):
        game.field((ZERO, ZERO))
    with pytest.raises(ValueError, match="leader must be an integer >= 0, got -1"):
        mm.Game(lambda x: x, leader=-1)


@pytest.mark.parametrize("player, through", [(0, True), (1, False)])
def test_answers_that_would_let_the_leader_stand_still_are_refused(player: int, through: bool) -> None:
    with pytest.raises(mm.GameError, match="let the follower answer, with through=True"):
        best_response(RIDGE, player, lambda _: ZERO, mm.sgd(0.1), 1, through=through)
