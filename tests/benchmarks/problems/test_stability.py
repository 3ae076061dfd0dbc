import math
from itertools import combinations_with_replacement, permutations

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.problem import Problem, View
from benchmarks.problems.stability import covariance, particle_ring, simplex_tv
from benchmarks.testing import play
from minimax.diagnostics import spectrum


def played(kind: type[Problem], optimizer: mm.GameOptimizer, steps: int) -> float:
    """The headline of seed 100 after some steps."""
    it = kind("cpu")
    return it.evaluate(play(it, optimizer, steps, seed=100))[it.headline.name]


def critic_first(*rules: mm.Rule) -> mm.GameOptimizer:
    return mm.AlternatingGDA(rules[0] if len(rules) == 1 else rules, order=(1, 0))


# ------------------------------------------------------------------------------------------------------- covariance


def test_covariance_payoff_is_that_of_samples() -> None:
    """E D(x) - E D(Vz) for D(x) = xᵀWx, with moments that are exact: x = ±√d Σ^½ e_k, z = ±√d e_k."""
    it = covariance.Covariance("cpu")
    V, W = torch.randn(3, 3), torch.randn(3, 3)
    points = math.sqrt(3) * torch.eye(3)
    x, fake = points * torch.linspace(0.25, 1, 3).sqrt(), points @ V.T
    expected = ((x @ W) * x).sum(1).mean() - ((fake @ W) * fake).sum(1).mean()
    assert it.game().losses((V, W))[0].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("dim", [2, 3])
def test_covariance_rotates_at_every_pair_of_variances(dim: int, float64: torch.dtype) -> None:
    closed = mm.games.covariance_gan(dim)
    turned = torch.linalg.qr(torch.randn(dim, dim)).Q  # any V with VVᵀ = Σ will do
    found = spectrum(closed.game, (closed.equilibrium[0] @ turned, closed.equilibrium[1])).eigenvalues
    variances = np.linspace(0.25, 1, dim)
    pairs = [math.sqrt(2 * (a + b)) for a, b in combinations_with_replacement(variances, 2)]
    expected = sorted([*pairs, *(-w for w in pairs), *[0.0] * (dim * (dim - 1))])
    np.testing.assert_allclose(np.sort(found.imag.numpy()), expected, atol=1e-6)
    np.testing.assert_allclose(found.real.numpy(), 0, atol=1e-6)


def test_covariance_starts_where_it_says() -> None:
    many = torch.stack([covariance.Covariance("cpu").players(seed)[0] for seed in range(400)])
    assert many.square().mean().item() == pytest.approx(1 / 3, rel=0.1)
    assert float(covariance.Covariance("cpu").players(0)[1].norm()) == 0


@pytest.mark.parametrize(
    ("optimizer", "holds"),
    [
        (mm.SimultaneousGDA(mm.sgd(0.1)), False),
        (critic_first(mm.sgd(0.1)), False),
        (mm.ExtraGradient(mm.sgd(0.1)), True),
        (critic_first(mm.sgd(0.1), mm.sgd(0.1, momentum=-0.5)), True),
    ],
)
def test_covariance_fails_and_holds(optimizer: mm.GameOptimizer, holds: bool) -> None:
    assert (played(covariance.Covariance, optimizer, 1500) < 0.05) == holds


def test_ridge_moves_the_covariance_game_by_half_a_square() -> None:
    plain, ridged = covariance.Covariance("cpu"), covariance.RidgeCovariance("cpu")
    V, W = torch.randn(3, 3), torch.randn(3, 3)
    gap = ridged.game().losses((V, W))[1] - plain.game().losses((V, W))[1]
    assert gap.item() == pytest.approx(0.25 * float(W.square().sum()), rel=1e-4)
    assert played(covariance.RidgeCovariance, critic_first(mm.sgd(0.1)), 1500) < 0.05


# ---------------------------------------------------------------------------------------------------------- simplex


def test_best_critic_pays_twice_the_total_variation() -> None:
    it = simplex_tv.SimplexTV("cpu")
    x, _ = it.players(3)
    best = torch.sign(it.atoms - x.softmax(0))
    assert it.game().losses((x, best))[0].item() == pytest.approx(2 * it.evaluate(View((x, best), None, 0))["tv"])


