import cmath
import math
from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games
from minimax.games import ClosedForm
from minimax.testing import check_game

pytestmark = pytest.mark.usefixtures("float64")

ALL: dict[str, Callable[[], ClosedForm]] = {
    "bilinear": games.bilinear,
    "ill-conditioned bilinear": lambda: games.bilinear(dim=4, condition=100.0),
    "rectangular bilinear": lambda: games.bilinear(torch.arange(6.0).reshape(2, 3).cos()),
    "noisy bilinear": games.noisy_bilinear,
    "quadratic": lambda: games.quadratic(1.0, 2.0, -0.5),
    "scsc": games.scsc,
    "rotated saddle": games.rotated_saddle,
    "hidden minimax": games.hidden_minimax,
    "spurious point": games.spurious_point,
    "monkey saddle": games.monkey_saddle,
    "cooperative": games.cooperative,
    "three cooperating": lambda: games.cooperative(torch.eye(3) + 0.3),
    "cyclic": games.cyclic,
    "five in a cycle": lambda: games.cyclic(5, mu=0.2),
    "tandem": games.tandem,
    "matching pennies": games.matching_pennies,
    "rock paper scissors": games.rock_paper_scissors,
    "a matrix game": lambda: games.matrix_game(torch.arange(6.0).reshape(2, 3).cos()),
    "Kuhn poker": games.kuhn_poker,
    "Kuhn poker without bluffs": lambda: games.kuhn_poker(0.0),
    "Cournot": games.cournot,
    "Cournot of four firms": lambda: games.cournot(12.0, 0.5, (1.0, 2.0, 3.0, 1.5)),
    "Cournot with a capacity": lambda: games.cournot(costs=(1.0, 2.0, 3.0), capacity=4.5),
    "Bertrand": games.bertrand,
    "river basin": games.river_basin,
    "LQ control": games.lq_control,
    "LQ control of another system": lambda: games.lq_control(0.9, 0.7, 0.3, 1.5),
    "Dirac-GAN": games.dirac_gan,
    "Dirac-GAN R1": lambda: games.dirac_gan(0.3),
    "Dirac-NSGAN": games.dirac_nsgan,
    "Dirac-NSGAN R1": lambda: games.dirac_nsgan(1.7),
    "Dirac-WGAN": games.dirac_wgan,
    "Dirac-WGAN R1": lambda: games.dirac_wgan(0.5),
    "clipped Dirac-WGAN": lambda: games.dirac_wgan(clip=0.3),
    "Dirac-WGAN-GP": games.dirac_wgan_gp,
    "Dirac-RpGAN": games.dirac_relativistic,
    "Dirac-RpGAN R1 + R2": lambda: games.dirac_relativistic(0.3),
    "Dirac-GAN with noise": games.dirac_noise,
    "Dirac-GAN with much noise": lambda: games.dirac_noise(1.7),
    "Dirac hinge GAN": games.dirac_hinge,
    "Dirac-LSGAN": games.dirac_lsgan,
    "Dirac-LSGAN signed": lambda: games.dirac_lsgan(-1.0, 1.0, 0.0),
    "Dirac-LSGAN lopsided": lambda: games.dirac_lsgan(0.2, 0.9, 0.4),
    "Forsaken": games.forsaken,
    "almost bilinear": games.almost_bilinear,
    "almost bilinear, the circle repels": lambda: games.almost_bilinear(-0.3),
    "false rest": games.false_rest,
    "minimax, not Nash": games.minimax_not_nash,
    "polar game": games.polar,
    "covariance GAN": games.covariance_gan,
    "covariance GAN in 5-D": lambda: games.covariance_gan(5),
    "linear-quadratic GAN": games.linear_quadratic_gan,
}


