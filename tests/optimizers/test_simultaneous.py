import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 250


@pytest.mark.parametrize("mu, sigma, h", [(0.0, 1.0, 0.5), (1.0, 10.0, 0.015), (0.3, 2.0, 0.1)])
def test_update_map(trajectory, mu: float, sigma: float, h: float) -> None:
    z = trajectory(mm.SimultaneousGDA(mm.sgd(h)), games.scsc(mu, sigma), STEPS)
    np.testing.assert_allclose(z[1:] / z[:-1], 1 - h * (mu - 1j * sigma), rtol=1e-10)


@pytest.mark.parametrize("h", [0.01, 0.5, 2.0])
def test_bilinear_modulus_each_step(trajectory, h: float) -> None:
    z = trajectory(mm.SimultaneousGDA(mm.sgd(h)), games.scsc(0.0, 0.7), STEPS)
    np.testing.assert_allclose(abs(z[1:]) / abs(z[:-1]), np.sqrt(1 + (0.7 * h) ** 2), rtol=1e-10)


@pytest.mark.parametrize("fraction, stable", [(0.99, True), (1.01, False)])
def test_scsc_threshold(trajectory, fraction: float, stable: bool) -> None:
    mu, sigma = 1.0, 10.0
    z = trajectory(mm.SimultaneousGDA(mm.sgd(fraction * 2 * mu / (mu**2 + sigma**2))), games.scsc(mu, sigma), 1000)
    assert (abs(z[-1]) < abs(z[0])) == stable


@pytest.mark.parametrize("b", [-0.9, -0.5, -0.1, 0.3, 0.9, 1.0])
def test_momentum_roots(trajectory, b: float) -> None:
    """r² - (1 + b - hλ) r + b = 0: some root beyond 1 for every b in (-1, 1] on a bilinear game."""
    h, λ = 0.5, -1j
    roots = np.roots([1, -(1 + b - h * λ), b])
    assert max(abs(roots)) > 1
    z = trajectory(mm.SimultaneousGDA(mm.sgd(h, momentum=b)), games.scsc(0.0, 1.0), STEPS)
    recurrence = [z[0], (1 - h * λ) * z[0]]
    for _ in range(STEPS - 1):
        recurrence.append((1 + b - h * λ) * recurrence[-1] - b * recurrence[-2])
    np.testing.assert_allclose(z, recurrence, rtol=1e-10)
    np.testing.assert_allclose(abs(z[-1] / z[-100]) ** (1 / 99), max(abs(roots)), rtol=1e-3)


def test_players_move_at_once(float64: torch.dtype) -> None:
    """No player sees another one's new value, also where all gradients come from one graph."""
    game = mm.Game(lambda x, y: ((x * y).sin(), (x + y**2).cos() * x))
    z = (torch.tensor(0.3), torch.tensor(0.8))
    optimizer = mm.SimultaneousGDA((mm.sgd(0.7), mm.sgd(0.2)))
    players, _, info = optimizer.step(game, z, optimizer.init(game, z))
    gradients = (0.8 * np.cos(0.24), -2 * 0.8 * np.sin(0.3 + 0.64) * 0.3)
    assert players[0].item() == pytest.approx(0.3 - 0.7 * gradients[0], abs=1e-14)
    assert players[1].item() == pytest.approx(0.8 - 0.2 * gradients[1], abs=1e-14)
    assert [float(g[0]) for g in info.gradients] == pytest.approx(list(gradients), abs=1e-14)


def test_cooperative_game_is_gradient_descent(trajectory) -> None:
    z = trajectory(mm.SimultaneousGDA(mm.sgd(0.1)), games.cooperative(), STEPS)
    Q, x = np.array([[2.0, 1.0], [1.0, 2.0]]), np.ones(2)
    for point in z:
        np.testing.assert_allclose([point.real, point.imag], x, atol=1e-12)
        x = x - 0.1 * Q @ x
