"""Leaders and followers whose constraints bind: against the closed form of the answer, and against its differences."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from minimax.projections import ball, box, simplex

pytestmark = pytest.mark.usefixtures("float64")

SETS: dict[str, Callable[[Tensor], Tensor]] = {"box": box(-0.3, 0.2), "ball": ball(0.3), "simplex": simplex()}


def some_game(seed: int, constraint: Any) -> tuple[mm.Game, Tensor, Callable[[Tensor], Tensor]]:
    """A leader that pulls at a follower with a strictly convex loss; a point of the leader; the follower's answer."""
    generator = torch.Generator().manual_seed(seed)
    B, C = torch.randn(3, 2, generator=generator), torch.randn(3, 3, generator=generator)
    C = C @ C.T + torch.eye(3)
    a, b, x = (torch.randn(n, generator=generator) for n in (2, 3, 2))
    first = lambda x, y: (x - a) @ (x - a) / 2 + (y - b) @ (y - b) + (x[0] * y).sum()
    second = lambda x, y: y @ C @ y / 2 - y @ B @ x

    def answer(x: Tensor) -> Tensor:
        y, step = constraint(torch.zeros(3)), 1 / torch.linalg.matrix_norm(C, 2)
        for _ in range(3000):
            before, y = y, constraint(y - step * (C @ y - B @ x))
            if (y - before).abs().max() < 1e-15:
                break
        return y

    return mm.Game(first, second, constraints=(None, constraint)), x, answer


