import math

import numpy as np
import pytest
import torch

import minimax as mm
from benchmarks.problem import Problem, View
from benchmarks.problems.games import (
    bilinear,
    control,
    cyclic,
    dirac,
    economy,
    landmarks,
    linear_quadratic,
    matrices,
    poker,
    saddles,
    surfaces,
)
from benchmarks.testing import play


@pytest.mark.parametrize(("problem", "radius"), [(dirac.DiracGAN, 3.09695), (dirac.DiracNSGAN, 0.640207)])
def test_dirac_radius_after_500_simultaneous_steps(problem: type[Problem], radius: float) -> None:
    it = problem("cpu")
    assert it.preset.steps == 500 and it.recipe.rule == mm.sgd(0.2)
    start = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    end = mm.solve(it.game(), start, mm.SimultaneousGDA(mm.sgd(0.2)), steps=500).players
    assert it.evaluate(View(end, None, 0))["distance"] == pytest.approx(radius, rel=1e-4)


def test_games_start_where_they_say_in_a_direction_of_the_seed() -> None:
    it = bilinear.Bilinear()
    assert [it.evaluate(View(it.players(seed), None, seed))["distance"] for seed in (0, 1)] == pytest.approx(
        [math.sqrt(2)] * 2
    )
    assert it.evaluate(play(it, mm.ExtraGradient(mm.sgd(0.1)), 1000))["distance"] < 0.02
    assert it.evaluate(play(it, mm.SimultaneousGDA(mm.sgd(0.1)), 1000))["distance"] > 10


def test_targets_are_in_the_metrics() -> None:
    (distance, *_) = bilinear.Bilinear().metrics
    assert (distance.name, distance.headline, distance.target, distance.unit) == ("distance", True, 0.1, "")
    assert all(metric.target is None for metric in bilinear.IllConditionedBilinear().metrics)


def ended(kind: type[Problem], optimizer: mm.GameOptimizer, steps: int) -> float:
    """The distance after some steps from seed 0."""
    it = kind("cpu")
    return it.evaluate(play(it, optimizer, steps))["distance"]


@pytest.mark.parametrize(
    ("kind", "eigenvalue"),
    [
        (dirac.DiracRelativistic, 0.3 + 0.4j),
        (dirac.DiracNoise, 0.25 + 0.1875**0.5 * 1j),
        (dirac.DiracHinge, 1j),
        (dirac.DiracLSGAN, 0.5j),
        (dirac.DiracSignedLSGAN, 0j),
    ],
)
def test_dirac_spectra(kind: type[Problem], eigenvalue: complex) -> None:
    assert kind("cpu").closed.eigenvalues[0] == pytest.approx(eigenvalue, abs=1e-12)


def test_distance_shrinks_at_the_rate_of_the_spectrum() -> None:
    near, far = (ended(saddles.RotatedSaddle, mm.SimultaneousGDA(mm.sgd(0.2)), steps) for steps in (40, 10))
    assert (near / far) ** (1 / 30) == pytest.approx(abs(1 - 0.2 * (1 + 1j) / 2**0.5), rel=1e-4)


@pytest.mark.parametrize("kind", [matrices.MatchingPennies, matrices.RockPaperScissors])
def test_strategies_are_mixed_and_extragradient_solves_what_plain_play_does_not(kind: type[Problem]) -> None:
    for strategy in kind("cpu").players(3):
        assert strategy.sum().item() == pytest.approx(1) and float(strategy.min()) > 0
    assert ended(kind, mm.ExtraGradient(mm.sgd(0.1)), 1000) < 0.01 < ended(kind, mm.SimultaneousGDA(mm.sgd(0.1)), 1000)


def test_who_finds_the_hidden_minimax_and_who_leaves_the_spurious_point() -> None:
    plain, ridge = mm.SimultaneousGDA(mm.sgd(0.05)), mm.FollowTheRidge(mm.sgd(0.05))
    assert ended(saddles.HiddenMinimax, ridge, 200) < 1e-3 < 1 < ended(saddles.HiddenMinimax, plain, 200)
    assert ended(saddles.SpuriousPoint, plain, 100) < 1e-3 < 1 < ended(saddles.SpuriousPoint, ridge, 100)
    assert [kind().headline.better for kind in (saddles.HiddenMinimax, saddles.SpuriousPoint)] == ["lower", "higher"]


def test_monkey_saddle_is_left_along_a_parabola() -> None:
    """On y = 0 the field is 3x²: from x = -.1 the flow is x = -1/(10 - 3t), to first order in h."""
    it = saddles.MonkeySaddle("cpu")
    start = (torch.tensor(-0.1), torch.tensor(0.0))
    end = mm.solve(it.game(), start, mm.ExtraGradient(mm.sgd(0.01)), steps=200).players
    assert it.evaluate(View(end, None, 0))["x"] == pytest.approx(-1 / (10 - 6), rel=0.01)


@pytest.mark.parametrize("kind", [landmarks.Forsaken, landmarks.Polar])
def test_landmarks_keep_plain_play_away(kind: type[Problem]) -> None:
    assert ended(kind, mm.SimultaneousGDA(mm.sgd(0.1)), 1000) > 0.3


def test_cycle_of_three_keeps_its_mean() -> None:
    it = cyclic.Cyclic("cpu")
    mean = float(torch.stack(it.players(0)).mean())
    assert ended(cyclic.Cyclic, mm.ExtraGradient(mm.sgd(0.1)), 600) == pytest.approx(3**0.5 * abs(mean), rel=1e-4)


