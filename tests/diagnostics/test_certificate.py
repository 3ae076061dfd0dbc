"""Certificates of points that are known: equilibria of every kind, points beside them, shared constraints, leaders."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from minimax.diagnostics import certificate
from minimax.projections import simplex
from minimax.transforms import bilevel, coupled

pytestmark = pytest.mark.usefixtures("float64")
CESP = mm.zero_sum(lambda x, y: 2 * x**2 + y**2 + 4 * x * y + 4 * y**3 / 3 - y**4 / 4)


def at(*values: float) -> tuple[torch.Tensor, ...]:
    return tuple(map(torch.tensor, values))


def test_cournot_with_a_capacity() -> None:
    """ΣQ <= 4.5 binds at (2.5, 1.5, .5) for the price 2; each condition is missed where one number is another."""
    game = mm.games.cournot(costs=(1.0, 2.0, 3.0), capacity=4.5).game
    right = certificate(game, at(2.5, 1.5, 0.5, 2.0))
    assert right.holds and right.shared is not None and right.shared.residual < 1e-12 and right.gap.total < 1e-9
    dear = certificate(game, at(2.5, 1.5, 0.5, 2.3))  # everyone would sell less
    assert not dear.holds and dear.shared.stationarity == pytest.approx(0.3 * 3**0.5) and dear.shared.violation == 0
    full = certificate(game, at(2.5, 1.5, 0.7, 2.0), steps=0)
    assert full.shared.violation == pytest.approx(0.2) and full.shared.complementarity == pytest.approx(0.4)
    assert full.gap is None and "gap" not in str(full)


@settings(max_examples=10)
@given(st.floats(0.5, 5.5), st.lists(st.floats(0.0, 3.0), min_size=2, max_size=4))
def test_cournot_with_any_capacity(capacity: float, costs: list[float]) -> None:
    closed = mm.games.cournot(costs=costs, capacity=capacity)
    found = certificate(closed.game, closed.equilibrium, steps=0)
    assert found.shared.residual < 1e-9 and found.holds


def test_a_multiplier_of_its_own_for_every_player() -> None:
    price = lambda x, y: 10 - x - y
    cournot = mm.Game(lambda x, y: (2 - price(x, y)) * x, lambda x, y: (1 - price(x, y)) * y)
    game = coupled(cournot, lambda x, y: x + y - 4, own=True)
    assert certificate(game, at(1.5, 2.5, 2.5, 2.5), steps=0).holds
    other = certificate(game, at(2.0, 2.0, 2.0, 3.0), steps=0)  # another generalised Nash equilibrium
    assert other.holds and other.shared.residual < 1e-12


@settings(max_examples=10)
@given(st.integers(100, 10_000))
def test_the_gap_of_matrix_games(seed: int) -> None:
    """max over rows minus min over columns, exactly."""
    g = torch.Generator().manual_seed(seed)
    A, x, y = (
        torch.randn(3, 4, generator=g),
        torch.rand(3, generator=g).softmax(0),
        torch.rand(4, generator=g).softmax(0),
    )
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(simplex(), simplex()))
    found = certificate(game, (x, y))
    assert found.gap.total == pytest.approx(float((x @ A).max() - (A @ y).min())) and not any(found.gap.slack)
    assert found.holds == (found.residual <= 1e-4)


def test_a_matrix_game_at_its_equilibrium() -> None:
    A = torch.tensor([[2.0, -1.0], [-1.0, 1.0]])
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(simplex(), simplex()))
    found = certificate(game, (torch.tensor([0.4, 0.6]), torch.tensor([0.4, 0.6])))
    assert found.holds and found.gap.total == pytest.approx(0, abs=1e-12) and found.shared is None


def test_kinds() -> None:
    """CESP's false point and its solution; a local minimax point that is not Nash; a point that is none."""
    assert certificate(CESP, at(0.0, 0.0), steps=0).equilibrium.kind == "stable, not Nash"
    root = 2**0.5
    solution = certificate(CESP, at(-2 - root, 2 + root), radius=0.5)
    assert solution.holds and solution.equilibrium.kind == "local Nash" and solution.gap.total < 1e-8
    game = mm.zero_sum(lambda x, y: -(x**2) + 5 * x * y - y**2)
    saddle = certificate(game, at(0.0, 0.0), steps=0)
    assert saddle.holds and saddle.equilibrium.kind == "local minimax" and saddle.equilibrium.own == (-2.0, 2.0)
    beside = certificate(game, at(1e-6, 0.0), radius=0.5)
    assert beside.gap.gains == pytest.approx((0.25, 0.0), abs=1e-5)
    lost = certificate(CESP, at(1.0, 0.0), steps=0)
    assert not lost.holds and lost.equilibrium.kind == "not stationary" and lost.residual == pytest.approx(32**0.5)


def test_a_leaders_own_gradient_proves_nothing() -> None:
    """f = (y - 1)², y*(x) = 2x: F = 0 at every (x, 2x), and the hypergradient 4(2x - 1) only at ½."""
    game = bilevel(lambda x, y: (y - 1) ** 2, lambda x, y: (y - 2 * x) ** 2)
    beside, solved = certificate(game, at(0.8, 1.6)), certificate(game, at(0.5, 1.0))
    assert beside.residual == 0 and beside.hypergradient == pytest.approx(2.4) and not beside.holds
    assert solved.hypergradient == 0 and solved.holds
    assert "leader" in str(beside) and "no equilibrium" in str(beside)
    stopped = bilevel(
        lambda x, y: (y - 1) ** 2, lambda x, y: (y - 2 * x) ** 2, constraints=(mm.projections.box(0, 0.3), None)
    )
    assert certificate(stopped, at(0.3, 0.6)).holds


def test_a_follower_at_no_minimum_leaves_doubt() -> None:
    game = bilevel(lambda x, y: (y - 1) ** 2, lambda x, y: x * y - y**2)
    found = certificate(game, at(0.0, 0.0), steps=0)
    assert math.isnan(found.hypergradient) and not found.holds and "not positive definite" in str(found)


def test_modules_and_pages() -> None:
    torch.manual_seed(100)
    players = (torch.nn.Linear(2, 1), torch.nn.Linear(2, 1))
    before = [p.clone() for player in players for p in player.parameters()]
    game = mm.zero_sum(lambda g, d, b: (g(b) * d(b)).mean() + g(b).square().mean() - d(b).square().mean())
    found = certificate(game, players, torch.randn(5, 2), steps=5)
    torch.testing.assert_close([p for player in players for p in player.parameters()], before)
    assert all(word in str(found) for word in ("kind", "gap", "lower bound")) and found.hypergradient is None
    with pytest.raises(ValueError, match="steps must be an integer >= 0, got -1"):
        certificate(game, players, torch.randn(5, 2), steps=-1)
