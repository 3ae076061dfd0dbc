"""Ridge, poisoning and leaders against closed forms; who reaches the answer, and who must not."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from benchmarks.problem import Problem, View
from benchmarks.problems import discover
from benchmarks.problems.bilevel import poison_ridge
from benchmarks.problems.bilevel._by_value import drawn, lowest
from benchmarks.problems.bilevel.leaders import BertrandLeader, CournotLeader, PointOfView
from benchmarks.problems.bilevel.poison_digits import PoisonDigits
from benchmarks.problems.bilevel.poison_ridge import PoisonRidge
from benchmarks.problems.bilevel.ridge import Ridge, RidgeFeatures
from benchmarks.testing import Run, play

pytestmark = pytest.mark.usefixtures("float64")


def made(kind: type[Problem]) -> Problem:
    kind.prepare(None, None, download=False)
    return kind("cpu")


def floors(it: Problem) -> dict[tuple[str, str], float]:
    return {(floor.metric, floor.what): floor.value for floor in it.floors()}


def exactly(**options: float) -> mm.StackelbergGradient:
    return mm.StackelbergGradient((mm.sgd(1.0), mm.sgd(0.1)), **{"tolerance": 1e-13, "iterations": 300} | options)


def hypergradient(it: Problem, players: tuple) -> torch.Tensor:
    """What a step of size 1 moves the leader against."""
    optimizer, game = exactly(), it.game()
    moved = optimizer.step(game, players, optimizer.init(game, players))[0][0]
    return players[0] - moved


# ---------------------------------------------------------------------------------------------------------- ridge


def test_ridge_has_the_stated_values() -> None:
    it = made(Ridge)
    at = floors(it)
    assert at["value", "least-squares"] == pytest.approx(0.243095, abs=1e-6)
    assert at["value", "optimum"] == pytest.approx(0.240801083026, abs=1e-11)
    assert float(it.optimum) == pytest.approx(-2.0256413604, abs=1e-5)
    assert float(hypergradient(it, (torch.tensor(0.0), it.rows.answer(torch.tensor(0.0))))) == pytest.approx(
        0.0205746805, abs=1e-9
    )
    features = made(RidgeFeatures)
    assert floors(features)["value", "optimum"] == pytest.approx(0.2304179931, abs=1e-8)


@settings(max_examples=8)
@given(st.integers(100, 10_000))
def test_the_hypergradient_of_ridge_is_that_of_the_exact_answer(seed: int) -> None:
    it = made(RidgeFeatures)
    θ = torch.randn(10, generator=torch.Generator().manual_seed(seed))
    at = θ.clone().requires_grad_()
    (exact,) = torch.autograd.grad(it.rows.error(it.rows.answer(at)), at)
    torch.testing.assert_close(hypergradient(it, (θ, it.rows.answer(θ))), exact, rtol=1e-6, atol=1e-9)


def test_ridge_is_scored_at_the_answer_whatever_was_played() -> None:
    it = made(Ridge)
    θ, w = it.perfect(0)
    right, off = (it.evaluate(View((θ, w + away), it.memory(0), 0)) for away in (0.0, 3.0))
    assert right["value"] == off["value"] and off["gap"] == pytest.approx(3 * math.sqrt(10)) and right["gap"] < 1e-12


def test_stackelberg_finds_the_weight_of_ridge() -> None:
    it = made(Ridge)
    optimizer = mm.StackelbergGradient((mm.sgd(20.0), mm.sgd(0.3)), iterations=20, steps=3)
    view = play(it, optimizer, 200, seed=100)
    scores = it.evaluate(view)
    assert scores["value"] <= 0.240801083026 + 1e-6 and scores["theta"] == pytest.approx(-2.0256, abs=0.03)
    assert view.memory["path"].shape == (201, 1) and it.pictures(view)["path"].array.shape == (96, 144, 3)


# ---------------------------------------------------------------------------------------------------------- poison


def test_poisoned_ridge_has_the_stated_values() -> None:
    assert floors(made(PoisonRidge)) == {
        ("value", "clean"): pytest.approx(0.0020484682, abs=1e-10),
        ("value", "optimum"): pytest.approx(0.2067568055, abs=1e-10),
    }
    grid = [
        poison_ridge.value(float(x), float(y)) for x in torch.linspace(-2, 2, 41) for y in torch.linspace(-1, 1, 21)
    ]
    assert max(grid) == pytest.approx(0.2067568055) and poison_ridge.value(-2.0, 1.0) == pytest.approx(max(grid))


@settings(max_examples=10)
@given(st.floats(-2, 2), st.floats(-1, 1))
def test_the_slope_of_poison(x: float, y: float) -> None:
    """∇_x V = (y - x w)a - (x a)w and ∇_y V = x a, a = A⁻¹X_vᵀ(X_v w - y_v)/n_v: the game's hypergradient, n times."""
    it, w = made(PoisonRidge), poison_ridge.answer(x, y)
    A = sum(v * v for v in poison_ridge.X) + x * x + poison_ridge.RIDGE
    a = sum(v * (v * w - v) for v in poison_ridge.VALID) / len(poison_ridge.VALID) / A
    poison = {"x": torch.tensor(x), "y": torch.tensor(y)}
    optimizer = mm.StackelbergGradient((mm.sgd(1e-3), mm.sgd(0.1)), tolerance=1e-14)
    game = it.game()
    free = mm.transforms.bilevel(*game.functions)
    moved = optimizer.step(free, (poison, torch.tensor(w)), optimizer.init(free, (poison, torch.tensor(w))))[0][0]
    assert float(moved["x"] - x) / 1e-3 == pytest.approx((y - x * w) * a - x * a * w, abs=1e-9)
    assert float(moved["y"] - y) / 1e-3 == pytest.approx(x * a, abs=1e-9)


