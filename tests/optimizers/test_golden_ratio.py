import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games
from tests.optimizers.monotone import path, saddle


def by_hand(F, z: np.ndarray, h: float, steps: int, φ: float = 1.5, project=lambda z: z) -> list[np.ndarray]:
    """aGRAAL with z_1 = P(z_0 - h F(z_0)) as the perturbation that the first step size is measured with."""
    z_0, F_0 = z, F(z)
    z = project(z - h * F_0)
    out, past, F_past = [z_0, z], z_0, F_0
    λ, θ, mean = φ / 2 * np.linalg.norm(z - z_0) / np.linalg.norm(F(z) - F_0), 1.0, z
    for k in range(1, steps):
        if k > 1:
            ratio = np.sum((z - past) ** 2) / np.sum((F(z) - F_past) ** 2)
            new = min((1 / φ + 1 / φ**2) * λ, φ * θ / (4 * λ) * ratio)
            θ, λ = φ * new / λ, new
        mean = ((φ - 1) * z + mean) / φ
        past, F_past = z, F(z)
        z = project(mean - λ * F_past)
        out.append(z)
    return out


@pytest.mark.parametrize("mu, sigma", [(0.0, 1.0), (1.0, 10.0), (0.1, 0.3)])
def test_by_hand(trajectory, mu: float, sigma: float) -> None:
    J = np.array([[mu, sigma], [-sigma, mu]])
    z = trajectory(mm.GoldenRatio(mm.sgd(0.01)), games.scsc(mu, sigma), 60)
    expected = np.array(by_hand(lambda z: J @ z, np.ones(2), 0.01, 60))
    np.testing.assert_allclose(z, expected[:, 0] + 1j * expected[:, 1], atol=1e-10)


@pytest.mark.parametrize("h", [1e-6, 1e-2])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_needs_no_step_size(float64: torch.dtype, h: float, scale: float) -> None:
    """The same rule converges whatever the game's Lipschitz constant."""
    A = torch.diag(torch.tensor([1.0, 0.5])) * scale
    closed = games.bilinear(A)
    solution = mm.solve(closed.game, closed.start, mm.GoldenRatio(mm.sgd(h / scale)), steps=400, every=400)
    assert closed.distance(solution.players) < 1e-5
    if scale != 1.0:
        same = games.bilinear(A / scale)
        other = mm.solve(same.game, same.start, mm.GoldenRatio(mm.sgd(h)), steps=50, every=50)
        other_scale = mm.solve(closed.game, closed.start, mm.GoldenRatio(mm.sgd(h / scale)), steps=50, every=50)
        torch.testing.assert_close(other.players, other_scale.players, rtol=1e-6, atol=1e-8)


def test_gradient_play_with_the_same_rate_goes_nowhere(float64: torch.dtype) -> None:
    closed = games.bilinear(torch.eye(2))
    solution = mm.solve(closed.game, closed.start, mm.SimultaneousGDA(mm.sgd(1e-6)), steps=400, every=400)
    assert closed.distance(solution.players) > 1.9


def test_projects(float64: torch.dtype) -> None:
    """Rock-paper-scissors on the simplex, also by hand."""
    closed = games.rock_paper_scissors()
    A = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    A = A if torch.equal(closed.game.field(closed.start)[0], torch.tensor(A) @ closed.start[1]) else -A
    simplex = mm.projections.simplex()

    def project(z: np.ndarray) -> np.ndarray:
        return np.concatenate([simplex(torch.tensor(part)).numpy() for part in (z[:3], z[3:])])

    def F(z: np.ndarray) -> np.ndarray:
        return np.concatenate([A @ z[3:], -A.T @ z[:3]])

    start = torch.cat(closed.start).numpy()
    expected = by_hand(F, start, 0.1, 60, project=project)
    players, optimizer = closed.start, mm.GoldenRatio(mm.sgd(0.1))
    state = optimizer.init(closed.game, players)
    for k in range(60):
        np.testing.assert_allclose(torch.cat(players), expected[k], atol=1e-10)
        players, state, _ = optimizer.step(closed.game, players, state)
    solution = mm.solve(closed.game, closed.start, optimizer, steps=600, every=600)
    assert closed.distance(solution.players) < 1e-6


def test_stays_at_an_equilibrium(float64: torch.dtype) -> None:
    closed = games.bilinear()
    solution = mm.solve(closed.game, closed.equilibrium, mm.GoldenRatio(mm.sgd(0.1)), steps=20, every=20)
    assert float(closed.distance(solution.players)) == 0 and bool(torch.isfinite(solution.state["λ"]))


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"phi must be a finite number > 1 and <= 1.61803"):
        mm.GoldenRatio(mm.sgd(0.1), phi=1.7)


GOLDEN = (1 + 5**0.5) / 2


def test_fixed_by_hand(float64: torch.dtype) -> None:
    game, z = games.bilinear().game, (torch.ones(1), torch.zeros(1))
    found = path(mm.GoldenRatio(mm.sgd(0.5), fixed=True), game, z, 3)[1:]
    np.testing.assert_allclose(found, [(1, 0.5), (0.75, 0.666667), (0.583333, 0.708333)], atol=5e-7)


@pytest.mark.parametrize("φ, limit", [(GOLDEN, (3 - GOLDEN) ** 0.5), (1.5, 1.35**0.5)])
def test_fixed_range_and_best_step(φ: float, limit: float) -> None:
    closed = games.bilinear()
    at = mm.diagnostics.expand(closed.game, closed.equilibrium)
    factor = lambda s: mm.GoldenRatio(mm.sgd(s), phi=φ, fixed=True).linear(at).factor(at)
    assert factor(0.999 * limit) < 1 < factor(1.001 * limit)
    assert factor(1.0) == pytest.approx(φ**-0.5) and min(factor(0.99), factor(1.01)) > φ**-0.5


@pytest.mark.parametrize("φ", [1.2, 1.5, GOLDEN])
def test_fixed_is_an_optimistic_step_without_constraints(float64: torch.dtype, φ: float) -> None:
    """z⁺ = z - h (F - F₋/φ), the first one plain: b = 1/(φ - 1) at h (φ - 1)/φ from two points on."""
    game, z, _, L = saddle(3, constrained=False)
    h, F = 0.5 / L, lambda w: torch.cat(game.field((w[:3], w[3:])))
    points = path(mm.GoldenRatio(mm.sgd(h), phi=φ, fixed=True), game, z, 20)
    torch.testing.assert_close(points[1], points[0] - h * F(points[0]))
    b, rate = 1 / (φ - 1), h * (φ - 1) / φ
    for k in range(1, 20):
        step = h * (F(points[k]) - F(points[k - 1]) / φ)
        torch.testing.assert_close(step, rate * ((1 + b) * F(points[k]) - b * F(points[k - 1])), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(points[k + 1], points[k] - step, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_fixed_solves_what_is_constrained(float64: torch.dtype, seed: int) -> None:
    game, z, solution, L = saddle(seed, constrained=True)
    end = path(mm.GoldenRatio(mm.sgd(0.99 * GOLDEN / (2 * L)), phi=GOLDEN, fixed=True), game, z, 800)[-1]
    torch.testing.assert_close(end, solution, rtol=0, atol=1e-2)
    assert set(mm.GoldenRatio(mm.sgd(0.1), fixed=True).init(game, z)) == {"rules", "step", "mean"}
