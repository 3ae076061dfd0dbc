import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

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
