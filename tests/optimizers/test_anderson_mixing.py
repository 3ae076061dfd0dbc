import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games


def played(closed: games.ClosedForm, optimizer: mm.GameOptimizer, steps: int) -> list[float]:
    """The distances from equilibrium at z_0 .. z_steps."""
    players, state = closed.start, optimizer.init(closed.game, closed.start)
    out = [float(closed.distance(players))]
    for _ in range(steps):
        players, state, _ = optimizer.step(closed.game, players, state)
        out.append(float(closed.distance(players)))
    return out


def test_three_steps_around_alternating_play(float64: torch.dtype) -> None:
    distances = played(games.bilinear(), mm.AndersonMixing(mm.AlternatingGDA(mm.sgd(0.5))), 3)
    assert distances[2] > 1 and distances[3] < 1e-8


def test_stagnation_around_simultaneous_play(float64: torch.dtype) -> None:
    """Δf is orthogonal to the old residual: mixing returns to where it stands, unless it notices."""
    inner = mm.SimultaneousGDA(mm.sgd(0.5))
    stuck = played(games.bilinear(), mm.AndersonMixing(inner, stagnation=0.0), 2)
    assert stuck[2] == pytest.approx(stuck[1], rel=1e-9) and stuck[1] == pytest.approx(np.sqrt(2 * 1.25))
    solved = played(games.bilinear(), mm.AndersonMixing(inner), 3)
    assert solved[2] == pytest.approx(np.sqrt(2) * 1.25) and solved[3] < 1e-8


@pytest.mark.parametrize("seed", range(3))
def test_full_memory_is_exact_after_as_many_steps_as_dimensions(float64: torch.dtype, seed: int) -> None:
    closed = games.bilinear(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)))
    inner = mm.AlternatingGDA(mm.sgd(0.5 / closed.lipschitz))
    distances = played(closed, mm.AndersonMixing(inner, memory=7, regularization=1e-24), 7)
    assert distances[7] < 1e-8 * distances[0]
    assert played(closed, inner, 7)[7] > 0.1 * distances[0]


def test_first_step_is_plain_and_weights_are_least_squares(float64: torch.dtype) -> None:
    """Against a dense solve of (ΔfΔfᵀ + ε Σ|Δf|²) γ = Δf f, with memory for two."""
    closed, ε, m = games.bilinear(torch.randn(2, 2)), 1e-2, 2
    inner = mm.AlternatingGDA(mm.sgd(0.3))
    optimizer = mm.AndersonMixing(inner, memory=m, regularization=ε)

    def T(z: torch.Tensor) -> torch.Tensor:
        players = (z[:2], z[2:])
        return torch.cat(inner.step(closed.game, players, inner.init(closed.game, players))[0])

    z, points, players = torch.cat(closed.start), [], closed.start
    state = optimizer.init(closed.game, players)
    for k in range(60):
        points = [*points, z][-m - 1 :]
        images = torch.stack([T(w) for w in points])
        residuals = images - torch.stack(points)
        if k:
            Δf, ΔT = residuals.diff(dim=0), images.diff(dim=0)
            gram = Δf @ Δf.T + ε * Δf.square().sum() * torch.eye(len(Δf))
            z = images[-1] - torch.linalg.solve(gram, Δf @ residuals[-1]) @ ΔT
        else:
            z = images[-1]
        players, state, _ = optimizer.step(closed.game, players, state)
        np.testing.assert_allclose(torch.cat(players), z, rtol=0, atol=1e-10)
        z = torch.cat(players)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stays_at_an_equilibrium(dtype: torch.dtype) -> None:
    closed = games.bilinear(torch.eye(2, dtype=dtype))
    optimizer = mm.AndersonMixing(mm.SimultaneousGDA(mm.sgd(0.5)))
    players, state = closed.equilibrium, optimizer.init(closed.game, closed.equilibrium)
    for _ in range(10):
        players, state, _ = optimizer.step(closed.game, players, state)
        assert float(closed.distance(players)) == 0
    assert mm.solve(closed.game, closed.start, optimizer, steps=60, every=60).status.ok


def test_projects(float64: torch.dtype) -> None:
    """Mixing extrapolates, so its point is projected as well."""
    game = mm.zero_sum(lambda x, y: x * y - 3 * x, constraints=(mm.projections.box(-1, 1), mm.projections.box(-1, 1)))
    optimizer, players = mm.AndersonMixing(mm.ExtraGradient(mm.sgd(0.2))), (torch.tensor(-0.9), torch.tensor(0.2))
    state = optimizer.init(game, players)
    for _ in range(60):
        players, state, _ = optimizer.step(game, players, state)
        assert all(-1 <= float(player) <= 1 for player in players)
    assert [float(player) for player in players] == pytest.approx([1, 1])


def test_errors() -> None:
    with pytest.raises(ValueError, match="memory must be an integer >= 1"):
        mm.AndersonMixing.of(mm.sgd(0.1), memory=0)
