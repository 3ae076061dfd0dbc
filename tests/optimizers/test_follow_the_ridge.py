import numpy as np
import pytest
import torch
from torch import Tensor

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def matrix(optimizer: mm.GameOptimizer, game: mm.Game, sizes: tuple[int, int]) -> Tensor:
    """The linear map of one step on a quadratic game."""
    columns = []
    for unit in torch.eye(sum(sizes)):
        z = unit.split(sizes)
        columns.append(torch.cat(optimizer.step(game, z, optimizer.init(game, z))[0]))
    return torch.stack(columns, 1)


def test_eigenvalues_are_real() -> None:
    """1 - h_x eig(f_xx - f_xy f_yy⁻¹ f_yx) and 1 - h_y eig(-f_yy), also for indefinite f_yy."""
    h_x, h_y = 0.02, 0.05
    P, Q, R = torch.randn(2, 2), torch.randn(3, 3), torch.randn(2, 3)
    P, Q = P + P.T, Q + Q.T
    game = mm.zero_sum(lambda x, y: x @ P @ x / 2 + x @ R @ y + y @ Q @ y / 2)
    optimizer = mm.FollowTheRidge((mm.sgd(h_x), mm.sgd(h_y)), tolerance=1e-13, iterations=12)
    found = np.linalg.eigvals(matrix(optimizer, game, (2, 3)).numpy())
    np.testing.assert_allclose(found.imag, 0, atol=1e-9)
    ridge = torch.linalg.eigvalsh(P - R @ torch.linalg.solve(Q, R.T))
    expected = torch.cat([1 - h_x * ridge, 1 + h_y * torch.linalg.eigvalsh(Q)])
    np.testing.assert_allclose(np.sort(found.real), np.sort(expected.numpy()), rtol=1e-9)


def test_finds_the_minimax_that_gradient_play_leaves() -> None:
    """-3x² - y² + 4xy at h = .05: both eigenvalues .9."""
    closed = games.hidden_minimax()
    z = tuple(x.double() for x in closed.start)
    game = mm.zero_sum(lambda x, y: (-3 * x**2 - y**2 + 4 * x * y).sum())
    step = matrix(mm.FollowTheRidge(mm.sgd(0.05)), game, (1, 1)).numpy()
    np.testing.assert_allclose(np.linalg.eigvals(step), 0.9, rtol=1e-7)
    ridge = mm.solve(closed.game, z, mm.FollowTheRidge(mm.sgd(0.05)), steps=200).players
    assert float(torch.stack(ridge).norm()) < 1e-6
    away = mm.solve(closed.game, z, mm.SimultaneousGDA(mm.sgd(0.05)), steps=100)
    assert float(torch.stack(away.players).norm()) > 100


def test_does_not_come_to_what_is_no_minimax() -> None:
    """3x² + y² + 4xy: gradient play is drawn to (0, 0), where y minimises."""
    closed = games.spurious_point()
    z = tuple(x.double() for x in closed.start)
    assert mm.solve(closed.game, z, mm.SimultaneousGDA(mm.sgd(0.05)), steps=300).players[0].abs() < 1e-3
    ridge = mm.solve(closed.game, z, mm.FollowTheRidge(mm.sgd(0.05)), steps=300)
    assert ridge.status.kind == "diverged"


def test_follows_the_projected_move() -> None:
    """A leader stopped by its constraint has nothing to be followed for."""
    game = mm.zero_sum(lambda x, y: -3 * x**2 - y**2 + 4 * x * y, constraints=(lambda x: x.clamp(max=1.0), None))
    z = (torch.tensor(1.0), torch.tensor(0.0))
    optimizer = mm.FollowTheRidge(mm.sgd(0.05))
    players, _, _ = optimizer.step(game, z, optimizer.init(game, z))
    assert [float(x) for x in players] == [1.0, pytest.approx(0.05 * 4)]


def test_needs_two_players() -> None:
    game, z = mm.Game(lambda x: x**2), (torch.tensor(1.0),)
    optimizer = mm.FollowTheRidge(mm.sgd(0.05))
    with pytest.raises(mm.GameError, match="needs two players, a leader and a follower, got 1"):
        optimizer.step(game, z, optimizer.init(game, z))
