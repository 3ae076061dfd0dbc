import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

ROUNDS = 200


@pytest.mark.parametrize("k, alpha, h, mu", [(5, 0.5, 0.5, 0.0), (1, 0.3, 0.2, 0.5), (7, 0.8, 0.3, 0.0)])
def test_round_modulus(trajectory, k: int, alpha: float, h: float, mu: float) -> None:
    """A round multiplies by (1 - α) + α mᵏ."""
    inner, λ = mm.SimultaneousGDA(mm.sgd(h)), mu - 1j
    z = trajectory(mm.Lookahead(inner, k=k, alpha=alpha), games.scsc(mu, 1.0), k * ROUNDS)[::k]
    np.testing.assert_allclose(z[1:] / z[:-1], (1 - alpha) + alpha * (1 - h * λ) ** k, rtol=1e-10)


def test_fast_steps_are_the_inner_ones(trajectory) -> None:
    h, k = 0.5, 4
    z = trajectory(mm.Lookahead(mm.SimultaneousGDA(mm.sgd(h)), k=k), games.scsc(0.0, 1.0), k * ROUNDS)
    ratio = z[1:] / z[:-1]
    for inside in range(k - 1):
        np.testing.assert_allclose(ratio[inside::k], 1 + 1j * h, rtol=1e-10)


def test_converges_where_the_inner_optimizer_diverges(trajectory) -> None:
    inner = mm.SimultaneousGDA(mm.sgd(0.5))
    assert abs(trajectory(inner, games.scsc(0.0, 1.0), 300)[-1]) > 1e10
    assert abs(trajectory(mm.Lookahead(inner, k=5, alpha=0.3), games.scsc(0.0, 1.0), 300)[-1]) < 1e-6


def test_nested(trajectory) -> None:
    """(1 - β) + β [(1 - α) + α mᵏ]ʳ: the outer synchronisation moves the inner slow weights too."""
    h, k, r, alpha, beta = 0.4, 3, 4, 0.6, 0.3
    inner = mm.Lookahead(mm.SimultaneousGDA(mm.sgd(h)), k=k, alpha=alpha)
    z = trajectory(mm.Lookahead(inner, k=k * r, alpha=beta), games.scsc(0.0, 1.0), k * r * ROUNDS)[:: k * r]
    inside = (1 - alpha) + alpha * (1 + 1j * h) ** k
    np.testing.assert_allclose(z[1:] / z[:-1], (1 - beta) + beta * inside**r, rtol=1e-10)


def test_slow_weights_start_at_the_players(float64: torch.dtype) -> None:
    """Every round of fast steps ends at 1: slow weights that start at 0 go .5, .75, from the first round on."""
    game = mm.Game(lambda x, y: (x - 1) ** 2 / 2, lambda_two)
    optimizer = mm.Lookahead(mm.SimultaneousGDA(mm.sgd(1.0)), k=3, alpha=0.5)
    players = (torch.tensor(0.0), torch.tensor([0.0, -1.0]))
    state, seen = optimizer.init(game, players), []
    for _ in range(9):
        players, state, _ = optimizer.step(game, players, state)
        seen.append([float(players[0]), *players[1].tolist()])
    assert seen[2::3] == [[0.5, 0.5, 0.0], [0.75, 0.75, 0.5], [0.875, 0.875, 0.75]]
    assert seen[0::3] == seen[1::3] == [[1, 1, 1]] * 3


def lambda_two(x, y):
    return ((y - 1) ** 2).sum() / 2


def test_of_wraps_a_rule_and_a_bare_rule_is_refused() -> None:
    rule = mm.sgd(0.1)
    assert mm.Lookahead.of(rule, k=7) == mm.Lookahead(mm.SimultaneousGDA(rule), k=7)
    with pytest.raises(TypeError, match=r"goes around a game optimizer, got sgd: Lookahead\(SimultaneousGDA"):
        mm.Lookahead(rule)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k must be an integer >= 1, got 0"):
        mm.Lookahead.of(rule, k=0)


def test_counts_and_draws_are_the_inner_ones() -> None:
    inner = mm.ExtraGradient(mm.sgd(0.1), fresh=True)
    optimizer = mm.Lookahead(mm.Lookahead(inner, k=2), k=4)
    assert optimizer.draws == 2
    closed = games.noisy_bilinear(noise=0.5)
    solution = mm.solve(closed.game, closed.start, optimizer, closed.batches, steps=8)
    assert solution.cost.gradients == 8 * 4