def jacobian(closed: ClosedForm) -> torch.Tensor:
    """DF at the equilibrium, one column per product."""
    sizes = [player.numel() for player in closed.equilibrium]
    columns = []
    for e in torch.eye(sum(sizes)):
        parts = zip(e.split(sizes), closed.equilibrium, strict=True)
        v = tuple(part.reshape(player.shape) for part, player in parts)
        product = closed.game.jvp(closed.equilibrium, v, mean_batch(closed))
        columns.append(torch.cat([part.reshape(-1) for part in product]))
    return torch.stack(columns, 1)


def mean_batch(closed: ClosedForm) -> torch.Tensor | None:
    return None if closed.batches is None else torch.tensor(0.0)


@pytest.mark.parametrize("name", ALL)
def test_oracles_are_the_derivatives(name: str) -> None:
    closed = ALL[name]()
    check_game(closed.game, closed.start, closed.batches(0) if closed.batches else None)


@pytest.mark.parametrize("name", [name for name in ALL if name != "Dirac-WGAN-GP"])
def test_equilibrium_and_spectrum(name: str) -> None:
    closed = ALL[name]()
    constraints = closed.game.constraints or (None,) * len(closed.start)
    for player, g, constraint in zip(
        closed.equilibrium, closed.game.field(closed.equilibrium, mean_batch(closed)), constraints, strict=True
    ):
        stays = player - g if constraint is None else constraint(player - g)
        torch.testing.assert_close(stays, player, rtol=0, atol=1e-14)
    J = jacobian(closed)
    # A double eigenvalue is only accurate to the root of the rounding error.
    computed = sorted(np.linalg.eigvals(J.numpy()), key=lambda c: (round(c.real, 5), round(c.imag, 5)))
    stated = sorted(closed.eigenvalues, key=lambda c: (round(c.real, 5), round(c.imag, 5)))
    np.testing.assert_allclose(computed, stated, atol=1e-7)
    assert float(torch.linalg.matrix_norm(J, 2)) == pytest.approx(closed.lipschitz, abs=1e-12)


UNSETTLED = {"noisy bilinear", "Forsaken", "Kuhn poker", "Kuhn poker without bluffs", "a matrix game", "river basin"}
"""Slow, or with constraints that bind at the equilibrium."""


@pytest.mark.parametrize("name", [name for name in ALL if name not in UNSETTLED])
def test_attracts_says_where_small_steps_lead(name: str) -> None:
    closed = ALL[name]()
    near = tuple(z + 1e-4 * torch.randn(z.shape) for z in closed.equilibrium)
    h, steps = (0.05, 300) if closed.lipschitz < 5 else (0.01, 1500)
    solution = mm.solve(closed.game, near, mm.SimultaneousGDA(mm.sgd(h)), steps=steps, every=steps)
    assert (float(closed.distance(solution.players)) < 0.2 * float(closed.distance(near))) == closed.attracts


@pytest.mark.parametrize(
    "make, gamma, radius",
    [
        (games.dirac_gan, 0.0, 3.09695),
        (games.dirac_nsgan, 0.0, 0.640207),
        (games.dirac_gan, 0.3, 2.643e-6),
        (games.dirac_nsgan, 0.3, 2.212e-6),
    ],
)
def test_dirac_radius_after_500_steps(make: Callable[[float], ClosedForm], gamma: float, radius: float) -> None:
    closed = make(gamma)
    solution = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(0.2)), steps=500, every=500)
    digits = 4 if radius < 1e-3 else 6
    assert float(closed.distance(solution.players)) == pytest.approx(radius, rel=0.6 * 10 ** (1 - digits))


@pytest.mark.parametrize("make", [games.dirac_gan, games.dirac_nsgan])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
def test_dirac_eigenvalues(make: Callable[[float], ClosedForm], gamma: float) -> None:
    """γ/2 ± √(γ²/4 - ¼), real from the critical γ = 1 on."""
    root = cmath.sqrt(gamma**2 / 4 - 0.25)
    assert make(gamma).eigenvalues == (gamma / 2 + root, gamma / 2 - root)
    assert all((value.imag == 0) == (gamma >= 1) for value in make(gamma).eigenvalues)


