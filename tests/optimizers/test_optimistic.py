import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games
from tests.optimizers.monotone import path, saddle

STEPS = 250


def root(h: float, λ: complex) -> float:
    return max(abs(np.roots([1, -(1 - 2 * h * λ), -h * λ])))


@pytest.mark.parametrize("mu, sigma, h", [(0.0, 1.0, 0.3), (0.0, 1.0, 0.55), (1.0, 10.0, 0.04)])
def test_recurrence_and_rate(trajectory, mu: float, sigma: float, h: float) -> None:
    """z⁺ = z - h(2F(z) - F(z₋)), the first step plain; asymptotically the larger root of r² - (1-2hλ) r - hλ."""
    λ = mu - 1j * sigma
    z = trajectory(mm.OptimisticGDA(mm.sgd(h)), games.scsc(mu, sigma), STEPS)
    expected = [z[0], (1 - h * λ) * z[0]]
    for _ in range(STEPS - 1):
        expected.append((1 - 2 * h * λ) * expected[-1] + h * λ * expected[-2])
    np.testing.assert_allclose(z, expected, atol=1e-12)
    assert abs(z[-1] / z[-2]) == pytest.approx(root(h, λ), rel=1e-10)


@pytest.mark.parametrize("s", [0.1, 0.3, 0.45])
def test_bilinear_modulus(trajectory, s: float) -> None:
    z = trajectory(mm.OptimisticGDA(mm.sgd(s)), games.scsc(0.0, 1.0), STEPS)
    assert abs(z[-1] / z[-2]) == pytest.approx(np.sqrt((1 + np.sqrt(1 - 4 * s**2)) / 2), rel=1e-10)


@pytest.mark.parametrize("s, stable", [(0.57, True), (0.585, False)])
def test_threshold_at_one_over_root_three(trajectory, s: float, stable: bool) -> None:
    z = trajectory(mm.OptimisticGDA(mm.sgd(s)), games.scsc(0.0, 1.0), 2000)
    assert (abs(z[-1]) < abs(z[0])) == stable


def test_increments(float64: torch.dtype) -> None:
    """Gradients 1, 2, 4, 8 give increments 1, 3, 6, 12 (times -h)."""
    game = mm.Game(lambda x, b: x * b)
    optimizer, players = mm.OptimisticGDA(mm.sgd(1.0)), (torch.tensor(0.0),)
    state, seen = optimizer.init(game, players), [0.0]
    for g in (1.0, 2.0, 4.0, 8.0):
        players, state, _ = optimizer.step(game, players, state, torch.tensor(g))
        seen.append(-float(players[0]))
    assert np.diff(seen).tolist() == [1, 3, 6, 12]


def test_optimistic_adam_by_hand(float64: torch.dtype) -> None:
    h, β1, β2, ε = 0.1, 0.5, 0.9, 1e-8
    closed = games.scsc(1.0, 2.0)
    z, m, v, past = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2), None
    players, optimizer = closed.start, mm.OptimisticGDA(mm.adam(h, betas=(β1, β2), eps=ε))
    state = optimizer.init(closed.game, players)
    for t in range(1, 40):
        g = np.array([z[0] + 2 * z[1], z[1] - 2 * z[0]])
        m, v = β1 * m + (1 - β1) * g, β2 * v + (1 - β2) * g**2
        u = (m / (1 - β1**t)) / (np.sqrt(v / (1 - β2**t)) + ε)
        z = z - 2 * h * u + h * (u if past is None else past)
        past = u
        players, state, _ = optimizer.step(closed.game, players, state)
        np.testing.assert_allclose([float(p) for p in players], z, atol=1e-12)


class _Reused(torch.autograd.Function):
    """xb whose gradient is always written into one buffer, as fused backward passes and graphs may do."""

    buffer = torch.zeros((), dtype=torch.float64)

    @staticmethod
    def forward(ctx, x, b):
        ctx.save_for_backward(b)
        return x * b

    @staticmethod
    def backward(ctx, grad):
        return _Reused.buffer.copy_(grad * ctx.saved_tensors[0]), None


@pytest.mark.parametrize("rule", [mm.sgd(1.0), mm.sgd(1.0, momentum=0.5), mm.from_torch(torch.optim.SGD, lr=1.0)])
def test_survives_reused_gradient_buffers(float64: torch.dtype, rule: mm.Rule) -> None:
    """A gradient that is stored by reference would turn optimistic play into plain play."""
    ends = []
    for loss in (lambda x, b: _Reused.apply(x, b), lambda x, b: x * b):
        game, players = mm.Game(loss), (torch.tensor(0.0),)
        optimizer = mm.OptimisticGDA(rule)
        state = optimizer.init(game, players)
        for g in (1.0, 2.0, 4.0, 8.0):
            players, state, _ = optimizer.step(game, players, state, torch.tensor(g))
        ends.append(float(players[0]))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("b", [0.6, 1.0, 2.0])
def test_range_of_optimism(b: float) -> None:
    """b > ½ converges for s < √((2b - 1)/(2b + 1))/b on bilinear games, b ≤ ½ never."""
    closed = games.bilinear()
    at = mm.diagnostics.expand(closed.game, closed.equilibrium)
    factor = lambda s, b=b: mm.OptimisticGDA(mm.sgd(s), optimism=b).linear(at).factor(at)
    limit = ((2 * b - 1) / (2 * b + 1)) ** 0.5 / b
    assert factor(0.999 * limit) < 1 < factor(1.001 * limit)
    assert min(factor(s, 0.5) for s in (0.01, 0.1, 0.5)) > 1, "Adams-Bashforth"


@pytest.mark.parametrize("b", [0.3, 1.0, 2.5])
def test_half_steps_of_the_past_with_exploration_are_general_optimism(float64: torch.dtype, b: float) -> None:
    """z½ of `PastExtraGradient(explore=b)` are its iterates, from a plain first step of length 1 - not b - on."""
    game, z, _, L = saddle(1, constrained=False)
    rule = mm.sgd(0.2 / L)
    z_k = path(mm.PastExtraGradient(rule, explore=b), game, z, 20)
    half = z_k[1:] + b * (z_k[1:] - z_k[:-1])
    again = [half[0], half[1]]
    F = lambda w: torch.cat(game.field((w[:3], w[3:])))
    for _ in range(17):
        again.append(again[-1] - 0.2 / L * ((1 + b) * F(again[-1]) - b * F(again[-2])))
    torch.testing.assert_close(half[:-1], torch.stack(again), rtol=1e-10, atol=1e-10)
    general = path(mm.OptimisticGDA(rule, optimism=b), game, z, 20)
    for k in range(1, 20):
        step = general[k] - 0.2 / L * ((1 + b) * F(general[k]) - b * F(general[k - 1]))
        torch.testing.assert_close(general[k + 1], step, rtol=1e-10, atol=1e-10)


def test_no_optimism_is_simultaneous_play(float64: torch.dtype) -> None:
    game, z, _, _ = saddle(2, constrained=True)
    rule = mm.adam(0.05)
    ends = [
        path(optimizer, game, z, 10) for optimizer in (mm.OptimisticGDA(rule, optimism=0.0), mm.SimultaneousGDA(rule))
    ]
    assert torch.equal(*ends)