def test_poisoned_digits_have_the_stated_values() -> None:
    it = made(PoisonDigits)
    at = floors(it)
    assert at["value", "clean"] == pytest.approx(0.0358, abs=1e-4)
    assert at["value", "flipped-labels"] == pytest.approx(0.0601, abs=1e-4)
    assert at["value", "optimum"] == pytest.approx(0.428448, abs=1e-6)
    assert at["accuracy", "optimum"] == pytest.approx(0.937, abs=1e-3)
    assert [len(part) for part in it.rows] == [150, 150, 100, 100, 111, 111]


def test_the_answer_to_poisoned_digits_is_the_followers_best() -> None:
    it = made(PoisonDigits)
    poison = torch.rand(8, 64, generator=torch.Generator().manual_seed(100))
    w = it.rows.answer(poison)
    assert float(it.game().gradient((poison, w), 1).norm()) < 1e-10
    at = poison.clone().requires_grad_()
    (exact,) = torch.autograd.grad(it.rows.error(it.rows.answer(at)), at)
    inside = (poison > 0.3) & (poison < 0.7)  # where no bound stops a step of size 1
    torch.testing.assert_close(-hypergradient(it, (poison, w))[inside], exact[inside], rtol=1e-6, atol=1e-9)


def test_stackelberg_poisons_and_labels_alone_do_not() -> None:
    it = made(PoisonDigits)
    optimizer = mm.StackelbergGradient((mm.adam(0.1), mm.sgd(0.15)), iterations=10, steps=3)
    view = play(it, optimizer, 60, seed=100)
    assert it.evaluate(view)["value"] > 0.2 > 3 * 0.0601
    poison = view.players[0]
    assert float(poison.min()) >= 0 and float(poison.max()) <= 1
    assert it.pictures(view)["poison"].rows == ("before", "poisoned")


# --------------------------------------------------------------------------------------------------------- leaders

ANSWERS = {CournotLeader: (3.5, 2.75), BertrandLeader: (4.214286, 4.053571), PointOfView: (0.5, 0.5)}


@pytest.mark.parametrize("kind", ANSWERS)
def test_leaders_reach_their_answers_and_gradient_play_does_not(kind: type[Problem]) -> None:
    it, answer = made(kind), ANSWERS[kind]
    assert [float(z) for z in it.closed.equilibrium] == pytest.approx(answer, abs=1e-6)
    led = play(it, mm.StackelbergGradient(mm.sgd(0.1), steps=2), 200, seed=100)
    assert it.evaluate(led)["distance"] < 1e-6
    nash = mm.Game(*it.game().functions)
    z = it.players(100)
    for optimizer in (mm.SimultaneousGDA, mm.ExtraGradient, mm.CompetitiveGradientDescent):
        with pytest.raises(mm.GameError, match="the leader of a bilevel game stands still"):
            optimizer(mm.sgd(0.1)).init(it.game(), z)
        end = mm.solve(nash, z, optimizer(mm.sgd(0.1)), steps=150).players
        assert [float(x) for x in end] == pytest.approx(it.nash(), abs=1e-3)
    assert floors(it)["distance", "nash"] == pytest.approx(math.dist(it.nash(), answer), abs=1e-5)


