import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 250


@pytest.mark.parametrize("hx, hy, sigma", [(0.5, 0.5, 1.0), (0.1, 0.9, 1.5), (1.9, 1.9, 1.0)])
def test_bilinear_recurrence(trajectory, hx: float, hy: float, sigma: float) -> None:
    """x obeys r² - (2 - h_x h_y σ²) r + 1 = 0, whose roots have modulus 1 below h_x h_y σ² = 4."""
    z = trajectory(mm.AlternatingGDA((mm.sgd(hx), mm.sgd(hy))), games.scsc(0.0, sigma), STEPS)
    x = z.real
    trace = 2 - hx * hy * sigma**2
    np.testing.assert_allclose(x[2:], trace * x[1:-1] - x[:-2], atol=1e-10 * abs(x).max())
    np.testing.assert_allclose(abs(np.roots([1, -trace, 1])), 1, atol=1e-10)
    assert abs(z[-100:]).max() <= abs(z[:150]).max() * 1.001


def test_conserved_quantity(trajectory) -> None:
    h, sigma = 0.4, 1.3
    z = trajectory(mm.AlternatingGDA(mm.sgd(h)), games.scsc(0.0, sigma), 1000)
    x, y = z.real, z.imag
    conserved = x**2 + y**2 - h * sigma * x * y
    np.testing.assert_allclose(conserved, conserved[0], rtol=1e-10)


def test_diverges_beyond_four(trajectory) -> None:
    z = trajectory(mm.AlternatingGDA(mm.sgd(2.01)), games.scsc(0.0, 1.0), STEPS)
    assert abs(z[-1]) > 1e3


@pytest.mark.parametrize("fraction, stable", [(0.99, True), (1.01, False)])
def test_scsc_threshold(trajectory, fraction: float, stable: bool) -> None:
    mu, sigma = 1.0, 10.0
    z = trajectory(mm.AlternatingGDA(mm.sgd(fraction * 2 / (mu + sigma))), games.scsc(mu, sigma), 1000)
    assert (abs(z[-1]) < abs(z[0])) == stable


@pytest.mark.parametrize("bx, by, s", [(-0.5, 0.0, 0.5), (-0.3, -0.3, 0.4), (0.2, -0.6, 0.7)])
def test_negative_momentum(trajectory, bx: float, by: float, s: float) -> None:
    z = trajectory(mm.AlternatingGDA((mm.sgd(s, momentum=bx), mm.sgd(s, momentum=by))), games.scsc(0.0, 1.0), STEPS)
    x, y, points = [1.0, 1.0], [1.0, 1.0], [1 + 1j]  # before the first step the players stood still
    for _ in range(STEPS):
        x.append(x[-1] - s * y[-1] + bx * (x[-1] - x[-2]))
        y.append(y[-1] + s * x[-1] + by * (y[-1] - y[-2]))
        points.append(complex(x[-1], y[-1]))
    np.testing.assert_allclose(z, points, atol=1e-10)


def test_negative_momentum_rate(trajectory) -> None:
    optimizer = mm.AlternatingGDA((mm.sgd(0.5, momentum=-0.5), mm.sgd(0.5)))
    z = trajectory(optimizer, games.scsc(0.0, 1.0), 1000)
    assert abs(z[-1] / z[500]) ** (1 / 500) == pytest.approx(0.97129, abs=5e-4)


def test_each_player_sees_the_moves_before_its_own(float64: torch.dtype) -> None:
    closed = games.cyclic()
    x, y, w = (float(value) for value in closed.start)
    optimizer = mm.AlternatingGDA(mm.sgd(0.1), order=(2, 0, 1))
    players, _, info = optimizer.step(closed.game, closed.start, optimizer.init(closed.game, closed.start))
    w_new = w - 0.1 * (x - y)
    x_new = x - 0.1 * (y - w_new)
    y_new = y - 0.1 * (w_new - x_new)
    assert [float(p) for p in players] == pytest.approx([x_new, y_new, w_new], abs=1e-14)
    assert float(info.gradients[1][0]) == pytest.approx(w_new - x_new, abs=1e-14)


def test_critic_steps_and_their_batches(float64: torch.dtype) -> None:
    """With steps (1, 3) the critic makes three moves on three batches, and the generator moves on the last of them."""
    game = mm.Game(lambda x, y, b: x * b, lambda x, y, b: y * b)
    z = (torch.tensor(0.0), torch.tensor(0.0))
    batches = [torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0)]
    optimizer = mm.AlternatingGDA(mm.sgd(1.0), steps=(1, 3), order=(1, 0))
    players, _, info = optimizer.step(game, z, optimizer.init(game, z), batches)
    assert [float(p) for p in players] == [-100.0, -111.0]
    assert info.cost.gradients == 4

    fresh = mm.AlternatingGDA(mm.sgd(1.0), steps=(1, 3), order=(1, 0), fresh=True)
    assert fresh.draws == 4
    players, _, _ = fresh.step(game, z, fresh.init(game, z), [*batches, torch.tensor(1000.0)])
    assert [float(p) for p in players] == [-1000.0, -111.0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps must be an integer >= 1, got 0"),
        ({"steps": (1, -2)}, r"steps must be an integer >= 1, got -2"),
        ({"order": (0, 2)}, r"order must be a permutation of 0..n-1 in a tuple, got \(0, 2\)"),
        ({"fresh": True}, "fresh needs steps as a tuple"),
    ],
)
def test_bad_configuration(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mm.AlternatingGDA(mm.sgd(0.1), **options)


@pytest.mark.parametrize("options", [{"steps": (1, 5)}, {"order": (1, 0)}])
def test_schedule_that_does_not_match_the_players(options: dict) -> None:
    closed = games.cyclic()
    optimizer = mm.AlternatingGDA(mm.sgd(0.1), **options)
    state = optimizer.init(closed.game, closed.start)
    batches = None
    with pytest.raises(mm.GameError, match="has 2 entries for 3 players"):
        optimizer.step(closed.game, closed.start, state, batches)
