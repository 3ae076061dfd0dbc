import math

import pytest
import torch

import minimax as mm
from benchmarks.problem import Problem, View
from benchmarks.problems.games import bilinear, cyclic, dirac, landmarks, linear_quadratic, matrices, saddles
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
