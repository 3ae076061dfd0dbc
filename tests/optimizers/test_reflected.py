"""Projected reflected gradient play, and its acceleration by an anchor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from minimax import games
from tests.optimizers.monotone import path, saddle

pytestmark = pytest.mark.usefixtures("float64")
ROTATION = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))
BOX = mm.projections.box(-1, 1)


def test_reflected_by_hand_in_a_box() -> None:
    """Popov's method, whose half steps are projected and whose reflection is not, parts from it at the fourth step."""
    game = mm.zero_sum(lambda x, y: (x - 0.25) * (y + 0.5), constraints=(BOX, BOX))
    z = (torch.tensor(1.0), torch.tensor(1.0))
    expected = [(0.4, 1), (-0.2, 0.82), (-0.656, 0.4), (-0.848, -0.1448)]
    np.testing.assert_allclose(path(mm.ProjectedReflectedGradient(mm.sgd(0.4)), game, z, 4)[1:], expected, atol=1e-12)
    popov = path(mm.PastExtraGradient(mm.sgd(0.4)), game, z, 4)[1:]
    np.testing.assert_allclose(popov, [*expected[:3], (-0.848, -0.1)], atol=1e-12)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.booleans())
def test_is_optimistic_play_where_the_field_is_affine(seed: int, constrained: bool) -> None:
    game, z, _, L = saddle(seed, constrained)
    rule = mm.sgd(0.4 / L)
    ours, theirs = (path(kind(rule), game, z, 30) for kind in (mm.ProjectedReflectedGradient, mm.OptimisticGDA))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_is_not_optimistic_play_elsewhere() -> None:
    """On x⁴/4 from 1, h = .1: .9, and then .9 - .1 (2·.9 - 1)³; optimistic play has .9 - .1 (2·.729 - 1)."""
    game, z = mm.Game(lambda x: x**4 / 4), (torch.tensor(1.0),)
    assert path(mm.ProjectedReflectedGradient(mm.sgd(0.1)), game, z, 2)[2].item() == pytest.approx(0.8488, abs=1e-14)
    assert path(mm.OptimisticGDA(mm.sgd(0.1)), game, z, 2)[2].item() == pytest.approx(0.8542, abs=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_reflected_play_solves_matrix_games(seed: int) -> None:
    closed = games.matrix_game(torch.randn(4, 6, generator=torch.Generator().manual_seed(seed)))
    optimizer = mm.ProjectedReflectedGradient(mm.sgd(0.41 / closed.lipschitz))
    end = mm.solve(closed.game, closed.start, optimizer, steps=800, every=800).players
    assert mm.diagnostics.duality_gap(closed.game, end).total < 1e-6


def test_accelerated_by_hand() -> None:
    found = path(mm.AcceleratedReflectedGradient(mm.sgd(0.25)), ROTATION, START, 3)
    np.testing.assert_allclose(found[1:], [(1, 0.25), (0.90625, 0.375), (0.8125, 0.4609375)], atol=1e-15)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.booleans())
def test_accelerated_as_the_paper_writes_it(seed: int, constrained: bool) -> None:
    game, z, _, L = saddle(seed, constrained)
    P, h = (BOX if constrained else (lambda x: x)), 0.2 / L
    found = path(mm.AcceleratedReflectedGradient(mm.sgd(h)), game, z, 30)

    def F(w: torch.Tensor) -> torch.Tensor:
        return torch.cat(game.field((w[:3], w[3:])))

    z_0 = old = torch.cat(z)
    new = P(z_0 - h * F(z_0))
    for k in range(1, 31):
        torch.testing.assert_close(found[k], new, rtol=0, atol=1e-11)
        w = 2 * new - old + (z_0 - new) / (k + 1) - (z_0 - old) / k
        old, new = new, P(new - h * F(w) + (z_0 - new) / (k + 1))


@pytest.mark.parametrize("h", [0.2, 0.4, 0.57])
def test_accelerated_play_falls_as_one_over_k_to_a_constant_that_is_known(h: float) -> None:
    """k h |F(z_k)| → |z_0 - z*| for hσ < 1/√3, on several σ together too."""
    closed = games.bilinear(torch.diag(torch.tensor([1.0, 0.7, 0.5])))
    z = path(mm.AcceleratedReflectedGradient(mm.sgd(h)), closed.game, closed.start, 4000)
    F = torch.cat(closed.game.field((z[-1][:3], z[-1][3:])))
    assert 4000 * h * F.norm().item() == pytest.approx(6**0.5, rel=0.01)


def test_accelerated_play_beyond_its_threshold() -> None:
    ends = [path(mm.AcceleratedReflectedGradient(mm.sgd(h)), ROTATION, START, 600)[-1].norm() for h in (0.57, 0.59)]
    assert ends[0] < 0.1 and ends[1] > 10


@pytest.mark.parametrize("seed", range(3))
def test_accelerated_play_solves_what_is_constrained_at_its_rate(seed: int) -> None:
    """The residual |z - P(z - hF)| / h times k stays bounded."""
    game, z, solution, L = saddle(seed, constrained=True, rotation=True)
    h = 1 / (12**0.5 * L) * 0.99
    points = path(mm.AcceleratedReflectedGradient(mm.sgd(h)), game, z, 1500)
    for k in (10, 100, 1500):
        w = points[k]
        residual = (w - BOX(w - h * torch.cat(game.field((w[:3], w[3:]))))).norm() / h
        assert k * residual <= 12 * (points[0] - solution).norm() / h + 1e-9
