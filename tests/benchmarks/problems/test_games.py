import math

import pytest
import torch

import minimax as mm
from benchmarks.problem import Problem, View
from benchmarks.problems.games import bilinear, dirac
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
