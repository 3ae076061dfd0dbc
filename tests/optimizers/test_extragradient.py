import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games
from tests.optimizers.monotone import path, saddle

STEPS = 250


@pytest.mark.parametrize("mu, sigma, h", [(0.0, 1.0, 0.5), (0.0, 2.0, 0.49), (1.0, 10.0, 0.05)])
def test_update_map(trajectory, mu: float, sigma: float, h: float) -> None:
    z = trajectory(mm.ExtraGradient(mm.sgd(h)), games.scsc(mu, sigma), STEPS)
    λ = mu - 1j * sigma
    np.testing.assert_allclose(z[1:] / z[:-1], 1 - h * λ + h**2 * λ**2, rtol=1e-10)


@pytest.mark.parametrize("s", [0.3, 1 / np.sqrt(2), 0.99, 1.01])
def test_bilinear_modulus(trajectory, s: float) -> None:
    z = trajectory(mm.ExtraGradient(mm.sgd(s)), games.scsc(0.0, 1.0), STEPS)
    modulus = np.sqrt(1 - s**2 + s**4)
    np.testing.assert_allclose(abs(z[1:] / z[:-1]), modulus, rtol=1e-10)
    assert (modulus < 1) == (s < 1)
    assert modulus >= np.sqrt(0.75) - 1e-12  # the best step is 1/√2


def test_exploration_step(trajectory) -> None:
    """1 - hλ + ρ h² λ²."""
    z = trajectory(mm.ExtraGradient(mm.sgd(0.1), explore=3.0), games.scsc(0.2, 1.0), STEPS)
    λ = 0.2 - 1j
    np.testing.assert_allclose(z[1:] / z[:-1], 1 - 0.1 * λ + 3 * 0.01 * λ**2, rtol=1e-10)


def test_every_singular_value_contracts(float64: torch.dtype, generator: torch.Generator) -> None:
    A = torch.randn(4, 4, generator=generator)
    closed = games.bilinear(A)
    U, S, V = torch.linalg.svd(A)
    h = 0.9 / closed.lipschitz
    x, y = mm.solve(closed.game, closed.start, mm.ExtraGradient(mm.sgd(h)), steps=200).players
    for k in range(4):
        start = torch.hypot((U.T @ closed.start[0])[k], (V @ closed.start[1])[k])
        now = torch.hypot((U.T @ x)[k], (V @ y)[k])
        assert float(now / start) == pytest.approx(float((1 - (h * S[k]) ** 2 + (h * S[k]) ** 4) ** 100), rel=1e-8)


def test_is_descent_on_lookahead_for_bilinear_games(float64: torch.dtype, generator: torch.Generator) -> None:
    """EG(h) = GDA on ξ - h H_o ξ, H_o the off-diagonal blocks of J."""
    closed, h = games.bilinear(torch.randn(3, 2, generator=generator)), 0.3
    optimizer = mm.ExtraGradient(mm.sgd(h))
    players, _, _ = optimizer.step(closed.game, closed.start, optimizer.init(closed.game, closed.start))
    ξ = closed.game.field(closed.start)
    Hξ = [closed.game.block(closed.start, i, 1 - i, ξ[1 - i]) for i in range(2)]
    for new, old, g, pull in zip(players, closed.start, ξ, Hξ, strict=True):
        torch.testing.assert_close(new, old - h * (g - h * pull), rtol=0, atol=1e-14)


def test_extra_adam_by_hand(float64: torch.dtype) -> None:
    """Moments and the shared counter advance at both half steps; both displacements start from the saved z."""
    h, β1, β2, ε = 0.1, 0.5, 0.9, 1e-8
    z, m, v, t = np.array([1.0, 0.5]), np.zeros(2), np.zeros(2), 0

    def field(z):
        return np.array([z[0] + 2 * z[1], z[1] - 2 * z[0]])

    closed = games.scsc(1.0, 2.0)
    players = tuple(torch.tensor(value) for value in z)
    optimizer = mm.ExtraGradient(mm.adam(h, betas=(β1, β2), eps=ε))
    state = optimizer.init(closed.game, players)
    for _ in range(30):
        point = z
        for _ in range(2):
            g, t = field(point), t + 1
            m, v = β1 * m + (1 - β1) * g, β2 * v + (1 - β2) * g**2
            point = z - h * (m / (1 - β1**t)) / (np.sqrt(v / (1 - β2**t)) + ε)
        z = point
        players, state, _ = optimizer.step(closed.game, players, state)
        np.testing.assert_allclose([float(p) for p in players], z, atol=1e-12)
    assert [float(memory["t"]) for memory in state["rules"]] == [60, 60]