@pytest.mark.parametrize("K", [1, 4, 10])
def test_who_looks_only_some_steps_ahead_stops_beside(K: int) -> None:
    """q_1 = 3.5 / (1.5 - ½(1 - rᴷ)), r = 1 - 2h; u = (1 - rᴷ)/(2 - rᴷ): there, and nowhere else, they rest."""
    h = 0.1
    ahead, unrolled = 1 - (1 - 2 * h) ** K, mm.Unrolled(mm.sgd(h), steps=K)
    stops = (
        (CournotLeader, 3.5 / (1.5 - ahead / 2), lambda q: (9 - q) / 2),
        (PointOfView, ahead / (1 + ahead), lambda u: 1 - u),
    )
    for kind, found, answer in stops:
        game = made(kind).game()
        for x, rests in ((found, True), (found + 0.01, False), (ANSWERS[kind][0], False)):
            z = (torch.tensor(x), torch.tensor(answer(x)))
            moved = unrolled.step(game, z, unrolled.init(game, z))[0]
            assert (float((torch.stack(moved) - torch.stack(z)).norm()) < 1e-12) is rests


def test_lola_finds_neither_answer() -> None:
    it = made(CournotLeader)
    view = play(it, mm.LOLA(mm.sgd(0.1), alpha=0.1), 500, seed=100)
    assert [float(q) for q in view.players] == pytest.approx((2.392308, 3.492308), abs=1e-5)


def test_the_second_of_bertrands_firms_earns_more() -> None:
    it = made(BertrandLeader)
    first, second = it.game().losses(it.closed.equilibrium)
    assert float(second) < float(first)


# ----------------------------------------------------------------------------------------------------------- parts


def test_every_problem_of_a_leader_refuses_gradient_play() -> None:
    kinds = {name: found.kind for name, found in discover().items() if ".bilevel." in found.source}
    led = {name for name, kind in kinds.items() if len(made(kind).players(0)) == 2}
    assert led == kinds.keys() - {"maml-sine", "maml-sine-first-order", "reptile-sine", "maml-digits"}
    for name in led - {"imaml-sine"}:  # its leader is in its own loss
        it = made(kinds[name])
        with pytest.raises(mm.GameError, match="leader"):
            mm.AlternatingGDA(mm.sgd(0.1)).init(it.game(), it.players(0))


@settings(max_examples=10)
@given(st.integers(100, 10_000))
def test_lowest_within_bounds(seed: int) -> None:
    c = 2 * torch.randn(3, 2, generator=torch.Generator().manual_seed(seed))
    found = lowest(lambda x: (x - c).square().sum(), torch.zeros(3, 2), -1.0, 0.5)
    torch.testing.assert_close(found, c.clamp(-1.0, 0.5), rtol=0, atol=1e-6)


def test_curves_are_drawn_within_the_window_of_the_first() -> None:
    line = [(x / 10, (x / 10) ** 2) for x in range(-10, 11)]
    picture = drawn([line, [(-5.0, 9.0), (float("nan"), 0.0), (0.0, 0.0)]], [(0.0, 0.0)])
    assert picture.shape == (96, 144, 3) and picture.dtype.name == "uint8"
    red = (picture == (200, 30, 30)).all(2).nonzero()
    assert len(red[0]) == 25 and abs(red[0].mean() - 70) <= 1 and abs(red[1].mean() - 71.5) <= 1  # a quarter up
    assert (picture == (170, 170, 170)).all(2).sum() > 100
    black = (picture == 0).all(2).nonzero()
    assert len(black[0]) == 0 or black[0].min() > 3  # what leaves the window does not run along its edge


def test_a_run_keeps_where_the_weight_was(tmp_path: object) -> None:
    it = made(Ridge)
    run = Run(it, mm.StackelbergGradient(it.recipe.rule))
    for _ in range(3):
        run.step()
    assert run.view.memory["path"].shape == (4, 1) and float(run.view.memory["path"][-1]) == float(run.view.players[0])