@pytest.mark.parametrize("make", [games.dirac_gan, games.dirac_nsgan])
def test_consensus_on_dirac(make: Callable[[], ClosedForm]) -> None:
    """Consensus moves ±i/2 to γ/4 ± i/2: near 0 every step multiplies the radius by |1 - h(γ/4 ± i/2)|."""
    closed, h, γ = make(), 0.2, 0.8
    start = (torch.tensor(1e-5), torch.tensor(-2e-5))
    solution = mm.solve(closed.game, start, mm.ConsensusOptimization(mm.sgd(h), gamma=γ), steps=200, every=200)
    rate = float(closed.distance(solution.players) / closed.distance(start)) ** (1 / 200)
    assert rate == pytest.approx(abs(1 - h * (γ / 4 + 0.5j)), rel=1e-6)


def test_nonsaturating_dirac_converges_sublinearly() -> None:
    closed, players, radii = games.dirac_nsgan(), games.dirac_nsgan().start, []
    for _ in range(4):
        players = mm.solve(closed.game, players, mm.AlternatingGDA(mm.sgd(0.1)), steps=300, every=300).players
        radii.append(float(closed.distance(players)))
    rates = [after / before for before, after in pairwise(radii)]
    assert all(rate < 1 for rate in rates)
    assert rates == sorted(rates), "a linear rate would stay the same, a sublinear one slows down"


@pytest.mark.parametrize(
    "make", [games.dirac_wgan_gp, lambda: games.dirac_wgan_gp(0.1), lambda: games.dirac_wgan(clip=0.5)]
)
@pytest.mark.parametrize("kind", [mm.SimultaneousGDA, mm.AlternatingGDA])
def test_wgan_gp_and_clipping_do_not_converge(make: Callable[[], ClosedForm], kind: type[mm.GameOptimizer]) -> None:
    closed = make()
    steps = mm.iterate(closed.game, closed.start, kind(mm.sgd(0.05)))
    distances = [float(closed.distance(it.players)) for it in islice(steps, 600)]
    assert min(distances[300:]) > 0.05


def test_wgan_gp_ends_beside_the_data() -> None:
    """At λ >= 1 the critic's slope is pushed to 0 from one side, and the generator stays at θ = -2λ."""
    closed = games.dirac_wgan_gp(1.5)
    θ, ψ = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(0.2)), steps=800, every=800).players
    assert (θ.item(), ψ.item()) == pytest.approx((-3, 0), abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.1])
def test_relativistic_dirac_with_both_penalties(gamma: float) -> None:
    """γ ± √(γ² - ¼), and the losses of differences with γ/2 on either slope."""
    closed = games.dirac_relativistic(gamma)
    root = cmath.sqrt(gamma**2 - 0.25)
    np.testing.assert_allclose(closed.eigenvalues, (gamma + root, gamma - root), atol=1e-15)
    θ, ψ = torch.tensor(0.7), torch.tensor(-1.3)
    critic = lambda x: -ψ * x  # the game has the critic's sign the other way round
    x, fake = torch.zeros(1, 1), θ.reshape(1, 1)
    softplus = torch.nn.functional.softplus
    penalties = gamma / 2 * (mm.penalties.r1(critic, x) + mm.penalties.r2(critic, fake))
    generator, critics = closed.game.losses((θ, ψ))
    torch.testing.assert_close(generator, softplus(critic(x) - critic(fake)).squeeze())
    torch.testing.assert_close(critics - math.log(2), softplus(critic(fake) - critic(x)).squeeze() + penalties)


