"""The best parameters of momentum for a spectrum: against the papers' numbers, and against every other choice."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import minimax as mm
from minimax import games
from minimax.diagnostics import extragradient_parameters, momentum_parameters

pytestmark = pytest.mark.usefixtures("float64")


def largest(b: np.ndarray, c: np.ndarray) -> float:
    """Of |r| over r² - b r + c = 0."""
    return max(abs(root) for b_i, c_i in zip(b, c, strict=True) for root in np.roots([1, -b_i, c_i]))


def of_extragradient(λ: list[complex], h: float, γ: float, m: float) -> float:
    x = np.array(λ, dtype=complex)
    return largest(1 + m - h * x * (1 - γ * x), m + 0 * x)


def of_heavy_ball(λ: list[complex], h: float, b: float) -> float:
    x = np.array(λ, dtype=complex)
    return largest(1 + b - h * x, b + 0 * x)


@pytest.mark.parametrize(
    "λ, rate",
    [
        ([1, 5.5, 10], 0.269874),  # an interval
        ([1, 10, 5.5 + 4j, 5.5 - 4j], 0.365197),  # a cross
        ([2 + s * 1j for s in (3, -3, 10, -10)], 0.477592),  # a line across
    ],
)
def test_extragradient_on_all_three_kinds(λ: list[complex], rate: float) -> None:
    found = extragradient_parameters(λ)
    assert found.rate == pytest.approx(rate, abs=5e-7) == found.momentum**0.5
    assert of_extragradient(λ, found.lr, found.explore * found.lr, found.momentum) == pytest.approx(rate, abs=1e-6)


crosses = st.tuples(st.floats(0.5, 5.0), st.floats(0.0, 0.9), st.floats(0.0, 3.0), st.floats(0.0, 1.0))


def cross(given_: tuple[float, float, float, float]) -> list[complex]:
    c, a, e, inner = given_
    return [c * (1 - a), c * (1 + a), c, *(c + s * e * w * 1j for s in (1, -1) for w in (1, inner))]


@settings(max_examples=40)
@given(crosses)
def test_rates_are_those_of_the_recurrences(given_: tuple[float, float, float, float]) -> None:
    λ = cross(given_)
    eg, ball = extragradient_parameters(λ), momentum_parameters(λ)
    assert of_extragradient(λ, eg.lr, eg.explore * eg.lr, eg.momentum) <= eg.rate + 1e-5
    assert of_heavy_ball(λ, ball.lr, ball.momentum) <= ball.rate + 1e-5 < 1 + 1e-5


@pytest.mark.parametrize("λ", [[1, 2, 10], [2 + 1j, 2 - 1j], [0.5 + 3j, 0.5 - 3j, 0.5 + 1j, 0.5 - 1j]])
def test_no_other_heavy_ball_is_faster_on_a_line(λ: list[complex]) -> None:
    best = momentum_parameters(λ)
    assert of_heavy_ball(λ, best.lr, best.momentum) == pytest.approx(best.rate, abs=1e-6)
    for start in ((best.lr, best.momentum), (0.1, 0.5), (0.1, -0.5)):
        found = minimize(lambda p: of_heavy_ball(λ, *p), start, method="Nelder-Mead", options={"maxiter": 300})
        assert found.fun >= best.rate - 1e-6


def test_no_other_momentum_is_faster_for_extragradient_on_a_cross() -> None:
    λ = [1, 10, 5.5 + 4j, 5.5 - 4j]
    best = extragradient_parameters(λ)
    start = (best.lr, best.explore * best.lr, best.momentum)
    found = minimize(lambda p: of_extragradient(λ, *p), start, method="Nelder-Mead", options={"maxiter": 600})
    assert found.fun >= best.rate - 1e-6


@given(st.floats(0.1, 10.0), st.floats(0.1, 30.0))
def test_one_pair(μ: float, σ: float) -> None:
    """Extragradient solves it in one step; the heavy ball has b = -ρ², h = (1 - ρ²)/μ, ρ = (√(μ² + σ²) - μ)/σ."""
    eg, ball = extragradient_parameters([μ + σ * 1j, μ - σ * 1j]), momentum_parameters([μ + σ * 1j, μ - σ * 1j])
    ρ = (math.hypot(μ, σ) - μ) / σ
    assert (eg.lr, eg.lr * eg.explore) == pytest.approx((2 * μ / (μ**2 + σ**2), 1 / (2 * μ))) and eg.rate < 1e-7
    assert (ball.rate, ball.momentum, ball.lr) == pytest.approx((ρ, -(ρ**2), (1 - ρ**2) / μ))


def test_played() -> None:
    """1 ± 10i: .904988 a step by negative momentum, and no step is left after the first of extragradient."""
    closed = games.scsc()
    λ = mm.diagnostics.spectrum(closed.game, closed.start).eigenvalues
    lr, b, rate = momentum_parameters(λ)
    end = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(lr, momentum=b)), steps=200, every=200)
    assert rate == pytest.approx(0.904988, abs=5e-7)
    assert float(closed.distance(end.players)) ** (1 / 200) == pytest.approx(rate, rel=0.04)
    lr, ρ, m, _ = extragradient_parameters(λ)
    optimizer = mm.ExtraGradient(mm.sgd(lr), explore=ρ, momentum=m)
    assert float(closed.distance(mm.solve(closed.game, closed.start, optimizer, steps=1).players)) < 1e-12


@pytest.mark.parametrize("b", [0.5, 0.9])
def test_nesterov_and_heavy_ball_by_rules_diverge_on_bilinear_games(b: float) -> None:
    """r² - (1 + b)(1 - x) r + b(1 - x) and r² - (1 + b - x) r + b, x = ±is: outside the circle for every s."""
    closed = games.quadratic(0.0, 1.0, 0.0)
    z, h = (torch.tensor(1.0), torch.tensor(0.5)), 0.2
    for nesterov in (False, True):
        optimizer = mm.SimultaneousGDA(mm.sgd(h, momentum=b, nesterov=nesterov))
        w, state, seen = z, optimizer.init(closed.game, z), [1 + 0.5j]
        for _ in range(10):
            w, state, _ = optimizer.step(closed.game, w, state)
            seen.append(complex(float(w[0]), float(w[1])))
        x = -1j * h
        r, s = ((1 + b) * (1 - x), b * (1 - x)) if nesterov else (1 + b - x, b)
        np.testing.assert_allclose(
            seen[2:], [r * p - s * q for p, q in zip(seen[1:-1], seen, strict=False)], atol=1e-12
        )
        assert max(abs(np.roots([1, -r, s]))) > 1


@pytest.mark.parametrize(
    "λ, message",
    [
        ([1j, -1j], "every eigenvalue must have a positive real part, got 0 at least"),
        ([-1.0, 2.0], "every eigenvalue must have a positive real part, got -1 at least"),
        ([1.0, 3 + 1j, 3 - 1j], r"eigenvalues must lie on a cross .*, got 3[+-]1j, which is on neither arm through 2"),
        ([], "eigenvalues must be finite numbers, at least one"),
        ([float("nan")], "eigenvalues must be finite numbers, at least one"),
    ],
)
@pytest.mark.parametrize("tune", [momentum_parameters, extragradient_parameters])
def test_errors(tune, λ: list[complex], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tune(λ)
