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
    "Dirac-GAN": games.dirac_gan,
    "Dirac-GAN R1": lambda: games.dirac_gan(0.3),
    "Dirac-NSGAN": games.dirac_nsgan,
    "Dirac-NSGAN R1": lambda: games.dirac_nsgan(1.7),
    "Dirac-WGAN": games.dirac_wgan,
    "Dirac-WGAN R1": lambda: games.dirac_wgan(0.5),
    "clipped Dirac-WGAN": lambda: games.dirac_wgan(clip=0.3),
    "Dirac-WGAN-GP": games.dirac_wgan_gp,
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


@pytest.mark.parametrize("name", [name for name in ALL if name != "noisy bilinear"])
def test_attracts_says_where_small_steps_lead(name: str) -> None:
    closed = ALL[name]()
    near = tuple(z + 1e-4 * torch.randn(z.shape) for z in closed.equilibrium)
    solution = mm.solve(closed.game, near, mm.SimultaneousGDA(mm.sgd(0.01)), steps=1500, every=1500)
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
        players = mm.solve(closed.game, players, mm.AlternatingGDA(mm.sgd(0.1)), steps=1000, every=1000).players
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
    distances = [float(closed.distance(it.players)) for it in islice(steps, 1500)]
    assert min(distances[1000:]) > 0.05


def test_wgan_gp_ends_beside_the_data() -> None:
    """At λ >= 1 the critic's slope is pushed to 0 from one side, and the generator stays at θ = -2λ."""
    closed = games.dirac_wgan_gp(1.5)
    θ, ψ = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(0.05)), steps=3000, every=3000).players
    assert (θ.item(), ψ.item()) == pytest.approx((-3, 0), abs=1e-6)


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
