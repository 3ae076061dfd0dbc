"""Curvature exploitation: who is left, and who attracts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from minimax import games
from minimax.linear import least

pytestmark = pytest.mark.usefixtures("float64")


def test_gradient_play_rests_at_a_false_point_and_it_does_not() -> None:
    closed = games.false_rest()
    ends = {
        kind: mm.solve(closed.game, closed.start, kind(mm.sgd(0.05)), steps=500, every=500).players
        for kind in (mm.SimultaneousGDA, mm.CurvatureExploitation, mm.FollowTheRidge)
    }
    assert max(map(abs, ends[mm.SimultaneousGDA])) < 1e-8
    assert float(closed.distance(ends[mm.CurvatureExploitation])) < 1e-8
    assert float(closed.distance(ends[mm.FollowTheRidge])) < 1e-6


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.5, 20.0))
def test_its_step_by_dense_matrices(seed: int, ρ: float) -> None:
    """Three players of their own losses, of two leaves, one and none but a number."""
    draw = torch.Generator().manual_seed(seed)
    C = torch.randn(3, 6, 6, generator=draw, dtype=torch.float64)

    def loss(i: int):
        def of(x: dict[str, torch.Tensor], y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            z = torch.cat([x["a"], x["b"].reshape(1), y, w.reshape(1)])
            return z.sin() @ C[i] @ z + (C[i] @ z).tanh().sum()

        return of

    numbers = torch.randn(6, generator=draw, dtype=torch.float64)
    players = ({"a": numbers[:2], "b": numbers[2]}, numbers[3:5], numbers[5])
    game, h = mm.Game(*(loss(i) for i in range(3))), 0.1
    optimizer = mm.CurvatureExploitation(mm.sgd(h), rho=ρ)
    found, _, _ = optimizer.step(game, players, optimizer.init(game, players))
    flat = torch.cat([leaf.reshape(-1) for leaf in torch.utils._pytree.tree_leaves(found)])
    J = mm.diagnostics.jacobian(game, players)
    ξ = torch.cat([g.reshape(-1) for g in torch.utils._pytree.tree_leaves(game.field(players))])
    for rows in (slice(0, 3), slice(3, 5), slice(5, 6)):
        λ, U = torch.linalg.eigh(J[rows, rows])
        v = min(λ[0], 0) / (2 * ρ) * torch.sign(U[:, 0] @ ξ[rows]) * U[:, 0]
        torch.testing.assert_close(flat[rows], numbers[rows] - h * ξ[rows] + v, rtol=1e-9, atol=1e-9)


def test_a_local_minimax_point_that_is_no_nash_point_is_left() -> None:
    """x of -x² + 5xy - y² moves by 2/(2ρ) at least; Follow-the-Ridge contracts to it."""
    closed, near = games.minimax_not_nash(), (torch.tensor(1e-3), torch.tensor(2e-3))
    cesp = mm.solve(closed.game, near, mm.CurvatureExploitation(mm.sgd(0.05)), steps=20, every=20).players
    ridge = mm.solve(closed.game, near, mm.FollowTheRidge(mm.sgd(0.05)), steps=400, every=400).players
    assert float(closed.distance(cesp)) > 0.05 and float(closed.distance(ridge)) < 1e-9
    assert mm.diagnostics.classify(closed.game, closed.equilibrium).kind == "local minimax"


def test_where_nothing_is_negative_it_is_simultaneous_play() -> None:
    closed = games.scsc(0.5, 2.0)
    ends = [
        mm.solve(closed.game, closed.start, kind(mm.adam(0.05)), steps=20).players
        for kind in (mm.CurvatureExploitation, mm.SimultaneousGDA)
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=0)


def test_its_map() -> None:
    at = mm.diagnostics.expand(games.scsc().game, games.scsc().equilibrium)
    bent = mm.diagnostics.expand(games.minimax_not_nash().game, games.scsc().equilibrium)
    optimizer = mm.CurvatureExploitation(mm.sgd(0.1))
    torch.testing.assert_close(optimizer.linear(at).matrix, mm.SimultaneousGDA(mm.sgd(0.1)).linear(at).matrix)
    assert optimizer.linear(bent) == "undefined: a player is thrown out by its curvature"


@given(st.integers(0, 10**6), st.integers(1, 7), st.booleans())
def test_least_eigenvalue(seed: int, n: int, degenerate: bool) -> None:
    """Exact with n iterations, also where the Krylov space is smaller; not below it with fewer."""
    draw = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64))[0]
    λ = torch.randn(n, generator=draw, dtype=torch.float64) + 1
    λ = torch.where(torch.arange(n) % 2 == 0, λ[0], λ) if degenerate else λ
    B = Q @ torch.diag(λ) @ Q.T
    found, e = least(lambda v: B @ v, λ, 10)
    torch.testing.assert_close(found, λ.min(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(B @ e, found * e, rtol=1e-6, atol=1e-6)
    assert float(e.norm()) == pytest.approx(1)
    rough, _ = least(lambda v: B @ v, λ, 2)
    assert rough >= λ.min() - 1e-12