@pytest.mark.parametrize(
    "optimizer, converges",
    [
        (mm.ExtraGradient(mm.sgd(0.3)), True),
        (mm.ExtraGradient(mm.sgd(0.3), fresh=True), False),
        (mm.ExtraGradient(mm.sgd(0.02), explore=15.0, fresh=True), True),
    ],
)
def test_stochastic_bilinear(float64: torch.dtype, optimizer: mm.ExtraGradient, converges: bool) -> None:
    """On (1 + e) xy, e = ±1: the same sample twice converges; independent ones only with a larger exploration step."""
    closed = games.noisy_bilinear()
    solution = mm.solve(closed.game, closed.start, optimizer, closed.batches, steps=1000, every=1000)
    distance = float(closed.distance(solution.players) / closed.distance(closed.start))
    assert distance < 1e-2 if converges else solution.status.kind == "diverged"


def test_projects_both_half_steps(float64: torch.dtype) -> None:
    """The half step lands on x = -1, not on -1.5, and so the gradient of y there is -(-1)."""
    game = mm.zero_sum(lambda x, y: x * y, constraints=(mm.projections.box(-1, 1), None))
    z = (torch.tensor(-0.5), torch.tensor(1.0))
    optimizer = mm.ExtraGradient(mm.sgd(1.0))
    players, _, _ = optimizer.step(game, z, optimizer.init(game, z))
    assert [float(p) for p in players] == [-1.0, 0.0]


@pytest.mark.parametrize("make", [games.matching_pennies, games.rock_paper_scissors])
def test_solves_matrix_games(float64: torch.dtype, make) -> None:
    closed = make()
    solution = mm.solve(closed.game, closed.start, mm.ExtraGradient(mm.sgd(0.5 / closed.lipschitz)), steps=1000)
    assert float(closed.distance(solution.players)) < 1e-8


@pytest.mark.parametrize("ρ", [0.6, 1.0, 3.0])
def test_range_of_exploration(ρ: float) -> None:
    """On bilinear games ρ > ½ and s² < (2ρ - 1)/ρ²; the midpoint rule never converges."""
    closed = games.bilinear()
    at = mm.diagnostics.expand(closed.game, closed.equilibrium)
    factor = lambda s, ρ=ρ: mm.ExtraGradient(mm.sgd(s), explore=ρ).linear(at).factor(at)
    limit = (2 * ρ - 1) ** 0.5 / ρ
    assert factor(0.999 * limit) < 1 < factor(1.001 * limit)
    assert min(factor(s, 0.5) for s in (0.01, 0.1, 0.5)) > 1


@pytest.mark.parametrize("a, b", [(2 * 2**0.5, -1.0), (3.0, -0.5), (1.0, -0.7)])
def test_eg_plus_converges_exactly_where_the_weak_minty_constant_allows(a: float, b: float) -> None:
    """On axy + b/2 (x² - y²), L² = a² + b², with γ = 1/L: iff α < 1 - 2c, c = -b/L."""
    L = float(np.hypot(a, b))
    closed = games.quadratic(b, a, b)
    at = mm.diagnostics.expand(closed.game, closed.equilibrium)
    factor = lambda α: mm.ExtraGradient(mm.sgd(α / L), explore=1 / α).linear(at).factor(at)
    limit = 1 + 2 * b / L
    if limit > 0:
        assert factor(0.99 * limit) < 1
    assert factor(max(1.01 * limit, 0.05)) > 1
    if b == -1.0:
        assert factor(0.3) == pytest.approx(0.986576, abs=1e-6) and factor(1.0) == pytest.approx(5 / 3)


def test_momentum_by_hand(float64: torch.dtype) -> None:
    game, z = games.bilinear().game, (torch.ones(1), torch.zeros(1))
    found = path(mm.ExtraGradient(mm.sgd(0.5), momentum=-0.1), game, z, 3)[1:]
    np.testing.assert_allclose(found, [(0.75, 0.5), (0.3375, 0.7), (-0.055625, 0.67375)], atol=1e-15)


@pytest.mark.parametrize("m", [-0.4, 0.3])
def test_momentum_goes_on_from_the_last_point(float64: torch.dtype, m: float) -> None:
    """z⁺ = P(z - hF(w) + m (z - z₋)), w = P(z - γF(z)), in a box."""
    game, z, _, L = saddle(6, constrained=True)
    h, γ, P = 0.3 / L, 0.6 / L, mm.projections.box(-1, 1)
    F = lambda w: torch.cat(game.field((w[:3], w[3:])))
    points = path(mm.ExtraGradient(mm.sgd(h), explore=γ / h, momentum=m), game, z, 20)
    for k in range(20):
        w, past = points[k], points[max(k - 1, 0)]
        torch.testing.assert_close(points[k + 1], P(w - h * F(P(w - γ * F(w))) + m * (w - past)), rtol=0, atol=1e-12)


def test_momentum_of_multiplicative_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"momentum adds to a move, which .*entropic.* allows not: leave it 0"):
        mm.ExtraGradient(mm.entropic(0.1), momentum=0.1)