@pytest.mark.parametrize("sigma", [0.5, 2**0.5, 2.0])
def test_instance_noise_acts_as_a_penalty_near_the_equilibrium(sigma: float) -> None:
    """σ²/4 ± √(σ⁴/16 - ¼), real from σ² = 2 on; and the payoff is the expectation."""
    closed = games.dirac_noise(sigma)
    assert all((abs(value.imag) < 1e-7) == (sigma**2 >= 1.999) for value in closed.eigenvalues)
    ε = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(200_000) + 0.5) / 200_000)
    θ, ψ = torch.tensor(0.7), torch.tensor(1.2)
    f = lambda t: -torch.nn.functional.softplus(-t)
    expected = f(ψ * (θ + sigma * ε)).mean() + f(ψ * sigma * ε).mean()
    assert closed.game.losses((θ, ψ))[0].item() == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("radius", [0.7, 2.5])
def test_hinge_circles_within_the_square_root_of_two(radius: float) -> None:
    closed = games.dirac_hinge()
    start = (torch.tensor(radius / 2**0.5), torch.tensor(radius / 2**0.5))
    end = mm.solve(closed.game, start, mm.AlternatingGDA(mm.sgd(0.01)), steps=1000, every=1000).players
    assert float(closed.distance(end)) == pytest.approx(min(radius, 2**0.5), rel=0.01)


def test_signed_least_squares_brings_the_generator_home_and_leaves_the_slope() -> None:
    closed = games.dirac_lsgan(-1.0, 1.0, 0.0)
    θ, critic = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(0.2)), steps=600, every=600).players
    assert abs(float(θ)) < 1e-9 and abs(float(critic[0])) > 0.1


@pytest.mark.parametrize("kind", [mm.SimultaneousGDA, mm.ExtraGradient])
def test_forsaken_point_is_where_it_is_said_and_nobody_comes_from_afar(kind: type[mm.GameOptimizer]) -> None:
    closed = games.forsaken()
    assert [float(z) for z in closed.equilibrium] == pytest.approx([0.0780266687, 0.4119338514], abs=5e-11)
    assert closed.eigenvalues[0] == pytest.approx(0.0447460 + 0.9080276j, abs=1e-7)
    steps = mm.iterate(closed.game, closed.start, kind(mm.sgd(0.1)))
    distances = [float(closed.distance(it.players)) for it in islice(steps, 800)]
    assert min(distances[400:]) > 0.3 and max(distances[400:]) < 2
    near = (closed.equilibrium[0] + 1e-4, closed.equilibrium[1])
    rate = abs(1 - 0.05 * closed.eigenvalues[0])
    end = mm.solve(closed.game, near, mm.SimultaneousGDA(mm.sgd(0.05)), steps=800, every=800).players
    assert float(closed.distance(end)) == pytest.approx(1e-4 * rate**800, rel=0.5)


@pytest.mark.parametrize(("start", "radius"), [(0.68, 0.0), (0.69, 1.046070), (1.3, 1.046070)])
def test_polar_game_cycles_of_simultaneous_play(start: float, radius: float) -> None:
    """At h = .1 the circle .684278 repels and 1.046070 attracts."""
    closed = games.polar()
    players = (torch.tensor(start), torch.tensor(0.0))
    end = mm.solve(closed.game, players, mm.SimultaneousGDA(mm.sgd(0.1)), steps=1000, every=1000).players
    assert float(closed.distance(end)) == pytest.approx(radius, abs=1e-6)


@pytest.mark.parametrize(("h", "radius"), [(0.1, 0.0), (0.05, 0.963452)])
def test_polar_game_by_extragradient(h: float, radius: float) -> None:
    closed = games.polar()
    players = (torch.tensor(1.2), torch.tensor(0.0))
    end = mm.solve(closed.game, players, mm.ExtraGradient(mm.sgd(h)), steps=1000, every=1000).players
    assert float(closed.distance(end)) == pytest.approx(radius, abs=1e-6)


