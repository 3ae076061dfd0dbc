import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 250


@pytest.mark.parametrize("mu, sigma, h, γ", [(0.0, 1.0, 0.5, 1.0), (1.0, 10.0, 0.01, 0.3), (0.2, 2.0, 0.1, 0.1)])
def test_update_map(trajectory, mu: float, sigma: float, h: float, γ: float) -> None:
    """1 - h(λ + γ|λ|²) where J is normal."""
    λ = mu - 1j * sigma
    z = trajectory(mm.ConsensusOptimization(mm.sgd(h), gamma=γ), games.scsc(mu, sigma), STEPS)
    np.testing.assert_allclose(z[1:] / z[:-1], 1 - h * (λ + γ * abs(λ) ** 2), rtol=1e-10)


def test_bilinear_modulus(trajectory) -> None:
    h, γ, sigma = 0.3, 0.7, 1.2
    z = trajectory(mm.ConsensusOptimization(mm.sgd(h), gamma=γ), games.scsc(0.0, sigma), STEPS)
    modulus = np.sqrt((1 - h * γ * sigma**2) ** 2 + (h * sigma) ** 2)
    np.testing.assert_allclose(abs(z[1:] / z[:-1]), modulus, rtol=1e-10)


@pytest.mark.parametrize("fraction, stable", [(0.99, True), (1.01, False)])
def test_bilinear_threshold(trajectory, fraction: float, stable: bool) -> None:
    γ, sigma = 0.5, 1.5
    h = fraction * 2 * γ / (1 + γ**2 * sigma**2)
    z = trajectory(mm.ConsensusOptimization(mm.sgd(h), gamma=γ), games.scsc(0.0, sigma), 1000)
    assert (abs(z[-1]) < abs(z[0])) == stable


def test_is_gradient_of_squared_field(float64: torch.dtype, generator: torch.Generator) -> None:
    """On a nonlinear game the direction is ξ + γ ∇½|ξ|², by an independent double backward."""
    A = torch.randn(3, 2, generator=generator)

    def payoff(x, y):
        return (x.sin() @ A @ y.tanh()) + (x**3).sum() - (y**2).sum()

    z = (torch.randn(3, generator=generator), torch.randn(2, generator=generator))
    x, y = (leaf.clone().requires_grad_() for leaf in z)
    gx, gy = torch.autograd.grad(payoff(x, y), (x, y), create_graph=True)
    pull = torch.autograd.grad((gx**2).sum() / 2 + (gy**2).sum() / 2, (x, y))
    optimizer = mm.ConsensusOptimization(mm.sgd(0.1), gamma=0.3)
    game = mm.zero_sum(payoff)
    players, _, _ = optimizer.step(game, z, optimizer.init(game, z))
    torch.testing.assert_close(players[0], z[0] - 0.1 * (gx + 0.3 * pull[0]).detach(), rtol=0, atol=1e-13)
    torch.testing.assert_close(players[1], z[1] - 0.1 * (-gy + 0.3 * pull[1]).detach(), rtol=0, atol=1e-13)


def test_unbiased_uses_both_batches(float64: torch.dtype) -> None:
    """J on the first batch, ξ on the second: for b·xy the pull is b_1 b_2 (x, y)."""
    game = mm.zero_sum(lambda x, y, b: b * x * y)
    z = (torch.tensor(2.0), torch.tensor(3.0))
    optimizer = mm.ConsensusOptimization(mm.sgd(1.0), gamma=1.0, unbiased=True)
    players, _, info = optimizer.step(game, z, optimizer.init(game, z), [torch.tensor(1.0), torch.tensor(5.0)])
    assert [float(p) for p in players] == [2 - (3 + 5 * 2), 3 - (-2 + 5 * 3)]
    assert info.cost[:2] == (4, 1)


def test_negative_gamma() -> None:
    with pytest.raises(ValueError, match=r"gamma must be a finite number >= 0, got -1"):
        mm.ConsensusOptimization(mm.sgd(0.1), gamma=-1)


def test_only_unbiased_it_draws_twice() -> None:
    assert [mm.ConsensusOptimization(mm.sgd(0.1), unbiased=twice).draws for twice in (False, True)] == [1, 2]
