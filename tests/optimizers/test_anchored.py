"""Extra anchored gradient, fast extragradient and Halpern's iteration: the last iterate's |F|² falls as 1/k²."""

import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 300


def linear_game(seed: int, rotation: float) -> tuple[mm.Game, tuple[torch.Tensor, torch.Tensor], torch.Tensor, float]:
    """A random zero-sum quadratic game, its start and equilibrium, and the Lipschitz constant of F; monotone."""
    generator = torch.Generator().manual_seed(seed)
    P, A, Q = (torch.randn(3, 3, generator=generator) for _ in range(3))
    P, Q, z = (1 - rotation) * P @ P.T, (1 - rotation) * Q @ Q.T, torch.randn(6, generator=generator)
    J = torch.cat([torch.cat([P, A], 1), torch.cat([-A.T, Q], 1)])

    def payoff(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        u, v = x - z[:3], y - z[3:]
        return u @ P @ u / 2 + u @ A @ v - v @ Q @ v / 2

    return mm.zero_sum(payoff), (torch.ones(3), torch.ones(3)), z, float(torch.linalg.matrix_norm(J, 2))


def norms(game: mm.Game, players, optimizer: mm.GameOptimizer) -> np.ndarray:
    """|F(z_k)| for k = 0 .. STEPS."""
    state, seen = optimizer.init(game, players), []
    for _ in range(STEPS + 1):
        seen.append(float(torch.cat([g.reshape(-1) for g in game.field(players)]).norm()))
        players, state, _ = optimizer.step(game, players, state)
    return np.array(seen)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("rotation, seed", [(0.0, 0), (0.9, 1), (1.0, 2)])
@pytest.mark.parametrize(
    "make, bound",
    [
        (lambda L: mm.ExtraAnchoredGradient(mm.sgd(1 / (8 * L))), lambda k: 260 / (k + 1) ** 2),
        (lambda L: mm.ExtraAnchoredGradient(mm.sgd(0.618 / L), variable=0.618), lambda k: 27 / ((k + 1) * (k + 2))),
        (lambda L: mm.FastExtraGradient(mm.sgd(1 / L)), lambda k: 4 / np.maximum(k, 1) ** 2),
    ],
    ids=["EAG-C", "EAG-V", "FEG"],
)
def test_bounds(make, bound, seed: int, rotation: float) -> None:
    game, start, z, L = linear_game(seed, rotation)
    F, k = norms(game, start, make(L)), np.arange(STEPS + 1)
    distance = float((torch.cat(start) - z).norm())
    assert (bound(k) * L**2 * distance**2 >= F**2)[1:].all()


def anchored(λ: complex, h: float, z: complex = 1 + 1j) -> list[complex]:
    """EAG-C on F = λz."""
    z_0, out = z, [z]
    for k in range(STEPS):
        pull = z + (z_0 - z) / (k + 2)
        z = pull - h * λ * (pull - h * λ * z)
        out.append(z)
    return out


def test_extra_anchored_gradient_by_hand(trajectory) -> None:
    closed, h = games.scsc(0.2, 1.0), 0.3
    z = trajectory(mm.ExtraAnchoredGradient(mm.sgd(h)), closed, STEPS)
    np.testing.assert_allclose(z, anchored(0.2 - 1j, h), atol=1e-12)


def test_fast_extragradient_by_hand(trajectory) -> None:
    h, λ, ρ = 0.4, 0.2 - 1j, -0.2
    z, expected = 1 + 1j, [1 + 1j]
    for k in range(STEPS):
        β = 1 / (k + 1)
        pull = z + β * (1 + 1j - z)
        half = pull - (1 - β) * (h + 2 * ρ * h) * λ * z
        z = pull - h * λ * half - (1 - β) * 2 * ρ * h * λ * z
        expected.append(z)
    played = trajectory(mm.FastExtraGradient(mm.sgd(h), rho=ρ), games.scsc(0.2, 1.0), STEPS)
    np.testing.assert_allclose(played, expected, atol=1e-12)


def test_variable_steps_shrink_to_a_positive_limit(float64: torch.dtype) -> None:
    closed, s = games.bilinear(), 0.618
    optimizer, players, α = mm.ExtraAnchoredGradient(mm.sgd(s), variable=s), closed.start, s
    state = optimizer.init(closed.game, players)
    for k in range(STEPS):
        assert float(state["ratio"]) * s == pytest.approx(α, abs=1e-12)
        α = α / (1 - α**2) * (1 - (k + 2) ** 2 / ((k + 1) * (k + 3)) * α**2)
        players, state, _ = optimizer.step(closed.game, players, state)
    assert α == pytest.approx(0.437, abs=0.005)  # the paper reports about 0.437 for this start


def test_negatively_comonotone(float64: torch.dtype) -> None:
    """λ = ρL² ± i..., |λ| = L, has Re 1/λ = ρ < 0: not monotone, extragradient diverges, FEG keeps its bound."""
    ρ, L = -0.3, 1.0
    game = games.quadratic(ρ, (1 - ρ**2) ** 0.5, ρ)
    F = norms(game.game, game.start, mm.FastExtraGradient(mm.sgd(1 / L), rho=ρ))
    k = np.arange(1, STEPS + 1)
    assert (F[1:] ** 2 <= 4 * 2 / ((1 / L + 2 * ρ) ** 2 * k**2)).all()
    assert norms(game.game, game.start, mm.ExtraGradient(mm.sgd(0.1)))[-1] > 1e3


@pytest.mark.parametrize("s", [0.5, 1.0])
def test_halpern_around_extragradient(trajectory, s: float) -> None:
    """|z_k - T z_k|² ≤ (2/(k+1))² |z_0 - z*|²; at s = 1, T is a rotation and the best known rate is this one."""
    z = trajectory(mm.Halpern(mm.ExtraGradient(mm.sgd(s))), games.scsc(0.0, 1.0), STEPS)
    T = 1 + 1j * s - s**2
    expected, k = [1 + 1j], np.arange(STEPS + 1)
    for j in range(STEPS):
        expected.append((1 + 1j) / (j + 2) + (1 - 1 / (j + 2)) * T * expected[-1])
    np.testing.assert_allclose(z, expected, atol=1e-12)
    assert (abs(z - T * z) <= 2 / (k + 1) * abs(z[0]) + 1e-12).all()


def test_halpern_with_projections(float64: torch.dtype) -> None:
    """Projected gradient steps on a convex loss are nonexpansive up to h = 2/L; the bound holds at the corner."""
    box = mm.projections.box(0.0, 1.0)
    game = mm.Game(lambda x: ((x - torch.tensor([2.0, 0.5, -1.0])) ** 2).sum() / 2, constraints=(box,))
    inner, players = mm.SimultaneousGDA(mm.sgd(2.0)), (torch.tensor([0.0, 1.0, 0.3]),)
    optimizer, solution = mm.Halpern(inner), torch.tensor([1.0, 0.5, 0.0])
    state, start = optimizer.init(game, players), players[0]
    for k in range(STEPS):
        T = inner.step(game, players, inner.init(game, players))[0]
        assert (players[0] - T[0]).norm() <= 2 / (k + 1) * (start - solution).norm() + 1e-12
        players, state, _ = optimizer.step(game, players, state)
        assert bool((players[0] >= 0).all() and (players[0] <= 1).all())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("γ", [1.0001, 1.05, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_contracting_halpern_is_within_its_bound(seed: int, γ: float) -> None:
    """T = Q/γ with Q orthogonal, and the best known rate |z_k - T z_k| ≤ (1 + 1/γ)|z_0 - z*| / Σ_{i≤k} γⁱ.

    T is a step of simultaneous play with h = 1 on the field (I - Q/γ) z, which no loss has.
    """
    Q = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)))[0]
    game = mm.Game(lambda z: z @ (z - Q @ z / γ).detach())
    players, optimizer = (torch.ones(4),), mm.Halpern(mm.SimultaneousGDA(mm.sgd(1.0)), gamma=γ)
    state, weight, φ, expected = optimizer.init(game, players), 0.0, 1.0, players[0]
    for k in range(60):
        weight += γ**k
        assert (players[0] - Q @ players[0] / γ).norm() <= (1 + 1 / γ) * 2 / weight + 1e-12
        φ = 1 + γ**2 * φ
        expected = (1 - 1 / φ) * Q @ expected / γ + torch.ones(4) / φ
        players, state, _ = optimizer.step(game, players, state)
        torch.testing.assert_close(players[0], expected, rtol=0, atol=1e-12)


