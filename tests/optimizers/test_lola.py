import pytest
import torch

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def end(optimizer: mm.GameOptimizer, x: float = 1.3, y: float = -0.4) -> float:
    """x + y after playing the tandem game."""
    players = (torch.tensor(x), torch.tensor(y))
    solution = mm.solve(games.tandem().game, players, optimizer, steps=300, every=300)
    return float(sum(solution.players))


@pytest.mark.parametrize("α", [0.05, 0.1, 0.2])
def test_tandem(α: float) -> None:
    """Policy prediction and SOS come to x + y = 1, a fixed point; LOLA to (1 - 2α)/(1 - 4α), which is none."""
    rule = mm.sgd(0.1)
    assert end(mm.PolicyPrediction(rule, alpha=α)) == pytest.approx(1, abs=1e-8)
    assert end(mm.SOS(rule, alpha=α)) == pytest.approx(1, abs=1e-4)  # p = |ξ|² fades as it comes
    assert end(mm.LOLA(rule, alpha=α)) == pytest.approx((1 - 2 * α) / (1 - 4 * α), abs=1e-8)


def test_costs_in_zero_sum_and_general_sum_games() -> None:
    """Where the losses are one payoff, ∂_j L_i is known."""
    z = (torch.tensor(1.0), torch.tensor(2.0))
    optimizer = mm.LOLA(mm.sgd(0.1))
    zero_sum, tandem = mm.zero_sum(lambda x, y: (x * y).sin()), games.tandem().game
    assert optimizer.step(zero_sum, z, optimizer.init(zero_sum, z))[2].cost[:2] == (2, 4)
    assert optimizer.step(tandem, z, optimizer.init(tandem, z))[2].cost[:2] == (4, 4)


def test_a_loss_may_ignore_the_others() -> None:
    game = mm.Game(lambda x, y: x**2, lambda x, y: (x - y) ** 2)
    z = (torch.tensor(1.0), torch.tensor(2.0))
    optimizer = mm.LOLA(mm.sgd(0.1), alpha=0.5)
    players, _, _ = optimizer.step(game, z, optimizer.init(game, z))
    # ξ = (2, 2), H_oξ = (0, -4), χ = (-2 · 0, 0).
    torch.testing.assert_close(players, (torch.tensor(0.8), torch.tensor(2 - 0.1 * 4)))
