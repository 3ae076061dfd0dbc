"""The primal-dual hybrid gradient method, and restarts around it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import minimax as mm
from minimax import games
from minimax.diagnostics import duality_gap
from tests.optimizers.monotone import path, saddle

pytestmark = pytest.mark.usefixtures("float64")
ROTATION = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))


def test_by_hand() -> None:
    found = path(mm.PrimalDual(mm.sgd(0.5)), ROTATION, START, 3)
    np.testing.assert_allclose(found[1:], [(1, 0.5), (0.75, 0.75), (0.375, 0.75)], atol=1e-15)


@given(st.floats(0.05, 1.5), st.floats(0.05, 1.5), st.floats(0.0, 1.5), st.floats(0.2, 3.0))
def test_its_step_has_the_roots_of_the_paper(τ: float, ς: float, θ: float, σ: float) -> None:
    """r² - (2 - (1 + θ) p) r + 1 - θp, p = τςσ²: every coordinate follows that recurrence from the second step on."""
    p, z = (
        τ * ς * σ**2,
        path(mm.PrimalDual((mm.sgd(τ), mm.sgd(ς)), theta=θ), mm.zero_sum(lambda x, y: σ * x * y), START, 6),
    )
    expected = (2 - (1 + θ) * p) * z[1:-1] - (1 - θ * p) * z[:-2]
    torch.testing.assert_close(z[2:], expected, rtol=1e-9, atol=1e-9 * float(z.abs().max()))


@pytest.mark.parametrize("θ", [0.2, 0.5, 1.0])
def test_range_and_modulus(θ: float) -> None:
    """p < 4 / (1 + 2θ); with complex roots the modulus is √(1 - θp)."""
    limit = 4 / (1 + 2 * θ)
    at = mm.diagnostics.expand(ROTATION, START)
    factor = lambda p: mm.PrimalDual(mm.sgd(p**0.5), theta=θ).linear(at).factor(at)
    assert factor(0.99 * limit) < 1 < factor(1.01 * limit)
    assert factor(0.3) == pytest.approx((1 - 0.3 * θ) ** 0.5)


@pytest.mark.parametrize("rule", [mm.sgd(0.1), mm.adam(0.05), (mm.sgd(0.1, momentum=-0.3), mm.rmsprop(0.02))])
@pytest.mark.parametrize("constrained", [False, True])
def test_without_extrapolation_it_is_alternating_play(rule: mm.Rule, constrained: bool) -> None:
    game, z, _, _ = saddle(4, constrained)
    ours, theirs = path(mm.PrimalDual(rule, theta=0.0), game, z, 20), path(mm.AlternatingGDA(rule), game, z, 20)
    assert torch.equal(ours, theirs)


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_the_mean_of_a_matrix_game_is_within_the_bound(seed: int) -> None:
    """gap ≤ max over the simplices of (|x - x_0|²/τ + |y - y_0|²/ς) / 2T ≤ 2/(hT), for τ = ς = h = 1/|A|."""
    closed = games.matrix_game(torch.randn(5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    h, T = 1 / closed.lipschitz, 50
    end = mm.solve(closed.game, closed.start, mm.Averaging(mm.PrimalDual(mm.sgd(h))), steps=T, every=T)
    assert duality_gap(closed.game, end.answer).total <= 2 / (h * T)


@pytest.mark.parametrize("seed", range(100, 103))
def test_restarts_are_linear_where_means_are_not(seed: int) -> None:
    closed = games.matrix_game(torch.tensor(np.random.default_rng(seed).standard_normal((5, 7))))
    start = (torch.full((5,), 1 / 5), torch.full((7,), 1 / 7))
    inner = mm.PrimalDual(mm.sgd(0.9 / closed.lipschitz))
    gaps = [
        duality_gap(closed.game, mm.solve(closed.game, start, optimizer, steps=800, every=800).answer).total
        for optimizer in (mm.Restarted(inner), mm.Averaging(inner))
    ]
    assert gaps[0] < 1e-7 and gaps[1] > 1e-4


def test_a_linear_program() -> None:
    """min cᵀx, Ax = b, x ≥ 0 as min over x, max over y of cᵀx - yᵀ(Ax - b)."""
    draw = torch.Generator().manual_seed(100)
    A, x, y, s = (torch.rand(*shape, generator=draw) for shape in ((4, 8), (8,), (4,), (8,)))
    s = torch.where(torch.arange(8) < 4, 0, s)
    b, c = A @ torch.where(torch.arange(8) < 4, x, 0), A.T @ y + s
    game = mm.zero_sum(lambda x, y: c @ x - y @ (A @ x - b), constraints=(mm.projections.box(0, np.inf), None))
    h = 0.95 / float(torch.linalg.matrix_norm(A, 2))
    found = mm.solve(
        game, (torch.zeros(8), torch.zeros(4)), mm.Restarted(mm.PrimalDual(mm.sgd(h))), steps=2500, every=2500
    )
    expected = linprog(c.numpy(), A_eq=A.numpy(), b_eq=b.numpy())
    np.testing.assert_allclose(found.answer[0], expected.x, atol=1e-6)


def by_hand(inner: mm.PrimalDual, game: mm.Game, z: tuple, steps: int, shares: tuple[float, float, float]) -> list:
    """The scheme of restarts with its branches, on a flat point."""
    split = lambda w: (w[:3], w[3:])
    P = lambda w: torch.cat([c(v) for c, v in zip(game.constraints, split(w), strict=True)])
    r = lambda w: (w - P(w - torch.cat(game.field(split(w))))).norm()
    w, rounds, out, began, last = torch.cat(z), [], [], np.inf, np.inf
    for k in range(1, steps + 1):
        w = torch.cat(inner.step(game, split(w), inner.init(game, split(w)))[0])
        rounds.append(w)
        mean = torch.stack(rounds).mean(0)
        best = mean if r(mean) < r(w) else w
        now = float(r(best))
        if now <= shares[0] * began or (now <= shares[1] * began and now > last) or len(rounds) >= shares[2] * k:
            w, rounds, began = best, [], now
        last = now
        out.append((w, best))
    return out


@pytest.mark.parametrize("shares", [(0.1, 0.9, 0.5), (0.4, 0.8, 1.0), (0.01, 0.99, 0.9)])
@pytest.mark.parametrize("seed", range(2))
def test_restarts_by_hand(seed: int, shares: tuple[float, float, float]) -> None:
    game, z, _, L = saddle(seed, constrained=True, rotation=True)
    inner = mm.PrimalDual(mm.sgd(0.9 / L))
    optimizer = mm.Restarted(inner, *shares)
    state = optimizer.init(game, z)
    for w, best in by_hand(inner, game, z, 40, shares):
        z, state, _ = optimizer.step(game, z, state)
        torch.testing.assert_close(torch.cat(z), w, rtol=0, atol=1e-10)
        torch.testing.assert_close(torch.cat(optimizer.answer(z, state)), best, rtol=0, atol=1e-10)


def test_errors() -> None:
    inner = mm.PrimalDual(mm.sgd(0.1))
    with pytest.raises(ValueError, match=r"necessary must be a finite number > 0.5 and < 1, got 0.5"):
        mm.Restarted(inner, sufficient=0.5, necessary=0.5)
    with pytest.raises(ValueError, match="artificial must be a finite number > 0 and <= 1, got 0"):
        mm.Restarted(inner, artificial=0)
