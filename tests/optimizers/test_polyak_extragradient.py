"""Extragradient whose step leads to the hyperplane that separates it from the solutions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from minimax import games
from tests.optimizers.monotone import path, saddle

pytestmark = pytest.mark.usefixtures("float64")


@given(st.floats(0.01, 100.0), st.floats(0.1, 10.0), st.integers(0, 10**6))
def test_one_singular_value_is_a_proximal_step_for_every_size(h: float, σ: float, seed: int) -> None:
    """1 / (1 + hλ), by orthogonal matrices of two dimensions."""
    draw = torch.Generator().manual_seed(seed)
    A = σ * torch.linalg.qr(torch.randn(2, 2, generator=draw, dtype=torch.float64))[0]
    z, J = torch.randn(4, generator=draw, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.float64)
    J[:2, 2:], J[2:, :2] = A, -A.T
    game = mm.zero_sum(lambda x, y: x @ A @ y)
    found = path(mm.PolyakExtraGradient(mm.sgd(h)), game, tuple(z.split(2)), 1)[1]
    expected = torch.linalg.solve(torch.eye(4, dtype=torch.float64) + h * J, z)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(0.05, 5.0))
def test_bilinear_games_come_closer_with_every_step_of_any_size(seed: int, share: float) -> None:
    game, z, solution, L = saddle(seed, constrained=False, rotation=True)
    far = (path(mm.PolyakExtraGradient(mm.sgd(share / L)), game, z, 30) - solution).norm(dim=1)
    assert bool((far[1:] <= far[:-1] + 1e-12).all())


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_z_lands_on_the_hyperplane_and_no_further(seed: int, constrained: bool, rated: bool) -> None:
    """Distances fall in the norm of the rates: Σ |z_i - z_i*|² / h_i."""
    game, z, solution, L = saddle(seed, constrained)
    rates = (0.9 / L, 0.3 / L) if rated else (0.9 / L, 0.9 / L)
    weight = torch.tensor([rates[0]] * 3 + [rates[1]] * 2).rsqrt()
    points = path(mm.PolyakExtraGradient(tuple(map(mm.sgd, rates))), game, z, 25)
    far = ((points - solution) * weight).norm(dim=1)
    assert bool((far[1:] <= far[:-1] + 1e-9).all())


def test_by_formula() -> None:
    game, z, _, L = saddle(11, constrained=False)
    F = lambda w: torch.cat(game.field((w[:3], w[3:])))
    w_0, h = torch.cat(z), 0.5 / L
    w = w_0 - h * F(w_0)
    t = F(w) @ (w_0 - w) / (F(w) @ F(w))
    torch.testing.assert_close(path(mm.PolyakExtraGradient(mm.sgd(h)), game, z, 1)[1], w_0 - t * F(w))


def test_a_half_step_that_solves_the_game_is_taken() -> None:
    """On x²/2 with h = 1 the half step is 0 from everywhere, and the step towards it 0/0."""
    game, z = mm.Game(lambda x: (x**2).sum() / 2), (torch.tensor([1.0, -3.0]),)
    assert path(mm.PolyakExtraGradient(mm.sgd(1.0)), game, z, 2).tolist() == [[1, -3], [0, 0], [0, 0]]


@pytest.mark.parametrize("make", [games.matching_pennies, games.rock_paper_scissors])
def test_solves_matrix_games(make) -> None:
    closed = make()
    end = mm.solve(closed.game, closed.start, mm.PolyakExtraGradient(mm.sgd(0.9 / closed.lipschitz)), steps=500)
    assert float(closed.distance(end.players)) < 1e-7