def test_linear_quadratic_gan_is_as_far_as_the_nearer_of_its_solutions() -> None:
    it = linear_quadratic.LinearQuadraticGAN("cpu")
    for a in (1.0, -1.0):
        at = (torch.tensor([a, 0.0]), torch.tensor([0.0, 0.3]))
        assert it.evaluate(View(at, None, 0))["distance"] == pytest.approx(0.3)


def test_who_plays_poker_well() -> None:
    """Plain play goes round the equilibria; even play has 11/12, and 1/8 goes to the second player."""
    it = poker.KuhnPoker("cpu")
    even, solved = (it.evaluate(View(players, None, 0)) for players in (it.even, it.perfect(0)))
    assert (even["gap"], even["value"]) == pytest.approx((11 / 12, -1 / 8), abs=1e-6)
    assert solved["gap"] < 1e-6 and solved["value"] == pytest.approx(1 / 18, abs=1e-6)
    good, plain = (
        it.evaluate(play(it, method(mm.sgd(0.5)), 300))["gap"] for method in (mm.OptimisticGDA, mm.SimultaneousGDA)
    )
    assert good < 0.05 < 0.2 < plain


def test_random_matrix_is_scored_by_what_best_answers_gain() -> None:
    it = matrices.RandomMatrix("cpu")
    x, y = it.players(0)
    A = torch.tensor(np.random.default_rng(0).standard_normal((5, 7)))
    gap = float((A.T @ x.double()).max() - (A @ y.double()).min())
    scores = it.evaluate(View((x, y), None, 0))
    assert scores["gap"] == pytest.approx(gap, rel=1e-5)
    assert scores["value"] == pytest.approx(float(x.double() @ A @ y.double()), abs=1e-6)
    assert it.evaluate(View(it.perfect(0), None, 0))["value"] == pytest.approx(-0.0442770524, abs=1e-6)


def test_who_keeps_a_shared_limit() -> None:
    rule = economy.RiverBasin.recipe.rule
    good, plain = (ended(economy.RiverBasin, opt(rule), 800) for opt in (mm.OptimisticGDA, mm.SimultaneousGDA))
    assert good < 0.1 < 1 < plain
    assert ended(economy.CournotCapacity, mm.ExtraGradient(mm.sgd(0.1)), 150) < 1e-3
    it = economy.RiverBasin("cpu")
    assert it.evaluate(View(it.perfect(0), None, 0))["field"] < 1e-4


def test_a_leader_does_not_end_at_nash_and_a_long_step_leaves_the_stable_gains() -> None:
    plain, leader = mm.SimultaneousGDA(mm.sgd(0.1)), mm.StackelbergGradient(mm.sgd(0.2), damping=0.0)
    apart = math.hypot(3.5 - 7 / 3, 2.75 - 10 / 3)
    assert ended(economy.Cournot, plain, 150) < 1e-3 and ended(economy.Cournot, leader, 100) == pytest.approx(
        apart, 1e-3
    )
    assert ended(control.LQControl, mm.SimultaneousGDA(mm.sgd(0.05)), 100) < 1e-3
    assert ended(control.LQControl, mm.SimultaneousGDA(mm.sgd(0.3)), 100) > 1


SURFACES = (
    *(surfaces.Seesaw, surfaces.RotatedMonkeySaddle, surfaces.AntiSaddle),
    *(surfaces.Weapons, surfaces.Demyanov, surfaces.NoSaddle),
)


@pytest.mark.parametrize("kind", SURFACES)
def test_the_outer_value_is_least_where_it_is_said(kind: type[surfaces.Surface]) -> None:
    it = kind("cpu")
    outer = [it.outer(u) for u in torch.linspace(-it.side, it.side, 601, dtype=torch.float64)]
    u, v = (torch.tensor(z, dtype=torch.float64) for z in it.solution)
    assert float(it.f(u, v)) == pytest.approx(it.value, abs=1e-14)
    assert it.outer(u) == pytest.approx(it.value, abs=1e-10)
    assert min(outer) >= it.value - 1e-6 and max(outer) > it.value + 0.08


def test_outer_values_by_formula() -> None:
    for u in torch.linspace(-0.5, 0.5, 11, dtype=torch.float64):
        w = abs(float(u))
        formulas = {
            surfaces.Seesaw: abs(math.sin(math.pi * w)) / 2,
            surfaces.RotatedMonkeySaddle: max(1 / 8 - 3 / 2 * w**2, 2 * w**3),
            surfaces.AntiSaddle: 1 / 4 + w - w**2,
            surfaces.NoSaddle: (1 + w) ** 2,
        }
        for kind, outer in formulas.items():
            assert kind("cpu").outer(u) == pytest.approx(outer, abs=1e-7)
    assert surfaces.Weapons.value == pytest.approx(-1.834349, abs=1e-6)


@pytest.mark.parametrize("kind", [surfaces.AntiSaddle, surfaces.NoSaddle, surfaces.RotatedMonkeySaddle])
def test_a_beam_finds_what_gradient_play_does_not(kind: type[surfaces.Surface]) -> None:
    it, rule = kind("cpu"), mm.sgd(0.02)
    beam, plain = (
        it.evaluate(play(it, opt, 200, seed=100))["excess"]
        for opt in (mm.KBeam(rule, spread=1.0), mm.SimultaneousGDA(rule))
    )
    assert beam < 0.05 < 0.09 < plain
