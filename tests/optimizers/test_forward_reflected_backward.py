"""Optimistic play with projections is forward-reflected-backward splitting: z⁺ = P(z - h(2F(z) - F(z₋)))."""

import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def test_by_hand_on_simplices() -> None:
    A = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    simplex, h = mm.projections.simplex(), 0.4 / float(torch.linalg.matrix_norm(A, 2))
    game, optimizer = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(simplex, simplex)), mm.OptimisticGDA(mm.sgd(h))
    z = x, y = torch.full((4,), 0.25), torch.full((3,), 1 / 3)
    state, past = optimizer.init(game, z), None
    for _ in range(300):
        F = (A @ y, -A.T @ x)
        past = F if past is None else past
        x, y = simplex(x - h * (2 * F[0] - past[0])), simplex(y - h * (2 * F[1] - past[1]))
        z, state, past = *optimizer.step(game, z, state)[:2], F
        np.testing.assert_allclose(torch.cat(z), torch.cat([x, y]), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_last_iterate_solves_matrix_games_below_half_over_lipschitz(seed: int) -> None:
    A = torch.randn(5, 5, generator=torch.Generator().manual_seed(seed))
    simplex, h = mm.projections.simplex(), 0.49 / float(torch.linalg.matrix_norm(A, 2))
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(simplex, simplex))
    start = (torch.full((5,), 0.2), torch.full((5,), 0.2))
    x, y = mm.solve(game, start, mm.OptimisticGDA(mm.sgd(h)), steps=3000, every=3000).players
    assert 0 <= float((x @ A).max() - (A @ y).min()) + 1e-12 < 1e-6


@pytest.mark.parametrize("make", [games.matching_pennies, games.rock_paper_scissors])
def test_interior_equilibria(make) -> None:
    closed = make()
    solution = mm.solve(closed.game, closed.start, mm.OptimisticGDA(mm.sgd(0.4 / closed.lipschitz)), steps=250)
    assert closed.distance(solution.players) < 1e-8
