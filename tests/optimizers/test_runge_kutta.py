"""Runge-Kutta steps: e^(-hλ) cut off, and ODE-GAN as a composition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import minimax as mm
from minimax import games
from tests.optimizers.monotone import path, saddle

pytestmark = pytest.mark.usefixtures("float64")
ROTATION = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))


def test_by_hand() -> None:
    """cos and sin of 1, cut off."""
    np.testing.assert_allclose(path(mm.RungeKutta(mm.sgd(1.0)), ROTATION, START, 1)[1], (13 / 24, 5 / 6), atol=1e-15)


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize("mu, sigma, h", [(0.0, 1.0, 0.5), (1.0, 3.0, 0.3), (-0.2, 0.7, 1.1)])
def test_update_map(trajectory, stages: int, mu: float, sigma: float, h: float) -> None:
    z = trajectory(mm.RungeKutta(mm.sgd(h), stages=stages), games.scsc(mu, sigma), 5)
    x = h * (mu - 1j * sigma)
    np.testing.assert_allclose(
        z[1:] / z[:-1], sum((-x) ** k / math.factorial(k) for k in range(stages + 1)), rtol=1e-10
    )


@pytest.mark.parametrize("stages, order", [(1, 1), (2, 2), (3, 3), (4, 4)])
def test_the_order_on_a_field_that_is_not_linear(stages: int, order: int) -> None:
    """Against scipy: half the step is 2^-p of the error after unit time."""
    game = mm.zero_sum(lambda x, y: x * y + 0.3 * x.sin() * y**2 + x**4 / 8 - y.cosh() / 5)

    def flow(t: float, z: np.ndarray) -> list[float]:
        return [-float(g) for g in game.field(tuple(map(torch.tensor, z)))]

    exact = solve_ivp(flow, (0, 1), (1.0, 0.5), rtol=1e-12, atol=1e-13).y[:, -1]
    start, errors = (torch.tensor(1.0), torch.tensor(0.5)), []
    for n in (10, 20):
        end = path(mm.RungeKutta(mm.sgd(1 / n), stages=stages), game, start, n)[-1].numpy()
        errors.append(np.linalg.norm(end - exact))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.4)


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_heun_is_half_simultaneous_and_half_extragradient(seed: int) -> None:
    game, z, _, L = saddle(seed, constrained=False)
    rule = mm.sgd(1 / L)
    heun, plain, extra = (
        path(optimizer, game, z, 1)[1]
        for optimizer in (mm.RungeKutta(rule, stages=2), mm.SimultaneousGDA(rule), mm.ExtraGradient(rule))
    )
    torch.testing.assert_close(heun, (plain + extra) / 2, rtol=1e-12, atol=1e-12)


def test_one_stage_is_simultaneous_play() -> None:
    game, z, _, _ = saddle(2, constrained=True)
    rule = mm.adam(0.05)
    assert torch.equal(path(mm.RungeKutta(rule, stages=1), game, z, 10), path(mm.SimultaneousGDA(rule), game, z, 10))


@pytest.mark.parametrize("stages, limit", [(3, 3**0.5), (4, 8**0.5)])
def test_ranges_on_bilinear_games(stages: int, limit: float) -> None:
    at = mm.diagnostics.expand(ROTATION, START)
    factor = lambda h, stages=stages: mm.RungeKutta(mm.sgd(h), stages=stages).linear(at).factor(at)
    assert factor(0.999 * limit) < 1 < factor(1.001 * limit)
    assert factor(6**0.5, 4) == pytest.approx(0.5) and min(factor(2.44, 4), factor(2.46, 4)) > 0.5
    assert min(factor(h, s) for h in (0.01, 0.1, 1.0) for s in (1, 2)) > 1


@pytest.mark.parametrize("λ", [0.5, 1.9, 2.0, 3.0])
def test_ode_gan_is_a_composition(λ: float) -> None:
    """The critic pays λ|∂_θ L|², no ½: Dirac-GAN's eigenvalues λ/4 ± √(λ²/16 - ¼) are real from λ = 2 on."""
    closed = games.dirac_gan()
    game = mm.transforms.nagarajan_kolter(closed.game, λ, generator=1)
    at = mm.diagnostics.expand(game, closed.equilibrium)
    found = np.sort_complex(torch.linalg.eigvals(at.J).numpy())
    root = np.emath.sqrt(λ**2 / 16 - 0.25)
    np.testing.assert_allclose(found, np.sort_complex(np.array([λ / 4 - root, λ / 4 + root], complex)), atol=1e-7)
    end = mm.solve(game, closed.start, mm.RungeKutta(mm.sgd(0.5)), steps=200, every=200).players
    assert float(closed.distance(end)) < 1e-3


def test_the_flow_of_an_almost_bilinear_game_circles_at_root_four_thirds() -> None:
    closed = games.almost_bilinear(0.05)
    for start in (0.5, 2.0):
        z = path(mm.RungeKutta(mm.sgd(0.3)), closed.game, (torch.tensor(start), torch.tensor(0.0)), 1200)
        assert z[-21:].norm(dim=1).mean().item() == pytest.approx((4 / 3) ** 0.5, abs=4e-3)


def test_errors() -> None:
    with pytest.raises(ValueError, match="stages must be an integer >= 1 and <= 4, got 5"):
        mm.RungeKutta(mm.sgd(0.1), stages=5)
