import pytest
import torch
from torch import Tensor

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")


def leader(optimizer: mm.GameOptimizer, game: mm.Game, z: tuple[Tensor, ...]) -> tuple[Tensor, mm.Info]:
    """The leader's direction, and the step's info; the rate is 1."""
    players, _, info = optimizer.step(game, z, optimizer.init(game, z))
    return z[0] - players[0], info


@pytest.mark.parametrize("μ", [0.0, 0.7])
def test_general_sum_against_dense_solve(μ: float) -> None:
    M, N = torch.randn(2, 4), torch.randn(4, 4)
    definite = N @ N.T + torch.eye(4)

    def loss_x(x: Tensor, y: Tensor) -> Tensor:
        return x.sin() @ M @ y.cos() + (x**2).sum()

    def loss_y(x: Tensor, y: Tensor) -> Tensor:
        return y @ definite @ y / 2 + (x @ M @ y).sin()

    x, y = torch.randn(2), torch.randn(4)
    hessian = torch.func.hessian(loss_y, (0, 1))(x, y)
    u = torch.linalg.solve(hessian[1][1] + μ * torch.eye(4), torch.func.grad(loss_x, 1)(x, y))
    optimizer = mm.StackelbergGradient(mm.sgd(1.0), damping=μ, tolerance=1e-12, iterations=12)
    direction, info = leader(optimizer, mm.Game(loss_x, loss_y), (x, y))
    torch.testing.assert_close(direction, torch.func.grad(loss_x)(x, y) - hessian[0][1] @ u, rtol=1e-9, atol=1e-9)
    assert float(info.extra["residual"]) <= 1e-12
    assert info.cost[:2] == (3, 1 + int(info.extra["iterations"]))


def test_is_unrolling_for_ever() -> None:
    """Both are the total derivative of f(x, y*(x)), which for f = x²/2 + 2xy - y²/4 is 9x wherever y is."""
    game = mm.zero_sum(lambda x, y: x**2 / 2 + 2 * x * y - y**2 / 4)
    z = (torch.tensor(1.0), torch.tensor(3.0))
    direction, info = leader(mm.StackelbergGradient(mm.sgd(1.0)), game, z)
    assert float(direction) == pytest.approx(9)
    assert info.cost[:2] == (2, 2)
    unrolled, _ = leader(mm.Unrolled(mm.sgd(1.0), steps=200, inner=mm.sgd(0.3)), game, z)
    assert float(unrolled) == pytest.approx(9)


def test_needs_two_players() -> None:
    game = mm.games.cyclic(3)
    optimizer = mm.StackelbergGradient(mm.sgd(0.05))
    with pytest.raises(mm.GameError, match="needs two players, a leader and a follower, got 3"):
        optimizer.step(game.game, game.start, optimizer.init(game.game, game.start))


def test_a_follower_that_starts_anew_forgets_where_it_was() -> None:
    """With y_0 = 0, three moves y ← y - .1(y - x) lead to (1 - .9³)x at every x, where the leader looks after two."""
    game = mm.Game(lambda x, y: (x - 1) ** 2 / 2 + y**2 / 2, lambda x, y: (y - x) ** 2 / 2)
    optimizer = mm.StackelbergGradient((mm.sgd(0.5), mm.sgd(0.1)), steps=3, anew=True)
    z = (torch.tensor(2.0), torch.tensor(0.0))
    state = optimizer.init(game, z)
    for _ in range(2):
        x = z[0]
        z, state, _ = optimizer.step(game, z, state)
        torch.testing.assert_close(z, (x - 0.5 * (x - 1 + (1 - 0.9**2) * x), (1 - 0.9**3) * x))


def test_a_follower_that_starts_anew_needs_one() -> None:
    optimizer, game = mm.StackelbergGradient(mm.sgd(0.1), anew=True), mm.Game(lambda x: x**2)
    with pytest.raises(mm.GameError, match="needs two players, a leader and a follower, got 1"):
        optimizer.init(game, (torch.tensor(1.0),))