@pytest.mark.parametrize("atoms", [3, 10])
def test_logistic_simplex_spectrum(atoms: int, float64: torch.dtype) -> None:
    """(1 ± i√3)/4n, n - 1 times each; the two shifts of all numbers have 0 and 1/2n."""
    uniform = torch.full((atoms,), 1 / atoms)
    game = simplex_tv.logistic_game(uniform)
    found = spectrum(game, (torch.zeros(atoms), torch.zeros(atoms))).eigenvalues.numpy()
    pair = complex(1, math.sqrt(3)) / (4 * atoms)
    expected = [0, 1 / (2 * atoms), *[pair] * (atoms - 1), *[pair.conjugate()] * (atoms - 1)]
    by_parts = lambda z: (round(z.imag, 6), round(z.real, 6))
    np.testing.assert_allclose(sorted(found, key=by_parts), sorted(expected, key=by_parts), atol=1e-7)


@pytest.mark.parametrize(("share", "stable"), [(0.95, True), (1.05, False)])
def test_logistic_simplex_is_stable_below_a_step_of_2n(share: float, stable: bool, float64: torch.dtype) -> None:
    n = 4
    game, start = simplex_tv.logistic_game(torch.full((n,), 1 / n)), (torch.tensor([1e-4, -1e-4, 0, 0]), torch.zeros(n))
    x, _ = mm.solve(game, start, mm.SimultaneousGDA(mm.sgd(share * 2 * n)), steps=400, every=400).players
    assert (float(x.norm()) < float(start[0].norm())) == stable


@pytest.mark.parametrize(
    ("kind", "optimizer", "holds"),
    [
        (simplex_tv.SimplexTV, critic_first(mm.sgd(4.0), mm.sgd(0.4)), False),
        (simplex_tv.SimplexTV, mm.ExtraGradient((mm.sgd(4.0), mm.sgd(0.4))), True),
        (simplex_tv.RidgeSimplexTV, critic_first(mm.sgd(4.0), mm.sgd(0.4)), True),
        (simplex_tv.LogisticSimplex, critic_first(mm.sgd(4.0), mm.sgd(0.4)), True),
    ],
)
def test_simplex_fails_and_holds(kind: type[Problem], optimizer: mm.GameOptimizer, holds: bool) -> None:
    assert (played(kind, optimizer, 2500) < 0.01) == holds


# -------------------------------------------------------------------------------------------------------- particles


def test_wasserstein_is_that_of_the_best_permutation() -> None:
    x, y = torch.randn(5, 2), torch.randn(5, 2)
    costs = [(x - y[list(order)]).square().sum(1).mean().item() for order in permutations(range(5))]
    assert particle_ring.wasserstein(x, y) == pytest.approx(math.sqrt(min(costs)), rel=1e-6)


def test_particles_on_one_mode_are_as_far_as_the_mean_square_chord() -> None:
    """E|r - r_1|² = 2 on a circle of radius 1."""
    floors = {floor.what: floor.value for floor in particle_ring.PlainParticleRing("cpu").floors()}
    assert floors["one mode"] == pytest.approx(math.sqrt(2), rel=1e-6)


def test_particle_losses_by_hand() -> None:
    """With the critic D(x) = w x_1, whose slope is |w| everywhere."""
    w, critic = 1.5, torch.nn.Linear(2, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[w, 0.0]]))
        critic.bias.zero_()
    plain, with_r1, relativistic = (
        kind("cpu")
        for kind in (
            particle_ring.PlainParticleRing,
            particle_ring.R1ParticleRing,
            particle_ring.RelativisticParticleRing,
        )
    )
    x, real = torch.randn(32, 2), plain.real
    fakes, reals = w * x[:, 0], w * real[:, 0]
    generator, critics = softplus(-fakes).mean(), softplus(-reals).mean() + softplus(fakes).mean()
    expect(plain, (x, critic), (generator, critics))
    expect(with_r1, (x, critic), (generator, critics + w**2 / 2))
    expect(relativistic, (x, critic), (softplus(reals - fakes).mean(), softplus(fakes - reals).mean() + w**2))


def expect(it: Problem, players: tuple[object, ...], losses: tuple[torch.Tensor, ...]) -> None:
    torch.testing.assert_close(it.game().losses(players), losses)


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        (particle_ring.PlainParticleRing, False),
        (particle_ring.R1ParticleRing, True),
        (particle_ring.RelativisticParticleRing, True),
    ],
)
def test_particle_ring_fails_and_holds(kind: type[Problem], holds: bool) -> None:
    rate = mm.schedules.linear(1e-2, 0.0, 1000)
    assert (played(kind, critic_first(mm.adam(rate, betas=(0.0, 0.99))), 1000) < 0.05) == holds
