import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 250


@pytest.mark.parametrize("s", [0.1, 0.3, 0.45])
def test_bilinear_modulus(trajectory, s: float) -> None:
    z = trajectory(mm.PastExtraGradient(mm.sgd(s)), games.scsc(0.0, 1.0), STEPS)
    assert abs(z[-1] / z[-2]) == pytest.approx(np.sqrt((1 + np.sqrt(1 - 4 * s**2)) / 2), rel=1e-10)


@pytest.mark.parametrize("s, stable", [(0.57, True), (0.585, False)])
def test_threshold_at_one_over_root_three(trajectory, s: float, stable: bool) -> None:
    z = trajectory(mm.PastExtraGradient(mm.sgd(s)), games.scsc(0.0, 1.0), 2000)
    assert (abs(z[-1]) < abs(z[0])) == stable


def test_half_steps_are_optimistic(trajectory) -> None:
    """w_t = z_t - h F(w_{t-1}) obeys w⁺ = w - h(2F(w) - F(w₋))."""
    h, λ = 0.2, 0.3 - 1j
    z = trajectory(mm.PastExtraGradient(mm.sgd(h)), games.scsc(0.3, 1.0), STEPS)
    moves = np.diff(z, prepend=z[0])
    half = z + moves
    optimistic = half[1:-1] - h * λ * (2 * half[1:-1] - half[:-2])
    np.testing.assert_allclose(half[2:], optimistic, atol=1e-12)


def test_exploration_step_by_hand(trajectory) -> None:
    h, ρ, λ = 0.1, 2.5, 0.3 - 1j
    z, d, expected = 1 + 1j, 0j, [1 + 1j]
    for _ in range(STEPS):
        d = -h * λ * (z + ρ * d)
        z = z + d
        expected.append(z)
    played = trajectory(mm.PastExtraGradient(mm.sgd(h), explore=ρ), games.scsc(0.3, 1.0), STEPS)
    np.testing.assert_allclose(played, expected, atol=1e-12)


def test_costs_half_of_extragradient() -> None:
    closed = games.bilinear()
    spent = {
        kind.name: mm.solve(closed.game, closed.start, kind(mm.sgd(0.1)), steps=10).cost.gradients
        for kind in (mm.PastExtraGradient, mm.ExtraGradient)
    }
    assert spent == {"past-extragradient": 20, "extragradient": 40}


def test_starts_with_a_plain_step(float64: torch.dtype) -> None:
    closed = games.bilinear()
    ends = []
    for kind in (mm.PastExtraGradient, mm.SimultaneousGDA):
        optimizer = kind(mm.sgd(0.3))
        ends.append(optimizer.step(closed.game, closed.start, optimizer.init(closed.game, closed.start))[0])
    assert ends[0] == ends[1]
