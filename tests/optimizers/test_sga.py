import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 200


def test_is_consensus_on_bilinear_games(trajectory) -> None:
    closed = games.bilinear(dim=1)
    sga = trajectory(mm.SymplecticGradientAdjustment(mm.sgd(0.3), lam=0.7), closed, STEPS)
    consensus = trajectory(mm.ConsensusOptimization(mm.sgd(0.3), gamma=0.7), closed, STEPS)
    np.testing.assert_allclose(sga, consensus, rtol=1e-11)


def test_extragradient_is_lookahead_on_bilinear_games(trajectory) -> None:
    closed = games.bilinear(dim=1)
    lookahead = trajectory(mm.PolicyPrediction(mm.sgd(0.3), alpha=0.3), closed, STEPS)
    np.testing.assert_allclose(lookahead, trajectory(mm.ExtraGradient(mm.sgd(0.3)), closed, STEPS), rtol=1e-11)


@pytest.mark.parametrize("eps, modulus", [(0.1, 0.5**0.5), (0.0, 1.25**0.5)])
def test_skew_games_need_eps(trajectory, eps: float, modulus: float) -> None:
    """⟨ξ, Jᵀξ⟩ = 0 where J is skew: sign(0 + 1/10) = +1 adjusts, sign(0) = 0 leaves gradient play."""
    z = trajectory(mm.SymplecticGradientAdjustment(mm.sgd(0.5), eps=eps), games.bilinear(dim=1), 20)
    np.testing.assert_allclose(abs(z[1:] / z[:-1]), modulus, rtol=1e-12)


@pytest.mark.parametrize("mu, sign", [(1.0, 1.0), (-1.0, -1.0)])
def test_sign_is_drawn_to_stable_points_and_away_from_others(trajectory, mu: float, sign: float) -> None:
    """With λ = μ - iσ, Aᵀ = iσ: μ|λ|²|z|² σ²|z|² ... has the sign of μ, once that outweighs ε."""
    h, sigma, λ = 0.05, 2.0, mu - 2.0j
    z = trajectory(mm.SymplecticGradientAdjustment(mm.sgd(h)), games.scsc(mu, sigma), 1)
    adjustment = sign * 1j * sigma * λ
    np.testing.assert_allclose(z[1] / z[0], 1 - h * (λ + adjustment), rtol=1e-12)


@pytest.mark.parametrize("scale, sign", [(1.0, -1.0), (0.22, -1.0), (0.19, 1.0)])
def test_alignment_is_divided_by_the_parameters(float64: torch.dtype, scale: float, sign: float) -> None:
    """Near an unstable point the sign turns where the alignment over d, here -100 x⁴ / 2, passes -ε: x = .211."""
    closed = games.scsc(-1.0, 2.0)
    z = (torch.tensor(scale), torch.tensor(0.0))
    optimizer = mm.SymplecticGradientAdjustment(mm.sgd(1.0))
    players, _, _ = optimizer.step(closed.game, z, optimizer.init(closed.game, z))
    # ξ = (-x, -2x), Jᵀξ = 5 (x, 0), Aᵀξ = (4x, -2x): alignment -5x² · 20x² / 2.
    expected = (z[0] - (-scale + sign * 4 * scale), z[1] - (-2 * scale - sign * 2 * scale))
    torch.testing.assert_close(players, expected, rtol=1e-13, atol=1e-13)
