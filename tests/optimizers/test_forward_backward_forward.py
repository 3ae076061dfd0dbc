"""Tseng's splitting: extragradient with one projection."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from minimax import games
from tests.optimizers.monotone import saddle

pytestmark = pytest.mark.usefixtures("float64")


def test_by_hand_in_a_box() -> None:
    """From (1, 1): y alone is stopped at first."""
    side = mm.projections.box(-1, 1)
    game = mm.zero_sum(lambda x, y: (x - 0.25) * (y + 0.5), constraints=(side, side))
    z, optimizer = (torch.tensor(1.0), torch.tensor(1.0)), mm.ForwardBackwardForward(mm.sgd(0.4))
    state, seen = optimizer.init(game, z), []
    for _ in range(3):
        z, state, _ = optimizer.step(game, z, state)
        seen.append([float(x) for x in z])
    np.testing.assert_allclose(seen, [(0.4, 0.76), (-0.128, 0.6184), (-0.51488, 0.288256)], atol=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.1, 0.99), st.booleans())
def test_every_step_comes_closer_to_every_solution(seed: int, share: float, constrained: bool) -> None:
    """|z⁺ - z*|² ≤ |z - z*|² - (1 - h²L²)|z - w|², and w is feasible where z is not."""
    game, z, solution, L = saddle(seed, constrained)
    optimizer = mm.ForwardBackwardForward(mm.sgd(share / L))
    state = optimizer.init(game, z)
    for _ in range(20):
        before = z
        z, state, _ = optimizer.step(game, z, state)
        w = torch.cat(optimizer.answer(z, state))
        gain = (torch.cat(before) - solution).square().sum() - (torch.cat(z) - solution).square().sum()
        assert gain >= (1 - share**2) * (torch.cat(before) - w).square().sum() - 1e-9
        assert not constrained or bool((w.abs() <= 1).all())


def test_z_leaves_the_box_where_the_answer_does_not() -> None:
    """Where y is stopped F moves on: w = (.5, 1), and z⁺ = w - h (F(w) - F(z)) has x below, y beyond."""
    game = mm.zero_sum(lambda x, y: x * y + 2 * y, constraints=(None, mm.projections.box(-1, 1)))
    z, optimizer = (torch.tensor(1.0), torch.tensor(1.0)), mm.ForwardBackwardForward(mm.sgd(0.5))
    z, state, _ = optimizer.step(game, z, optimizer.init(game, z))
    assert [float(x) for x in z] == [0.5, 0.75]
    for _ in range(5):
        z, state, _ = optimizer.step(game, z, state)
        assert abs(float(optimizer.answer(z, state)[1])) <= 1


@pytest.mark.parametrize("rule", [mm.sgd(0.2), mm.adam(0.05, betas=(0.5, 0.9)), (mm.sgd(0.1), mm.rmsprop(0.02))])
def test_is_extragradient_without_constraints(rule: mm.Rule) -> None:
    game, z, _, _ = saddle(3, constrained=False)
    ends = [mm.solve(game, z, kind(rule), steps=30).players for kind in (mm.ForwardBackwardForward, mm.ExtraGradient)]
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [games.matching_pennies, games.rock_paper_scissors, games.kuhn_poker])
def test_its_answer_solves_matrix_games(make) -> None:
    closed = make()
    optimizer = mm.ForwardBackwardForward(mm.sgd(0.9 / closed.lipschitz))
    found = mm.solve(closed.game, closed.start, optimizer, steps=1000, every=1000).answer
    assert mm.diagnostics.duality_gap(closed.game, found).total < 1e-5