def test_halpern_of_gamma_one_is_halpern(float64: torch.dtype) -> None:
    closed, inner = games.scsc(), mm.ExtraGradient(mm.sgd(0.05))
    ends = [
        mm.solve(closed.game, closed.start, optimizer, steps=30).players
        for optimizer in (mm.Halpern(inner, gamma=torch.tensor(1.0)), mm.Halpern(inner))
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-14)
    at = mm.diagnostics.expand(closed.game, closed.equilibrium)
    assert mm.Halpern(inner).linear(at).sublinear and not mm.Halpern(inner, gamma=1.3).linear(at).sublinear
    assert mm.Halpern(inner, gamma=1.001).linear(at).factor(at) == pytest.approx(1.001**-2)


@pytest.mark.parametrize("kind", [mm.ExtraAnchoredGradient, mm.FastExtraGradient])
def test_projects_half_steps(float64: torch.dtype, kind: type[mm.Ruled]) -> None:
    """Losses are never asked outside the box."""
    seen: list[float] = []

    def payoff(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append(float(x.detach()))
        return x * y - x

    game = mm.zero_sum(payoff, constraints=(mm.projections.box(-1, 1), None))
    z = (torch.tensor(0.9), torch.tensor(-1.0))
    mm.solve(game, z, kind(mm.sgd(1.0)), steps=50)
    assert max(map(abs, seen)) <= 1 and 1.0 in seen


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"variable must be a finite number > 0 and < 0.75, got 0.8"):
        mm.ExtraAnchoredGradient(mm.sgd(0.1), variable=0.8)
    with pytest.raises(ValueError, match=r"rho must be a finite number > -0.5"):
        mm.FastExtraGradient(mm.sgd(0.1), rho=-0.5)


def test_variable_steps_are_taken(float64: torch.dtype) -> None:
    """On xy, where F is -iz: α_{k+1} = α_k (1 - (α_k L)² / ((k + 1) (k + 3) (1 - (α_k L)²))) with L = 1."""
    optimizer, players, α = (
        mm.ExtraAnchoredGradient(mm.sgd(0.6), variable=0.6),
        (torch.tensor(1.0), torch.tensor(0.5)),
        0.6,
    )
    game = mm.zero_sum(lambda x, y: x * y)
    state, anchor = optimizer.init(game, players), complex(1.0, 0.5)
    z = anchor
    for k in range(4):
        pulled = z + (anchor - z) / (k + 2)
        z = pulled + 1j * α * (pulled + 1j * α * z)
        α *= 1 - α**2 / ((k + 1) * (k + 3) * (1 - α**2))
        players, state, _ = optimizer.step(game, players, state)
        assert complex(*map(float, players)) == pytest.approx(z, abs=1e-14)