@pytest.mark.parametrize(("kind", "radius"), [(mm.SimultaneousGDA, 0.7), (mm.ExtraGradient, 1.6)])
def test_almost_bilinear_play_circles_at_root_four_thirds(kind: type[mm.GameOptimizer], radius: float) -> None:
    """Whatever the method, if its steps are small against ε."""
    ε, h = 0.4, 0.02
    closed, start = games.almost_bilinear(ε), (torch.tensor(radius), torch.tensor(0.0))
    steps = mm.iterate(closed.game, start, kind(mm.sgd(h)))
    seen = [float(closed.distance(it.players)) for it in islice(steps, 1200)]
    turn = round(2 * math.pi / h)
    assert np.sqrt(np.mean(np.square(seen[-turn:]))) == pytest.approx((4 / 3) ** 0.5, rel=0.05)


def test_where_play_comes_to_rest_at_a_false_point() -> None:
    """Small steps are drawn to (0, 0), no local minimax; the equilibrium is a local Nash point."""
    closed = games.false_rest()
    kinds = [mm.diagnostics.classify(closed.game, z).kind for z in (closed.equilibrium, (closed.start[0] * 0,) * 2)]
    assert kinds == ["local Nash", "stable, not Nash"]
    assert [float(z) for z in closed.equilibrium] == pytest.approx([-2 - 2**0.5, 2 + 2**0.5], abs=1e-14)


def test_dirac_value_at_the_equilibrium() -> None:
    """f(0) + f(0) = -log 4, what a GAN's value is when the generator wins."""
    closed = games.dirac_gan(gamma=0.7)
    assert closed.game.losses(closed.equilibrium)[0].item() == pytest.approx(-math.log(4), abs=1e-15)


def test_r1_is_half_gamma_psi_squared() -> None:
    plain, penalised = games.dirac_gan(), games.dirac_gan(gamma=0.6)
    z = (torch.tensor(0.4), torch.tensor(3.0))
    (g, d), (g_r1, d_r1) = plain.game.losses(z), penalised.game.losses(z)
    assert g == g_r1
    critic = lambda x: x * z[1]
    expected = d + 0.6 / 2 * mm.penalties.r1(critic, torch.zeros(4, 1))
    torch.testing.assert_close(d_r1, expected)


def test_cycle_is_zero_sum_and_conserved_by_small_steps() -> None:
    closed = games.cyclic(5)
    assert float(sum(closed.game.losses(closed.start))) == pytest.approx(0, abs=1e-14)
    ξ = closed.game.field(closed.start)
    assert float(sum(g * x for g, x in zip(ξ, closed.start, strict=True))) == pytest.approx(0, abs=1e-14)


def test_linear_quadratic_gan_is_the_expected_payoff() -> None:
    closed = games.linear_quadratic_gan()
    g, w = torch.tensor([0.7, -0.4]), torch.tensor([1.3, 0.6])
    x = (torch.arange(100_000) + 0.5) / 50_000 - 1
    critic = lambda x: w[0] * x**2 + w[1] * x
    expected = critic(x).mean() - critic(g[0] * x + g[1]).mean()
    assert closed.game.losses((g, w))[0].item() == pytest.approx(expected.item(), abs=1e-9)


def test_tandem_reaches_its_line() -> None:
    closed = games.tandem()
    x, y = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(0.1)), steps=200).players
    assert (x + y).item() == pytest.approx(1, abs=1e-12)


def test_noise_is_reproducible_and_fair() -> None:
    closed = games.noisy_bilinear()
    draws = torch.stack([closed.batches(k) for k in range(400)])
    assert torch.equal(draws, torch.stack([closed.batches(k) for k in range(400)]))
    assert set(draws.tolist()) == {-1.0, 1.0}
    assert abs(draws.mean().item()) < 0.15


def test_conditioning() -> None:
    closed = games.bilinear(dim=5, condition=1000.0)
    sizes = sorted({round(abs(value), 12) for value in closed.eigenvalues})
    assert sizes[-1] / sizes[0] == pytest.approx(1000)
    np.testing.assert_allclose(np.diff(np.log(sizes)), math.log(1000) / 4)