def differences(f: Callable[[Tensor], Tensor], x: Tensor, tiny: float = 1e-5) -> Tensor:
    """Df, one column per entry of x, by central differences."""
    return torch.stack([(f(x + tiny * e) - f(x - tiny * e)) / (2 * tiny) for e in torch.eye(len(x))], -1)


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_the_leader_descends_its_loss_along_the_constrained_answer(name: str, seed: int) -> None:
    """At y = y*(x) its direction is d/dx L_1(x, y*(x)), whichever constraints bind there."""
    game, x, answer = some_game(seed, SETS[name])
    y = answer(x)
    value = lambda x: game.losses((x, answer(x)))[0]
    optimizer = mm.StackelbergGradient(mm.sgd(1.0), tolerance=1e-10)
    moved, _, _ = optimizer.step(game, (x, y), optimizer.init(game, (x, y)))
    torch.testing.assert_close(x - moved[0], differences(value, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_the_follower_stays_on_its_constrained_ridge(name: str, seed: int) -> None:
    """From y*(x), after a small move of the leader, it is at y*(x⁺) up to the square of that move."""
    game, x, answer = some_game(seed, SETS[name])
    optimizer, z = mm.FollowTheRidge(mm.sgd(1e-4), tolerance=1e-10, iterations=30), (x, answer(x))
    (moved, followed), _, _ = optimizer.step(game, z, optimizer.init(game, z))
    torch.testing.assert_close(followed - z[1], answer(moved) - z[1], rtol=1e-2, atol=1e-6)


def test_what_a_constraint_stops_is_no_answer() -> None:
    """L_1 = (x - 2)² / 2 + y, L_2 = (y - x)² / 2 with y <= 1: y*(x) = x up to 1, and there x = 2 is best, not 1."""
    game = mm.Game(lambda x, y: (x - 2) ** 2 / 2 + y, lambda x, y: (y - x) ** 2 / 2, constraints=(None, box(-5.0, 1.0)))
    for optimizer in (mm.StackelbergGradient(mm.sgd(0.2)), mm.Unrolled(mm.sgd(0.2), steps=5, inner=mm.sgd(0.5))):
        found = mm.solve(game, (torch.tensor(3.0), torch.tensor(0.0)), optimizer, steps=100)
        torch.testing.assert_close(torch.stack(found.players), torch.tensor([2.0, 1.0]))
    free = mm.Game(lambda x, y: (x - 2) ** 2 / 2 + y, lambda x, y: (y - x) ** 2 / 2)
    found = mm.solve(free, (torch.tensor(3.0), torch.tensor(0.0)), mm.StackelbergGradient(mm.sgd(0.2)), steps=100)
    torch.testing.assert_close(torch.stack(found.players), torch.tensor([1.0, 1.0]))


def test_a_follower_that_is_stopped_everywhere_leaves_the_leader_its_own_gradient() -> None:
    game = mm.Game(lambda x, y: x**2 / 2 + 3 * x * y, lambda x, y: (y - x) ** 2 / 2, constraints=(None, box(0.0, 0.0)))
    z = (torch.tensor(1.0), torch.tensor(0.0))
    for kind in (mm.StackelbergGradient, mm.FollowTheRidge):
        optimizer = kind(mm.sgd(0.1))
        moved, _, info = optimizer.step(game, z, optimizer.init(game, z))
        torch.testing.assert_close(moved, (torch.tensor(0.9), torch.tensor(0.0)))
        assert info.extra["residual"] == 0


@pytest.mark.parametrize("kind", [mm.StackelbergGradient, mm.FollowTheRidge])
def test_a_follower_that_is_indifferent_along_its_face_answers_nothing(kind: type[mm.Ruled]) -> None:
    """On a bilinear game within simplices, f_yy = 0: both are projected simultaneous play, as without constraints."""
    closed = mm.games.rock_paper_scissors()
    z = tuple((z_i + 0.1 * torch.randn(3)).softmax(-1) for z_i in closed.start)
    ends = []
    for optimizer in (kind(mm.sgd(0.1)), mm.SimultaneousGDA(mm.sgd(0.1))):
        players, state = z, optimizer.init(closed.game, z)
        for _ in range(50):
            players, state, _ = optimizer.step(closed.game, players, state)
        ends.append(players)
    torch.testing.assert_close(ends[0], ends[1])


def nash_of(name: str) -> tuple[mm.Game, tuple[Tensor, ...]]:
    """A game and its constrained Nash point."""
    one, M = torch.tensor(1.0), torch.tensor([[2.0, -1.0, 0.1], [-1.0, 1.0, -0.3]])
    if name == "box":  # x is stopped at 1, where y descends y²/2 - xy + y/2, so y = 1/2; F_x = y - 3 < 0 pushes out
        game = mm.zero_sum(lambda x, y: x * y - 3 * x - y / 2 - y**2 / 2, constraints=(box(-1.0, 1.0), None))
        return game, (one, one / 2)
    if name == "simplices":  # the last column is never played: the rest is [[2, -1], [-1, 1]], whose answer is (.4, .6)
        game = mm.zero_sum(lambda x, y: x @ M @ y, constraints=(simplex(), simplex()))
        return game, (torch.tensor([0.4, 0.6]), torch.tensor([0.4, 0.6, 0.0]))
    if name == "ball":  # y = x_0, and x points against (3, y + 1)
        first = lambda x, y: 3 * x[0] + x[1] * (y + 1)
        game = mm.Game(first, lambda x, y: (y - x[0]) ** 2 / 2, constraints=(ball(1.0), None))
        return game, (torch.tensor([-1.0, 0.0]), -one)
    game = mm.Game(  # F_x = x - 6 + y = -2 and F_w = w + 3 + y/10 = 1.3 push out; y = x - w
        lambda x, y, w: x**2 / 2 - 6 * x + x * y,
        lambda x, y, w: y**2 / 2 + y * (w - x),
        lambda x, y, w: w**2 / 2 + w * (3 + y / 10),
        constraints=(box(-1.0, 1.0), None, box(-2.0, 2.0)),
    )
    return game, (one, 3 * one, -2 * one)


def residual(game: mm.Game, z: tuple[Tensor, ...]) -> Tensor:
    """The natural residual, by hand."""
    constraints = game.constraints or (None,) * len(z)
    moves = zip(z, game.field(z), constraints, strict=True)
    return torch.stack([((z_i - (P(z_i - g) if P else z_i - g)) ** 2).sum() for z_i, g, P in moves]).sum().sqrt()


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["box", "simplices", "ball", "three boxes"])
def test_a_constrained_nash_point_is_where_competitive_play_rests(name: str, rule: str) -> None:
    """It answers what binds by no anticipation: Δ = 0 there, and nearby it is found from both sides."""
    game, nash = nash_of(name)
    assert residual(game, nash) < 1e-9
    rules = {"sgd": mm.sgd(0.2), "adam": mm.adam(0.05, betas=(0.0, 0.9))}
    optimizer = mm.CompetitiveGradientDescent(rules[rule], tolerance=1e-12)
    if rule == "sgd" or name in ("box", "three boxes"):
        moved, _, _ = optimizer.step(game, nash, optimizer.init(game, nash))
        torch.testing.assert_close(moved, nash, rtol=0, atol=1e-8)
    if rule == "sgd":
        start = tuple(z_i + 0.1 * torch.ones_like(z_i) for z_i in nash)
        found = mm.solve(game, start, optimizer, steps=100)
        torch.testing.assert_close(tuple(found.players), nash, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [mm.StackelbergGradient, mm.FollowTheRidge, mm.CompetitiveGradientDescent])
def test_constrained_answers_under_vmap(kind: type[mm.Ruled]) -> None:
    game, _, answer = some_game(3, SETS["box"])
    optimizer, xs = kind(mm.sgd(0.1)), torch.randn(4, 2)
    ys = torch.stack([answer(x) for x in xs])
    step = lambda x, y: optimizer.step(game, (x, y), optimizer.init(game, (x, y)))[0]
    found = torch.vmap(step)(xs, ys)
    for k in range(4):
        torch.testing.assert_close(tuple(leaf[k] for leaf in found), step(xs[k], ys[k]), rtol=1e-6, atol=1e-8)


def test_a_compiled_step_answers_along_the_constraint_too() -> None:
    game, x, answer = some_game(5, SETS["box"])
    z, optimizer = (x, answer(x)), mm.StackelbergGradient(mm.sgd(0.1), iterations=2)
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(game, z, s)[0], fullgraph=True, backend="eager")
    state = optimizer.init(game, z)
    torch.testing.assert_close(step(z, state), optimizer.step(game, z, state)[0])
